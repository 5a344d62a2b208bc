//! What surrounds every request: limits of size and time, headers, who may ask from where, identity of the request.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::{RequestBodyTimeoutLayer, TimeoutLayer};

use super::cors::{FromAllowedOrigin, Origins};
use super::hosts::Hosts;
use super::router::{answered_in_time, streams};
use super::{cors, error, hosts, kept_forms, limits, pages, request};
use crate::app::App;

/// The largest body of any request. The longest is an order with user data, of which a form may make three bytes of each; what
/// is somewhat too long still arrives, so that the page can say so and lose nothing.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// The smallest answer that is worth compressing, in bytes.
const COMPRESSED_BYTES_MIN: u64 = 1024;

/// Only what we serve ourselves; no inline scripts or styles, no frames.
pub(super) const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// What no page of ours uses is switched off. Passkeys and copying are for our own pages only.
const PERMITTED: &str = "accelerometer=(), bluetooth=(), browsing-topics=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), hid=(), magnetometer=(), microphone=(), midi=(), payment=(), serial=(), usb=(), clipboard-write=(self), fullscreen=(self), publickey-credentials-create=(self), publickey-credentials-get=(self)";
const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");
/// A browser that was here over HTTPS comes by nothing else for a year.
const HTTPS_ONLY: &str = "max-age=31536000";

/// All URLs.
pub fn router(app: Arc<App>) -> Router {
    let timed = answered_in_time()
        .into_router()
        .layer(TimeoutLayer::with_status_code(StatusCode::SERVICE_UNAVAILABLE, app.settings.guards.patience.answer));
    let not_for_streams = SizeAbove::new(COMPRESSED_BYTES_MIN).and(NotForContentType::new("text/event-stream"));
    let hosts = Arc::new(Hosts::of(&app.settings));
    let origins = Arc::new(Origins::new(&app.settings.guards.cors_origins));
    let router = Router::new()
        .merge(timed)
        .merge(streams().into_router())
        .fallback(pages::errors::not_found)
        .layer(middleware::from_fn_with_state(Arc::clone(&app), kept_forms::keep))
        .layer(middleware::from_fn(refuse_other_sites))
        .layer(RequestBodyTimeoutLayer::new(app.settings.guards.patience.body))
        .layer(RequestBodyLimitLayer::new(BODY_BYTES_MAX))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), limits::tell))
        .layer(middleware::from_fn_with_state(origins, cors::share_api))
        .layer(middleware::from_fn_with_state(hosts, hosts::refuse_others))
        .layer(CatchPanicLayer::new())
        .layer(middleware::from_fn(error::give_a_face))
        .layer(CompressionLayer::new().compress_when(not_for_streams))
        .layer(header(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .layer(header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(header::X_FRAME_OPTIONS, "DENY"))
        .layer(header(header::REFERRER_POLICY, "same-origin"))
        .layer(header(PERMISSIONS_POLICY, PERMITTED))
        .layer(header(OPENER_POLICY, "same-origin"))
        .layer(header(RESOURCE_POLICY, "same-origin"))
        .layer(header(header::CACHE_CONTROL, "no-store"));
    // Over plain HTTP browsers must not heed it, and a demo on loopback would be locked out for long.
    let router = match app.settings.is_https() {
        true => router.layer(header(header::STRICT_TRANSPORT_SECURITY, HTTPS_ONLY)),
        false => router,
    };
    router.layer(middleware::from_fn_with_state(Arc::clone(&app), request::identify)).with_state(app)
}

fn header(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}

/// A change that another site's page asks for is refused before anything looks at it, unless the operator lets that site use the
/// API. Programs send no such header.
async fn refuse_other_sites(request: Request, next: Next) -> Response {
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    if request.extensions().get::<FromAllowedOrigin>().is_some() {
        return next.run(request).await;
    }
    let site = request.headers().get("sec-fetch-site").and_then(|value| value.to_str().ok());
    if changes && site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return (StatusCode::FORBIDDEN, "This was sent from another site.\n").into_response();
    }
    next.run(request).await
}
