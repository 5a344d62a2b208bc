//! What a failed call means for the work it belonged to: wait, look again, or stop.

use proxmox_client::{Error, NeverSentCause, Refusal, TaskError};

/// Why a step could not go on.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// The cluster cannot be asked: nothing was lost, wait until it answers.
    #[error("{0}")]
    Away(String),
    /// Busy, locked, or unclear whether it was done: pause, look, try again.
    #[error("{0}")]
    Busy(String),
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
            Error::NeverSent { cause: NeverSentCause::Argument, .. } => Self::Refused(error.to_string()),
            Error::NeverSent { .. } => Self::Away(error.to_string()),
            Error::MaybeDone { .. } => Self::Busy(error.to_string()),
            Error::Refused(refusal) => of_refusal(refusal),
        }
    }
}

fn of_refusal(refusal: &Refusal) -> Trouble {
    // A token that was revoked or narrowed is the operator's to mend; the customer's order waits for it.
    if refusal.is_unauthenticated() || refusal.is_forbidden() {
        return Trouble::Away(refusal.to_string());
    }
    if refusal.is_busy() || refusal.is_locked().is_some() {
        Trouble::Busy(refusal.to_string())
    } else {
        Trouble::Refused(refusal.to_string())
    }
}

impl From<TaskError> for Trouble {
    fn from(error: TaskError) -> Self {
        if error.is_busy() || error.is_locked().is_some() || error.is_worker_lost() {
            Self::Busy(error.text().to_owned())
        } else {
            Self::Refused(error.text().to_owned())
        }
    }
}

impl From<sqlx::Error> for Trouble {
    fn from(error: sqlx::Error) -> Self {
        Self::Ours(error.into())
    }
}
