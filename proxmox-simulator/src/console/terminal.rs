//! A serial line as Proxmox's `termproxy` speaks it: `user:ticket` first, then `OK`, then input as `0:LENGTH:DATA`, sizes
//! as `1:COLUMNS:ROWS:` and signs of life as `2`; output comes bare.

use super::Console;
use super::socket::{Ended, Output};
use super::tty::{Scene, Tty};

/// The longest first line, and the longest message that is waited for, bytes.
const WAITING_MAX: usize = 64 * 1024;

/// One connection to a serial line.
#[derive(Debug)]
pub(super) struct Terminal {
    user: String,
    tickets: [String; 2],
    waiting: Vec<u8>,
    tty: Tty,
    is_known: bool,
    has_failed: bool,
}

impl Terminal {
    pub(super) fn new(console: &Console, scene: &Scene) -> Self {
        Self {
            user: console.user.clone(),
            tickets: [console.ticket.clone(), console.long_ticket()],
            waiting: Vec::new(),
            tty: Tty::serial(scene),
            is_known: false,
            has_failed: false,
        }
    }

    /// Has it ended with an error?
    pub(super) fn has_failed(&self) -> bool {
        self.has_failed
    }

    pub(super) fn look(&mut self, scene: &Scene, output: &mut Output) -> Result<(), Ended> {
        if self.is_known {
            output.bytes.extend(self.tty.look(scene).into_bytes());
        }
        Ok(())
    }

    pub(super) fn receive(&mut self, bytes: &[u8], scene: &Scene, output: &mut Output) -> Result<(), Ended> {
        self.waiting.extend_from_slice(bytes);
        if self.waiting.len() > WAITING_MAX {
            return Err(Ended);
        }
        if !self.is_known {
            self.greet(scene, output)?;
        }
        while self.is_known && !self.waiting.is_empty() {
            let Some((length, input)) = message(&self.waiting)? else { return Ok(()) };
            self.waiting.drain(..length);
            for key in String::from_utf8_lossy(&input).chars() {
                output.bytes.extend(self.tty.press(key, scene).into_bytes());
            }
        }
        Ok(())
    }

    fn greet(&mut self, scene: &Scene, output: &mut Output) -> Result<(), Ended> {
        let Some(end) = self.waiting.iter().position(|byte| *byte == b'\n') else { return Ok(()) };
        let line: Vec<u8> = self.waiting.drain(..=end).collect();
        let line = String::from_utf8_lossy(&line);
        let given = line.trim_end_matches('\n').strip_prefix(&self.user).and_then(|rest| rest.strip_prefix(':'));
        self.has_failed = !given.is_some_and(|given| self.tickets.iter().any(|ticket| ticket == given));
        if self.has_failed {
            return Err(Ended);
        }
        self.is_known = true;
        output.bytes.extend(b"OK");
        let Some(line) = &scene.serial else {
            output.bytes.extend(b"unable to find a serial interface\r\n");
            self.has_failed = true;
            return Err(Ended);
        };
        output.bytes.extend(format!("starting serial terminal on interface {line}\r\n").into_bytes());
        self.look(scene, output)
    }
}

/// The first whole message: how long it is, and what was typed with it.
fn message(bytes: &[u8]) -> Result<Option<(usize, Vec<u8>)>, Ended> {
    match bytes.first() {
        None => Ok(None),
        Some(b'2') => Ok(Some((1, Vec::new()))),
        Some(b'0') => {
            let Some((length, begin)) = number(bytes, 1)? else { return Ok(None) };
            Ok(bytes.get(begin..begin + length).map(|input| (begin + length, input.to_vec())))
        }
        Some(b'1') => {
            let Some((_, rows)) = number(bytes, 1)? else { return Ok(None) };
            Ok(number(bytes, rows - 1)?.map(|(_, end)| (end, Vec::new())))
        }
        Some(_) => Err(Ended),
    }
}

/// The number between the colon at `colon` and the next one, and where that ends.
fn number(bytes: &[u8], colon: usize) -> Result<Option<(usize, usize)>, Ended> {
    match bytes.get(colon) {
        None => return Ok(None),
        Some(b':') => {}
        Some(_) => return Err(Ended),
    }
    let rest = &bytes[colon + 1..];
    let Some(length) = rest.iter().position(|byte| *byte == b':') else { return Ok(None) };
    let digits = std::str::from_utf8(&rest[..length]).map_err(|_| Ended)?;
    let number = digits.parse::<u16>().map_err(|_| Ended)?;
    Ok(Some((usize::from(number), colon + length + 2)))
}
