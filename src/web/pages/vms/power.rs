//! The buttons that turn a machine on and off.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use crate::app::App;
use crate::error::Error;
use crate::ids::VmId;
use crate::vms::{self, Power};
use crate::web::error::PageError;
use crate::web::format;
use crate::web::forms::CsrfForm;
use crate::web::pages::frames::redirect_with;
use crate::web::read::Path;
use crate::web::session::Customer;
use crate::web::views::frame::FlashKind;

/// A button, which says on which page it was.
#[derive(Debug, Deserialize)]
pub struct Button {
    #[serde(default)]
    back: String,
}

/// `POST /vms/{id}/start`
pub async fn start(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<VmId>,
    CsrfForm(button): CsrfForm<Button>,
) -> Result<Response, PageError> {
    power(&app, &customer, id, Power::Start, &button).await
}

/// `POST /vms/{id}/shutdown`
pub async fn shutdown(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<VmId>,
    CsrfForm(button): CsrfForm<Button>,
) -> Result<Response, PageError> {
    power(&app, &customer, id, Power::Shutdown, &button).await
}

/// `POST /vms/{id}/stop`
pub async fn stop(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<VmId>,
    CsrfForm(button): CsrfForm<Button>,
) -> Result<Response, PageError> {
    power(&app, &customer, id, Power::Stop, &button).await
}

/// `POST /vms/{id}/reboot`
pub async fn reboot(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<VmId>,
    CsrfForm(button): CsrfForm<Button>,
) -> Result<Response, PageError> {
    power(&app, &customer, id, Power::Reboot, &button).await
}

/// `POST /vms/{id}/reset`
pub async fn reset(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<VmId>,
    CsrfForm(button): CsrfForm<Button>,
) -> Result<Response, PageError> {
    power(&app, &customer, id, Power::Reset, &button).await
}

/// `POST /vms/{id}/suspend`
pub async fn suspend(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<VmId>,
    CsrfForm(button): CsrfForm<Button>,
) -> Result<Response, PageError> {
    power(&app, &customer, id, Power::Suspend, &button).await
}

/// `POST /vms/{id}/resume`
pub async fn resume(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<VmId>,
    CsrfForm(button): CsrfForm<Button>,
) -> Result<Response, PageError> {
    power(&app, &customer, id, Power::Resume, &button).await
}

/// A page that is a moment old may offer what cannot be done any more: that is said on the page, which then shows how it is.
async fn power(app: &App, customer: &Customer, id: VmId, power: Power, button: &Button) -> Result<Response, PageError> {
    let back = match button.back.as_str() {
        "list" => "/vms".to_owned(),
        "console" => format!("/vms/{id}/console"),
        _ => format!("/vms/{id}"),
    };
    match vms::power(app, customer.organisation(), id, power, &customer.actor).await {
        Ok(_) => Ok(Redirect::to(&back).into_response()),
        Err(error) => refused(app, &back, error),
    }
}

/// Leads back with the reason why nothing was done.
///
/// # Errors
/// What no notice on a page can say.
pub(super) fn refused(app: &App, back: &str, error: Error) -> Result<Response, PageError> {
    match error {
        Error::Conflict(sentence) | Error::Unavailable(sentence) => {
            Ok(redirect_with(app, back, FlashKind::Warning, sentence))
        }
        Error::NotEnoughCredit { short_by } => {
            let missing = format::missing(&short_by.to_decimal(), &app.settings.currency);
            let sentence =
                format!("It was not started: {missing} of credit is missing. {}", app.settings.credit_contact);
            Ok(redirect_with(app, back, FlashKind::Warning, sentence))
        }
        error => Err(error.into()),
    }
}
