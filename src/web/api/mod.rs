//! JSON for programs, under `/api/v1`. Each handler reads the request, calls one operation and shows the result.

pub mod account;
pub mod admin;
pub mod api_keys;
pub mod audit;
pub mod auth;
pub mod catalog;
pub mod clusters;
pub mod consoles;
pub mod drift;
pub mod invoices;
pub mod jobs;
pub mod mails;
pub mod notifications;
pub mod organisations;
pub mod passes;
pub mod passkeys;
pub mod payments;
pub mod prices;
pub mod quotas;
pub mod revenue;
pub mod roles;
pub mod second_factor;
pub mod ssh_keys;
pub mod staff;
pub mod vms;
pub mod vouchers;
pub mod wallet;
pub mod zero;

mod body;

pub use body::{ApiJson, Unreadable};

use serde::Deserialize;
use serde::Serialize;
use uuid::Uuid;

/// How many items a list shows when nothing is said.
const LIMIT: i64 = 50;

/// What every list understands.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Page {
    /// How many items, 50 when nothing is said. Each list has a most that it shows at once.
    #[param(minimum = 1, example = 20)]
    limit: Option<i64>,
    /// The `next` of the page before.
    after: Option<Uuid>,
}

impl Page {
    /// How many to show, at most `most`.
    fn limit(&self, most: i64) -> i64 {
        self.limit.unwrap_or(LIMIT).clamp(1, most)
    }

    /// The cursor of the page before.
    fn after<T: From<Uuid>>(&self) -> Option<T> {
        self.after.map(T::from)
    }
}

/// A page of a list.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(bound = "T: utoipa::ToSchema")]
pub struct List<T, Cursor = Uuid> {
    /// The newest first, where nothing else is said.
    items: Vec<T>,
    /// Goes into `after` for the next page; null on the last.
    #[schema(value_type = Option<String>)]
    next: Option<Cursor>,
}

impl<T, Cursor> List<T, Cursor> {
    /// A page of at most `limit` items, from one more than that if there are more.
    fn of<S>(mut found: Vec<S>, limit: i64, cursor: impl Fn(&S) -> Cursor, show: impl Fn(S) -> T) -> Self {
        let limit = usize::try_from(limit).unwrap_or(1);
        let more = found.len() > limit;
        found.truncate(limit);
        let next = if more { found.last().map(cursor) } else { None };
        Self { items: found.into_iter().map(show).collect(), next }
    }
}

/// What makes a request that is sent twice one request, as programs send it.
#[derive(Debug, utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it is read by `idempotency_key`; this describes it")]
struct IdempotencyKey {
    /// The same key with the same body is answered by what the first request did; with another body it is refused (409).
    #[param(rename = "Idempotency-Key", max_length = 200, example = "order-2026-11-21-web-1")]
    key: Option<String>,
}

/// What makes a request that is sent twice one request.
///
/// # Errors
/// `Invalid` when it is not plain ASCII: leaving it out would do the request twice.
fn idempotency_key(headers: &axum::http::HeaderMap) -> crate::error::Result<Option<&str>> {
    let unreadable = |_| crate::error::Error::invalid("Idempotency-Key", "Letters, digits and signs of ASCII.");
    headers.get("idempotency-key").map(|value| value.to_str().map_err(unreadable)).transpose()
}

/// Puts the order of a request where its operation reads it: that of the header goes before that of the body.
///
/// # Errors
/// As for [`idempotency_key`].
fn take_order(headers: &axum::http::HeaderMap, order: &mut Option<String>) -> crate::error::Result<()> {
    if let Some(key) = idempotency_key(headers)? {
        *order = Some(key.to_owned());
    }
    Ok(())
}

/// There is no such path in the API.
pub async fn not_found() -> crate::web::error::ApiError {
    crate::error::Error::NotFound("path").into()
}
