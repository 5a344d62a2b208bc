//! What a failed call means for the work it belonged to: wait, look again, or stop.

use proxmox_client::{Error, NeverSentCause, Refusal, TaskError};

/// How much of what a cluster says is kept, in characters.
const WORDS_CHARACTERS_MAX: usize = 4_000;

/// Why a step could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The cluster cannot be asked: nothing was lost, wait until it answers.
    #[error("{0}")]
    Away(String),
    /// Busy, locked, or unclear whether it was done: pause, look, try again.
    #[error("{0}")]
    Busy(String),
    /// Somebody else's work holds the guest, or a task that died has left its lock: wait for it, but not for ever.
    #[error("{0}")]
    Locked(String),
    /// Proxmox said no, and will say so again.
    #[error("{0}")]
    Refused(String),
    /// Ours: a bug, or the database.
    #[error(transparent)]
    Ours(#[from] crate::error::Error),
}

impl From<Error> for Trouble {
    fn from(error: Error) -> Self {
        match &error {
            Error::NeverSent { cause: NeverSentCause::Argument, .. } => Self::Refused(words(&error)),
            Error::NeverSent { .. } => Self::Away(words(&error)),
            Error::MaybeDone { .. } => Self::Busy(words(&error)),
            Error::Refused(refusal) => of_refusal(refusal),
        }
    }
}

/// A cluster's words as they are kept: a NUL cannot be stored, and a job must not wait for ever because of one.
fn words(said: impl ToString) -> String {
    said.to_string().replace('\0', "\u{fffd}").chars().take(WORDS_CHARACTERS_MAX).collect()
}

fn of_refusal(refusal: &Refusal) -> Trouble {
    // A token that was revoked or narrowed is the operator's to mend; the customer's order waits for it.
    if refusal.is_unauthenticated() || refusal.is_forbidden() {
        return Trouble::Away(words(refusal));
    }
    if refusal.is_locked().is_some() {
        Trouble::Locked(words(refusal))
    } else if refusal.is_busy() {
        Trouble::Busy(words(refusal))
    } else {
        Trouble::Refused(words(refusal))
    }
}

impl From<TaskError> for Trouble {
    fn from(error: TaskError) -> Self {
        if error.is_locked().is_some() {
            Self::Locked(words(error.text()))
        } else if error.is_busy() || error.is_worker_lost() {
            Self::Busy(words(error.text()))
        } else {
            Self::Refused(words(error.text()))
        }
    }
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self::Ours(error.into())
    }
}
