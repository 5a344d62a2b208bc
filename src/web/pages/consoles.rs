//! Consoles of customers' machines for operators: first why, then the console. Its owner reads the reason in his log.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::exceptions::count;
use super::frames::{self, Notice, form_errors, render_with};
use super::vms::{console_page, render_console};
use crate::app::App;
use crate::error::Result;
use crate::ids::VmId;
use crate::organisations;
use crate::vms::{self, ConsoleKind, Vm};
use crate::web::console::checked_reason;
use crate::web::error::{PageError, status};
use crate::web::forms::CsrfForm;
use crate::web::read::Path;
use crate::web::session::Staff;
use crate::web::views::consoles::ConsoleReasonPage;
use crate::web::views::form::FormErrors;
use crate::web::views::frame::AdminSection;
use crate::web::views::vms::Offer;

/// Why, and what to show first.
#[derive(Debug, Deserialize)]
pub struct Reason {
    #[serde(default)]
    reason: String,
    #[serde(default)]
    kind: ConsoleKind,
}

/// `GET /admin/vms/{id}/console`
pub async fn ask(
    State(app): State<Arc<App>>,
    staff: Staff,
    notice: Notice,
    Path(id): Path<VmId>,
) -> Result<Response, PageError> {
    let vm = vms::find_for_staff(&app, id).await?;
    question(&app, &staff, &notice, &vm, String::new(), FormErrors::none()).await
}

/// `POST /admin/vms/{id}/console`
pub async fn show(
    State(app): State<Arc<App>>,
    staff: Staff,
    notice: Notice,
    Path(id): Path<VmId>,
    CsrfForm(typed): CsrfForm<Reason>,
) -> Result<Response, PageError> {
    let vm = vms::find_for_staff(&app, id).await?;
    let reason = match checked_reason(&typed.reason) {
        Ok(reason) => reason,
        Err(error) => {
            let status = status(&error);
            let page = question(&app, &staff, &notice, &vm, typed.reason, form_errors(error)?).await?;
            return Ok((status, page).into_response());
        }
    };
    let mut page = console_page(&app, &notice, &vm, typed.kind);
    page.ticket_url = format!("/admin/vms/{id}/console/ticket");
    page.back_url = format!("/admin/customers/{}", vm.organisation);
    page.csrf.clone_from(&staff.session.csrf_token);
    page.reason = reason;
    // Turning it on is its owner's to do, and costs him.
    page.notice.start = Offer::Hidden;
    Ok(render_console(&app, &notice, &page))
}

async fn question(
    app: &App,
    staff: &Staff,
    notice: &Notice,
    vm: &Vm,
    reason: String,
    errors: FormErrors,
) -> Result<Response, PageError> {
    let owner = organisations::find(app, vm.organisation).await?;
    let title = format!("Console of {}", vm.name);
    let page = ConsoleReasonPage {
        frame: frames::admin(app, staff, title, AdminSection::Customers, count(app).await?, notice),
        id: vm.id.to_string(),
        name: vm.name.clone(),
        organisation: owner.name,
        organisation_id: vm.organisation.to_string(),
        reason,
        errors,
    };
    Ok(render_with(app, notice, &page))
}
