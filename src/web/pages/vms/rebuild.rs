//! The page on which a machine is made anew from an image, or started from the rescue system.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::power::refused;
use super::settings::{key_choices, not_made};
use super::show::{cd, head, is_made};
use crate::app::App;
use crate::catalog::{self, Image};
use crate::clusters;
use crate::error::{Error, Result};
use crate::ids::VmId;
use crate::vms::{self, Boot, Rebuild, Vm};
use crate::web::error::{PageError, status};
use crate::web::forms::CsrfForm;
use crate::web::pages::frames::{Notice, form_errors, portal, render_with};
use crate::web::read::Path;
use crate::web::session::Customer;
use crate::web::views::form::FormErrors;
use crate::web::views::frame::Section;
use crate::web::views::vms::change::VmRebuildPage;
use crate::web::views::vms::new::Choice;
use crate::web::views::vms::show::Tab;

/// The form as it was typed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Typed {
    image: String,
    ssh_keys: Vec<String>,
    name: String,
}

/// What to start from.
#[derive(Debug, Deserialize)]
pub struct NewBoot {
    boot: Boot,
}

/// `GET /vms/{id}/rebuild`
pub async fn choose_image(
    State(app): State<Arc<App>>,
    customer: Customer,
    notice: Notice,
    Path(id): Path<VmId>,
) -> Result<Response, PageError> {
    let vm = vms::find(&app, customer.organisation(), id).await?;
    if !is_made(&vm) {
        return Ok(not_made(&app, &vm));
    }
    Ok(page(&app, &customer, &notice, &vm, None, FormErrors::none()).await?)
}

/// `POST /vms/{id}/rebuild`
pub async fn rebuild(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<VmId>,
    CsrfForm(typed): CsrfForm<Typed>,
) -> Result<Response, PageError> {
    let vm = vms::find(&app, customer.organisation(), id).await?;
    let done = match typed.image.parse() {
        _ if typed.name.trim() != vm.name => {
            Err(Error::invalid("name", format!("This is not its name. Type {} to rebuild it.", vm.name)))
        }
        Ok(image) => {
            let ssh_keys = typed.ssh_keys.iter().filter_map(|id| id.parse().ok()).collect();
            vms::rebuild(
                &app,
                customer.organisation(),
                id,
                &Rebuild { image, ssh_keys, user_data: None },
                &customer.actor,
            )
            .await
        }
        Err(_) => Err(Error::invalid("image", "Choose one of the images.")),
    };
    match done {
        Ok(_) => Ok(Redirect::to(&format!("/vms/{id}")).into_response()),
        Err(error @ Error::Invalid(_)) => {
            let status = status(&error);
            let page = page(&app, &customer, &Notice::default(), &vm, Some(&typed), form_errors(error)?).await?;
            Ok((status, page).into_response())
        }
        Err(error) => refused(&app, &format!("/vms/{id}/rebuild"), error),
    }
}

/// `POST /vms/{id}/boot`
pub async fn boot(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<VmId>,
    CsrfForm(new): CsrfForm<NewBoot>,
) -> Result<Response, PageError> {
    match vms::boot(&app, customer.organisation(), id, new.boot, &customer.actor).await {
        Ok(_) => Ok(Redirect::to(&format!("/vms/{id}")).into_response()),
        Err(error) => refused(&app, &format!("/vms/{id}/rebuild"), error),
    }
}

async fn page(
    app: &App,
    customer: &Customer,
    notice: &Notice,
    vm: &Vm,
    typed: Option<&Typed>,
    errors: FormErrors,
) -> Result<Response> {
    let (mut keys, _) = key_choices(app, vm).await?;
    if let Some(typed) = typed {
        for key in &mut keys {
            key.chosen = typed.ssh_keys.contains(&key.id);
        }
    }
    let own = vm.image.to_string();
    let chosen = typed.map_or(own.as_str(), |typed| typed.image.as_str());
    let page = VmRebuildPage {
        frame: portal(app, customer, format!("Rebuild {}", vm.name), Section::Vms, notice).await?,
        head: head(app, customer, vm, Tab::Rebuild).await?,
        id: vm.id.to_string(),
        name: vm.name.clone(),
        disk: vm.disk_gib,
        address: vm.address.clone(),
        protected: vm.protected,
        has_rescue: clusters::rescue_iso(app, vm.cluster).await?.is_some(),
        cd: cd(app, vm).await?,
        starts_from_cd: vm.boot_from_iso,
        images: catalog::images(app).await?.iter().map(|image| image_choice(vm, image, chosen)).collect(),
        keys,
        typed: typed.map(|typed| typed.name.clone()).unwrap_or_default(),
        errors,
    };
    Ok(render_with(app, notice, &page))
}

fn image_choice(vm: &Vm, image: &Image, chosen: &str) -> Choice {
    let refusal = if !image.locations.contains(&vm.location) {
        Some("Not offered where this VM is".to_owned())
    } else if image.minimum_disk_gib > vm.disk_gib {
        Some(format!("Needs a disk of {} GiB; this one has {} GiB", image.minimum_disk_gib, vm.disk_gib))
    } else {
        None
    };
    Choice {
        id: image.id.to_string(),
        name: image.name.clone(),
        detail: format!("You log in as {}", image.login),
        chosen: refusal.is_none() && image.id.to_string() == chosen,
        refusal,
    }
}
