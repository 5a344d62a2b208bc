//! Who did what, when: the log of one's own organisation, and for the staff that of everybody. It only shows.

pub mod file;
mod search;

use std::collections::HashSet;
use std::sync::Arc;

pub use file::{
    csv, csv_for_programs, csv_for_programs_of_staff, csv_for_staff, json_lines, json_lines_for_programs,
    json_lines_for_programs_of_staff, json_lines_for_staff,
};
pub use search::Search;

use axum::extract::State;
use axum::response::Response;
use serde_json::{Map, Value};

use super::exceptions;
use super::frames::{self, Notice, form_errors, portal, render_with};
use crate::app::App;
use crate::audit::{self, ActorKind, AuditEvent, Event, Filter};
use crate::error::Result;
use crate::ids::VmId;
use crate::vms;
use crate::web::error::PageError;
use crate::web::format;
use crate::web::read::Query;
use crate::web::session::{Customer, Staff};
use crate::web::views::audit::{AdminAuditPage, AuditPage, AuditRow, AuditSearch, AuditTable, ChangedField};
use crate::web::views::form::{FormErrors, SelectOption};
use crate::web::views::frame::{AdminSection, Link, Section};

/// How many lines one page shows.
const EVENTS_SHOWN: i64 = 50;

/// How much of a value before and after one line shows, in characters; all of it is in the file.
const VALUE_CHARACTERS_SHOWN: usize = 80;

/// Who reads the log: it decides where the links lead and what is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reader {
    /// A person of the organisation.
    Customer,
    /// A person of the operator.
    Staff,
}

/// Events as lines. A link is only made to what is still there.
pub(super) async fn audit_rows(app: &App, events: Vec<AuditEvent>, reader: Reader) -> Result<Vec<AuditRow>> {
    let named: Vec<VmId> = events
        .iter()
        .filter(|event| event.subject_kind == "vm")
        .filter_map(|event| event.subject_id.parse().ok())
        .collect();
    let alive: HashSet<VmId> =
        if reader == Reader::Customer { vms::existing(app, &named).await? } else { HashSet::new() };
    let currency = &app.settings.currency;
    Ok(events.into_iter().map(|event| row(event, reader, &alive, currency)).collect())
}

fn row(event: AuditEvent, reader: Reader, alive: &HashSet<VmId>, currency: &str) -> AuditRow {
    let subject = link(&event, reader, alive);
    let mut text = words(&event, currency);
    if subject.is_none() && names_subject(&event) {
        text = format!("{text} {}", event.subject_name);
    }
    let who = event.who();
    let organisation = event.organisation_id.zip(event.organisation_name);
    AuditRow {
        at: event.at,
        who,
        actor: event.actor_kind,
        text,
        event: event.event,
        subject,
        changes: changes(event.changes.as_ref()),
        address: event.address,
        user_agent: event.user_agent,
        organisation: organisation.map(|(id, name)| Link { text: name, url: format!("/admin/customers/{id}") }),
    }
}

/// Whether the words of an event go on with what was acted on.
fn names_subject(event: &AuditEvent) -> bool {
    match event.subject_kind.as_str() {
        // Logging in and out is about oneself.
        "user" => !matches!(event.event.as_str(), "user.registered" | "user.logged_in" | "user.logged_out"),
        "wallet" | "settings" | "notice" | "organisation" => false,
        _ => true,
    }
}

/// What was before and after, in words.
fn changes(changes: Option<&Value>) -> Vec<ChangedField> {
    fn said(value: Option<&Value>) -> String {
        let text = match value {
            None | Some(Value::Null) => "–".to_owned(),
            Some(Value::String(text)) => text.clone(),
            Some(Value::Bool(yes)) => if *yes { "yes" } else { "no" }.to_owned(),
            Some(Value::Array(list)) if list.iter().all(Value::is_string) => {
                list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(", ")
            }
            Some(other) => other.to_string(),
        };
        if text.chars().count() <= VALUE_CHARACTERS_SHOWN {
            return text;
        }
        text.chars().take(VALUE_CHARACTERS_SHOWN).chain(['…']).collect()
    }
    let fields: Option<&Map<String, Value>> = changes.and_then(Value::as_object);
    let fields = fields.into_iter().flatten().map(|(name, change)| ChangedField {
        name: name.replace('_', " "),
        values: change.is_object().then(|| (said(change.get("before")), said(change.get("after")))),
    });
    fields.collect()
}

/// What happened, as the middle of a sentence: actor *did this* to the subject.
pub(super) fn words(event: &AuditEvent, currency: &str) -> String {
    let detail = |name: &str| event.detail.get(name);
    let amount = || detail("amount").and_then(Value::as_str).and_then(|amount| amount.parse().ok());
    let known = match event.event.as_str() {
        "vm.observed" => Some(match detail("to").and_then(Value::as_str) {
            Some("unknown") => "did not reach the server of the VM".to_owned(),
            Some("seen") => "reached again the server of the VM".to_owned(),
            Some("running") => "saw that somebody started the VM".to_owned(),
            Some("stopped") => "saw that the VM has turned itself off".to_owned(),
            _ => "found no guest any more for the VM".to_owned(),
        }),
        "vm.console_opened" => detail("reason")
            .and_then(Value::as_str)
            .map(|reason| format!("opened the console of the VM, saying “{reason}”,")),
        "vm.drift_adopted" => {
            Some(match (detail("plan").and_then(Value::as_str), detail("gone"), detail("followed")) {
                (Some(plan), ..) => format!("changed the plan to {plan}, which is what the VM is now:"),
                (None, Some(_), _) => "recorded as deleted, for it is not there any more, the VM".to_owned(),
                (None, None, Some(_)) => "found again the VM".to_owned(),
                (None, None, None) => return Event::words(&event.event).to_owned(),
            })
        }
        "wallet.ran_out" => detail("vms")
            .and_then(Value::as_u64)
            .map(|vms| format!("shut down {}: the credit ran out", format::count(&vms, "VM", "VMs"))),
        "wallet.resumed" => detail("vms")
            .and_then(Value::as_u64)
            .map(|vms| format!("started {} again: credit arrived", format::count(&vms, "VM", "VMs"))),
        "wallet.credited" | "wallet.debited" => amount().map(|amount| {
            let done = if event.event == "wallet.credited" { "added" } else { "took" };
            let below = if detail("below_zero").is_some_and(|below| below == true) { " below zero" } else { "" };
            let reason =
                detail("reason").and_then(Value::as_str).map(|reason| format!(": {reason}")).unwrap_or_default();
            format!("{done} {} of credit{below}{reason}", format::money(&amount, currency))
        }),
        "wallet.refunded" | "wallet.written_off" => amount().map(|amount| {
            let amount = format::money(&amount, currency);
            let reason = detail("reason").and_then(Value::as_str).unwrap_or_default();
            match event.event.as_str() {
                "wallet.refunded" => format!("gave back {amount} of charges: {reason}"),
                _ => format!("wrote off {amount} of what is owed: {reason}"),
            }
        }),
        "payment.recorded" => {
            amount().map(|amount| format!("recorded a payment of {},", format::money(&amount, currency)))
        }
        "payment.refunded" | "payment.charged_back" => amount().map(|amount| {
            let amount = format::money(&amount, currency);
            let done = if event.event == "payment.refunded" { "refunded" } else { "recorded as charged back" };
            let below = if detail("below_zero").is_some_and(|below| below == true) { ", below zero," } else { "" };
            let reason = detail("reason").and_then(Value::as_str).unwrap_or_default();
            format!("{done} {amount}{below} (“{reason}”) of the payment")
        }),
        "voucher.created" => amount().zip(detail("count").and_then(Value::as_u64)).map(|(amount, count)| {
            let amount = format::money(&amount, currency);
            if count == 1 {
                format!("made a voucher of {amount}:")
            } else {
                format!("made {count} vouchers of {amount}, the first")
            }
        }),
        "voucher.redeemed" => {
            amount().map(|amount| format!("got {} for the voucher", format::money(&amount, currency)))
        }
        _ => None,
    };
    known.unwrap_or_else(|| Event::words(&event.event).to_owned())
}

fn link(event: &AuditEvent, reader: Reader, alive: &HashSet<VmId>) -> Option<Link> {
    let (id, name) = (&event.subject_id, &event.subject_name);
    let url = match (reader, event.subject_kind.as_str()) {
        (Reader::Customer, "vm") if id.parse().is_ok_and(|id| alive.contains(&id)) => format!("/vms/{id}"),
        (Reader::Staff, "cluster") => format!("/admin/clusters/{id}"),
        (Reader::Staff, "job") => format!("/admin/jobs/{id}"),
        (Reader::Staff, "payment") => format!("/admin/payments/{id}"),
        (Reader::Staff, "voucher") => format!("/admin/vouchers/{id}"),
        _ => return None,
    };
    Some(Link { text: name.clone(), url })
}

/// `GET /audit`
pub async fn list(
    State(app): State<Arc<App>>,
    customer: Customer,
    notice: Notice,
    Query(search): Query<Search>,
) -> Result<Response, PageError> {
    let (found, errors) = found(&app, &search, Filter::of_customer(customer.organisation())).await?;
    let page = AuditPage {
        frame: portal(&app, &customer, "Audit", Section::Audit, &notice).await?,
        table: table(&app, found, &search, Reader::Customer, "/audit").await?,
        search: form(&search, errors, Reader::Customer, "/audit"),
    };
    Ok(render_with(&app, &notice, &page))
}

/// `GET /admin/audit`
pub async fn list_all(
    State(app): State<Arc<App>>,
    staff: Staff,
    notice: Notice,
    Query(search): Query<Search>,
) -> Result<Response, PageError> {
    let (found, errors) = found(&app, &search, Filter::default()).await?;
    let waiting = exceptions::count(&app).await?;
    let page = AdminAuditPage {
        frame: frames::admin(&app, &staff, "Audit", AdminSection::Audit, waiting, &notice),
        table: table(&app, found, &search, Reader::Staff, "/admin/audit").await?,
        search: form(&search, errors, Reader::Staff, "/admin/audit"),
    };
    Ok(render_with(&app, &notice, &page))
}

/// The events that are looked for, one more than a page shows; none with what is wrong when it cannot be looked for.
async fn found(app: &App, search: &Search, of: Filter) -> Result<(Vec<AuditEvent>, FormErrors)> {
    match search.filter(of) {
        Ok(filter) => Ok((audit::list(app, &filter, EVENTS_SHOWN + 1).await?, FormErrors::none())),
        Err(error) => Ok((Vec::new(), form_errors(error)?)),
    }
}

async fn table(
    app: &App,
    mut events: Vec<AuditEvent>,
    search: &Search,
    reader: Reader,
    path: &str,
) -> Result<AuditTable> {
    let shown = usize::try_from(EVENTS_SHOWN).unwrap_or(0);
    let has_older = events.len() > shown;
    events.truncate(shown);
    let oldest = events.last().filter(|_| has_older).map(|event| event.id);
    let query = search.query();
    let joined = if query.is_empty() { String::new() } else { format!("{query}&") };
    Ok(AuditTable {
        older_url: oldest.map(|id| format!("{path}?{joined}after={id}")),
        newest_url: search.after.map(|_| format!("{path}?{query}")),
        events: audit_rows(app, events, reader).await?,
        with_organisation: reader == Reader::Staff,
        searched: !search.is_empty(),
    })
}

fn form(search: &Search, errors: FormErrors, reader: Reader, path: &'static str) -> AuditSearch {
    let events = Event::ALL.iter().map(|event| {
        let words = Event::words(event.name()).trim_end_matches(':');
        SelectOption { value: event.name().into(), text: format!("{} · {words}", event.name()) }
    });
    let kinds = ActorKind::ALL.iter().map(|kind| {
        let text = match kind {
            ActorKind::Person => "People",
            ActorKind::Key => "API keys",
            ActorKind::Staff => "The operator",
            ActorKind::System => "Uni-Manager itself",
            ActorKind::Stranger => "Strangers",
        };
        SelectOption { value: kind.name().into(), text: text.into() }
    });
    AuditSearch {
        path,
        query: search.query(),
        for_staff: reader == Reader::Staff,
        typed: search.clone(),
        is_empty: search.is_empty(),
        events: events.collect(),
        kinds: kinds.collect(),
        errors,
    }
}
