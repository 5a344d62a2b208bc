//! The own quotas of a customer, on his page.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::super::frames::{self, Notice, form_errors, redirect_with};
use super::super::quotas::Typed;
use super::hand::Forms;
use super::{Place, customer_page};
use crate::app::App;
use crate::ids::OrganisationId;
use crate::quotas;
use crate::web::error::{PageError, status};
use crate::web::forms::CsrfForm;
use crate::web::read::Path;
use crate::web::session::Staff;
use crate::web::views::frame::FlashKind;

/// `POST /admin/customers/{id}/quotas`
pub async fn change_quotas(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<OrganisationId>,
    CsrfForm(typed): CsrfForm<Typed>,
) -> Result<Response, PageError> {
    match quotas::change_own(&app, id, &typed.limits(), &staff.actor).await {
        Ok(()) => {
            let to = format!("/admin/customers/{id}#quotas");
            Ok(redirect_with(&app, &to, FlashKind::Success, "The quotas are saved."))
        }
        Err(error) => {
            let status = status(&error);
            let forms = Forms { quotas: Some((typed, form_errors(error)?)), ..Forms::default() };
            let page = customer_page(&app, &staff, &Notice::default(), id, &Place::default(), forms).await?;
            Ok((status, frames::render(&page)).into_response())
        }
    }
}
