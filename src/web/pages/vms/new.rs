//! The form that orders a machine, with its panel of costs. What is wrong with an order is said by the operation; the form
//! only keeps what was typed.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Redirect, Response};
use billing::Money;
use serde::Deserialize;
use serde_json::json;
use uuid::Uuid;

use super::list::memory;
use crate::app::App;
use crate::catalog::{Image, Location};
use crate::error::{Error, Result};
use crate::ids::{PlanId, SshKeyId};
use crate::quotas::{self, Standing};
use crate::ssh_keys::SshKey;
use crate::vms::{self, Estimate, NewKey, NewVm};
use crate::web::error::{PageError, status};
use crate::web::format;
use crate::web::forms::CsrfForm;
use crate::web::pages::frames::{Notice, decimal, form_errors, lasts, portal, render, render_with};
use crate::web::session::Customer;
use crate::web::views::form::FormErrors;
use crate::web::views::frame::Section;
use crate::web::views::vms::new::{Choice, CostPanel, KeyChoice, PlanChoice, VmNewPage};
use crate::{catalog, ledger, ssh_keys};

/// Up to how many keys all are chosen from the start.
const KEYS_PRESELECTED_MAX: usize = 3;

/// The form as it was typed.
// No Debug: there is a secret in it.
#[derive(Clone, Default, Deserialize)]
pub struct Typed {
    #[serde(default)]
    location: String,
    #[serde(default)]
    image: String,
    #[serde(default)]
    plan: String,
    #[serde(default)]
    ssh_keys: Vec<String>,
    #[serde(default)]
    new_key_name: String,
    #[serde(default)]
    new_key: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    placement_group: String,
    #[serde(default)]
    user_data: String,
    #[serde(default)]
    order: String,
}

impl Typed {
    /// The order. What is no id is left out, and missed by the operation.
    fn order(&self) -> NewVm {
        let key = self.new_key.trim();
        let new_key = NewKey { name: self.new_key_name.trim().to_owned(), public_key: key.to_owned() };
        NewVm {
            name: self.name.clone(),
            location: self.location.parse().ok(),
            image: self.image.parse().ok(),
            plan: self.plan.parse().ok(),
            ssh_keys: self.ssh_keys.iter().filter_map(|id| id.parse().ok()).collect(),
            new_key: (!key.is_empty()).then_some(new_key),
            placement_group: Some(self.placement_group.trim().to_owned()).filter(|group| !group.is_empty()),
            user_data: Some(self.user_data.clone()).filter(|text| !text.trim().is_empty()),
        }
    }
}

/// What there is to choose from.
struct Offer {
    locations: Vec<Location>,
    images: Vec<Image>,
    estimates: Vec<Estimate>,
    keys: Vec<SshKey>,
    is_exhausted: bool,
    standing: Standing,
}

impl Offer {
    async fn read(app: &App, customer: &Customer, image: &str) -> Result<Self> {
        let organisation = customer.organisation();
        Ok(Self {
            locations: catalog::locations(app).await?,
            images: catalog::images(app).await?,
            estimates: vms::estimate_all(app, organisation, image.parse().ok()).await?,
            keys: ssh_keys::list(app, organisation).await?,
            is_exhausted: ledger::wallet(app, organisation).await?.exhausted_at.is_some(),
            standing: quotas::standing(app, organisation).await?,
        })
    }

    /// What is chosen before anything is typed: the first place that is open with the first image there is, the second
    /// cheapest plan that the credit carries, and the keys if they are few.
    async fn preselected(&self, app: &App, customer: &Customer) -> Result<Typed> {
        let location = self.locations.iter().find(|location| location.open);
        let image =
            self.images.iter().find(|image| location.is_some_and(|location| image.locations.contains(&location.id)));
        let mut cheapest_first: Vec<&Estimate> =
            self.estimates.iter().filter(|estimate| estimate.cost.short_by.is_zero()).collect();
        cheapest_first.sort_by_key(|estimate| estimate.cost.rate_to);
        let plan = cheapest_first.get(1).or(cheapest_first.first()).copied();
        let keys = if self.keys.len() <= KEYS_PRESELECTED_MAX { self.keys.as_slice() } else { &[] };
        let known = vms::list(app, customer.organisation(), None, vms::PAGE_MAX).await?;
        Ok(Typed {
            location: location.map(|location| location.id.to_string()).unwrap_or_default(),
            image: image.map(|image| image.id.to_string()).unwrap_or_default(),
            plan: plan.map(|estimate| estimate.plan.id.to_string()).unwrap_or_default(),
            ssh_keys: keys.iter().map(|key| key.id.to_string()).collect(),
            name: free_name(&known.iter().map(|vm| vm.name.as_str()).collect::<Vec<_>>()),
            order: Uuid::now_v7().to_string(),
            ..Typed::default()
        })
    }

    /// The estimate of the chosen plan; of the cheapest while none is chosen.
    fn chosen(&self, plan: &str) -> Result<&Estimate> {
        let plan = plan.parse::<PlanId>().ok();
        self.estimates
            .iter()
            .find(|estimate| Some(estimate.plan.id) == plan)
            .or_else(|| self.estimates.iter().min_by_key(|estimate| estimate.cost.rate_to))
            .ok_or_else(|| Error::Unavailable("No plan is on sale just now. The operator has to add one first.".into()))
    }
}

/// The first of `vm-1`, `vm-2`, … that is not taken.
fn free_name(taken: &[&str]) -> String {
    (1..=taken.len() + 1)
        .map(|number| format!("vm-{number}"))
        .find(|name| !taken.contains(&name.as_str()))
        .unwrap_or_default()
}

/// `GET /vms/new`
pub async fn new(State(app): State<Arc<App>>, customer: Customer, notice: Notice) -> Result<Response, PageError> {
    let mut offer = Offer::read(&app, &customer, "").await?;
    let typed = offer.preselected(&app, &customer).await?;
    if offer.images.iter().any(|image| image.licence.is_some() && image.id.to_string() == typed.image) {
        offer = Offer::read(&app, &customer, &typed.image).await?;
    }
    page(&app, &customer, &notice, &offer, &typed, FormErrors::none(), None).await
}

/// `GET /vms/new/cost?location=&image=&plan=&ssh_keys=&name=`
pub async fn cost(
    State(app): State<Arc<App>>,
    customer: Customer,
    RawQuery(query): RawQuery,
) -> Result<Response, PageError> {
    let typed: Typed = serde_html_form::from_str(query.as_deref().unwrap_or_default())
        .map_err(|_| PageError::Request(StatusCode::BAD_REQUEST, "The address could not be read.".into()))?;
    let offer = Offer::read(&app, &customer, &typed.image).await?;
    Ok(render(&cost_panel(&app, &offer, &typed, None)?))
}

/// `POST /vms`
pub async fn create(
    State(app): State<Arc<App>>,
    customer: Customer,
    CsrfForm(typed): CsrfForm<Typed>,
) -> Result<Response, PageError> {
    let order = typed.order();
    order.check_permitted(customer.session.permissions)?;
    let error = match vms::create(&app, customer.organisation(), &order, Some(&typed.order), &customer.actor).await {
        Ok(ordered) => return Ok(Redirect::to(&format!("/vms/{}", ordered.vm)).into_response()),
        Err(error) => error,
    };
    let status = status(&error);
    let (errors, short_by) = match error {
        Error::NotEnoughCredit { short_by } => (FormErrors::none(), Some(short_by)),
        other => (form_errors(other)?, None),
    };
    let offer = Offer::read(&app, &customer, &typed.image).await?;
    Ok((status, page(&app, &customer, &Notice::default(), &offer, &typed, errors, short_by).await?).into_response())
}

async fn page(
    app: &App,
    customer: &Customer,
    notice: &Notice,
    offer: &Offer,
    typed: &Typed,
    errors: FormErrors,
    short_by: Option<Money>,
) -> Result<Response, PageError> {
    let page = VmNewPage {
        frame: portal(app, customer, "New VM", Section::Vms, notice).await?,
        locations: offer.locations.iter().map(|location| location_choice(location, &typed.location)).collect(),
        images: offer.images.iter().map(|image| image_choice(image, &typed.image)).collect(),
        plans: offer.estimates.iter().map(|estimate| plan_choice(app, offer, estimate, &typed.plan)).collect(),
        keys: offer.keys.iter().map(|key| key_choice(key, &typed.ssh_keys)).collect(),
        name: typed.name.clone(),
        new_key_name: typed.new_key_name.clone(),
        new_key: typed.new_key.clone(),
        placement_group: typed.placement_group.clone(),
        user_data: typed.user_data.clone(),
        order: typed.order.clone(),
        cost: cost_panel(app, offer, typed, short_by)?,
        errors,
    };
    Ok(render_with(app, notice, &page))
}

fn location_choice(location: &Location, chosen: &str) -> Choice {
    Choice {
        id: location.id.to_string(),
        name: location.name.clone(),
        detail: location.country.clone(),
        chosen: location.open && location.id.to_string() == chosen,
        refusal: (!location.open).then(|| "Takes no new machines just now".into()),
    }
}

fn image_choice(image: &Image, chosen: &str) -> Choice {
    let is_offered = !image.locations.is_empty();
    Choice {
        id: image.id.to_string(),
        name: image.name.clone(),
        detail: format!("You log in as {}", image.login),
        chosen: is_offered && image.id.to_string() == chosen,
        refusal: (!is_offered).then(|| "Not ready at any location yet".into()),
    }
}

fn plan_choice(app: &App, offer: &Offer, estimate: &Estimate, chosen: &str) -> PlanChoice {
    let plan = &estimate.plan;
    let is_short = estimate.cost.short_by.is_positive();
    let missing = format::missing(&decimal(estimate.cost.short_by), &app.settings.currency);
    let exceeded = offer.standing.exceeded(vms::whole_machine(plan));
    let refusal = match exceeded {
        Some(exceeded) => Some(format!("Beyond the quota: {}", exceeded.quota.title())),
        None => is_short.then(|| format!("{missing} more credit needed")),
    };
    PlanChoice {
        id: plan.id.to_string(),
        name: plan.name.clone(),
        detail: format!("{} vCPU · {} · {} GiB", plan.vcpu, memory(plan.memory_mib), plan.disk_gib),
        running_per_hour: estimate.cost.rate_to.to_decimal(),
        monthly_cap: estimate.cost.monthly_cap.map(decimal),
        lasts_after: lasts(offer.is_exhausted, estimate.cost.runs_out_after, app.clock.now()),
        chosen: refusal.is_none() && plan.id.to_string() == chosen,
        refusal,
    }
}

fn key_choice(key: &SshKey, chosen: &[String]) -> KeyChoice {
    let id = key.id.to_string();
    KeyChoice { name: key.name.clone(), chosen: chosen.contains(&id), id }
}

fn cost_panel(app: &App, offer: &Offer, typed: &Typed, short_by: Option<Money>) -> Result<CostPanel> {
    let estimate = offer.chosen(&typed.plan)?;
    let now = app.clock.now();
    let short_by = short_by.or(Some(estimate.cost.short_by)).filter(|missing| missing.is_positive());
    Ok(CostPanel {
        name: typed.name.trim().to_owned(),
        plan: estimate.plan.name.clone(),
        running_per_hour: estimate.cost.rate_to.to_decimal(),
        stopped_per_hour: estimate.stopped.to_decimal(),
        monthly_cap: estimate.cost.monthly_cap.map(decimal),
        reserved: decimal(estimate.cost.reserved),
        reserved_hours: u32::try_from(billing::HOLD_HOURS).unwrap_or(0),
        available: decimal(estimate.cost.available),
        lasts_before: lasts(offer.is_exhausted, estimate.cost.runs_out_before, now),
        lasts_after: lasts(offer.is_exhausted, estimate.cost.runs_out_after, now),
        short_by: short_by.map(decimal),
        refusal: None,
        curl: curl(app, typed, estimate.plan.id),
        currency: app.settings.currency.clone(),
    })
}

/// The same order as a call of the API, to be pasted into a shell.
fn curl(app: &App, typed: &Typed, plan: PlanId) -> String {
    let keys: Vec<SshKeyId> = typed.ssh_keys.iter().filter_map(|id| id.parse().ok()).collect();
    let mut body = json!({ "name": typed.name.trim(), "location": typed.location, "image": typed.image, "plan": plan, "ssh_keys": keys });
    if !typed.placement_group.trim().is_empty() {
        body["placement_group"] = json!(typed.placement_group.trim());
    }
    let body = serde_json::to_string_pretty(&body).unwrap_or_default().replace('\'', r"'\''");
    let url = &app.settings.public_url;
    format!(
        "curl -X POST {url}/api/v1/vms \\\n  -H \"Authorization: Bearer $TOKEN\" \\\n  -H 'Content-Type: application/json' \\\n  -d '{body}'"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_free_name_is_suggested() {
        assert_eq!(free_name(&[]), "vm-1");
        assert_eq!(free_name(&["vm-1", "web"]), "vm-2");
        assert_eq!(free_name(&["vm-2"]), "vm-1");
        assert_eq!(free_name(&["vm-1", "vm-3", "vm-2"]), "vm-4");
    }

    #[test]
    fn an_order_keeps_only_what_is_an_id() {
        let typed = Typed {
            plan: "large".into(),
            ssh_keys: vec!["x".into(), Uuid::nil().to_string()],
            new_key: " \n".into(),
            ..Typed::default()
        };
        let order = typed.order();
        assert!(order.plan.is_none() && order.new_key.is_none());
        assert_eq!(order.ssh_keys.len(), 1);
    }
}
