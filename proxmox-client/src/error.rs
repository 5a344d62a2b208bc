//! The three ways a call can fail, told apart by what the caller may conclude: it was never sent,
//! it may have been carried out, or Proxmox VE refused it. Nothing here repeats a request.

use std::collections::BTreeMap;

use crate::Words;
use crate::words::ask_words;

/// Why a call gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Proxmox VE did not see the request, or handed it to a node it could not reach. Sending it
    /// again cannot do anything twice.
    #[error("{call} was not carried out: {detail}")]
    NeverSent {
        /// Method and path, such as `POST /nodes/pve1/qemu/9000/clone`.
        call: String,
        /// What stood in the way.
        cause: NeverSentCause,
        /// One sentence for people.
        detail: String,
    },
    /// The request left, and no readable answer came back. A change may have been made, may still
    /// be under way, or may never happen: look before repeating it.
    #[error("{call} may have been carried out: {detail}")]
    MaybeDone {
        /// Method and path, such as `POST /nodes/pve1/qemu/9000/clone`.
        call: String,
        /// What went wrong.
        cause: MaybeDoneCause,
        /// One sentence for people.
        detail: String,
    },
    /// Proxmox VE answered no.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// What kept a request from being carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NeverSentCause {
    /// An argument cannot be put into a request, such as a node name with a slash.
    Argument,
    /// All requests allowed at once stayed occupied for the whole request time.
    Queue,
    /// The host name did not resolve.
    Resolve,
    /// No connection within the connect time.
    ConnectTimeout,
    /// No connection: refused, no route, reset.
    Connect,
    /// A connection, but no TLS session: another fingerprint than the pinned one, an unknown
    /// authority, an expired certificate, or no TLS at all.
    Tls,
    /// The node asked could not reach the node named in the path (status 595).
    Node,
}

/// What kept the answer away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaybeDoneCause {
    /// No complete answer within the request time.
    Timeout,
    /// The connection broke after the request had left.
    Connection,
    /// An answer that is not what the call answers: no JSON, other fields, or beyond the size
    /// limit.
    Unreadable,
    /// The node asked lost the node named in the path, or its own daemon, after passing the
    /// request on (status 596 to 599); or a gateway in between did (502 to 504).
    Node,
}

impl Error {
    pub(crate) fn never_sent(call: impl ToString, cause: NeverSentCause, detail: impl Into<String>) -> Self {
        Self::NeverSent { call: call.to_string(), cause, detail: detail.into() }
    }

    pub(crate) fn maybe_done(call: impl ToString, cause: MaybeDoneCause, detail: impl Into<String>) -> Self {
        Self::MaybeDone { call: call.to_string(), cause, detail: detail.into() }
    }

    /// The refusal, if Proxmox VE answered no.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::Refused(refusal) => Some(refusal),
            Self::NeverSent { .. } | Self::MaybeDone { .. } => None,
        }
    }

    /// Whether the node named in the path, or its daemon, was out of reach behind the node asked
    /// (595 to 599). Other nodes may be well.
    #[must_use]
    pub fn is_node_out_of_reach(&self) -> bool {
        matches!(
            self,
            Self::NeverSent { cause: NeverSentCause::Node, .. } | Self::MaybeDone { cause: MaybeDoneCause::Node, .. }
        )
    }
}

/// The no of Proxmox VE, with all it said. The questions (`is_…`) look at `message` and at every
/// entry of `errors`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path}: {message} ({status}){}", list(errors))]
pub struct Refusal {
    /// The HTTP status. 500 is the general no and says nothing about a second try.
    pub status: u16,
    /// The text of the body, else the reason phrase, else the status' usual text; without the
    /// newlines around it.
    pub message: String,
    /// What is wrong with single parameters, by their names.
    pub errors: BTreeMap<String, String>,
    /// The path below `/api2/json` that was asked.
    pub path: String,
}

impl Refusal {
    /// All texts of this refusal: the message, then the entries of `errors`.
    pub fn texts(&self) -> impl Iterator<Item = Words<'_>> {
        std::iter::once(self.message.as_str()).chain(self.errors.values().map(String::as_str)).map(Words)
    }

    /// The token is wrong, unknown or expired (status 401). Logging in again does not exist for
    /// tokens: somebody has to give another one.
    #[must_use]
    pub fn is_unauthenticated(&self) -> bool {
        self.status == 401
    }

    /// The token may not do this (status 403); see [`Refusal::missing_privilege`] for what it
    /// lacks.
    #[must_use]
    pub fn is_forbidden(&self) -> bool {
        self.status == 403
    }
}

ask_words!(Refusal);

fn list(errors: &BTreeMap<String, String>) -> String {
    errors.iter().map(|(name, text)| format!("; {name}: {text}")).collect()
}
