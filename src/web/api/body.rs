//! JSON bodies: unreadable ones are told apart from ones with invalid fields, in problem+json.

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::error::{Error, Problem};
use crate::web::error::{ApiError, problem};

/// A JSON body.
#[derive(Debug)]
pub struct ApiJson<T>(pub T);

/// Why a body was refused.
#[derive(Debug)]
pub enum Unreadable {
    /// It is no JSON, or none of the form that is expected.
    Form(StatusCode, String),
    /// A field cannot be accepted, whatever it is for.
    Field(ApiError),
}

impl IntoResponse for Unreadable {
    fn into_response(self) -> Response {
        match self {
            Self::Form(status, detail) => {
                let title = status.canonical_reason().unwrap_or("Error");
                let status_code = status.as_u16();
                problem(
                    status,
                    json!({ "type": "about:blank", "title": title, "status": status_code, "detail": detail }),
                )
            }
            Self::Field(error) => error.into_response(),
        }
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for ApiJson<T> {
    type Rejection = Unreadable;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        let (parts, body) = request.into_parts();
        let bytes = Bytes::from_request(Request::new(body), state)
            .await
            .map_err(|rejection| Unreadable::Form(rejection.status(), rejection.body_text()))?;
        if let Some(field) = field_with_nul(&bytes) {
            let error = Error::Invalid(vec![Problem::new(field, "It holds a NUL, which cannot be stored.")]);
            return Err(Unreadable::Field(error.into()));
        }
        match Json::<T>::from_request(Request::from_parts(parts, Body::from(bytes)), state).await {
            Ok(Json(value)) => Ok(Self(value)),
            // Read, but not of the form that is expected: axum says 422, and so does RFC 9110.
            Err(JsonRejection::JsonDataError(error)) => {
                Err(Unreadable::Field(Error::Invalid(vec![wrong_field(&error.body_text())]).into()))
            }
            Err(JsonRejection::MissingJsonContentType(error)) => {
                Err(Unreadable::Form(StatusCode::UNSUPPORTED_MEDIA_TYPE, error.body_text()))
            }
            Err(other) => Err(Unreadable::Form(other.status(), other.body_text())),
        }
    }
}

/// The field that is not of the form that is expected, from the words of the library: `…type: vms[0].plan: invalid type: …`.
fn wrong_field(words: &str) -> Problem {
    let words = words.split_once("target type: ").map_or(words, |(_, rest)| rest);
    let words = words.rsplit_once(" at line ").map_or(words, |(words, _)| words);
    let quoted = |begin: &str| words.strip_prefix(begin)?.split('`').next();
    let named = words.split_once(": ").filter(|(field, _)| !field.contains(' '));
    match (named, quoted("missing field `").or(quoted("unknown field `"))) {
        (Some((field, words)), _) => Problem::new(field.to_owned(), sentence(words)),
        (None, field) => Problem::new(field.unwrap_or_default().to_owned(), sentence(words)),
    }
}

fn sentence(words: &str) -> String {
    let mut signs = words.chars();
    let first = signs.next().map(|sign| sign.to_ascii_uppercase());
    first.into_iter().chain(signs).chain(['.']).collect()
}

/// The field of a JSON object that has a NUL somewhere in it: JSON can spell one, PostgreSQL cannot store it.
fn field_with_nul(bytes: &[u8]) -> Option<String> {
    const ESCAPED: &[u8] = br"\u0000";
    // Hardly any body has one, so hardly any is read twice.
    if !bytes.windows(ESCAPED.len()).any(|part| part == ESCAPED) {
        return None;
    }
    let Ok(Value::Object(fields)) = serde_json::from_slice(bytes) else { return None };
    fields.into_iter().find(|(name, value)| name.contains('\0') || has_nul(value)).map(|(name, _)| name)
}

/// As deep as `serde_json` reads, which is bounded.
fn has_nul(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(items) => items.iter().any(has_nul),
        Value::Object(fields) => fields.iter().any(|(name, value)| name.contains('\0') || has_nul(value)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_of_another_form_is_named() {
        let told = |words: &str| {
            let Problem { field, problem } = wrong_field(&format!(
                "Failed to deserialize the JSON body into the target type: {words} at line 1 column 9"
            ));
            (field.into_owned(), problem)
        };
        let of = |field: &str, problem: &str| (field.to_owned(), problem.to_owned());
        let words = "vms[0].plan: invalid type: integer `1`, expected a string";
        assert_eq!(told(words), of("vms[0].plan", "Invalid type: integer `1`, expected a string."));
        assert_eq!(told("missing field `email`"), of("email", "Missing field `email`."));
        assert_eq!(told("key: unknown field `x`"), of("key", "Unknown field `x`."));
        assert_eq!(told("invalid type: null, expected struct A"), of("", "Invalid type: null, expected struct A."));
    }

    #[test]
    fn a_nul_is_found_where_it_stands() {
        assert_eq!(field_with_nul(br#"{"name":"a\u0000"}"#).as_deref(), Some("name"));
        assert_eq!(field_with_nul(br#"{"a":1,"new_key":{"name":["\u0000"]}}"#).as_deref(), Some("new_key"));
        assert_eq!(field_with_nul(br#"{"name":"a\\u0000"}"#), None, "a backslash and five letters");
        assert_eq!(field_with_nul(br#"{"name":"a"}"#), None);
    }
}
