//! Organisations: the ones of a person, and the pages of the one that is open.

mod invitation;
mod members;
mod quotas;
mod roles;
mod settings;

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

pub(super) use invitation::email_of;
pub use invitation::{accept, show_invitation};
pub use members::{change_member, invite, members, remove_member, send_invitation, withdraw_invitation};
pub use quotas::quotas;
pub use roles::{change_role, create_role, delete_role, new_role, roles, show_role};
pub use settings::{change_billing_details, hand_over, rename, settings};

use super::frames::{Notice, form_errors, portal, redirect_with, render, render_with};
use crate::app::App;
use crate::error::Result;
use crate::ids::OrganisationId;
use crate::organisations::{self, Mine};
use crate::sessions;
use crate::web::error::{PageError, status};
use crate::web::format;
use crate::web::forms::{CsrfForm, Nothing};
use crate::web::read::Path;
use crate::web::session::Customer;
use crate::web::views::form::FormErrors;
use crate::web::views::frame::{FlashKind, Section};
use crate::web::views::organisations::{MinePage, MineRow};

/// `GET /organisations`
pub async fn list(State(app): State<Arc<App>>, customer: Customer, notice: Notice) -> Result<Response, PageError> {
    let page = mine_page(&app, &customer, &notice, String::new(), FormErrors::none()).await?;
    Ok(render_with(&app, &notice, &page))
}

async fn mine_page(
    app: &App,
    customer: &Customer,
    notice: &Notice,
    name: String,
    errors: FormErrors,
) -> Result<MinePage> {
    let mine = organisations::mine(app, customer.session.user.id).await?;
    let open = customer.organisation();
    Ok(MinePage {
        frame: portal(app, customer, "Your organisations", Section::Organisation, notice).await?,
        rows: mine.into_iter().map(|mine| mine_row(mine, open)).collect(),
        name,
        errors,
    })
}

fn mine_row(mine: Mine, open: OrganisationId) -> MineRow {
    MineRow {
        is_open: mine.organisation.id == open,
        id: mine.organisation.id.to_string(),
        name: mine.organisation.name,
        role_name: mine.role_name,
        members: format::unsigned(mine.members),
    }
}

/// The name of another organisation as it was typed.
#[derive(Debug, Deserialize)]
pub struct Named {
    #[serde(default)]
    name: String,
}

/// `POST /organisations`
pub async fn create(
    State(app): State<Arc<App>>,
    customer: Customer,
    CsrfForm(typed): CsrfForm<Named>,
) -> Result<Response, PageError> {
    match organisations::create_another(&app, &typed.name, customer.session.user.id, &customer.actor).await {
        Ok(id) => {
            sessions::enter(&app, &customer.session, id, &customer.actor).await?;
            Ok(redirect_with(&app, "/organisation", FlashKind::Success, "The organisation was made, and is open now."))
        }
        Err(error) => {
            let status = status(&error);
            let errors = form_errors(error)?;
            let page = mine_page(&app, &customer, &Notice::default(), typed.name, errors).await?;
            Ok((status, render(&page)).into_response())
        }
    }
}

/// `POST /organisations/{id}/enter`
pub async fn enter(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<OrganisationId>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    sessions::enter(&app, &customer.session, id, &customer.actor).await?;
    // Where one is may not be for the role that he has there; the start is.
    Ok(axum::response::Redirect::to("/").into_response())
}

/// `POST /organisations/{id}/leave`
pub async fn leave(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<OrganisationId>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    organisations::leave(&app, id, customer.session.user.id, &customer.actor).await?;
    Ok(redirect_with(&app, "/organisations", FlashKind::Success, "You have left the organisation."))
}
