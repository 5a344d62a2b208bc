//! Every URL of the house on one page, with what surrounds it: limits of size and time, headers, identity of the request.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, patch, post, put};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tower_http::timeout::TimeoutLayer;

use super::{api, assets, console, error, live, pages, request};
use crate::app::App;

/// The largest body of any request. The longest is an order with user data, of which a form may make three bytes of each; what
/// is somewhat too long still arrives, so that the page can say so and lose nothing.
const BODY_BYTES_MAX: usize = 256 * 1024;
/// How long an answer may take. Nothing a request does waits for Proxmox, except the test of a connection and the opening of a
/// console.
const ANSWER_SECONDS_MAX: u64 = 60;
/// The smallest answer that is worth compressing, in bytes.
const COMPRESSED_BYTES_MIN: u64 = 1024;

/// Only what we serve ourselves; no inline scripts or styles, no frames.
pub(super) const CONTENT_SECURITY_POLICY: &str = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'";

/// All URLs.
pub fn router(app: Arc<App>) -> Router {
    let timed = Router::new()
        .merge(portal())
        .merge(admin())
        .nest("/api/v1", api_v1())
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .layer(TimeoutLayer::with_status_code(
            StatusCode::SERVICE_UNAVAILABLE,
            Duration::from_secs(ANSWER_SECONDS_MAX),
        ));
    let not_for_streams = SizeAbove::new(COMPRESSED_BYTES_MIN).and(NotForContentType::new("text/event-stream"));
    Router::new()
        .merge(timed)
        .route("/live", get(live::changes))
        .route("/assets/{*name}", get(assets::serve))
        .fallback(pages::errors::not_found)
        .layer(middleware::from_fn(refuse_other_sites))
        .layer(RequestBodyLimitLayer::new(BODY_BYTES_MAX))
        .layer(CatchPanicLayer::new())
        .layer(middleware::from_fn(error::give_a_face))
        .layer(CompressionLayer::new().compress_when(not_for_streams))
        .layer(header(header::CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY))
        .layer(header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .layer(header(header::X_FRAME_OPTIONS, "DENY"))
        .layer(header(header::REFERRER_POLICY, "same-origin"))
        .layer(header(header::CACHE_CONTROL, "no-store"))
        .layer(middleware::from_fn(request::identify))
        .with_state(app)
}

fn portal() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(pages::auth::home))
        .route("/login", get(pages::auth::show_login).post(pages::auth::login))
        .route("/register", get(pages::auth::show_register).post(pages::auth::register))
        .route("/logout", post(pages::auth::logout))
        .route("/vms", get(pages::vms::list).post(pages::vms::create))
        .route("/vms/new", get(pages::vms::new))
        .route("/vms/new/cost", get(pages::vms::cost))
        .route("/vms/summary", get(pages::vms::summary))
        .route("/vms/{id}", get(pages::vms::show))
        .route("/vms/{id}/row", get(pages::vms::row))
        .route("/vms/{id}/status", get(pages::vms::status))
        .route("/vms/{id}/panel", get(pages::vms::panel))
        .route("/vms/{id}/user-data", get(pages::vms::user_data))
        .route("/vms/{id}/console", get(pages::vms::console))
        .route("/vms/{id}/console/ticket", post(console::ticket))
        .route("/vms/{id}/console/socket", get(console::socket))
        .route("/vms/{id}/start", post(pages::vms::start))
        .route("/vms/{id}/shutdown", post(pages::vms::shutdown))
        .route("/vms/{id}/stop", post(pages::vms::stop))
        .route("/vms/{id}/reboot", post(pages::vms::reboot))
        .route("/vms/{id}/reset", post(pages::vms::reset))
        .route("/vms/{id}/suspend", post(pages::vms::suspend))
        .route("/vms/{id}/resume", post(pages::vms::resume))
        .route("/vms/{id}/settings", get(pages::vms::settings).post(pages::vms::configure))
        .route("/vms/{id}/password", post(pages::vms::set_password))
        .route("/vms/{id}/resize", get(pages::vms::choose_size).post(pages::vms::resize))
        .route("/vms/{id}/resize/cost", get(pages::vms::resize_cost))
        .route("/vms/{id}/rebuild", get(pages::vms::choose_image).post(pages::vms::rebuild))
        .route("/vms/{id}/boot", post(pages::vms::boot))
        .route("/vms/{id}/delete", get(pages::vms::confirm_delete).post(pages::vms::delete))
        .route("/ssh-keys", get(pages::ssh_keys::list).post(pages::ssh_keys::add))
        .route("/ssh-keys/{id}/delete", post(pages::ssh_keys::remove))
        .route("/prices", get(pages::prices::show))
        .route("/wallet", get(pages::wallet::show))
        .route("/wallet/header", get(pages::wallet::header))
        .route("/wallet/ledger", get(pages::wallet::ledger))
        .route("/wallet/ledger.csv", get(pages::wallet::csv::ledger_file))
        .route("/wallet/charges", get(pages::wallet::charges))
        .route("/wallet/charges.csv", get(pages::wallet::csv::charges_file))
        .route("/wallet/charges/{meter}/{from}", get(pages::wallet::explain))
        .route("/wallet/order", get(pages::zero::order).post(pages::zero::move_in_order))
        .route("/wallet/rescue", post(pages::zero::rescue))
        .route("/vouchers/redeem", post(pages::vouchers::redeem))
        .route("/audit", get(pages::audit::list))
        .route("/notifications", get(pages::notifications::list))
        .route("/notifications/bell", get(pages::notifications::bell))
        .route("/notifications/urgent", get(pages::notifications::urgent))
        .route("/notifications/read", post(pages::notifications::read_all))
        .route("/notifications/{id}/read", post(pages::notifications::read))
}

fn admin() -> Router<Arc<App>> {
    Router::new()
        .route("/admin", get(pages::exceptions::home))
        .route("/admin/exceptions/list", get(pages::exceptions::list))
        .route("/admin/customers", get(pages::customers::list))
        .route("/admin/customers/{id}", get(pages::customers::show))
        .route("/admin/customers/{id}/credits", post(pages::customers::add_credit))
        .route("/admin/customers/{id}/price-list", post(pages::price_lists::assign))
        .route("/admin/price-lists", get(pages::price_lists::list).post(pages::price_lists::add))
        .route("/admin/price-lists/{id}", get(pages::price_lists::show))
        .route("/admin/price-lists/{id}/change", get(pages::price_lists::ask).post(pages::price_lists::change))
        .route("/admin/price-lists/{id}/versions/{number}/withdraw", post(pages::price_lists::withdraw))
        .route("/admin/price-lists/{id}/what-if", get(pages::price_lists::what_if))
        .route("/admin/plans", get(pages::plans::list).post(pages::plans::add))
        .route("/admin/plans/new", get(pages::plans::new))
        .route("/admin/plans/{id}/retire", post(pages::plans::retire))
        .route("/admin/plans/{id}/sell", post(pages::plans::sell))
        .route("/admin/customers/{id}/ledger", get(pages::wallet::ledger_of_customer))
        .route("/admin/customers/{id}/ledger.csv", get(pages::wallet::csv::ledger_file_of_customer))
        .route("/admin/customers/{id}/charges", get(pages::wallet::charges_of_customer))
        .route("/admin/customers/{id}/charges.csv", get(pages::wallet::csv::charges_file_of_customer))
        .route("/admin/customers/{id}/charges/{meter}/{from}", get(pages::wallet::explain_to_staff))
        .route("/admin/wallets", get(pages::revenue::wallets))
        .route("/admin/revenue", get(pages::revenue::month))
        .route("/admin/customers/{id}/debits", post(pages::customers::take_credit))
        .route("/admin/customers/{id}/zero", post(pages::customers::change_zero))
        .route("/admin/customers/{id}/keep", post(pages::customers::keep))
        .route("/admin/vouchers", get(pages::vouchers::list).post(pages::vouchers::create))
        .route("/admin/vouchers/new", get(pages::vouchers::new))
        .route("/admin/vouchers/{id}", get(pages::vouchers::show))
        .route("/admin/vouchers/{id}/revoke", post(pages::vouchers::revoke))
        .route("/admin/vms/{id}/console", get(pages::consoles::ask).post(pages::consoles::show))
        .route("/admin/vms/{id}/console/ticket", post(console::ticket_for_staff))
        .route("/admin/vms/{id}/migrate", get(pages::customers::choose_node).post(pages::customers::migrate))
        .route("/admin/clusters", get(pages::clusters::list).post(pages::clusters::add))
        .route("/admin/clusters/new", get(pages::clusters::new))
        .route("/admin/clusters/test", post(pages::clusters::test))
        .route("/admin/clusters/{id}", get(pages::clusters::show))
        .route("/admin/clusters/{id}/vms", get(pages::clusters::vms))
        .route("/admin/clusters/{id}/settings", get(pages::clusters::settings).post(pages::clusters::change))
        .route("/admin/clusters/{id}/maintenance", post(pages::clusters::set_maintenance))
        .route("/admin/clusters/{id}/certificate", post(pages::clusters::trust_certificate))
        .route("/admin/clusters/{id}/look", post(pages::clusters::look))
        .route("/admin/clusters/{id}/endpoints", post(pages::clusters::set_endpoints))
        .route("/admin/clusters/{id}/isos", post(pages::clusters::set_isos))
        .route("/admin/clusters/{id}/isos/refresh", post(pages::clusters::refresh_isos))
        .route("/admin/clusters/{id}/remove", post(pages::clusters::remove))
        .route("/admin/clusters/{id}/test", post(pages::clusters::test_again))
        .route("/admin/clusters/{id}/templates", post(pages::clusters::set_templates))
        .route("/admin/drift", get(pages::drift::list))
        .route("/admin/drift/{id}/accept", post(pages::drift::accept))
        .route("/admin/drift/{id}/enforce", post(pages::drift::enforce))
        .route("/admin/drift/{id}/adopt", post(pages::drift::adopt))
        .route("/admin/foreign-guests", get(pages::foreign_guests::list))
        .route("/admin/foreign-guests/{cluster}/{vmid}", get(pages::foreign_guests::show))
        .route("/admin/foreign-guests/{cluster}/{vmid}", post(pages::foreign_guests::adopt))
        .route("/admin/vms/{id}/release", post(pages::foreign_guests::release))
        .route("/admin/jobs", get(pages::jobs::list))
        .route("/admin/jobs/rows", get(pages::jobs::rows))
        .route("/admin/jobs/{id}", get(pages::jobs::show))
        .route("/admin/jobs/{id}/retry", post(pages::jobs::retry))
        .route("/admin/jobs/{id}/undo", post(pages::jobs::undo))
        .route("/admin/mails", get(pages::mails::list))
        .route("/admin/mails/rows", get(pages::mails::rows))
        .route("/admin/mails/{id}", get(pages::mails::show))
        .route("/admin/mails/{id}/retry", post(pages::mails::retry))
        .route("/admin/settings", get(pages::settings::show).post(pages::settings::change))
        .route("/admin/audit", get(pages::audit::list_all))
}

fn api_v1() -> Router<Arc<App>> {
    Router::new()
        .route("/auth/register", post(api::auth::register))
        .route("/auth/login", post(api::auth::login))
        .route("/auth/refresh", post(api::auth::refresh))
        .route("/auth/logout", post(api::auth::logout))
        .route("/auth/me", get(api::auth::me))
        .route("/locations", get(api::catalog::locations))
        .route("/plans", get(api::catalog::plans))
        .route("/images", get(api::catalog::images))
        .route("/prices", get(api::prices::show))
        .route("/estimate", post(api::vms::estimate))
        .route("/vms", get(api::vms::list).post(api::vms::create))
        .route("/vms/{id}", get(api::vms::show).patch(api::vms::configure).delete(api::vms::delete))
        .route("/vms/{id}/user-data", get(api::vms::user_data))
        .route("/vms/{id}/console", post(api::consoles::open))
        .route("/vms/{id}/start", post(api::vms::start))
        .route("/vms/{id}/shutdown", post(api::vms::shutdown))
        .route("/vms/{id}/stop", post(api::vms::stop))
        .route("/vms/{id}/reboot", post(api::vms::reboot))
        .route("/vms/{id}/reset", post(api::vms::reset))
        .route("/vms/{id}/suspend", post(api::vms::suspend))
        .route("/vms/{id}/resume", post(api::vms::resume))
        .route("/vms/{id}/resize", post(api::vms::resize))
        .route("/vms/{id}/rebuild", post(api::vms::rebuild))
        .route("/vms/{id}/boot", post(api::vms::boot))
        .route("/vms/{id}/password", post(api::vms::set_password))
        .route("/vms/{id}/iso-images", get(api::vms::iso_images))
        .route("/ssh-keys", get(api::ssh_keys::list).post(api::ssh_keys::add))
        .route("/ssh-keys/{id}", delete(api::ssh_keys::remove))
        .route("/jobs", get(api::jobs::list))
        .route("/jobs/{id}", get(api::jobs::show).delete(api::jobs::cancel))
        .route("/jobs/{id}/log", get(api::jobs::log))
        .route("/wallet", get(api::wallet::show))
        .route("/wallet/zero", get(api::zero::show))
        .route("/wallet/order", get(api::zero::order).put(api::zero::set_order))
        .route("/wallet/rescue", post(api::zero::rescue))
        .route("/transfers", get(api::wallet::transfers))
        .route("/transfers.csv", get(pages::wallet::csv::transfers_for_programs))
        .route("/charges", get(api::wallet::charges))
        .route("/charges.csv", get(pages::wallet::csv::charges_for_programs))
        .route("/charges/{meter}/{from}", get(api::wallet::explain))
        .route("/admin/organisations/{id}/wallet", get(api::revenue::wallet))
        .route("/admin/organisations/{id}/transfers", get(api::revenue::transfers))
        .route("/admin/organisations/{id}/transfers.csv", get(pages::wallet::csv::transfers_for_staff))
        .route("/admin/organisations/{id}/charges", get(api::revenue::charges))
        .route("/admin/organisations/{id}/charges.csv", get(pages::wallet::csv::charges_for_staff))
        .route("/admin/organisations/{id}/charges/{meter}/{from}", get(api::revenue::explain))
        .route("/admin/revenue", get(api::revenue::month))
        .route("/admin/wallets", get(api::revenue::wallets))
        .route("/vouchers/redeem", post(api::vouchers::redeem))
        .route("/notifications", get(api::notifications::list))
        .route("/notifications/read", post(api::notifications::read_all))
        .route("/notifications/{id}/read", post(api::notifications::read))
        .route("/admin/organisations", get(api::admin::list))
        .route("/admin/organisations/{id}/credits", post(api::admin::add_credit))
        .route("/admin/organisations/{id}/price-list", put(api::prices::assign))
        .route("/admin/price-lists", get(api::prices::lists).post(api::prices::add_list))
        .route("/admin/price-lists/{id}", get(api::prices::list))
        .route("/admin/price-lists/{id}/versions", post(api::prices::change))
        .route("/admin/price-lists/{id}/versions/{number}", delete(api::prices::withdraw))
        .route("/admin/price-lists/{id}/what-if", get(api::prices::what_if))
        .route("/admin/plans", get(api::prices::plans).post(api::prices::add_plan))
        .route("/admin/plans/{id}/retire", post(api::prices::retire))
        .route("/admin/plans/{id}/sell", post(api::prices::sell))
        .route("/admin/organisations/{id}/debits", post(api::admin::take_credit))
        .route("/admin/organisations/{id}/zero", get(api::zero::own).put(api::zero::change_own))
        .route("/admin/organisations/{id}/keep", post(api::zero::keep))
        .route("/admin/settings", get(api::zero::settings).put(api::zero::change_settings))
        .route("/admin/vouchers", get(api::vouchers::list).post(api::vouchers::create))
        .route("/admin/vouchers/{id}", get(api::vouchers::show))
        .route("/admin/vouchers/{id}/revoke", post(api::vouchers::revoke))
        .route("/admin/clusters", get(api::clusters::list).post(api::clusters::add))
        .route("/admin/clusters/{id}", get(api::clusters::show))
        .route("/admin/clusters/{id}", patch(api::clusters::change).delete(api::clusters::remove))
        .route("/admin/clusters/{id}/test", post(api::clusters::test))
        .route("/admin/clusters/{id}/look", post(api::clusters::look))
        .route("/admin/clusters/{id}/endpoints", put(api::clusters::set_endpoints))
        .route("/admin/clusters/{id}/isos", get(api::clusters::isos).put(api::clusters::set_isos))
        .route("/admin/clusters/{id}/isos/refresh", post(api::clusters::refresh_isos))
        .route("/admin/clusters/{id}/fit", get(api::clusters::fit))
        .route("/admin/drift", get(api::drift::list))
        .route("/admin/drift/{id}/accept", post(api::drift::accept))
        .route("/admin/drift/{id}/enforce", post(api::drift::enforce))
        .route("/admin/drift/{id}/adopt", post(api::drift::adopt_drift))
        .route("/admin/foreign-guests", get(api::drift::foreign_guests))
        .route("/admin/foreign-guests/{cluster}/{vmid}/adopt", post(api::drift::adopt_guest))
        .route("/admin/vms/{id}/release", post(api::drift::release))
        .route("/admin/vms/{id}/migrate", post(api::admin::migrate))
        .route("/admin/jobs", get(api::admin::list_jobs))
        .route("/admin/jobs/{id}/retry", post(api::admin::retry_job))
        .route("/admin/mails", get(api::mails::list))
        .route("/admin/mails/{id}", get(api::mails::show))
        .route("/admin/mails/{id}/retry", post(api::mails::retry))
        .route("/admin/audit-events", get(api::admin::audit_events))
        .fallback(api::not_found)
}

fn header(name: HeaderName, value: &'static str) -> SetResponseHeaderLayer<HeaderValue> {
    SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
}

/// A change that another site's page asks for is refused before anything looks at it. Programs send no such header.
async fn refuse_other_sites(request: Request, next: Next) -> Response {
    let changes = !matches!(*request.method(), Method::GET | Method::HEAD | Method::OPTIONS);
    let site = request.headers().get("sec-fetch-site").and_then(|value| value.to_str().ok());
    if changes && site.is_some_and(|site| !matches!(site, "same-origin" | "none")) {
        return (StatusCode::FORBIDDEN, "This was sent from another site.\n").into_response();
    }
    next.run(request).await
}

/// The process is alive.
async fn healthz() -> &'static str {
    "ok\n"
}

/// It can do its work: the database answers and has the migrations of this binary.
async fn readyz(State(app): State<Arc<App>>) -> Response {
    match crate::database::check_migrations(&app.pool).await {
        Ok(()) => "ok\n".into_response(),
        Err(error) => {
            tracing::warn!(error = ?error, "not ready");
            (StatusCode::SERVICE_UNAVAILABLE, "the database is not ready\n").into_response()
        }
    }
}
