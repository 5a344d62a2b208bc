//! Passes of charging, for operators: what waits with its decisions, what was charged, and what is not charged. A wallet that
//! could not be charged is let try again from here too.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use billing::HoldReason;
use chrono::{DateTime, Utc};
use serde::Deserialize;

use super::exceptions::count;
use super::frames::{self, Notice, decimal, redirect_with, render_with};
use crate::app::App;
use crate::charging;
use crate::charging::passes::{self, Decision, Kind, PassRecord, Reason, Status};
use crate::error::Error;
use crate::ids::{OrganisationId, PassId};
use crate::metering::uncharged::{self, UnchargedTime};
use crate::web::error::PageError;
use crate::web::format;
use crate::web::forms::{CsrfForm, Nothing};
use crate::web::read::Path;
use crate::web::session::Staff;
use crate::web::views::frame::{AdminSection, FlashKind};
use crate::web::views::passes::{HeldPass, PassRow, PassesPage, UnchargedRow};

const URL: &str = "/admin/passes";
/// How many passes are shown at once: those of a day. The others are folded up.
const SHOWN: usize = 24;

/// `GET /admin/passes`
pub async fn list(State(app): State<Arc<App>>, staff: Staff, notice: Notice) -> Result<Response, PageError> {
    let all = passes::list(&app).await?;
    let held = all.iter().filter(|pass| pass.status.is_waiting()).map(|pass| held_pass(&app, pass)).collect();
    let mut rows: Vec<_> = all.iter().filter(|pass| !pass.status.is_waiting()).map(row).collect();
    let earlier = rows.split_off(rows.len().min(SHOWN));
    let uncharged = uncharged::latest(&app).await?.into_iter().map(uncharged_row).collect();
    let frame = frames::admin(&app, &staff, "Charging", AdminSection::Charging, count(&app).await?, &notice);
    let currency = app.settings.currency.clone();
    Ok(render_with(&app, &notice, &PassesPage { frame, held, rows, earlier, uncharged, currency }))
}

/// Why it is decided so.
#[derive(Debug, Deserialize)]
pub struct Why {
    #[serde(default)]
    reason: String,
}

/// `POST /admin/passes/{id}/approve`
pub async fn approve(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<PassId>,
    CsrfForm(why): CsrfForm<Why>,
) -> Result<Response, PageError> {
    let done = passes::decide(&app, id, Decision::Approve, &why.reason, &staff.actor).await;
    answer(&app, done, URL, "Approved: the wallets are being charged.")
}

/// `POST /admin/passes/{id}/refuse`
pub async fn refuse(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<PassId>,
    CsrfForm(why): CsrfForm<Why>,
) -> Result<Response, PageError> {
    let done = passes::decide(&app, id, Decision::Refuse, &why.reason, &staff.actor).await;
    answer(&app, done, URL, "Refused: it goes on waiting. Mend what made it so large, then approve it.")
}

/// `POST /admin/passes/{id}/waive`
pub async fn waive(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<PassId>,
    CsrfForm(why): CsrfForm<Why>,
) -> Result<Response, PageError> {
    let done = passes::decide(&app, id, Decision::Waive, &why.reason, &staff.actor).await;
    answer(&app, done, URL, "Waived: nobody is charged for this time.")
}

/// `POST /admin/customers/{id}/charging/retry`
pub async fn retry(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<OrganisationId>,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    let done = charging::try_again(&app, id, &staff.actor).await;
    answer(&app, done, "/admin", "It is being tried again. If it fails, it is back here at once.")
}

/// Back to where it was asked, with what was done or why it was not.
fn answer(app: &App, done: crate::error::Result<()>, url: &str, words: &str) -> Result<Response, PageError> {
    let refused = match done {
        Ok(()) => return Ok(redirect_with(app, url, FlashKind::Success, words)),
        Err(Error::Conflict(sentence)) => sentence,
        Err(Error::Invalid(problems)) => {
            problems.into_iter().map(|problem| problem.problem).collect::<Vec<_>>().join(" ")
        }
        Err(Error::NotFound(_)) => "There is no such pass.".to_owned(),
        Err(other) => return Err(other.into()),
    };
    Ok(redirect_with(app, url, FlashKind::Danger, refused))
}

/// What a held pass is, in a few words.
pub(super) fn title(pass: &PassRecord) -> String {
    match pass.kind {
        Kind::Hourly => "The hourly charge is held".to_owned(),
        Kind::RunOuts => {
            let wallets = format::count(&format::unsigned(pass.projected_wallets), "wallet", "wallets");
            format!("The end of credit of {wallets} is held")
        }
        Kind::CatchUp => "Missed time is held".to_owned(),
    }
}

/// Why a pass is held, as a sentence.
pub(super) fn sentence(app: &App, reason: &Reason) -> String {
    let amount = |money| format::balance(&decimal(money), &app.settings.currency);
    match reason {
        Reason::Breaker(HoldReason::Amount { projected, usual, at_most }) => format!(
            "It would charge about {}. {} is usual for an hour, and at most {} goes through by itself.",
            amount(*projected),
            amount(*usual),
            amount(*at_most)
        ),
        Reason::Breaker(HoldReason::Stops { stopping, running, at_most }) => format!(
            "It would stop {} of {} running VMs; at most {at_most} stop by themselves at once.",
            format::grouped(stopping),
            format::grouped(running)
        ),
        Reason::Missed { missed_hours, limit_hours } => {
            format!("{missed_hours} hours were missed; up to {limit_hours} are caught up by themselves.")
        }
    }
}

fn held_pass(app: &App, pass: &PassRecord) -> HeldPass {
    HeldPass {
        id: pass.id.to_string(),
        title: title(pass),
        reasons: pass.reasons.iter().map(|reason| sentence(app, reason)).collect(),
        from: pass.from,
        through: pass.through,
        hours: format::unsigned(pass.hours.into()),
        wallets: format::unsigned(pass.projected_wallets),
        projected: decimal(pass.projected_amount),
        usual: pass.usual_amount.map(decimal),
        is_refused: pass.status == Status::Refused,
        decided_by: pass.decided_by.clone().unwrap_or_else(|| "somebody".to_owned()),
        may_waive: pass.may_waive(),
        question: format!(
            "About {} of {} are charged.",
            format::balance(&decimal(pass.projected_amount), &app.settings.currency),
            format::count(&format::unsigned(pass.projected_wallets), "wallet", "wallets")
        ),
    }
}

fn row(pass: &PassRecord) -> PassRow {
    let (status, class) = match pass.status {
        Status::Running => ("running", "pill-work"),
        Status::Done => ("done", "pill-good"),
        Status::Held => ("held", "pill-warning"),
        Status::Approved => ("approved", "pill-good"),
        Status::Refused => ("refused", "pill-bad"),
        Status::Waived => ("waived", "pill-quiet"),
    };
    PassRow {
        through: pass.through,
        kind: match pass.kind {
            Kind::Hourly => "Full hour",
            Kind::RunOuts => "Ends of credit",
            Kind::CatchUp => "Missed time",
        },
        status,
        class,
        wallets: format::unsigned(if pass.kind == Kind::Hourly { pass.wallets } else { pass.projected_wallets }),
        charges: format::unsigned(pass.charges),
        amount: decimal(pass.amount),
        ran_out: format::unsigned(pass.ran_out),
        failed: format::unsigned(pass.failed),
        took: pass.finished_at.map_or_else(|| "–".to_owned(), |at| took(pass.started_at, at)),
        decided_by: pass.decided_by.clone(),
    }
}

fn took(from: DateTime<Utc>, to: DateTime<Utc>) -> String {
    match (to - from).num_milliseconds() {
        milliseconds @ ..10_000 => format!("{} ms", milliseconds.max(0)),
        milliseconds => format::duration(milliseconds / 1000),
    }
}

fn uncharged_row(time: UnchargedTime) -> UnchargedRow {
    UnchargedRow {
        cluster: time.cluster_name.unwrap_or_else(|| "–".to_owned()),
        from: time.from,
        to: time.to,
        vms: format!(
            "{} of {}",
            format::count(&format::unsigned(time.vms), "VM", "VMs"),
            format::count(&format::unsigned(time.organisations), "customer", "customers")
        ),
        reason: time.reason.words(),
    }
}
