//! Consoles of guests: which wait for a WebSocket or have one, with which tickets. What comes over the WebSocket is in
//! `socket`, what a guest shows in `tty`, as a picture in `rfb` and as text in `terminal`.

mod font;
mod frames;
mod rfb;
mod screen;
mod socket;
mod terminal;
mod tty;

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rand::{Rng as _, RngExt as _};

use crate::clock::{Micros, seconds};

pub(crate) use socket::Upgrade;

/// Ports of consoles on each node.
const PORTS: std::ops::RangeInclusive<u16> = 5900..=5999;
/// Letters of a VNC password.
const PASSWORD_LENGTH: usize = 8;
/// Bytes of a ticket's signature, as long as that of a 2048-bit key.
const SIGNATURE_BYTES: usize = 256;

/// What a console shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The screen, as VNC.
    Screen,
    /// A serial line, as text.
    Serial,
}

/// An opened console.
#[derive(Clone, Debug)]
pub(crate) struct Console {
    pub(crate) kind: Kind,
    pub(crate) node: String,
    pub(crate) vmid: u32,
    pub(crate) port: u16,
    /// Who opened it: user with token.
    pub(crate) user: String,
    /// What the VNC client proves to know.
    pub(crate) password: String,
    /// Without the password that stands before it.
    pub(crate) ticket: String,
    pub(crate) opened: Micros,
    pub(crate) upid: String,
    /// The serial line that was asked for.
    pub(crate) serial: Option<String>,
}

impl Console {
    /// A new one with random secrets; the task is started later.
    pub(crate) fn new(kind: Kind, node: &str, vmid: u32, port: u16, user: &str, now: Micros) -> Self {
        let mut random = rand::rng();
        let password = (0..PASSWORD_LENGTH).map(|_| char::from(random.random_range(b'!'..=b'`'))).collect();
        let mut signature = [0_u8; SIGNATURE_BYTES];
        random.fill_bytes(&mut signature);
        let ticket = format!("PVEVNC:{:08X}::{}", seconds(now), BASE64_STANDARD.encode(signature));
        Self {
            kind,
            node: node.to_owned(),
            vmid,
            port,
            user: user.to_owned(),
            password,
            ticket,
            opened: now,
            upid: String::new(),
            serial: None,
        }
    }

    /// The ticket as it is given out: with the password before it.
    pub(crate) fn long_ticket(&self) -> String {
        format!("{}:{}", self.password, self.ticket)
    }

    /// Both forms are good.
    pub(crate) fn has_ticket(&self, given: &str) -> bool {
        given == self.ticket || given == self.long_ticket()
    }
}

/// All consoles of the cluster, by node and port.
#[derive(Clone, Debug, Default)]
pub(crate) struct Consoles {
    by_port: BTreeMap<(String, u16), Console>,
}

impl Consoles {
    /// The lowest port nobody has on `node`.
    pub(crate) fn free_port(&self, node: &str) -> Option<u16> {
        PORTS.into_iter().find(|port| !self.by_port.contains_key(&(node.to_owned(), *port)))
    }

    pub(crate) fn add(&mut self, console: Console) {
        self.by_port.insert((console.node.clone(), console.port), console);
    }

    pub(crate) fn at(&self, node: &str, port: u16) -> Option<&Console> {
        self.by_port.get(&(node.to_owned(), port))
    }

    pub(crate) fn keep(&mut self, keeps: impl Fn(&Console) -> bool) {
        self.by_port.retain(|_, console| keeps(console));
    }

    pub(crate) fn upids(&self) -> Vec<String> {
        self.by_port.values().map(|console| console.upid.clone()).collect()
    }
}
