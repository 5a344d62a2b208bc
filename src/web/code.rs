//! The codes of problems, for programs that branch. A code is never renamed; its sentence may be.

use std::borrow::Cow;

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::openapi::schema::{ObjectBuilder, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use crate::error::{Error, Problem};

/// Defines the codes, each with its status and what it means, in one table.
macro_rules! codes {
    ($($(#[doc = $meaning:literal])+ $variant:ident = $name:literal, $status:ident;)+) => {
        /// Why a request was refused, as one word.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
        pub enum Code {
            $($(#[doc = $meaning])+ #[serde(rename = $name)] $variant,)+
        }

        impl Code {
            /// Every code, in the order of their statuses.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The word.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }

            /// What it means, as one sentence.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$variant => concat!($($meaning),+).trim_ascii(),)+ }
            }

            /// The status that it comes with.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$variant => StatusCode::$status,)+ }
            }
        }
    };
}

codes! {
    /// The request cannot be read: it is no JSON, or the query is none.
    Unreadable = "unreadable", BAD_REQUEST;
    /// Nobody is known: the token or key is missing, wrong or has expired.
    NotAuthenticated = "not_authenticated", UNAUTHORIZED;
    /// The wallet does not carry this; `short_by` says how much is missing.
    NotEnoughCredit = "not_enough_credit", PAYMENT_REQUIRED;
    /// Who asks is known and may not do this.
    Forbidden = "forbidden", FORBIDDEN;
    /// No role or key of who asks has the permission that `permission` names.
    NotPermitted = "not_permitted", FORBIDDEN;
    /// A second factor is required here, and who asks has none: his person sets one up at `/account/security`.
    SecondFactorSetupRequired = "second_factor_setup_required", FORBIDDEN;
    /// This is dangerous, and the login is older than ten minutes: log in again, and use the new token.
    ConfirmationRequired = "confirmation_required", FORBIDDEN;
    /// The API key may not be used from this network.
    WrongNetwork = "api_key_wrong_network", FORBIDDEN;
    /// The key's VMs would cost more than it may spend in a day: `limit` is the most, `used` what today comes to, `would_be` what
    /// today or a whole day would come to.
    SpendingLimit = "api_key_spending_limit", FORBIDDEN;
    /// There is no such thing, or it is somebody else's: both look the same.
    NotFound = "not_found", NOT_FOUND;
    /// The path does not know this method; `Allow` has those that it knows.
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED;
    /// The request did not arrive in time.
    TooSlow = "too_slow", REQUEST_TIMEOUT;
    /// It is in a state in which this cannot be done, the name is taken, or the `Idempotency-Key` was used for something else.
    Conflict = "conflict", CONFLICT;
    /// The organisation has as much as it may have; `quota` says which, how much and where to ask.
    QuotaExceeded = "quota_exceeded", CONFLICT;
    /// The body is larger than is accepted.
    TooLarge = "too_large", PAYLOAD_TOO_LARGE;
    /// The body is not `application/json`.
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE;
    /// This server does not answer for the host of the request.
    OtherHost = "other_host", MISDIRECTED_REQUEST;
    /// Fields cannot be accepted; `errors` says which and why.
    InvalidFields = "invalid_fields", UNPROCESSABLE_ENTITY;
    /// There were too many; `Retry-After` says after how many seconds there may be more.
    TooMany = "too_many", TOO_MANY_REQUESTS;
    /// Something went wrong on our side; the operator finds it by `request_id`.
    Internal = "internal", INTERNAL_SERVER_ERROR;
    /// Something is away just now; `Retry-After` says when to try again.
    Unavailable = "unavailable", SERVICE_UNAVAILABLE;
}

// By hand: the derive does not see names that come from a table.
impl PartialSchema for Code {
    fn schema() -> RefOr<Schema> {
        let names = Self::ALL.iter().map(|code| code.name());
        let text = ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names));
        text.description(Some("Why a request was refused, as one word.")).into()
    }
}

impl ToSchema for Code {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("ProblemCode")
    }
}

impl Code {
    /// The code of an error.
    pub(super) fn of(error: &Error) -> Self {
        match error {
            // The same status as any other refusal of its kind, but told apart.
            Error::QuotaExceeded(_) => Self::QuotaExceeded,
            Error::SecondFactorMissing => Self::SecondFactorSetupRequired,
            Error::NotConfirmed => Self::ConfirmationRequired,
            Error::NotPermitted(_) | Error::NotPermittedToKey(_) => Self::NotPermitted,
            Error::WrongNetwork(_) => Self::WrongNetwork,
            Error::SpendingLimit { .. } => Self::SpendingLimit,
            Error::Invalid(_)
            | Error::NotFound(_)
            | Error::Unauthenticated(_)
            | Error::Forbidden(_)
            | Error::Conflict(_)
            | Error::NotEnoughCredit { .. }
            | Error::TooManyTries { .. }
            | Error::Unavailable(_)
            | Error::Internal(_) => Self::of_status(super::error::status(error)),
        }
    }

    /// The code of a status about which nothing more is known.
    pub(super) fn of_status(status: StatusCode) -> Self {
        let known = Self::ALL.iter().copied().find(|code| code.status() == status);
        known.unwrap_or(if status.is_server_error() { Self::Internal } else { Self::Unreadable })
    }
}

/// What a refused request is answered with (RFC 9457). Only the API's description is made of this; the answer itself is
/// `error::problem`.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Described {
    /// Always `about:blank`: `code` tells problems apart.
    #[serde(rename = "type")]
    #[schema(example = "about:blank")]
    kind: &'static str,
    /// The status in words.
    #[schema(example = "Unprocessable Entity")]
    title: String,
    /// The status.
    #[schema(example = 422, minimum = 400, maximum = 599)]
    status: u16,
    /// One word for programs; it stays.
    code: Code,
    /// A sentence for the person who asked.
    #[schema(example = "some fields need another look")]
    detail: String,
    /// What is wrong with which field, with `invalid_fields`.
    #[serde(skip_serializing_if = "Option::is_none")]
    errors: Option<Vec<Problem>>,
    /// How much credit is missing, with `not_enough_credit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    short_by: Option<billing::Money>,
    /// The most that the key may spend in a day, with `api_key_spending_limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    limit: Option<billing::Money>,
    /// What today comes to as things are, with `api_key_spending_limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    used: Option<billing::Money>,
    /// What today or a whole day would come to, with `api_key_spending_limit`.
    #[serde(skip_serializing_if = "Option::is_none")]
    would_be: Option<billing::Money>,
    /// What it needs, with `not_permitted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "vm.create")]
    permission: Option<&'static str>,
    /// Which quota does not carry it, with `quota_exceeded`.
    #[serde(skip_serializing_if = "Option::is_none")]
    quota: Option<DescribedQuota>,
    /// Leads the operator to the request in the log.
    #[schema(example = "0199f8a2b7c47d1e8a3b5c6d7e8f9012")]
    request_id: String,
}

/// A quota that does not carry what was asked for.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ExceededQuota)]
struct DescribedQuota {
    /// Which, with its unit.
    #[schema(example = "memory_mib")]
    name: &'static str,
    /// How much of it is used.
    used: i64,
    /// How much there may be.
    limit: i64,
    /// How much more was asked for.
    asked: i64,
    /// Where to ask for more: an e-mail address or an `https://` address; null where none is set.
    ask_at: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_a_name_of_its_own_and_a_meaning() {
        let mut names: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Code::ALL.len());
        for code in Code::ALL {
            assert!(code.meaning().ends_with('.') && !code.meaning().starts_with(' '), "{}", code.name());
            assert!(code.status().is_client_error() || code.status().is_server_error(), "{}", code.name());
        }
    }

    #[test]
    fn a_status_alone_has_a_code() {
        assert_eq!(Code::of_status(StatusCode::FORBIDDEN), Code::Forbidden);
        assert_eq!(Code::of_status(StatusCode::URI_TOO_LONG), Code::Unreadable);
        assert_eq!(Code::of_status(StatusCode::BAD_GATEWAY), Code::Internal);
        assert_eq!(Code::of(&Error::NotPermitted(crate::permissions::Permission::VmView)), Code::NotPermitted);
    }
}
