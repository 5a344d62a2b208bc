//! Being written.
#![allow(missing_docs)]
use axum::http::StatusCode;
pub async fn show() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn header() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
