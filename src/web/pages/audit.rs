//! Who did what, when: the log of one's own organisation, and for the staff that of everybody. It only shows.

use std::collections::HashSet;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;

use super::exceptions;
use super::frames::{self, Notice, portal, render_with};
use crate::app::App;
use crate::audit::{self, AuditEvent, Event, Filter};
use crate::error::Result;
use crate::ids::{AuditEventId, VmId};
use crate::vms;
use crate::web::error::PageError;
use crate::web::format;
use crate::web::read::Query;
use crate::web::session::{Customer, Staff};
use crate::web::views::audit::{ActorKind, AdminAuditPage, AuditPage, AuditRow, AuditTable};
use crate::web::views::form::SelectOption;
use crate::web::views::frame::{AdminSection, Link, Section};

/// How many lines one page shows.
const EVENTS_SHOWN: i64 = 50;

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
    let actor = actor_kind(&event);
    let subject = link(&event, reader, alive);
    let mut text = words(&event, currency);
    if subject.is_none() && matches!(event.subject_kind.as_str(), "vm" | "ssh_key" | "cluster" | "job" | "voucher") {
        text = format!("{text} {}", event.subject_name);
    }
    // From where the operator's people work is not the customers' business.
    let address = event.address.filter(|_| reader == Reader::Staff || actor == ActorKind::Customer);
    let organisation = event.organisation_id.zip(event.organisation_name);
    AuditRow {
        at: event.at,
        who: if actor == ActorKind::Platform { "Uni-Manager".into() } else { event.actor },
        actor,
        text,
        event: event.event,
        subject,
        address,
        organisation: organisation.map(|(id, name)| Link { text: name, url: format!("/admin/customers/{id}") }),
    }
}

/// Who acted.
pub(super) fn actor_kind(event: &AuditEvent) -> ActorKind {
    match (event.actor.as_str(), event.by_staff) {
        ("system", _) => ActorKind::Platform,
        (_, true) => ActorKind::Staff,
        _ => ActorKind::Customer,
    }
}

/// What happened, as the middle of a sentence: actor *did this* to the subject.
pub(super) fn words(event: &AuditEvent, currency: &str) -> String {
    let detail = |name: &str| event.detail.get(name);
    let amount = || detail("amount").and_then(Value::as_str).and_then(|amount| amount.parse().ok());
    let known = match event.event.as_str() {
        "vm.observed" => Some(match detail("to").and_then(Value::as_str) {
            Some("running") => "saw that somebody started the VM".to_owned(),
            Some("stopped") => "saw that the VM has turned itself off".to_owned(),
            _ => "could not find the VM where it should be".to_owned(),
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
        (Reader::Staff, "voucher") => format!("/admin/vouchers/{id}"),
        _ => return None,
    };
    Some(Link { text: name.clone(), url })
}

/// Lines for a page that shows at most `shown` of them and was given one more when there are older ones. `url` is the page's
/// path with its filters and ends in `?` or `&`; `newest` is the same page from its beginning, when this is not it.
pub(super) async fn audit_table(
    app: &App,
    mut events: Vec<AuditEvent>,
    shown: i64,
    reader: Reader,
    url: &str,
    newest: Option<String>,
) -> Result<AuditTable> {
    let shown = usize::try_from(shown).unwrap_or(0);
    let has_older = events.len() > shown;
    events.truncate(shown);
    let oldest = events.last().filter(|_| has_older).map(|event| event.id);
    Ok(AuditTable {
        older_url: oldest.map(|id| format!("{url}after={id}")),
        newest_url: newest,
        events: audit_rows(app, events, reader).await?,
        with_organisation: reader == Reader::Staff,
    })
}

/// Which lines to show.
#[derive(Debug, Deserialize)]
pub struct Shown {
    after: Option<AuditEventId>,
    #[serde(default)]
    event: String,
    #[serde(default)]
    organisation: String,
}

/// `GET /audit`
pub async fn list(
    State(app): State<Arc<App>>,
    customer: Customer,
    notice: Notice,
    Query(shown): Query<Shown>,
) -> Result<Response, PageError> {
    let filter = Filter { organisation: Some(customer.organisation()), after: shown.after, ..Filter::default() };
    let events = audit::list(&app, &filter, EVENTS_SHOWN + 1).await?;
    let newest = shown.after.map(|_| "/audit".to_owned());
    let page = AuditPage {
        frame: portal(&app, &customer, "Audit", Section::Audit, &notice).await?,
        table: audit_table(&app, events, EVENTS_SHOWN, Reader::Customer, "/audit?", newest).await?,
    };
    Ok(render_with(&app, &notice, &page))
}

/// `GET /admin/audit?event=&organisation=&after=`
pub async fn list_all(
    State(app): State<Arc<App>>,
    staff: Staff,
    notice: Notice,
    Query(shown): Query<Shown>,
) -> Result<Response, PageError> {
    let (event, organisation) = (shown.event.trim().to_owned(), shown.organisation.trim().to_owned());
    let named = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
    let filter = Filter {
        event: named(&event),
        organisation_name: named(&organisation),
        after: shown.after,
        ..Filter::default()
    };
    let events = audit::list(&app, &filter, EVENTS_SHOWN + 1).await?;
    let encoded =
        |text: &str| percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string();
    let url = format!("/admin/audit?event={}&organisation={}", encoded(&event), encoded(&organisation));
    let newest = shown.after.map(|_| url.clone());
    let waiting = exceptions::count(&app).await?;
    let page = AdminAuditPage {
        frame: frames::admin(&app, &staff, "Audit", AdminSection::Audit, waiting, &notice),
        table: audit_table(&app, events, EVENTS_SHOWN, Reader::Staff, &format!("{url}&"), newest).await?,
        event,
        events: Event::ALL
            .iter()
            .map(|event| SelectOption { value: event.name().into(), text: event.name().into() })
            .collect(),
        organisation,
    };
    Ok(render_with(&app, &notice, &page))
}
