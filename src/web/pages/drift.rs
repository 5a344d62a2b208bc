//! Guests that are not what is sold, for operators: what differs, and the three decisions with their effect on the bill.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;

use super::exceptions::count;
use super::frames::{self, Notice, redirect_with, render_with};
use crate::app::App;
use crate::error::Error;
use crate::ids::DriftId;
use crate::vms::drift::{self, Adoption, Choice, Decidable, DriftKind, Effect};
use crate::web::error::PageError;
use crate::web::format;
use crate::web::forms::{CsrfForm, Nothing};
use crate::web::read::Path;
use crate::web::session::Staff;
use crate::web::views::drift::{ChoiceView, DriftPage, DriftRow, PlanOption};
use crate::web::views::frame::{AdminSection, FlashKind};

const URL: &str = "/admin/drift";

/// `GET /admin/drift`
pub async fn list(State(app): State<Arc<App>>, staff: Staff, notice: Notice) -> Result<Response, PageError> {
    let rows = drift::list(&app).await?.into_iter().map(|drift| row(&app, drift)).collect();
    let frame = frames::admin(&app, &staff, "Drift", AdminSection::Drift, count(&app).await?, &notice);
    Ok(render_with(&app, &notice, &DriftPage { frame, rows }))
}

/// What was chosen to adopt.
#[derive(Debug, Deserialize)]
pub struct Chosen {
    #[serde(default)]
    plan: String,
    #[serde(default)]
    follow: bool,
}

/// `POST /admin/drift/{id}/accept`
pub async fn accept(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<DriftId>,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    let done = drift::accept(&app, id, &staff.actor).await;
    answer(&app, done, "Accepted: the guest stays as it is.")
}

/// `POST /admin/drift/{id}/enforce`
pub async fn enforce(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<DriftId>,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    let done = drift::enforce(&app, id, &staff.actor).await.map(drop);
    answer(&app, done, "The guest is being set back: see the jobs.")
}

/// `POST /admin/drift/{id}/adopt`
pub async fn adopt(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<DriftId>,
    CsrfForm(chosen): CsrfForm<Chosen>,
) -> Result<Response, PageError> {
    let plan = match chosen.plan.trim() {
        "" => Ok(None),
        plan => plan.parse().map(Some).map_err(|_| Error::invalid("plan", "Choose one of the plans.")),
    };
    let done = match plan {
        Ok(plan) => drift::adopt(&app, id, &Adoption { plan, follow: chosen.follow }, &staff.actor).await,
        Err(error) => Err(error),
    };
    answer(&app, done, "Adopted: the books follow the guest from now on.")
}

/// Back to the list, with what was done or why it was not.
fn answer(app: &App, done: crate::error::Result<()>, words: &str) -> Result<Response, PageError> {
    let refused = match done {
        Ok(()) => return Ok(redirect_with(app, URL, FlashKind::Success, words)),
        Err(Error::Conflict(sentence) | Error::Unavailable(sentence)) => sentence,
        Err(Error::Invalid(problems)) => {
            problems.into_iter().map(|problem| problem.problem).collect::<Vec<_>>().join(" ")
        }
        Err(Error::NotFound(_)) => "This difference is not open any more.".to_owned(),
        Err(other) => return Err(other.into()),
    };
    Ok(redirect_with(app, URL, FlashKind::Danger, refused))
}

fn row(app: &App, decidable: Decidable) -> DriftRow {
    let drift = &decidable.drift;
    let url = |what: &str| format!("{URL}/{}/{what}", drift.id);
    let mut choices = vec![
        choice(app, "Accept", &decidable.accept, url("accept")),
        choice(app, "Enforce", &decidable.enforce, url("enforce")),
    ];
    if let Some(follow) = &decidable.follow {
        // A URL of its own: a form is known by where it goes.
        let view = choice(app, "Follow", follow, url("adopt?follow"));
        choices.push(ChoiceView { follow: true, ..view });
    }
    let mut adopt = choice(
        app,
        if drift.kind == DriftKind::Missing { "Record as deleted" } else { "Adopt" },
        &decidable.adopt,
        url("adopt"),
    );
    adopt.is_danger = drift.kind == DriftKind::Missing;
    if !decidable.plans.is_empty() {
        adopt.question = "The chosen plan is charged from now on.".to_owned();
        if decidable.plans.iter().all(|plan| !plan.exact) {
            adopt.words = "No plan fits it exactly. The chosen one is charged from now on.".to_owned();
        }
        adopt.plans = decidable
            .plans
            .iter()
            .map(|plan| PlanOption {
                value: plan.plan.to_string(),
                text: format!("{}, {}: {}", plan.name, plan.size, price(app, &plan.effect)),
                selected: plan.exact,
            })
            .collect();
    }
    choices.push(adopt);
    let what = match drift.kind {
        DriftKind::Size => "has another size",
        DriftKind::Disk => "has another disk",
        DriftKind::Tags => "has lost its tags",
        DriftKind::Identity => "has another identity",
        DriftKind::Missing => "is missing",
    };
    let vmid = drift.vmid.map(|vmid| format!(" · {vmid}")).unwrap_or_default();
    DriftRow {
        id: drift.id.to_string(),
        title: format!("{} {what}", drift.vm_name),
        vm: drift.vm_name.clone(),
        organisation: drift.organisation_name.clone(),
        organisation_id: drift.organisation.to_string(),
        place: format!("{} · {}{vmid}", drift.cluster_name, drift.node),
        expected: decidable.expected_words.clone(),
        found: decidable.found_words.clone(),
        since: drift.first_seen_at,
        busy: drift.busy,
        choices,
    }
}

fn choice(app: &App, name: &'static str, choice: &Choice, url: String) -> ChoiceView {
    let bill = bill(app, &choice.effect);
    ChoiceView {
        name,
        words: choice.refused.clone().unwrap_or_else(|| choice.words.clone()),
        question: format!("{} {bill}", choice.words),
        bill: if choice.refused.is_some() { String::new() } else { bill },
        refused: choice.refused.is_some(),
        url,
        is_danger: false,
        follow: false,
        plans: Vec::new(),
    }
}

/// What is charged after a decision.
fn price(app: &App, effect: &Effect) -> String {
    let currency = &app.settings.currency;
    let hour = format::hourly(&effect.hour_to.to_decimal(), currency);
    format!("{hour}/h, at most {} a month", format::money(&effect.month_to.to_decimal(), currency))
}

/// What a decision does to the bill, as a sentence.
fn bill(app: &App, effect: &Effect) -> String {
    let currency = &app.settings.currency;
    let hour = |rate: billing::Rate| format::hourly(&rate.to_decimal(), currency);
    let month = |money: billing::Money| format::money(&money.to_decimal(), currency);
    if effect.is_none() {
        return format!(
            "The bill stays at {}/h, at most {} a month.",
            hour(effect.hour_from),
            month(effect.month_from)
        );
    }
    format!(
        "{}/h → {}/h, at most {} → {} a month.",
        hour(effect.hour_from),
        hour(effect.hour_to),
        month(effect.month_from),
        month(effect.month_to)
    )
}
