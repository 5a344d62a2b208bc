//! Pages for what could not be done.

use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use super::frames::render;
use crate::web::views::errors::ErrorPage;
use crate::web::views::frame::AssetVersion;
use crate::web::{assets, request};

/// The page of a status, with a sentence of its own where there is one to say.
pub fn page(status: StatusCode, sentence: Option<String>) -> Response {
    let page = ErrorPage::of(status.as_u16(), sentence, request::current_id(), AssetVersion(assets::version()));
    (status, render(&page)).into_response()
}

/// There is nothing at this address.
pub async fn not_found(parts: Parts) -> Response {
    // Programs are answered as everywhere below `/api`; `error::give_a_face` does it.
    if parts.uri.path().starts_with("/api/") {
        return StatusCode::NOT_FOUND.into_response();
    }
    page(StatusCode::NOT_FOUND, None)
}
