//! JSON bodies: unreadable ones are told apart from ones with invalid fields, in problem+json.

use axum::Json;
use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::web::error::problem;

/// A JSON body.
#[derive(Debug)]
pub struct ApiJson<T>(pub T);

/// Why a body was refused.
#[derive(Debug)]
pub struct Unreadable(StatusCode, String);

impl IntoResponse for Unreadable {
    fn into_response(self) -> Response {
        let title = self.0.canonical_reason().unwrap_or("Error");
        problem(self.0, json!({ "type": "about:blank", "title": title, "status": self.0.as_u16(), "detail": self.1 }))
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for ApiJson<T> {
    type Rejection = Unreadable;

    async fn from_request(request: Request, state: &S) -> Result<Self, Self::Rejection> {
        match Json::<T>::from_request(request, state).await {
            Ok(Json(value)) => Ok(Self(value)),
            // Read, but not of the form that is expected: axum says 422, and so does RFC 9110.
            Err(JsonRejection::JsonDataError(error)) => {
                Err(Unreadable(StatusCode::UNPROCESSABLE_ENTITY, error.body_text()))
            }
            Err(JsonRejection::MissingJsonContentType(error)) => {
                Err(Unreadable(StatusCode::UNSUPPORTED_MEDIA_TYPE, error.body_text()))
            }
            Err(other) => Err(Unreadable(other.status(), other.body_text())),
        }
    }
}
