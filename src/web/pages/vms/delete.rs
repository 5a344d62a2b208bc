//! The page that asks for a machine's name before it is deleted.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use crate::app::App;
use crate::error::Error;
use crate::ids::VmId;
use crate::vms::{self, Vm};
use crate::web::error::{PageError, status};
use crate::web::forms::CsrfForm;
use crate::web::pages::frames::{Notice, form_errors, portal, redirect_with, render_with};
use crate::web::read::Path;
use crate::web::session::Customer;
use crate::web::views::form::FormErrors;
use crate::web::views::frame::{FlashKind, Section};
use crate::web::views::vms::show::VmDeletePage;

/// The name, typed again.
#[derive(Debug, Deserialize)]
pub struct Confirmed {
    #[serde(default)]
    name: String,
}

/// `GET /vms/{id}/delete`
pub async fn confirm_delete(
    State(app): State<Arc<App>>,
    customer: Customer,
    notice: Notice,
    Path(id): Path<VmId>,
) -> Result<Response, PageError> {
    let vm = vms::find(&app, customer.organisation(), id).await?;
    page(&app, &customer, &notice, &vm, "", FormErrors::none()).await
}

async fn page(
    app: &App,
    customer: &Customer,
    notice: &Notice,
    vm: &Vm,
    typed: &str,
    errors: FormErrors,
) -> Result<Response, PageError> {
    let page = VmDeletePage {
        frame: portal(app, customer, format!("Delete {}", vm.name), Section::Vms, notice).await?,
        id: vm.id.to_string(),
        name: vm.name.clone(),
        disk: (vm.state != vms::State::Failed).then(|| format!("{} GiB", vm.disk_gib)),
        address: vm.address.clone(),
        saves_per_hour: vm.rate.to_decimal(),
        typed: typed.into(),
        errors,
    };
    Ok(render_with(app, notice, &page))
}

/// `POST /vms/{id}/delete`
pub async fn delete(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<VmId>,
    CsrfForm(confirmed): CsrfForm<Confirmed>,
) -> Result<Response, PageError> {
    let vm = vms::find(&app, customer.organisation(), id).await?;
    let deleted = if confirmed.name.trim() == vm.name {
        vms::delete(&app, customer.organisation(), id, &customer.actor).await
    } else {
        Err(Error::invalid("name", format!("This is not its name. Type {} to delete it.", vm.name)))
    };
    match deleted {
        Ok(Some(_)) => Ok(redirect_with(&app, "/vms", FlashKind::Success, format!("{} is being deleted.", vm.name))),
        Ok(None) => Ok(redirect_with(&app, "/vms", FlashKind::Success, format!("{} was deleted.", vm.name))),
        Err(error) => {
            let status = status(&error);
            Ok((status, page(&app, &customer, &Notice::default(), &vm, &confirmed.name, form_errors(error)?).await?)
                .into_response())
        }
    }
}
