//! Guests that are not ours, for operators: look through them, take one over, let go of one that was taken over.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::exceptions::count;
use super::frames::{self, Notice, form_errors, redirect_with, render_with};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{ClusterId, VmId};
use crate::vms::adopt::{self, AdoptedVm, ForeignGuest, NewAdoption, PAGE_MAX};
use crate::web::error::{PageError, status};
use crate::web::format;
use crate::web::forms::{CsrfForm, Nothing};
use crate::web::read::{Path, Query};
use crate::web::session::Staff;
use crate::web::views::foreign_guests::{AdoptForm, AdoptPage, AdoptedRow, ForeignGuestsPage, GuestRow};
use crate::web::views::form::SelectOption;
use crate::web::views::frame::{AdminSection, FlashKind};
use crate::{catalog, clusters, organisations};

const URL: &str = "/admin/foreign-guests";
/// How many organisations the form offers at once.
const ORGANISATIONS_SHOWN: i64 = 50;

/// Which guests are looked for.
#[derive(Debug, Deserialize)]
pub struct Wanted {
    #[serde(default)]
    cluster: String,
    #[serde(default)]
    search: String,
    #[serde(default)]
    after_cluster: String,
    after_vmid: Option<i32>,
}

/// `GET /admin/foreign-guests`
pub async fn list(
    State(app): State<Arc<App>>,
    staff: Staff,
    notice: Notice,
    Query(wanted): Query<Wanted>,
) -> Result<Response, PageError> {
    let cluster: Option<ClusterId> = wanted.cluster.parse().ok();
    let search = wanted.search.trim();
    let after = wanted.after_vmid.map(|vmid| (wanted.after_cluster.clone(), vmid));
    let mut guests = adopt::list(&app, cluster, Some(search), after, PAGE_MAX + 1).await?;
    let shown = usize::try_from(PAGE_MAX).unwrap_or(usize::MAX);
    let has_more = guests.len() > shown;
    guests.truncate(shown);
    let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let more_url = guests.last().filter(|_| has_more).map(|last| {
        let (cluster, search) = (encoded(&wanted.cluster), encoded(search));
        let place = format!("after_cluster={}&after_vmid={}", encoded(&last.cluster_name), last.vmid);
        format!("{URL}?cluster={cluster}&search={search}&{place}")
    });
    let clusters = clusters::list(&app).await?;
    let page = ForeignGuestsPage {
        frame: frames::admin(&app, &staff, "Foreign guests", AdminSection::ForeignGuests, count(&app).await?, &notice),
        search: search.to_owned(),
        cluster: cluster.map(|id| id.to_string()).unwrap_or_default(),
        clusters: clusters.into_iter().map(|known| option(known.id, known.name)).collect(),
        rows: guests.into_iter().map(guest_row).collect(),
        more_url,
        adopted: adopt::adopted(&app).await?.into_iter().map(adopted_row).collect(),
    };
    Ok(render_with(&app, &notice, &page))
}

/// Which organisations the form offers.
#[derive(Debug, Deserialize)]
pub struct Find {
    #[serde(default)]
    find: String,
}

/// `GET /admin/foreign-guests/{cluster}/{vmid}`
pub async fn show(
    State(app): State<Arc<App>>,
    staff: Staff,
    notice: Notice,
    Path((cluster, vmid)): Path<(ClusterId, i32)>,
    Query(find): Query<Find>,
) -> Result<Response, PageError> {
    let guest = adopt::find(&app, cluster, vmid).await?;
    let plans = catalog::plans(&app).await?;
    let form = AdoptForm {
        name: adopt::proposed_name(&guest),
        plan: adopt::closest(&plans, &guest).map(|plan| plan.id.to_string()).unwrap_or_default(),
        find: find.find.trim().to_owned(),
        ..AdoptForm::default()
    };
    Ok(render_with(&app, &notice, &page(&app, &staff, &notice, guest, form).await?))
}

/// What was typed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Typed {
    organisation: String,
    plan: String,
    image: String,
    name: String,
    address: String,
}

/// `POST /admin/foreign-guests/{cluster}/{vmid}`
pub async fn adopt(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path((cluster, vmid)): Path<(ClusterId, i32)>,
    CsrfForm(typed): CsrfForm<Typed>,
) -> Result<Response, PageError> {
    // What is no id is none of those that were offered: the operation says so at the field.
    let new = NewAdoption {
        organisation: typed.organisation.parse().ok(),
        plan: typed.plan.parse().ok(),
        image: typed.image.parse().ok(),
        name: typed.name.clone(),
        address: typed.address.clone(),
    };
    match adopt::adopt(&app, cluster, vmid, &new, &staff.actor).await {
        Ok((_, job)) => {
            let words = "The guest is being adopted: see the job.";
            Ok(redirect_with(&app, &format!("/admin/jobs/{job}"), FlashKind::Success, words))
        }
        Err(error) => {
            let status = status(&error);
            let errors = match error {
                Error::NotEnoughCredit { short_by } => {
                    let missing = format::missing(&short_by.to_decimal(), &app.settings.currency);
                    let sentence =
                        format!("The wallet of this organisation does not carry an hour of it: {missing} is missing.");
                    [("organisation", sentence)].into_iter().collect()
                }
                error => form_errors(error)?,
            };
            let Typed { organisation, plan, image, name, address } = typed;
            let form = AdoptForm { organisation, plan, image, name, address, errors, find: String::new() };
            let guest = adopt::find(&app, cluster, vmid).await?;
            let page = page(&app, &staff, &Notice::default(), guest, form).await?;
            Ok((status, frames::render(&page)).into_response())
        }
    }
}

/// `POST /admin/vms/{id}/release`
pub async fn release(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<VmId>,
    CsrfForm(Nothing {}): CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    match adopt::release(&app, id, &staff.actor).await {
        Ok(_) => Ok(redirect_with(&app, URL, FlashKind::Success, "It is being let go; its guest runs on as it is.")),
        Err(Error::Conflict(sentence)) => Ok(redirect_with(&app, URL, FlashKind::Danger, sentence)),
        Err(other) => Err(other.into()),
    }
}

async fn page(app: &App, staff: &Staff, notice: &Notice, guest: ForeignGuest, form: AdoptForm) -> Result<AdoptPage> {
    let find = Some(form.find.as_str()).filter(|find| !find.is_empty());
    let mut organisations = organisations::list(app, find, None, ORGANISATIONS_SHOWN).await?;
    // The one that was chosen is offered again, wherever it stands.
    if let Ok(chosen) = form.organisation.parse()
        && !organisations.iter().any(|line| line.id == chosen)
        && let Ok(line) = organisations::line(app, chosen).await
    {
        organisations.push(line);
    }
    let currency = &app.settings.currency;
    Ok(AdoptPage {
        frame: frames::admin(app, staff, "Adopt a guest", AdminSection::ForeignGuests, count(app).await?, notice),
        guest: guest_row(guest),
        form,
        organisations: organisations
            .into_iter()
            .map(|line| option(line.id, format!("{} ({})", line.name, line.owner_email)))
            .collect(),
        plans: catalog::plans(app)
            .await?
            .into_iter()
            .map(|plan| {
                let price = format::hourly(&plan.running.to_decimal(), currency);
                let memory = format::mebibytes(&u64::try_from(plan.memory_mib).unwrap_or(0));
                option(plan.id, format!("{} ({} vCPU, {memory}): {price}/h", plan.name, plan.vcpu))
            })
            .collect(),
        images: catalog::images(app).await?.into_iter().map(|image| option(image.id, image.name)).collect(),
    })
}

fn option(value: impl ToString, text: String) -> SelectOption {
    SelectOption { value: value.to_string(), text }
}

fn guest_row(guest: ForeignGuest) -> GuestRow {
    let memory = format::mebibytes(&u64::try_from(guest.memory_mib).unwrap_or(0));
    GuestRow {
        url: format!("{URL}/{}/{}", guest.cluster, guest.vmid),
        size: format!("{} vCPU, {memory}, {} GiB disk", guest.vcpu, guest.disk_gib),
        name: if guest.name.is_empty() { format!("VM {}", guest.vmid) } else { guest.name },
        vmid: guest.vmid,
        status: guest.status,
        template: guest.template,
        cluster: guest.cluster_name,
        node: guest.node,
        tags: guest.tags.join(", "),
        first_seen_at: guest.first_seen_at,
    }
}

fn adopted_row(vm: AdoptedVm) -> AdoptedRow {
    let vmid = vm.vmid.map(|vmid| format!(" · {vmid}")).unwrap_or_default();
    AdoptedRow {
        id: vm.id.to_string(),
        name: vm.name,
        organisation: vm.organisation_name,
        organisation_id: vm.organisation.to_string(),
        plan: vm.plan_name,
        may_release: !vm.busy && matches!(vm.state.as_str(), "running" | "stopped"),
        state: vm.state,
        place: format!("{} · {}{vmid}", vm.cluster_name, vm.node),
        adopted_at: vm.adopted_at,
    }
}
