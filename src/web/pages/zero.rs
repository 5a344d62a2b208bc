//! When the credit ends, for the customer: what happens then, in which order his machines stop, and rescue time.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::frames::{Notice, decimal, portal, redirect_with, render_with};
use crate::app::App;
use crate::charging::{self, AtZero, NewRescue};
use crate::ids::VmId;
use crate::vms::{self, Place};
use crate::web::error::PageError;
use crate::web::format;
use crate::web::forms::{CsrfForm, Nothing};
use crate::web::session::Customer;
use crate::web::views::frame::{FlashKind, Section};
use crate::web::views::zero::{OrderPage, RankRow, ZeroRules};

/// `GET /wallet/order`
pub async fn order(State(app): State<Arc<App>>, customer: Customer, notice: Notice) -> Result<Response, PageError> {
    let zero = charging::at_zero(&app, customer.organisation()).await?;
    let order = vms::order(&app, customer.organisation()).await?;
    let last = order.len().saturating_sub(1);
    let row = |(place, vm): (usize, vms::Ranked)| RankRow {
        place: place + 1,
        id: vm.id.to_string(),
        name: vm.name,
        is_first: place == 0,
        is_last: place == last,
    };
    let page = OrderPage {
        frame: portal(&app, &customer, "When the credit ends", Section::Wallet, &notice).await?,
        rules: rules(&zero),
        rows: order.into_iter().enumerate().map(row).collect(),
    };
    Ok(render_with(&app, &notice, &page))
}

/// Which machine goes where.
#[derive(Debug, Deserialize)]
pub struct Moved {
    vm: VmId,
    to: Place,
}

/// `POST /wallet/order`
pub async fn move_in_order(
    State(app): State<Arc<App>>,
    customer: Customer,
    CsrfForm(moved): CsrfForm<Moved>,
) -> Result<Response, PageError> {
    let order = vms::move_in_order(&app, customer.organisation(), moved.vm, moved.to, &customer.actor).await?;
    let place = order.iter().position(|vm| vm.id == moved.vm).map_or(0, |place| place + 1);
    let name = order.into_iter().find(|vm| vm.id == moved.vm).map(|vm| vm.name).unwrap_or_default();
    let sentence = format!("{name} is number {place} now.");
    Ok(redirect_with(&app, &format!("/wallet/order#vm-{}", moved.vm), FlashKind::Success, sentence))
}

/// `POST /wallet/rescue`
pub async fn rescue(
    State(app): State<Arc<App>>,
    customer: Customer,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    let rescued = charging::rescue(&app, customer.organisation(), &NewRescue::default(), &customer.actor).await?;
    let started = format::count(&u64::try_from(rescued.started).unwrap_or(u64::MAX), "VM is", "VMs are");
    let sentence = format!("{started} being started and may run until {} UTC.", format::time(&rescued.until));
    Ok(redirect_with(&app, "/wallet", FlashKind::Success, sentence))
}

/// The rules as sentences show them.
pub(super) fn rules(zero: &AtZero) -> ZeroRules {
    ZeroRules {
        credit_limit: decimal(zero.credit_limit),
        grace_days: format::unsigned(zero.grace_days.into()),
        grace_charged: zero.grace_charged,
        delete_after_grace: zero.delete_after_grace,
        deletion_notices_min: format::unsigned(zero.deletion_notices_min.into()),
        rescue_hours: format::unsigned(zero.rescue_hours.into()),
    }
}
