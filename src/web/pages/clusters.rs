//! Being written.
#![allow(missing_docs)]
use axum::http::StatusCode;
pub async fn list() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn add() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn new() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn test() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn show() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn test_again() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn set_templates() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
