//! What can go wrong in an operation, free of HTTP. Where a caller branches there is a variant; the rest is `Internal`,
//! whose cause an operator reads in the log and a customer never sees.

use std::borrow::Cow;

use billing::Money;

use crate::permissions::Permission;
use crate::quotas::Exceeded;

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
    /// The caller is known, and none of his roles allows this.
    #[error("your role does not allow this: it needs “{0}”")]
    NotPermitted(Permission),
    /// A second factor is demanded of the caller, and he has none.
    #[error("a second factor is required here: set one up in your account first")]
    SecondFactorMissing,
    /// This is dangerous, and the caller has not proved for a while that it is still him.
    #[error("confirm that it is you, then try again: log in again, or give your password or a code")]
    NotConfirmed,
    /// The key is known and does not allow this.
    #[error("this API key does not allow this: it needs “{0}”")]
    NotPermittedToKey(Permission),
    /// The key is known and may not be used from this address.
    #[error("this API key may not be used from {0}")]
    WrongNetwork(String),
    /// The thing is in a state in which this cannot be done, or the name is taken.
    #[error("{0}")]
    Conflict(String),
    /// The wallet does not carry it.
    #[error("the credit does not carry this: {short_by} is missing")]
    NotEnoughCredit {
        /// How much is missing.
        short_by: Money,
    },
    /// The organisation has as much as it may have.
    #[error("{0}")]
    QuotaExceeded(Box<Exceeded>),
    /// The key's machines would cost more in a day than it may spend.
    #[error(
        "this API key may spend {limit} a day: {used} of it is used today, and this would make it {would_be} a day"
    )]
    SpendingLimit {
        /// The most in a day.
        limit: Money,
        /// What today comes to as things are.
        used: Money,
        /// What today, or a whole day, would come to.
        would_be: Money,
    },
    /// Somebody has tried too often; he may try again later.
    #[error("{sentence}")]
    TooManyTries {
        /// What is said to him.
        sentence: &'static str,
        /// After how many seconds he may try again.
        retry_after_seconds: i64,
    },
    /// Something outside is away just now.
    #[error("{0}")]
    Unavailable(String),
    /// Anything else: a bug, or the database.
    #[error("something went wrong on our side")]
    Internal(#[source] anyhow::Error),
}

/// One thing wrong with one field.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[schema(as = FieldProblem)]
pub struct Problem {
    /// The field's name as the form and the API call it.
    #[schema(value_type = String, example = "name")]
    pub field: Cow<'static, str>,
    /// What is wrong with it, as a sentence for the person who typed it.
    #[schema(example = "Give it a name.")]
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

/// What PostgreSQL calls a NUL in a text (22021, `character_not_in_repertoire`) and in JSON (22P05, `untranslatable_character`).
const NUL_CODES: [&str; 2] = ["22021", "22P05"];

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        // The doors refuse it by its field; where one let it through it is still the sender's mistake, not a fault of ours.
        if let sqlx::Error::Database(database) = &error
            && database.code().is_some_and(|code| NUL_CODES.contains(&code.as_ref()))
        {
            return Self::invalid("", "A text holds a character that cannot be stored (NUL).");
        }
        Self::Internal(anyhow::Error::new(error).context("while talking to PostgreSQL"))
    }
}

impl From<anyhow::Error> for Error {
    fn from(error: anyhow::Error) -> Self {
        Self::Internal(error)
    }
}

/// Whether a text of one line holds only what can be shown on one: no control characters, no line or paragraph separators,
/// none of the marks that turn the reading direction and so make one text look like another.
#[must_use]
pub fn is_plain_line(text: &str) -> bool {
    !text.chars().any(|character| {
        character.is_control()
            || matches!(character, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    })
}

/// What is said of a text that is not a plain line.
pub const NOT_A_PLAIN_LINE: &str = "One line of letters, without control characters.";

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
