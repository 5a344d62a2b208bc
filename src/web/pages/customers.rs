//! Organisations for operators: a list to look in, and one with its wallet, machines, ledger and log. Credit is given and
//! taken here.

mod hand;
mod migrate;
mod quotas;
mod zero;

use std::collections::HashMap;
use std::sync::Arc;

pub use hand::{add_credit, refund_charges, take_credit, write_off};
pub use migrate::{choose_node, migrate};
pub use quotas::change_quotas;
pub use zero::{change_zero, keep};

use axum::extract::State;
use axum::response::Response;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

pub(super) use self::hand::prefixed;
use self::hand::{Forms, Hand};
use super::audit::{Reader, audit_rows};
use super::exceptions::count;
use super::frames::{self, Notice, cut, decimal, lasts_at, level, render_with};
use super::vms::vm_status;
use super::wallet::transfer_table;
use crate::app::App;
use crate::error::Result;
use crate::ids::{AuditEventId, ClusterId, OrganisationId, TransferId, VmId};
use crate::organisations::{self, CustomerLine, PAGE_MAX, Short};
use crate::vms::{self, Vm};
use crate::web::error::PageError;
use crate::web::format;
use crate::web::read::{Path, Query};
use crate::web::session::Staff;
use crate::web::views::audit::AuditTable;
use crate::web::views::customers::{CustomerFacts, CustomerPage, CustomerRow, CustomerVm, CustomersPage};
use crate::web::views::frame::AdminSection;
use crate::{audit, clusters, exceptions, ledger};

/// How many machines, lines of the ledger and events the page of one customer shows at once.
const VMS_SHOWN: i64 = 50;
const TRANSFERS_SHOWN: i64 = 15;
const EVENTS_SHOWN: i64 = 15;

/// Which customers are looked for.
#[derive(Debug, Deserialize)]
pub struct Wanted {
    #[serde(default)]
    search: String,
    #[serde(default)]
    wallet: String,
    after: Option<OrganisationId>,
}

/// `GET /admin/customers`
pub async fn list(
    State(app): State<Arc<App>>,
    staff: Staff,
    notice: Notice,
    Query(wanted): Query<Wanted>,
) -> Result<Response, PageError> {
    let search = wanted.search.trim();
    let short = match wanted.wallet.as_str() {
        "ending" => Some((Short::EndingBefore(exceptions::ending_before(&app)), "Wallets that run out within 24 h.")),
        "empty" => Some((Short::Empty, "Wallets that have run out.")),
        _ => None,
    };
    let mut found = match short {
        Some((short, _)) => organisations::list_short_of_credit(&app, short, wanted.after, PAGE_MAX + 1).await?,
        None => {
            organisations::list(&app, Some(search).filter(|search| !search.is_empty()), wanted.after, PAGE_MAX + 1)
                .await?
        }
    };
    let query = format!("search={}&wallet={}", encoded(search), encoded(&wanted.wallet));
    let page = CustomersPage {
        frame: frames::admin(&app, &staff, "Customers", AdminSection::Customers, count(&app).await?, &notice),
        search: search.to_owned(),
        only: short.map(|(_, words)| words),
        older_url: cut(&mut found, PAGE_MAX).map(|last| format!("/admin/customers?{query}&after={}", last.id)),
        rows: found.into_iter().map(|line| customer_row(&app, line)).collect(),
    };
    Ok(render_with(&app, &notice, &page))
}

/// Where in its lists the page of a customer is: before which machine, transfer, event.
#[derive(Debug, Default, Deserialize)]
pub struct Place {
    vms: Option<VmId>,
    after: Option<TransferId>,
    events: Option<AuditEventId>,
}

/// `GET /admin/customers/{id}`
pub async fn show(
    State(app): State<Arc<App>>,
    staff: Staff,
    notice: Notice,
    Path(id): Path<OrganisationId>,
    Query(place): Query<Place>,
) -> Result<Response, PageError> {
    let page = customer_page(&app, &staff, &notice, id, &place, Forms::default()).await?;
    Ok(render_with(&app, &notice, &page))
}

async fn customer_page(
    app: &App,
    staff: &Staff,
    notice: &Notice,
    id: OrganisationId,
    place: &Place,
    forms: Forms,
) -> Result<CustomerPage> {
    let line = organisations::line(app, id).await?;
    let url = format!("/admin/customers/{id}");
    let mut machines = vms::list(app, id, place.vms, VMS_SHOWN + 1).await?;
    let older_vms_url = cut(&mut machines, VMS_SHOWN).map(|last| format!("{url}?vms={}#vms", last.id));
    let names: HashMap<ClusterId, String> =
        clusters::list(app).await?.into_iter().map(|cluster| (cluster.id, cluster.name)).collect();
    let wallet = ledger::wallet(app, id).await?;
    let transfers = ledger::transfers(app, id, place.after, TRANSFERS_SHOWN + 1).await?;
    Ok(CustomerPage {
        frame: frames::admin(app, staff, line.name.clone(), AdminSection::Customers, count(app).await?, notice),
        machines: format::unsigned(line.vms),
        vms: machines.into_iter().map(|vm| customer_vm(vm, &names)).collect(),
        older_vms_url,
        newest_vms_url: place.vms.map(|_| format!("{url}#vms")),
        transfers: transfer_table(app, transfers, TRANSFERS_SHOWN, &url, place.after.is_none(), &url),
        audit: audit_table(app, id, place, &url).await?,
        people: super::staff::people_card(app, staff, id).await?,
        customer: customer_facts(app, line).await?,
        credit: forms.credit(id, wallet.exhausted_at.is_some()),
        debit: forms.of(Hand::Debit, id),
        refund: forms.of(Hand::Refund, id),
        write_off: forms.write_off(id, wallet.balance),
        price_lists: super::price_lists::options(app).await?,
        price_list: wallet.price_list.to_string(),
        zero: zero::part(app, id, forms.zero).await?,
        quotas: super::quotas::of_customer(&crate::quotas::standing(app, id).await?, forms.quotas),
    })
}

async fn audit_table(app: &App, id: OrganisationId, place: &Place, url: &str) -> Result<AuditTable> {
    let filter = audit::Filter { organisation: Some(id), after: place.events, ..audit::Filter::default() };
    let mut events = audit::list(app, &filter, EVENTS_SHOWN + 1).await?;
    let older_url = cut(&mut events, EVENTS_SHOWN).map(|last| format!("{url}?events={}#log", last.id));
    Ok(AuditTable {
        events: audit_rows(app, events, Reader::Staff).await?,
        with_organisation: false,
        older_url,
        newest_url: place.events.map(|_| format!("{url}#log")),
        searched: false,
    })
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

fn customer_row(app: &App, line: CustomerLine) -> CustomerRow {
    let (exhausted, now) = (line.exhausted_at.is_some(), app.clock.now());
    CustomerRow {
        id: line.id.to_string(),
        organisation: line.name,
        owner_email: line.owner_email,
        machines: format::unsigned(line.vms),
        running: format::unsigned(line.vms_running),
        balance: decimal(line.balance),
        burn_per_hour: line.burn_per_hour.to_decimal(),
        lasts: lasts_at(line.burn_per_hour, exhausted, line.runs_out_at, now),
        level: level(exhausted, line.runs_out_at, now),
    }
}

async fn customer_facts(app: &App, line: CustomerLine) -> Result<CustomerFacts> {
    let wallet = ledger::wallet(app, line.id).await?;
    let (exhausted, now) = (wallet.exhausted_at.is_some(), app.clock.now());
    Ok(CustomerFacts {
        id: line.id.to_string(),
        number: line.number,
        organisation: line.name,
        owner_name: line.owner_name,
        owner_email: line.owner_email,
        created_at: line.created_at,
        balance: decimal(wallet.balance),
        reserved: decimal(wallet.held),
        available: decimal(wallet.available()),
        burn_per_hour: wallet.burn_per_hour.to_decimal(),
        lasts: lasts_at(wallet.burn_per_hour, exhausted, wallet.runs_out_at, now),
        runs_out_at: wallet.runs_out_at.filter(|_| !exhausted),
        level: level(exhausted, wallet.runs_out_at, now),
    })
}

fn customer_vm(vm: Vm, clusters: &HashMap<ClusterId, String>) -> CustomerVm {
    let cluster = clusters.get(&vm.cluster).map_or("", String::as_str);
    CustomerVm {
        status: vm_status(&vm),
        can_move: vm.job.is_none() && matches!(vm.state, vms::State::Running | vms::State::Stopped),
        number: vm.number,
        name: vm.name,
        plan: vm.plan_name,
        location: vm.location_name,
        place: vm.vmid.map_or_else(String::new, |vmid| format!("{cluster} · {} · {vmid}", vm.node)),
        address: vm.address,
        cost_per_hour: vm.rate.to_decimal(),
    }
}
