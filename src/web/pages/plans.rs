//! Plans for operators: what is sold, a new one with its prices, taking one off sale.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};

use super::exceptions::count;
use super::frames::{self, Notice, form_errors, redirect_with, render, render_with};
use crate::app::App;
use crate::error::Result;
use crate::ids::PlanId;
use crate::pricing::{self, NewPlan, NewPlanPrice, PlanLine};
use crate::web::error::{PageError, status};
use crate::web::format;
use crate::web::forms::{CsrfForm, Nothing};
use crate::web::read::Path;
use crate::web::session::Staff;
use crate::web::views::form::FormErrors;
use crate::web::views::frame::{AdminSection, FlashKind};
use crate::web::views::prices::{NewPlanPage, PlanPriceRow, PlanRow, PlansPage};

/// What was typed, by the names of the fields.
type Typed = HashMap<String, String>;

/// `GET /admin/plans`
pub async fn list(State(app): State<Arc<App>>, staff: Staff, notice: Notice) -> Result<Response, PageError> {
    let page = PlansPage {
        rows: pricing::plans(&app).await?.into_iter().map(plan_row).collect(),
        frame: frames::admin(&app, &staff, "Plans", AdminSection::Prices, count(&app).await?, &notice),
    };
    Ok(render_with(&app, &notice, &page))
}

fn plan_row(plan: PlanLine) -> PlanRow {
    let memory = format::mebibytes(&format::unsigned(plan.memory_mib.into()));
    PlanRow {
        id: plan.id.to_string(),
        detail: format!("{} vCPU · {memory} · {} GiB", plan.vcpu, plan.disk_gib),
        name: plan.name,
        slug: plan.slug,
        vms: format::unsigned(plan.vms),
        retired_at: plan.retired_at,
    }
}

/// `GET /admin/plans/new`
pub async fn new(State(app): State<Arc<App>>, staff: Staff, notice: Notice) -> Result<Response, PageError> {
    let page = new_page(&app, &staff, &notice, &Typed::new(), FormErrors::none()).await?;
    Ok(render_with(&app, &notice, &page))
}

/// `POST /admin/plans`
pub async fn add(
    State(app): State<Arc<App>>,
    staff: Staff,
    CsrfForm(typed): CsrfForm<Typed>,
) -> Result<Response, PageError> {
    let new = read(&app, &typed).await?;
    match pricing::add_plan(&app, &new, &staff.actor).await {
        Ok(_) => {
            let sentence = format!("{} is on sale.", new.name.trim());
            Ok(redirect_with(&app, "/admin/plans", FlashKind::Success, sentence))
        }
        Err(error) => {
            let status = status(&error);
            let page = new_page(&app, &staff, &Notice::default(), &typed, form_errors(error)?).await?;
            Ok((status, render(&page)).into_response())
        }
    }
}

/// What is no number is no size either: the operation says what is expected. A list without any price is left to the default one.
async fn read(app: &App, typed: &Typed) -> Result<NewPlan> {
    let text = |field: &str| typed.get(field).map(|text| text.trim().to_owned()).unwrap_or_default();
    let whole = |field: &str| text(field).parse().unwrap_or(0);
    let prices = pricing::lists(app).await?.into_iter().filter_map(|list| {
        let price = NewPlanPrice {
            price_list: Some(list.id),
            price_running_per_hour: text(&format!("running.{}", list.id)),
            price_stopped_per_hour: text(&format!("stopped.{}", list.id)),
            monthly_cap: text(&format!("cap.{}", list.id)),
        };
        let typed = [&price.price_running_per_hour, &price.price_stopped_per_hour, &price.monthly_cap];
        (list.is_default || typed.iter().any(|text| !text.is_empty())).then_some(price)
    });
    Ok(NewPlan {
        slug: text("slug"),
        name: text("name"),
        vcpu: whole("vcpu"),
        memory_mib: whole("memory_mib"),
        disk_gib: whole("disk_gib"),
        prices: prices.collect(),
    })
}

/// `POST /admin/plans/{id}/retire`
pub async fn retire(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<PlanId>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    pricing::retire(&app, id, &staff.actor).await?;
    Ok(redirect_with(&app, "/admin/plans", FlashKind::Success, "It is off sale. VMs that have it keep it."))
}

/// `POST /admin/plans/{id}/sell`
pub async fn sell(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<PlanId>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    pricing::sell_again(&app, id, &staff.actor).await?;
    Ok(redirect_with(&app, "/admin/plans", FlashKind::Success, "It is on sale again, at the price it has."))
}

async fn new_page(app: &App, staff: &Staff, notice: &Notice, typed: &Typed, errors: FormErrors) -> Result<NewPlanPage> {
    let text = |field: &str| typed.get(field).cloned().unwrap_or_default();
    let prices = pricing::lists(app).await?.into_iter().map(|list| PlanPriceRow {
        running: text(&format!("running.{}", list.id)),
        stopped: text(&format!("stopped.{}", list.id)),
        cap: text(&format!("cap.{}", list.id)),
        list: list.id.to_string(),
        name: list.name,
        is_default: list.is_default,
    });
    Ok(NewPlanPage {
        prices: prices.collect(),
        name: text("name"),
        slug: text("slug"),
        vcpu: text("vcpu"),
        memory_mib: text("memory_mib"),
        disk_gib: text("disk_gib"),
        errors,
        frame: frames::admin(app, staff, "New plan", AdminSection::Prices, count(app).await?, notice),
    })
}
