//! The description of the API (OpenAPI 3.1) at `/api/v1/openapi.json`; `pages::docs` shows it to people.
//!
//! What a handler reads and answers is described above it, by `#[utoipa::path]`. What follows from the router (the door, the
//! permission) and what all operations share (problems, headers) is added by `complete`, so that no handler can forget it.

mod complete;

use std::sync::LazyLock;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::Value;
use utoipa::OpenApi;

use super::code::Described as Problem;
use super::{api, pages, router};

/// Every handler of the API. A test says which one is missing.
#[derive(OpenApi)]
#[openapi(
    components(schemas(Problem)),
    paths(
        show,
        api::auth::register,
        api::auth::login,
        api::auth::refresh,
        api::auth::logout,
        api::auth::verify_email,
        api::auth::forgot_password,
        api::auth::reset_password,
        api::auth::me,
        api::account::show,
        api::account::change,
        api::account::change_email,
        api::account::change_password,
        api::account::send_verification,
        api::account::list_sessions,
        api::account::end_session,
        api::account::end_all_sessions,
        api::account::list_identities,
        api::account::unlink_identity,
        api::second_factor::finish,
        api::second_factor::show,
        api::second_factor::begin_totp,
        api::second_factor::add_totp,
        api::second_factor::remove_totp,
        api::second_factor::make_codes,
        api::second_factor::demand,
        api::passkeys::list,
        api::passkeys::remove,
        api::catalog::locations,
        api::catalog::plans,
        api::catalog::images,
        api::prices::show,
        api::prices::assign,
        api::prices::lists,
        api::prices::add_list,
        api::prices::list,
        api::prices::change,
        api::prices::withdraw,
        api::prices::what_if,
        api::prices::plans,
        api::prices::add_plan,
        api::prices::retire,
        api::prices::sell,
        api::vms::estimate,
        api::vms::list,
        api::vms::create,
        api::vms::show,
        api::vms::changes::configure,
        api::vms::delete,
        api::vms::user_data,
        api::vms::start,
        api::vms::shutdown,
        api::vms::stop,
        api::vms::reboot,
        api::vms::reset,
        api::vms::suspend,
        api::vms::resume,
        api::vms::changes::resize,
        api::vms::changes::rebuild,
        api::vms::changes::boot,
        api::vms::changes::set_password,
        api::vms::changes::iso_images,
        api::consoles::open,
        api::api_keys::list,
        api::api_keys::create,
        api::api_keys::show,
        api::api_keys::revoke,
        api::ssh_keys::list,
        api::ssh_keys::add,
        api::ssh_keys::remove,
        api::jobs::list,
        api::jobs::show,
        api::jobs::cancel,
        api::jobs::log,
        api::wallet::show,
        api::wallet::transfers,
        api::wallet::charges,
        api::wallet::explain,
        api::zero::show,
        api::zero::order,
        api::zero::set_order,
        api::zero::rescue,
        api::zero::own,
        api::zero::change_own,
        api::zero::keep,
        api::zero::settings,
        api::zero::change_settings,
        pages::wallet::csv::transfers_for_programs,
        pages::wallet::csv::charges_for_programs,
        pages::wallet::csv::transfers_for_staff,
        pages::wallet::csv::charges_for_staff,
        api::revenue::wallet,
        api::revenue::transfers,
        api::revenue::charges,
        api::revenue::explain,
        api::revenue::month,
        api::revenue::wallets,
        api::vouchers::redeem,
        api::vouchers::list,
        api::vouchers::create,
        api::vouchers::show,
        api::vouchers::revoke,
        api::organisations::list,
        api::organisations::create,
        api::organisations::leave,
        api::organisations::show,
        api::organisations::rename,
        api::organisations::hand_over,
        api::organisations::members,
        api::organisations::change_member,
        api::organisations::remove_member,
        api::organisations::invitations,
        api::organisations::invite,
        api::organisations::accept,
        api::organisations::withdraw,
        api::organisations::send_again,
        api::roles::permissions,
        api::roles::list,
        api::roles::create,
        api::roles::change,
        api::roles::delete,
        api::quotas::show,
        api::quotas::of_organisation,
        api::quotas::change_own,
        api::quotas::defaults,
        api::quotas::change_defaults,
        api::notifications::list,
        api::notifications::read_all,
        api::notifications::read,
        api::admin::list,
        api::admin::add_credit,
        api::admin::take_credit,
        api::admin::migrate,
        api::admin::list_jobs,
        api::admin::retry_job,
        api::audit::list,
        api::audit::list_all,
        pages::audit::file::csv_for_programs,
        pages::audit::file::json_lines_for_programs,
        pages::audit::file::csv_for_programs_of_staff,
        pages::audit::file::json_lines_for_programs_of_staff,
        api::staff::people,
        api::staff::set_standing,
        api::staff::list,
        api::staff::add,
        api::staff::change,
        api::staff::remove,
        api::clusters::list,
        api::clusters::add,
        api::clusters::show,
        api::clusters::change,
        api::clusters::remove,
        api::clusters::test,
        api::clusters::look,
        api::clusters::set_endpoints,
        api::clusters::isos,
        api::clusters::set_isos,
        api::clusters::refresh_isos,
        api::clusters::fit,
        api::passes::list,
        api::passes::decide,
        api::passes::uncharged_times,
        api::passes::retry,
        api::drift::list,
        api::drift::accept,
        api::drift::enforce,
        api::drift::adopt_drift,
        api::drift::foreign_guests,
        api::drift::adopt_guest,
        api::drift::release,
        api::mails::list,
        api::mails::show,
        api::mails::retry,
    )
)]
struct Handlers;

static DOCUMENT: LazyLock<Value> = LazyLock::new(|| {
    let mut document = serde_json::to_value(Handlers::openapi()).unwrap_or_default();
    complete::complete(&mut document, &router::routes());
    document
});
static TEXT: LazyLock<String> = LazyLock::new(|| DOCUMENT.to_string());

/// The description of the API.
#[must_use]
pub fn document() -> &'static Value {
    &DOCUMENT
}

/// Describes the API, in OpenAPI 3.1.
#[utoipa::path(get, path = "/openapi.json", responses((status = 200, body = Object)))]
pub async fn show() -> Response {
    ([(CONTENT_TYPE, "application/json")], TEXT.as_str()).into_response()
}
