//! The page of one machine: how it is, what it costs, how its making goes and what happened to it.

use std::sync::Arc;

use axum::extract::State;
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::response::{IntoResponse, Response};
use billing::Month;

use super::list::{actions, memory, price_book, rate};
use super::status::own_status;
use super::timeline::{provisioning, timeline};
use crate::app::App;
use crate::catalog::PowerState;
use crate::error::Result;
use crate::ids::VmId;
use crate::jobs::{self, Filter};
use crate::ssh_keys::{PublicKey, SshKey};
use crate::vms::{self, Vm};
use crate::web::error::PageError;
use crate::web::pages::frames::{Notice, decimal, portal, render, render_with};
use crate::web::read::Path;
use crate::web::session::Customer;
use crate::web::views::frame::Section;
use crate::web::views::vms::ActionsPlace;
use crate::web::views::vms::show::{MonthView, Tab, VmHead, VmPage, VmPanel};
use crate::{clusters, metering, ssh_keys};

/// `GET /vms/{id}`
pub async fn show(
    State(app): State<Arc<App>>,
    customer: Customer,
    notice: Notice,
    Path(id): Path<VmId>,
) -> Result<Response, PageError> {
    let vm = vms::find(&app, customer.organisation(), id).await?;
    let panel = panel_of(&app, &customer, &vm).await?;
    let frame = portal(&app, &customer, vm.name, Section::Vms, &notice).await?;
    Ok(render_with(&app, &notice, &VmPage { frame, panel }))
}

/// `GET /vms/{id}/status`
pub async fn status(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<VmId>,
) -> Result<Response, PageError> {
    let vm = vms::find(&app, customer.organisation(), id).await?;
    Ok(render(&own_status(&customer, &vm)))
}

/// `GET /vms/{id}/panel`
pub async fn panel(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<VmId>,
) -> Result<Response, PageError> {
    let vm = vms::find(&app, customer.organisation(), id).await?;
    Ok(render(&panel_of(&app, &customer, &vm).await?))
}

/// What stands above every page of a machine.
pub(super) async fn head(app: &App, customer: &Customer, vm: &Vm, tab: Tab) -> Result<VmHead> {
    Ok(VmHead {
        id: vm.id.to_string(),
        name: vm.name.clone(),
        location: vm.location_name.clone(),
        plan: vm.plan_name.clone(),
        plan_detail: format!("{} vCPU · {} · {} GiB", vm.vcpu, memory(vm.memory_mib), vm.disk_gib),
        image: vm.image_name.clone(),
        tags: vm.tags.clone(),
        starts_from: if vm.boot_from_iso { cd(app, vm).await? } else { None },
        status: own_status(customer, vm),
        may: customer.session.permissions,
        actions: actions(app, customer, &price_book(app, customer).await?, vm, ActionsPlace::Header),
        is_made: is_made(vm),
        tab,
    })
}

/// Whether there is a guest that has settings.
pub(super) fn is_made(vm: &Vm) -> bool {
    matches!(vm.state, vms::State::Running | vms::State::Stopped)
}

/// The name of the CD in its drive.
pub(super) async fn cd(app: &App, vm: &Vm) -> Result<Option<String>> {
    let Some(id) = vm.iso_image else { return Ok(None) };
    let known = clusters::isos(app, vm.cluster).await?.into_iter().find(|image| image.id == id);
    Ok(Some(known.map_or_else(|| "in its drive".to_owned(), |image| image.name)))
}

/// `GET /vms/{id}/user-data`: as it was given, as plain text. For members only; nothing keeps a copy.
pub async fn user_data(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<VmId>,
) -> Result<Response, PageError> {
    let text = vms::user_data(&app, customer.organisation(), id).await?;
    Ok(([(CONTENT_TYPE, "text/plain; charset=utf-8"), (CACHE_CONTROL, "no-store")], text).into_response())
}

async fn panel_of(app: &App, customer: &Customer, vm: &Vm) -> Result<VmPanel> {
    let prices = price_book(app, customer).await?;
    let keys = ssh_keys::list(app, customer.organisation()).await?;
    let jobs = jobs::list(app, &Filter { vm: Some(vm.id), ..Filter::default() }, jobs::PAGE_MAX).await?;
    Ok(VmPanel {
        id: vm.id.to_string(),
        name: vm.name.clone(),
        number: vm.number,
        placement_group: vm.placement_group.clone(),
        head: head(app, customer, vm, Tab::Overview).await?,
        protected: vm.protected,
        may: customer.session.permissions,
        cd: cd(app, vm).await?,
        adopted_at: vm.adopted_at,
        user_data_bytes: vm.user_data_bytes,
        image: vm.image_name.clone(),
        actions: actions(app, customer, &prices, vm, ActionsPlace::Header),
        address: vm.address.clone(),
        login: is_made(vm).then(|| vm.login.clone()),
        created_at: vm.created_at,
        ssh_keys: vm.authorized_keys.lines().map(|line| key_name(line, &keys)).collect(),
        running_per_hour: rate(app, &prices, vm, PowerState::Running).to_decimal(),
        stopped_per_hour: rate(app, &prices, vm, PowerState::Stopped).to_decimal(),
        month: month(app, customer, vm).await?,
        provisioning: provisioning(app, vm, &jobs).await?,
        timeline: timeline(app, vm, &jobs).await?,
        currency: app.settings.currency.clone(),
    })
}

async fn month(app: &App, customer: &Customer, vm: &Vm) -> Result<MonthView> {
    let zone = app.settings.time_zone;
    let from = Month::of(app.clock.now(), zone).start(zone);
    let month = metering::month_of_vm(app, customer.organisation(), vm.id, from).await?;
    Ok(MonthView {
        charged: decimal(month.charged),
        cap: vm.monthly_cap.map(decimal),
        seconds_running: month.running_seconds,
        seconds_stopped: month.stopped_seconds,
    })
}

/// What its owner calls a key; what the key calls itself when it was removed since.
fn key_name(line: &str, keys: &[SshKey]) -> String {
    if let Some(key) = keys.iter().find(|key| key.public_key == line) {
        return key.name.clone();
    }
    match line.parse::<PublicKey>() {
        Ok(key) if !key.comment().is_empty() => key.comment().to_owned(),
        Ok(key) => key.fingerprint(),
        Err(_) => "a key".into(),
    }
}
