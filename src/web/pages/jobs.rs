//! Being written.
#![allow(missing_docs)]
use axum::http::StatusCode;
pub async fn list() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn rows() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn show() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn retry() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn undo() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
