//! Style sheets, scripts and icons, embedded in the binary (read from disk in debug builds). Their address carries a hash of
//! their content, so browsers keep them for good.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use rust_embed::RustEmbed;
use sha2::{Digest, Sha256};

#[derive(RustEmbed)]
#[folder = "assets/dist"]
#[allow_missing = true]
struct Assets;

/// One version for all assets: changes when any of them does.
static VERSION: LazyLock<String> = LazyLock::new(|| {
    let mut names: Vec<_> = Assets::iter().collect();
    names.sort();
    let mut digest = Sha256::new();
    for file in names.iter().filter_map(|name| Assets::get(name)) {
        digest.update(file.data);
    }
    digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect()
});

/// The version to put into the addresses of assets.
pub fn version() -> String {
    VERSION.clone()
}

/// An asset. With a version in its address it may be kept for good; without one (icons and fonts, which style sheets name)
/// it is asked for again, and answered briefly when it has not changed.
pub async fn serve(Path(name): Path<String>, uri: Uri, request: HeaderMap) -> Response {
    let Some(file) = Assets::get(&name) else { return StatusCode::NOT_FOUND.into_response() };
    let kind = match name.rsplit('.').next() {
        Some("css") => "text/css; charset=utf-8",
        Some("js" | "mjs") => "text/javascript; charset=utf-8",
        Some("svg") => "image/svg+xml",
        Some("png") => "image/png",
        Some("ico") => "image/x-icon",
        Some("woff2") => "font/woff2",
        Some("txt") => "text/plain; charset=utf-8",
        _ => "application/octet-stream",
    };
    let tag = format!(
        "\"{}\"",
        file.metadata.sha256_hash().iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>()
    );
    let versioned = uri.query().is_some_and(|query| query.starts_with("v="));
    let caching = if versioned { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = [(CONTENT_TYPE, kind), (CACHE_CONTROL, caching), (ETAG, tag.as_str())];
    if request.get(IF_NONE_MATCH).is_some_and(|known| known.as_bytes() == tag.as_bytes()) {
        return (StatusCode::NOT_MODIFIED, headers).into_response();
    }
    (headers, file.data).into_response()
}
