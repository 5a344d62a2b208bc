//! Being written.
#![allow(missing_docs)]
use axum::http::StatusCode;
pub async fn list() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn create() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn new() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn cost() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn summary() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn show() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn row() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn status() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn panel() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn start() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn shutdown() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn stop() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn reboot() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn confirm_delete() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
pub async fn delete() -> StatusCode { StatusCode::NOT_IMPLEMENTED }
