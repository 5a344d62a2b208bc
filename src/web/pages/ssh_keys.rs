//! Being written.
#![allow(missing_docs)]
use axum::http::StatusCode;
pub async fn list() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn add() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn remove() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
