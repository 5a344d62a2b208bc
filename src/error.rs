//! What can go wrong in an operation, free of HTTP. Where a caller branches there is a variant; the rest is `Internal`,
//! whose cause an operator reads in the log and a customer never sees.

use std::borrow::Cow;

use billing::Money;

/// The outcome of an operation.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation was not done. Every text is a sentence for the person who asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What was typed cannot be accepted; one problem per field.
    #[error("some fields need another look")]
    Invalid(Vec<Problem>),
    /// There is no such thing, or it is somebody else's: both look the same.
    #[error("there is no such {0}")]
    NotFound(&'static str),
    /// Nobody is logged in, or what proves it has expired.
    #[error("{0}")]
    Unauthenticated(&'static str),
    /// The caller is known and may not do this.
    #[error("{0}")]
    Forbidden(&'static str),
    /// The thing is in a state in which this cannot be done, or the name is taken.
    #[error("{0}")]
    Conflict(String),
    /// The wallet does not carry it.
    #[error("the credit does not carry this: {short_by} is missing")]
    NotEnoughCredit {
        /// How much is missing.
        short_by: Money,
    },
    /// Something outside is away just now.
    #[error("{0}")]
    Unavailable(String),
    /// Anything else: a bug, or the database.
    #[error("something went wrong on our side")]
    Internal(#[source] anyhow::Error),
}

/// One thing wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// The field's name as the form and the API call it.
    pub field: Cow<'static, str>,
    /// What is wrong with it, as a sentence for the person who typed it.
    pub problem: String,
}

impl Problem {
    /// A problem with `field`.
    pub fn new(field: impl Into<Cow<'static, str>>, problem: impl Into<String>) -> Self {
        Self { field: field.into(), problem: problem.into() }
    }
}

impl Error {
    /// A single problem with a single field.
    pub fn invalid(field: &'static str, problem: impl Into<String>) -> Self {
        Self::Invalid(vec![Problem::new(field, problem)])
    }

    /// A conflict said in a sentence.
    pub fn conflict(sentence: impl Into<String>) -> Self {
        Self::Conflict(sentence.into())
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        Self::Internal(anyhow::Error::new(error).context("while talking to PostgreSQL"))
    }
}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        Self::Internal(error)
    }
}

/// Turns the violation of a named constraint into an answer; other errors stay what they are.
pub trait OnConstraint<T> {
    /// If `constraint` was violated, answers with `error` instead.
    ///
    /// # Errors
    /// The given error for the constraint, else the database's own.
    fn on_constraint(self, constraint: &str, error: impl FnOnce() -> Error) -> Result<T>;
}

impl<T> OnConstraint<T> for Result<T, sqlx::Error> {
    fn on_constraint(self, constraint: &str, error: impl FnOnce() -> Error) -> Result<T> {
        self.map_err(|cause| match &cause {
            sqlx::Error::Database(database) if database.constraint() == Some(constraint) => error(),
            _ => cause.into(),
        })
    }
}
