//! Every URL of the house on one page, with what surrounds it: limits of size and time, headers, identity of the request.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
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
use super::doors::{Confirmed, Door, Doors, Route};
use super::hosts::Hosts;
use super::{api, assets, console, cors, error, hosts, limits, live, openapi, pages, request};
use crate::app::App;
use crate::permissions::Permission as May;

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

/// Every method of every path, and who may use it.
pub fn routes() -> Vec<Route> {
    answered_in_time().merge(streams()).into_routes()
}

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

fn answered_in_time() -> Doors {
    Doors::new().merge(portal()).merge(admin()).nest("/api/v1", api_v1()).get("/healthz", Door::Anybody, healthz).get(
        "/readyz",
        Door::Anybody,
        readyz,
    )
}

/// What may take as long as it takes.
fn streams() -> Doors {
    Doors::new().get("/live", Door::Member, live::changes).get("/assets/{*name}", Door::Anybody, assets::serve)
}

fn portal() -> Doors {
    Doors::new()
        .get("/", Door::Anybody, pages::auth::home)
        .get("/login", Door::Anybody, pages::auth::show_login)
        .post("/login", Door::Anybody, pages::auth::login)
        .get("/login/code", Door::Anybody, pages::login_code::show)
        .post("/login/code", Door::Anybody, pages::login_code::finish)
        .get("/register", Door::Anybody, pages::auth::show_register)
        .post("/register", Door::Anybody, pages::auth::register)
        .get("/forgot-password", Door::Anybody, pages::recovery::show_forgot)
        .post("/forgot-password", Door::Anybody, pages::recovery::forgot)
        .get("/reset-password", Door::Anybody, pages::recovery::show_reset)
        .post("/reset-password", Door::Anybody, pages::recovery::reset)
        .get("/verify-email", Door::Anybody, pages::recovery::show_verify)
        .post("/verify-email", Door::Anybody, pages::recovery::verify)
        .post("/logout", Door::Account, pages::auth::logout)
        .get("/account", Door::Account, pages::account::show)
        .post("/account", Door::Account, pages::account::rename)
        .post("/account/email", Door::Account, pages::account::change_email)
        .post("/account/verification", Door::Account, pages::account::send_verification)
        .get("/account/password", Door::Account, pages::account::show_password)
        .post("/account/password", Door::Account, pages::account::change_password)
        .get("/account/sessions", Door::Account, pages::account::list_sessions)
        .post("/account/sessions/end", Door::Account, pages::account::end_all_sessions)
        .post("/account/sessions/{id}/end", Door::Account, pages::account::end_session)
        .post("/impersonation/stop", Door::Account, pages::staff::stop)
        .get("/confirm", Door::Account, pages::login_code::ask)
        .post("/confirm", Door::Account, pages::login_code::confirm)
        .get("/account/security", Door::Account, pages::security::show)
        .post("/account/security/totp/begin", Door::Account.confirmed(), pages::security::begin_totp)
        .get("/account/security/totp", Door::Account, pages::security::show_totp)
        .post("/account/security/totp", Door::Account, pages::security::add_totp)
        .post("/account/security/totp/remove", Door::Account.confirmed(), pages::security::remove_totp)
        .post("/account/security/recovery-codes", Door::Account.confirmed(), pages::security::make_codes)
        .post("/organisation/second-factor", May::OrganisationConfigure.confirmed(), pages::security::demand)
        .get("/vms", May::VmView, pages::vms::list)
        .post("/vms", May::VmCreate, pages::vms::create)
        .get("/vms/new", May::VmCreate, pages::vms::new)
        .get("/vms/new/cost", May::VmCreate, pages::vms::cost)
        .get("/vms/summary", May::VmView, pages::vms::summary)
        .get("/vms/{id}", May::VmView, pages::vms::show)
        .get("/vms/{id}/row", May::VmView, pages::vms::row)
        .get("/vms/{id}/status", May::VmView, pages::vms::status)
        .get("/vms/{id}/panel", May::VmView, pages::vms::panel)
        .get("/vms/{id}/user-data", May::VmConfigure, pages::vms::user_data)
        .get("/vms/{id}/console", May::VmConsole, pages::vms::console)
        .post("/vms/{id}/console/ticket", May::VmConsole, console::ticket)
        .get("/vms/{id}/console/socket", May::VmConsole, console::socket)
        .post("/vms/{id}/start", May::VmPower, pages::vms::start)
        .post("/vms/{id}/shutdown", May::VmPower, pages::vms::shutdown)
        .post("/vms/{id}/stop", May::VmPower, pages::vms::stop)
        .post("/vms/{id}/reboot", May::VmPower, pages::vms::reboot)
        .post("/vms/{id}/reset", May::VmPower, pages::vms::reset)
        .post("/vms/{id}/suspend", May::VmPower, pages::vms::suspend)
        .post("/vms/{id}/resume", May::VmPower, pages::vms::resume)
        .get("/vms/{id}/settings", May::VmConfigure, pages::vms::settings)
        .post("/vms/{id}/settings", May::VmConfigure, pages::vms::configure)
        .post("/vms/{id}/password", May::VmPassword, pages::vms::set_password)
        .get("/vms/{id}/resize", May::VmResize, pages::vms::choose_size)
        .post("/vms/{id}/resize", May::VmResize, pages::vms::resize)
        .get("/vms/{id}/resize/cost", May::VmResize, pages::vms::resize_cost)
        .get("/vms/{id}/rebuild", May::VmRebuild, pages::vms::choose_image)
        .post("/vms/{id}/rebuild", May::VmRebuild, pages::vms::rebuild)
        .post("/vms/{id}/boot", May::VmConfigure, pages::vms::boot)
        .get("/vms/{id}/delete", May::VmDelete, pages::vms::confirm_delete)
        .post("/vms/{id}/delete", May::VmDelete, pages::vms::delete)
        .get("/ssh-keys", May::SshKeyView, pages::ssh_keys::list)
        .post("/ssh-keys", May::SshKeyManage, pages::ssh_keys::add)
        .post("/ssh-keys/{id}/delete", May::SshKeyManage, pages::ssh_keys::remove)
        .get("/api-keys", May::ApiKeyManage, pages::api_keys::list)
        .post("/api-keys", May::ApiKeyManage.confirmed(), pages::api_keys::create)
        .get("/api-keys/new", May::ApiKeyManage, pages::api_keys::new)
        .post("/api-keys/{id}/revoke", May::ApiKeyManage, pages::api_keys::revoke)
        .get("/prices", Door::Member, pages::prices::show)
        .get("/wallet", May::BillingView, pages::wallet::show)
        .get("/wallet/header", May::BillingView, pages::wallet::header)
        .get("/wallet/ledger", May::BillingView, pages::wallet::ledger)
        .get("/wallet/ledger.csv", May::BillingView, pages::wallet::csv::ledger_file)
        .get("/wallet/charges", May::BillingView, pages::wallet::charges)
        .get("/wallet/charges.csv", May::BillingView, pages::wallet::csv::charges_file)
        .get("/wallet/charges/{meter}/{from}", May::BillingView, pages::wallet::explain)
        .get("/wallet/order", May::BillingView, pages::zero::order)
        .post("/wallet/order", May::VmConfigure, pages::zero::move_in_order)
        .post("/wallet/rescue", May::BillingPay, pages::zero::rescue)
        .post("/vouchers/redeem", May::BillingPay, pages::vouchers::redeem)
        .get("/audit", May::AuditView, pages::audit::list)
        .get("/api/docs", Door::Anybody, pages::docs::api)
        .get("/audit.csv", May::AuditView, pages::audit::csv)
        .get("/audit.jsonl", May::AuditView, pages::audit::json_lines)
        .get("/organisation", May::OrganisationView, pages::organisations::members)
        .post("/organisation/members/{id}/role", May::MemberManage, pages::organisations::change_member)
        .post("/organisation/members/{id}/remove", May::MemberManage, pages::organisations::remove_member)
        .post("/organisation/invitations", May::MemberManage, pages::organisations::invite)
        .post("/organisation/invitations/{id}/send", May::MemberManage, pages::organisations::send_invitation)
        .post("/organisation/invitations/{id}/withdraw", May::MemberManage, pages::organisations::withdraw_invitation)
        .get("/organisation/roles", May::OrganisationView, pages::organisations::roles)
        .post("/organisation/roles", May::RoleManage, pages::organisations::create_role)
        .get("/organisation/roles/new", May::RoleManage, pages::organisations::new_role)
        .get("/organisation/roles/{id}", May::RoleManage, pages::organisations::show_role)
        .post("/organisation/roles/{id}", May::RoleManage, pages::organisations::change_role)
        .post("/organisation/roles/{id}/delete", May::RoleManage, pages::organisations::delete_role)
        .get("/organisation/quotas", May::OrganisationView, pages::organisations::quotas)
        .get("/organisation/settings", May::OrganisationView, pages::organisations::settings)
        .post("/organisation/settings", May::OrganisationConfigure, pages::organisations::rename)
        .post("/organisation/hand-over", May::OrganisationHandOver.confirmed(), pages::organisations::hand_over)
        .get("/organisations", Door::Account, pages::organisations::list)
        .post("/organisations", Door::Member, pages::organisations::create)
        .post("/organisations/{id}/enter", Door::Account, pages::organisations::enter)
        .post("/organisations/{id}/leave", Door::Member, pages::organisations::leave)
        .get("/invitation", Door::Anybody, pages::organisations::show_invitation)
        .post("/invitation", Door::Member, pages::organisations::accept)
        .get("/notifications", Door::Member, pages::notifications::list)
        .get("/notifications/bell", Door::Member, pages::notifications::bell)
        .get("/notifications/urgent", Door::Member, pages::notifications::urgent)
        .post("/notifications/read", Door::Member, pages::notifications::read_all)
        .post("/notifications/{id}/read", Door::Member, pages::notifications::read)
}

fn admin() -> Doors {
    Doors::new()
        .get("/admin", May::PlatformJobView, pages::exceptions::home)
        .get("/admin/exceptions/list", May::PlatformJobView, pages::exceptions::list)
        .get("/admin/customers", May::PlatformCustomerView, pages::customers::list)
        .get("/admin/customers/{id}", May::PlatformCustomerView, pages::customers::show)
        .get("/admin/customers/{id}/people/{user}", May::PlatformCustomerView, pages::staff::person)
        .post(
            "/admin/customers/{id}/people/{user}/standing",
            May::PlatformCustomerStanding.confirmed(),
            pages::staff::set_standing,
        )
        .post(
            "/admin/customers/{id}/people/{user}/impersonate",
            May::PlatformCustomerImpersonate.confirmed(),
            pages::staff::impersonate,
        )
        .get("/admin/staff", May::PlatformStaffManage, pages::staff::list)
        .post("/admin/staff", May::PlatformStaffManage.confirmed(), pages::staff::add)
        .post("/admin/staff/{id}", May::PlatformStaffManage.confirmed(), pages::staff::change)
        .post("/admin/customers/{id}/credits", May::PlatformCreditManage.confirmed(), pages::customers::add_credit)
        .post("/admin/customers/{id}/price-list", May::PlatformPriceManage, pages::price_lists::assign)
        .get("/admin/price-lists", May::PlatformPriceView, pages::price_lists::list)
        .post("/admin/price-lists", May::PlatformPriceManage, pages::price_lists::add)
        .get("/admin/price-lists/{id}", May::PlatformPriceView, pages::price_lists::show)
        .get("/admin/price-lists/{id}/change", May::PlatformPriceManage, pages::price_lists::ask)
        .post("/admin/price-lists/{id}/change", May::PlatformPriceManage, pages::price_lists::change)
        .post(
            "/admin/price-lists/{id}/versions/{number}/withdraw",
            May::PlatformPriceManage,
            pages::price_lists::withdraw,
        )
        .get("/admin/price-lists/{id}/what-if", May::PlatformPriceView, pages::price_lists::what_if)
        .get("/admin/plans", May::PlatformPriceView, pages::plans::list)
        .post("/admin/plans", May::PlatformPriceManage, pages::plans::add)
        .get("/admin/plans/new", May::PlatformPriceManage, pages::plans::new)
        .post("/admin/plans/{id}/retire", May::PlatformPriceManage, pages::plans::retire)
        .post("/admin/plans/{id}/sell", May::PlatformPriceManage, pages::plans::sell)
        .get("/admin/customers/{id}/ledger", May::PlatformCustomerView, pages::wallet::ledger_of_customer)
        .get("/admin/customers/{id}/ledger.csv", May::PlatformCustomerView, pages::wallet::csv::ledger_file_of_customer)
        .get("/admin/customers/{id}/charges", May::PlatformCustomerView, pages::wallet::charges_of_customer)
        .get(
            "/admin/customers/{id}/charges.csv",
            May::PlatformCustomerView,
            pages::wallet::csv::charges_file_of_customer,
        )
        .get("/admin/customers/{id}/charges/{meter}/{from}", May::PlatformCustomerView, pages::wallet::explain_to_staff)
        .get("/admin/wallets", May::PlatformMoneyView, pages::revenue::wallets)
        .get("/admin/revenue", May::PlatformMoneyView, pages::revenue::month)
        .post("/admin/customers/{id}/debits", May::PlatformCreditManage.confirmed(), pages::customers::take_credit)
        .post("/admin/customers/{id}/zero", May::PlatformCreditManage, pages::customers::change_zero)
        .post("/admin/customers/{id}/keep", May::PlatformCreditManage, pages::customers::keep)
        .get("/admin/vouchers", May::PlatformVoucherView, pages::vouchers::list)
        .post("/admin/vouchers", May::PlatformVoucherManage.confirmed(), pages::vouchers::create)
        .get("/admin/vouchers/new", May::PlatformVoucherManage, pages::vouchers::new)
        .get("/admin/vouchers/{id}", May::PlatformVoucherView, pages::vouchers::show)
        .post("/admin/vouchers/{id}/revoke", May::PlatformVoucherManage, pages::vouchers::revoke)
        .get("/admin/vms/{id}/console", May::PlatformVmConsole, pages::consoles::ask)
        .post("/admin/vms/{id}/console", May::PlatformVmConsole, pages::consoles::show)
        .post("/admin/vms/{id}/console/ticket", May::PlatformVmConsole, console::ticket_for_staff)
        .get("/admin/vms/{id}/migrate", May::PlatformVmMigrate, pages::customers::choose_node)
        .post("/admin/vms/{id}/migrate", May::PlatformVmMigrate, pages::customers::migrate)
        .get("/admin/clusters", May::PlatformClusterView, pages::clusters::list)
        .post("/admin/clusters", May::PlatformClusterManage, pages::clusters::add)
        .get("/admin/clusters/new", May::PlatformClusterManage, pages::clusters::new)
        .post("/admin/clusters/test", May::PlatformClusterManage, pages::clusters::test)
        .get("/admin/clusters/{id}", May::PlatformClusterView, pages::clusters::show)
        .get("/admin/clusters/{id}/vms", May::PlatformClusterView, pages::clusters::vms)
        .get("/admin/clusters/{id}/settings", May::PlatformClusterView, pages::clusters::settings)
        .post("/admin/clusters/{id}/settings", May::PlatformClusterManage, pages::clusters::change)
        .post("/admin/clusters/{id}/maintenance", May::PlatformClusterManage, pages::clusters::set_maintenance)
        .post("/admin/clusters/{id}/certificate", May::PlatformClusterManage, pages::clusters::trust_certificate)
        .post("/admin/clusters/{id}/look", May::PlatformClusterManage, pages::clusters::look)
        .post("/admin/clusters/{id}/endpoints", May::PlatformClusterManage, pages::clusters::set_endpoints)
        .post("/admin/clusters/{id}/isos", May::PlatformClusterManage, pages::clusters::set_isos)
        .post("/admin/clusters/{id}/isos/refresh", May::PlatformClusterManage, pages::clusters::refresh_isos)
        .post("/admin/clusters/{id}/remove", May::PlatformClusterManage.confirmed(), pages::clusters::remove)
        .post("/admin/clusters/{id}/test", May::PlatformClusterManage, pages::clusters::test_again)
        .post("/admin/clusters/{id}/templates", May::PlatformClusterManage, pages::clusters::set_templates)
        .get("/admin/passes", May::PlatformMoneyView, pages::passes::list)
        .post("/admin/passes/{id}/approve", May::PlatformMoneyApprove.confirmed(), pages::passes::approve)
        .post("/admin/passes/{id}/refuse", May::PlatformMoneyApprove, pages::passes::refuse)
        .post("/admin/passes/{id}/waive", May::PlatformMoneyApprove.confirmed(), pages::passes::waive)
        .post("/admin/customers/{id}/charging/retry", May::PlatformMoneyApprove, pages::passes::retry)
        .get("/admin/drift", May::PlatformClusterView, pages::drift::list)
        .post("/admin/drift/{id}/accept", May::PlatformDriftDecide, pages::drift::accept)
        .post("/admin/drift/{id}/enforce", May::PlatformDriftDecide, pages::drift::enforce)
        .post("/admin/drift/{id}/adopt", May::PlatformDriftDecide, pages::drift::adopt)
        .get("/admin/foreign-guests", May::PlatformClusterView, pages::foreign_guests::list)
        .get("/admin/foreign-guests/{cluster}/{vmid}", May::PlatformClusterView, pages::foreign_guests::show)
        .post("/admin/foreign-guests/{cluster}/{vmid}", May::PlatformDriftDecide, pages::foreign_guests::adopt)
        .post("/admin/vms/{id}/release", May::PlatformDriftDecide, pages::foreign_guests::release)
        .get("/admin/jobs", May::PlatformJobView, pages::jobs::list)
        .get("/admin/jobs/rows", May::PlatformJobView, pages::jobs::rows)
        .get("/admin/jobs/{id}", May::PlatformJobView, pages::jobs::show)
        .post("/admin/jobs/{id}/retry", May::PlatformJobManage, pages::jobs::retry)
        .post("/admin/jobs/{id}/undo", May::PlatformJobManage, pages::jobs::undo)
        .get("/admin/mails", May::PlatformMailView, pages::mails::list)
        .get("/admin/mails/rows", May::PlatformMailView, pages::mails::rows)
        .get("/admin/mails/{id}", May::PlatformMailView, pages::mails::show)
        .post("/admin/mails/{id}/retry", May::PlatformMailManage, pages::mails::retry)
        .get("/admin/settings", May::PlatformSettingsView, pages::settings::show)
        .post("/admin/settings", May::PlatformSettingsManage.confirmed(), pages::settings::change)
        .post("/admin/customers/{id}/quotas", May::PlatformQuotaManage, pages::customers::change_quotas)
        .post("/admin/settings/quotas", May::PlatformSettingsManage, pages::settings::change_quotas)
        .get("/admin/audit", May::PlatformAuditView, pages::audit::list_all)
        .get("/admin/audit.csv", May::PlatformAuditView, pages::audit::csv_for_staff)
        .get("/admin/audit.jsonl", May::PlatformAuditView, pages::audit::json_lines_for_staff)
}

fn api_v1() -> Doors {
    Doors::new()
        .get("/openapi.json", Door::Anybody, openapi::show)
        .post("/auth/register", Door::Anybody, api::auth::register)
        .post("/auth/login", Door::Anybody, api::auth::login)
        .post("/auth/login/code", Door::Anybody, api::second_factor::finish)
        .post("/auth/refresh", Door::Anybody, api::auth::refresh)
        .post("/auth/logout", Door::Anybody, api::auth::logout)
        .post("/auth/verify-email", Door::Anybody, api::auth::verify_email)
        .post("/auth/forgot-password", Door::Anybody, api::auth::forgot_password)
        .post("/auth/reset-password", Door::Anybody, api::auth::reset_password)
        .get("/auth/me", Door::Account, api::auth::me)
        .get("/account", Door::Account, api::account::show)
        .patch("/account", Door::Account, api::account::change)
        .put("/account/email", Door::Account, api::account::change_email)
        .put("/account/password", Door::Account, api::account::change_password)
        .post("/account/verification", Door::Account, api::account::send_verification)
        .get("/account/sessions", Door::Account, api::account::list_sessions)
        .delete("/account/sessions", Door::Account, api::account::end_all_sessions)
        .delete("/account/sessions/{id}", Door::Account, api::account::end_session)
        .get("/auth/second-factor", Door::Account, api::second_factor::show)
        .post("/auth/totp", Door::Account.confirmed(), api::second_factor::begin_totp)
        .post("/auth/totp/confirm", Door::Account, api::second_factor::add_totp)
        .delete("/auth/totp", Door::Account.confirmed(), api::second_factor::remove_totp)
        .post("/auth/recovery-codes", Door::Account.confirmed(), api::second_factor::make_codes)
        .put("/organisation/second-factor", May::OrganisationConfigure.confirmed(), api::second_factor::demand)
        .get("/locations", Door::Member, api::catalog::locations)
        .get("/plans", Door::Member, api::catalog::plans)
        .get("/images", Door::Member, api::catalog::images)
        .get("/prices", Door::Member, api::prices::show)
        .post("/estimate", May::VmCreate, api::vms::estimate)
        .get("/vms", May::VmView, api::vms::list)
        .post("/vms", May::VmCreate, api::vms::create)
        .get("/vms/{id}", May::VmView, api::vms::show)
        .patch("/vms/{id}", May::VmConfigure, api::vms::configure)
        .delete("/vms/{id}", May::VmDelete, api::vms::delete)
        .get("/vms/{id}/user-data", May::VmConfigure, api::vms::user_data)
        .post("/vms/{id}/console", May::VmConsole, api::consoles::open)
        .post("/vms/{id}/start", May::VmPower, api::vms::start)
        .post("/vms/{id}/shutdown", May::VmPower, api::vms::shutdown)
        .post("/vms/{id}/stop", May::VmPower, api::vms::stop)
        .post("/vms/{id}/reboot", May::VmPower, api::vms::reboot)
        .post("/vms/{id}/reset", May::VmPower, api::vms::reset)
        .post("/vms/{id}/suspend", May::VmPower, api::vms::suspend)
        .post("/vms/{id}/resume", May::VmPower, api::vms::resume)
        .post("/vms/{id}/resize", May::VmResize, api::vms::resize)
        .post("/vms/{id}/rebuild", May::VmRebuild, api::vms::rebuild)
        .post("/vms/{id}/boot", May::VmConfigure, api::vms::boot)
        .post("/vms/{id}/password", May::VmPassword, api::vms::set_password)
        .get("/vms/{id}/iso-images", May::VmConfigure, api::vms::iso_images)
        .get("/ssh-keys", May::SshKeyView, api::ssh_keys::list)
        .post("/ssh-keys", May::SshKeyManage, api::ssh_keys::add)
        .delete("/ssh-keys/{id}", May::SshKeyManage, api::ssh_keys::remove)
        .get("/api-keys", May::ApiKeyManage, api::api_keys::list)
        .post("/api-keys", May::ApiKeyManage.confirmed(), api::api_keys::create)
        .get("/api-keys/{id}", May::ApiKeyManage, api::api_keys::show)
        .delete("/api-keys/{id}", May::ApiKeyManage, api::api_keys::revoke)
        .get("/jobs", May::VmView, api::jobs::list)
        .get("/jobs/{id}", May::VmView, api::jobs::show)
        .delete("/jobs/{id}", May::VmConfigure, api::jobs::cancel)
        .get("/jobs/{id}/log", May::VmView, api::jobs::log)
        .get("/wallet", May::BillingView, api::wallet::show)
        .get("/wallet/zero", May::BillingView, api::zero::show)
        .get("/wallet/order", May::BillingView, api::zero::order)
        .put("/wallet/order", May::VmConfigure, api::zero::set_order)
        .post("/wallet/rescue", May::BillingPay, api::zero::rescue)
        .get("/transfers", May::BillingView, api::wallet::transfers)
        .get("/transfers.csv", May::BillingView, pages::wallet::csv::transfers_for_programs)
        .get("/charges", May::BillingView, api::wallet::charges)
        .get("/charges.csv", May::BillingView, pages::wallet::csv::charges_for_programs)
        .get("/charges/{meter}/{from}", May::BillingView, api::wallet::explain)
        .get("/admin/organisations/{id}/wallet", May::PlatformCustomerView, api::revenue::wallet)
        .get("/admin/organisations/{id}/transfers", May::PlatformCustomerView, api::revenue::transfers)
        .get(
            "/admin/organisations/{id}/transfers.csv",
            May::PlatformCustomerView,
            pages::wallet::csv::transfers_for_staff,
        )
        .get("/admin/organisations/{id}/charges", May::PlatformCustomerView, api::revenue::charges)
        .get("/admin/organisations/{id}/charges.csv", May::PlatformCustomerView, pages::wallet::csv::charges_for_staff)
        .get("/admin/organisations/{id}/charges/{meter}/{from}", May::PlatformCustomerView, api::revenue::explain)
        .get("/admin/revenue", May::PlatformMoneyView, api::revenue::month)
        .get("/admin/wallets", May::PlatformMoneyView, api::revenue::wallets)
        .post("/vouchers/redeem", May::BillingPay, api::vouchers::redeem)
        .get("/organisations", Door::Account, api::organisations::list)
        .post("/organisations", Door::Account, api::organisations::create)
        .post("/organisations/{id}/leave", Door::Account, api::organisations::leave)
        .get("/organisation", May::OrganisationView, api::organisations::show)
        .patch("/organisation", May::OrganisationConfigure, api::organisations::rename)
        .post("/organisation/hand-over", May::OrganisationHandOver.confirmed(), api::organisations::hand_over)
        .get("/members", May::OrganisationView, api::organisations::members)
        .patch("/members/{id}", May::MemberManage, api::organisations::change_member)
        .delete("/members/{id}", May::MemberManage, api::organisations::remove_member)
        .get("/invitations", May::OrganisationView, api::organisations::invitations)
        .post("/invitations", May::MemberManage, api::organisations::invite)
        .post("/invitations/accept", Door::Account, api::organisations::accept)
        .delete("/invitations/{id}", May::MemberManage, api::organisations::withdraw)
        .post("/invitations/{id}/send", May::MemberManage, api::organisations::send_again)
        .get("/permissions", Door::Member, api::roles::permissions)
        .get("/roles", May::OrganisationView, api::roles::list)
        .post("/roles", May::RoleManage, api::roles::create)
        .put("/roles/{id}", May::RoleManage, api::roles::change)
        .delete("/roles/{id}", May::RoleManage, api::roles::delete)
        .get("/quotas", May::OrganisationView, api::quotas::show)
        .get("/notifications", Door::Member, api::notifications::list)
        .post("/notifications/read", Door::Member, api::notifications::read_all)
        .post("/notifications/{id}/read", Door::Member, api::notifications::read)
        .get("/admin/organisations", May::PlatformCustomerView, api::admin::list)
        .get("/admin/organisations/{id}/people", May::PlatformCustomerView, api::staff::people)
        .put(
            "/admin/organisations/{id}/people/{user}/standing",
            May::PlatformCustomerStanding.confirmed(),
            api::staff::set_standing,
        )
        .get("/admin/staff", May::PlatformStaffManage, api::staff::list)
        .post("/admin/staff", May::PlatformStaffManage.confirmed(), api::staff::add)
        .put("/admin/staff/{id}", May::PlatformStaffManage.confirmed(), api::staff::change)
        .delete("/admin/staff/{id}", May::PlatformStaffManage.confirmed(), api::staff::remove)
        .post("/admin/organisations/{id}/credits", May::PlatformCreditManage.confirmed(), api::admin::add_credit)
        .put("/admin/organisations/{id}/price-list", May::PlatformPriceManage, api::prices::assign)
        .get("/admin/price-lists", May::PlatformPriceView, api::prices::lists)
        .post("/admin/price-lists", May::PlatformPriceManage, api::prices::add_list)
        .get("/admin/price-lists/{id}", May::PlatformPriceView, api::prices::list)
        .post("/admin/price-lists/{id}/versions", May::PlatformPriceManage, api::prices::change)
        .delete("/admin/price-lists/{id}/versions/{number}", May::PlatformPriceManage, api::prices::withdraw)
        .get("/admin/price-lists/{id}/what-if", May::PlatformPriceView, api::prices::what_if)
        .get("/admin/plans", May::PlatformPriceView, api::prices::plans)
        .post("/admin/plans", May::PlatformPriceManage, api::prices::add_plan)
        .post("/admin/plans/{id}/retire", May::PlatformPriceManage, api::prices::retire)
        .post("/admin/plans/{id}/sell", May::PlatformPriceManage, api::prices::sell)
        .post("/admin/organisations/{id}/debits", May::PlatformCreditManage.confirmed(), api::admin::take_credit)
        .get("/admin/organisations/{id}/zero", May::PlatformCustomerView, api::zero::own)
        .put("/admin/organisations/{id}/zero", May::PlatformCreditManage, api::zero::change_own)
        .post("/admin/organisations/{id}/keep", May::PlatformCreditManage, api::zero::keep)
        .get("/admin/settings", May::PlatformSettingsView, api::zero::settings)
        .put("/admin/settings", May::PlatformSettingsManage.confirmed(), api::zero::change_settings)
        .get("/admin/vouchers", May::PlatformVoucherView, api::vouchers::list)
        .post("/admin/vouchers", May::PlatformVoucherManage.confirmed(), api::vouchers::create)
        .get("/admin/vouchers/{id}", May::PlatformVoucherView, api::vouchers::show)
        .post("/admin/vouchers/{id}/revoke", May::PlatformVoucherManage, api::vouchers::revoke)
        .get("/admin/clusters", May::PlatformClusterView, api::clusters::list)
        .post("/admin/clusters", May::PlatformClusterManage, api::clusters::add)
        .get("/admin/clusters/{id}", May::PlatformClusterView, api::clusters::show)
        .patch("/admin/clusters/{id}", May::PlatformClusterManage, api::clusters::change)
        .delete("/admin/clusters/{id}", May::PlatformClusterManage.confirmed(), api::clusters::remove)
        .post("/admin/clusters/{id}/test", May::PlatformClusterManage, api::clusters::test)
        .post("/admin/clusters/{id}/look", May::PlatformClusterManage, api::clusters::look)
        .put("/admin/clusters/{id}/endpoints", May::PlatformClusterManage, api::clusters::set_endpoints)
        .get("/admin/clusters/{id}/isos", May::PlatformClusterView, api::clusters::isos)
        .put("/admin/clusters/{id}/isos", May::PlatformClusterManage, api::clusters::set_isos)
        .post("/admin/clusters/{id}/isos/refresh", May::PlatformClusterManage, api::clusters::refresh_isos)
        .get("/admin/clusters/{id}/fit", May::PlatformClusterView, api::clusters::fit)
        .get("/admin/passes", May::PlatformMoneyView, api::passes::list)
        .post("/admin/passes/{id}/decision", May::PlatformMoneyApprove.confirmed(), api::passes::decide)
        .get("/admin/uncharged-times", May::PlatformMoneyView, api::passes::uncharged_times)
        .post("/admin/organisations/{id}/charging/retry", May::PlatformMoneyApprove, api::passes::retry)
        .get("/admin/drift", May::PlatformClusterView, api::drift::list)
        .post("/admin/drift/{id}/accept", May::PlatformDriftDecide, api::drift::accept)
        .post("/admin/drift/{id}/enforce", May::PlatformDriftDecide, api::drift::enforce)
        .post("/admin/drift/{id}/adopt", May::PlatformDriftDecide, api::drift::adopt_drift)
        .get("/admin/foreign-guests", May::PlatformClusterView, api::drift::foreign_guests)
        .post("/admin/foreign-guests/{cluster}/{vmid}/adopt", May::PlatformDriftDecide, api::drift::adopt_guest)
        .post("/admin/vms/{id}/release", May::PlatformDriftDecide, api::drift::release)
        .post("/admin/vms/{id}/migrate", May::PlatformVmMigrate, api::admin::migrate)
        .get("/admin/jobs", May::PlatformJobView, api::admin::list_jobs)
        .post("/admin/jobs/{id}/retry", May::PlatformJobManage, api::admin::retry_job)
        .get("/admin/mails", May::PlatformMailView, api::mails::list)
        .get("/admin/mails/{id}", May::PlatformMailView, api::mails::show)
        .post("/admin/mails/{id}/retry", May::PlatformMailManage, api::mails::retry)
        .get("/audit-events", May::AuditView, api::audit::list)
        .get("/audit-events.csv", May::AuditView, pages::audit::csv_for_programs)
        .get("/audit-events.jsonl", May::AuditView, pages::audit::json_lines_for_programs)
        .get("/admin/audit-events", May::PlatformAuditView, api::audit::list_all)
        .get("/admin/audit-events.csv", May::PlatformAuditView, pages::audit::csv_for_programs_of_staff)
        .get("/admin/audit-events.jsonl", May::PlatformAuditView, pages::audit::json_lines_for_programs_of_staff)
        .get("/admin/organisations/{id}/quotas", May::PlatformCustomerView, api::quotas::of_organisation)
        .put("/admin/organisations/{id}/quotas", May::PlatformQuotaManage, api::quotas::change_own)
        .get("/admin/quotas", May::PlatformSettingsView, api::quotas::defaults)
        .put("/admin/quotas", May::PlatformSettingsManage, api::quotas::change_defaults)
        .fallback(api::not_found)
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
