//! Being written.
#![allow(missing_docs)]
use axum::http::StatusCode;
pub async fn home() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn list() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
