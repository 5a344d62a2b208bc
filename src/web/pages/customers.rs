//! Being written.
#![allow(missing_docs)]
use axum::http::StatusCode;
pub async fn list() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn show() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn add_credit() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
