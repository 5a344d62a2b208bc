//! The list of machines with its live rows and the line above them.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use billing::Rate;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::status::own_status;
use super::vm_status;
use crate::app::App;
use crate::catalog::{PowerState, PriceBook};
use crate::error::Result;
use crate::ids::VmId;
use crate::vms::{self, Vm};
use crate::web::error::PageError;
use crate::web::format;
use crate::web::pages::frames::{Notice, portal, render, render_with};
use crate::web::pages::notifications::urgent_of;
use crate::web::read::{Path, Query};
use crate::web::session::Customer;
use crate::web::views::frame::Section;
use crate::web::views::vms::{ActionsPlace, VmActions, VmListPage, VmOffers, VmRow, VmSummary};
use crate::{catalog, ledger};

/// How many machines one page shows.
const MACHINES_SHOWN: i64 = 50;

/// From where on the list is shown.
#[derive(Debug, Deserialize)]
pub struct From {
    after: Option<VmId>,
    tag: Option<String>,
}

/// `GET /vms?after=&tag=`
pub async fn list(
    State(app): State<Arc<App>>,
    customer: Customer,
    notice: Notice,
    Query(page): Query<From>,
) -> Result<Response, PageError> {
    let tag = page.tag.filter(|tag| !tag.is_empty());
    let mut found =
        vms::list_tagged(&app, customer.organisation(), tag.as_deref(), page.after, MACHINES_SHOWN + 1).await?;
    let shown = usize::try_from(MACHINES_SHOWN).unwrap_or(usize::MAX);
    let has_older = found.len() > shown;
    found.truncate(shown);
    let oldest = found.last().filter(|_| has_older).map(|vm| vm.id);
    let prices = price_book(&app, &customer).await?;
    let newest = match &tag {
        Some(tag) => format!("/vms?tag={}", utf8_percent_encode(tag, NON_ALPHANUMERIC)),
        None => "/vms".to_owned(),
    };
    let from = |id: VmId| format!("{newest}{}after={id}", if tag.is_some() { '&' } else { '?' });
    let page = VmListPage {
        frame: portal(&app, &customer, "VMs", Section::Vms, &notice).await?,
        urgent: urgent_of(&app, &customer).await?,
        summary: summary_of(&app, &customer).await?,
        rows: found.iter().map(|vm| vm_row(&app, &customer, &prices, vm)).collect(),
        older_url: oldest.map(from),
        newest_url: page.after.map(|_| newest.clone()),
        url: page.after.map_or_else(|| newest.clone(), from),
        tag,
    };
    Ok(render_with(&app, &notice, &page))
}

/// `GET /vms/summary`
pub async fn summary(State(app): State<Arc<App>>, customer: Customer) -> Result<Response, PageError> {
    Ok(render(&summary_of(&app, &customer).await?))
}

/// `GET /vms/{id}/row`
pub async fn row(State(app): State<Arc<App>>, customer: Customer, Path(id): Path<VmId>) -> Result<Response, PageError> {
    let vm = vms::find(&app, customer.organisation(), id).await?;
    let prices = price_book(&app, &customer).await?;
    Ok(render(&vm_row(&app, &customer, &prices, &vm)))
}

async fn summary_of(app: &App, customer: &Customer) -> Result<VmSummary> {
    let counts = vms::count(app, customer.organisation()).await?;
    let wallet = ledger::wallet(app, customer.organisation()).await?;
    Ok(VmSummary {
        machines: u64::try_from(counts.all).unwrap_or(0),
        running: u64::try_from(counts.running).unwrap_or(0),
        cost_per_hour: wallet.burn_per_hour.to_decimal(),
        currency: app.settings.currency.clone(),
    })
}

fn vm_row(app: &App, customer: &Customer, prices: &PriceBook, vm: &Vm) -> VmRow {
    VmRow {
        id: vm.id.to_string(),
        name: vm.name.clone(),
        tags: vm.tags.clone(),
        status: own_status(customer, vm),
        location: vm.location_name.clone(),
        address: vm.address.clone(),
        plan: vm.plan_name.clone(),
        plan_detail: format!("{} vCPU · {}", vm.vcpu, memory(vm.memory_mib)),
        cost_per_hour: vm.rate.to_decimal(),
        actions: actions(app, customer, prices, vm, ActionsPlace::Row),
        currency: app.settings.currency.clone(),
    }
}

pub(super) async fn price_book(app: &App, customer: &Customer) -> Result<PriceBook> {
    let mut connection = app.pool.acquire().await?;
    catalog::price_book_for(&mut connection, customer.organisation()).await
}

/// What a machine costs now in a state; nothing where no price is known.
pub(super) fn rate(app: &App, prices: &PriceBook, vm: &Vm, state: PowerState) -> Rate {
    prices.at(vm.plan, state, app.clock.now()).map_or(Rate::ZERO, |price| price.rate)
}

pub(super) fn actions(app: &App, customer: &Customer, prices: &PriceBook, vm: &Vm, place: ActionsPlace) -> VmActions {
    let running = rate(app, prices, vm, PowerState::Running).to_decimal();
    let saved = running - rate(app, prices, vm, PowerState::Stopped).to_decimal();
    VmActions {
        id: vm.id.to_string(),
        name: vm.name.clone(),
        offers: VmOffers::of(
            &vm_status(vm),
            vm.protected,
            Some(saved).filter(|saved| saved.is_sign_positive() && !saved.is_zero()),
        )
        .only(customer.session.permissions),
        place,
        csrf: customer.session.csrf_token.clone(),
        currency: app.settings.currency.clone(),
    }
}

pub(super) fn memory(mebibytes: i32) -> String {
    format::mebibytes(&u64::try_from(mebibytes).unwrap_or(0))
}
