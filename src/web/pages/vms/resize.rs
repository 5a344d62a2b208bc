//! The page on which a machine gets another plan: what each would cost and how long the credit would last, before it is done.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use billing::Money;
use serde::Deserialize;

use super::list::memory;
use super::settings::not_made;
use super::show::{head, is_made};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::VmId;
use crate::ledger;
use crate::vms::{self, NewSize, ResizeEstimate, Vm};
use crate::web::error::{PageError, status};
use crate::web::format;
use crate::web::forms::CsrfForm;
use crate::web::pages::frames::{Notice, decimal, form_errors, lasts, portal, render, render_with};
use crate::web::read::Path;
use crate::web::session::Customer;
use crate::web::views::form::FormErrors;
use crate::web::views::frame::Section;
use crate::web::views::vms::change::{ResizeChange, ResizeCost, VmResizePage};
use crate::web::views::vms::new::PlanChoice;
use crate::web::views::vms::show::Tab;

/// The form as it was typed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Typed {
    plan: String,
    grow_disk: String,
    force: String,
}

impl Typed {
    fn grows(&self) -> bool {
        self.grow_disk == "on"
    }
}

/// What there is to choose from.
struct Offer {
    estimates: Vec<ResizeEstimate>,
    is_exhausted: bool,
}

impl Offer {
    async fn read(app: &App, vm: &Vm, typed: &Typed) -> Result<Self> {
        Ok(Self {
            estimates: vms::estimate_resizes(app, vm, typed.grows()).await?,
            is_exhausted: ledger::wallet(app, vm.organisation).await?.exhausted_at.is_some(),
        })
    }

    fn chosen(&self, plan: &str) -> Option<&ResizeEstimate> {
        self.estimates.iter().find(|estimate| estimate.refusal.is_none() && estimate.plan.id.to_string() == plan)
    }
}

/// `GET /vms/{id}/resize`
pub async fn choose_size(
    State(app): State<Arc<App>>,
    customer: Customer,
    notice: Notice,
    Path(id): Path<VmId>,
) -> Result<Response, PageError> {
    let vm = vms::find(&app, customer.organisation(), id).await?;
    if !is_made(&vm) {
        return Ok(not_made(&app, &vm));
    }
    Ok(page(&app, &customer, &notice, &vm, &Typed::default(), FormErrors::none(), None).await?)
}

/// `GET /vms/{id}/resize/cost?plan=&grow_disk=`
pub async fn resize_cost(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<VmId>,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let typed: Typed = serde_html_form::from_str(query.as_deref().unwrap_or_default())
        .map_err(|_| PageError::Request(StatusCode::BAD_REQUEST, "The address could not be read.".into()))?;
    let vm = vms::find(&app, customer.organisation(), id).await?;
    let offer = Offer::read(&app, &vm, &typed).await?;
    Ok(render(&ResizeCost { alone: true, ..cost(&app, &vm, &offer, &typed, None) }))
}

/// `POST /vms/{id}/resize`
pub async fn resize(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<VmId>,
    CsrfForm(typed): CsrfForm<Typed>,
) -> Result<Response, PageError> {
    let wanted = match typed.plan.parse() {
        Ok(plan) => {
            let size = NewSize { plan, grow_disk: typed.grows(), force: typed.force == "on" };
            vms::resize(&app, customer.organisation(), id, size, &customer.actor).await
        }
        Err(_) => Err(Error::invalid("plan", "Choose one of the plans.")),
    };
    let error = match wanted {
        Ok(_) => return Ok(Redirect::to(&format!("/vms/{id}")).into_response()),
        Err(error) => error,
    };
    let status = status(&error);
    let (errors, short_by) = match error {
        Error::NotEnoughCredit { short_by } => (FormErrors::none(), Some(short_by)),
        other => (form_errors(other)?, None),
    };
    let vm = vms::find(&app, customer.organisation(), id).await?;
    let page = page(&app, &customer, &Notice::default(), &vm, &typed, errors, short_by).await?;
    Ok((status, page).into_response())
}

async fn page(
    app: &App,
    customer: &Customer,
    notice: &Notice,
    vm: &Vm,
    typed: &Typed,
    errors: FormErrors,
    short_by: Option<Money>,
) -> Result<Response> {
    let offer = Offer::read(app, vm, typed).await?;
    let page = VmResizePage {
        frame: portal(app, customer, format!("Resize {}", vm.name), Section::Vms, notice).await?,
        head: head(app, customer, vm, Tab::Resize).await?,
        id: vm.id.to_string(),
        plans: offer.estimates.iter().map(|estimate| plan_choice(app, &offer, estimate, &typed.plan)).collect(),
        grow_disk: typed.grows(),
        force: typed.force == "on",
        cost: cost(app, vm, &offer, typed, short_by),
        errors,
    };
    Ok(render_with(app, notice, &page))
}

fn plan_choice(app: &App, offer: &Offer, estimate: &ResizeEstimate, chosen: &str) -> PlanChoice {
    let plan = &estimate.plan;
    let is_short = estimate.short_by.is_positive();
    let missing = format::missing(&decimal(estimate.short_by), &app.settings.currency);
    let refusal = estimate.refusal.clone().or(is_short.then(|| format!("{missing} more credit needed")));
    PlanChoice {
        id: plan.id.to_string(),
        name: plan.name.clone(),
        detail: format!("{} vCPU · {} · {} GiB", plan.vcpu, memory(plan.memory_mib), plan.disk_gib),
        running_per_hour: plan.running.to_decimal(),
        monthly_cap: plan.monthly_cap.map(decimal),
        lasts_after: lasts(offer.is_exhausted, estimate.cost.runs_out_after, app.clock.now()),
        chosen: refusal.is_none() && plan.id.to_string() == chosen,
        refusal,
    }
}

fn cost(app: &App, vm: &Vm, offer: &Offer, typed: &Typed, short_by: Option<Money>) -> ResizeCost {
    let now = app.clock.now();
    let change = offer.chosen(&typed.plan).map(|estimate| {
        let short_by = short_by.or(Some(estimate.short_by)).filter(|missing| missing.is_positive());
        let (rate_from, rate_to) = (estimate.cost.rate_from.to_decimal(), estimate.cost.rate_to.to_decimal());
        ResizeChange {
            plan: estimate.plan.name.clone(),
            rate_from,
            rate_to,
            difference: rate_to - rate_from,
            cap_from: estimate.cap_from.map(decimal),
            cap_to: estimate.plan.monthly_cap.map(decimal),
            disk_from: estimate.disk_gib_from,
            disk_to: estimate.disk_gib_to,
            disk_of_plan: estimate.plan.disk_gib,
            restarts: estimate.restarts,
            lasts_before: lasts(offer.is_exhausted, estimate.cost.runs_out_before, now),
            lasts_after: lasts(offer.is_exhausted, estimate.cost.runs_out_after, now),
            short_by: short_by.map(decimal),
        }
    });
    ResizeCost {
        id: vm.id.to_string(),
        plan_from: vm.plan_name.clone(),
        change,
        currency: app.settings.currency.clone(),
        alone: false,
    }
}
