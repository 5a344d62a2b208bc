//! One cluster in detail, and what is done to it there: look now, test, endpoints, whether machines would fit.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::{card, template_found};
use crate::app::App;
use crate::catalog;
use crate::clusters::{
    self, Cluster, Endpoint, EndpointHealth, IsoImage, Node, Storage, TestReport, TestedTemplate, Trouble,
};
use crate::error::{Error, Result};
use crate::ids::{ClusterId, ImageId};
use crate::vms;
use crate::web::error::{PageError, status};
use crate::web::format;
use crate::web::forms::{CsrfForm, Nothing};
use crate::web::pages::exceptions::count;
use crate::web::pages::frames::{self, Notice, form_errors, redirect_with, render, render_with};
use crate::web::read::{Path, Query};
use crate::web::session::Staff;
use crate::web::views::clusters::page::{
    ClusterPage, EndpointRow, FitAnswer, FitForm, Gauge, ImageTemplate, IsoRow, NodeRow, StorageRow,
};
use crate::web::views::clusters::{CertificateForm, ClusterHealth, ClusterRow, ConnectionTest, TemplateFound};
use crate::web::views::form::{FormErrors, SelectOption};
use crate::web::views::frame::{AdminSection, FlashKind};

const BYTES_PER_MEBIBYTE: u64 = 1 << 20;
const BYTES_PER_GIBIBYTE: u64 = 1 << 30;

/// “Would it fit?”, as it was asked.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Asked {
    plan: Option<String>,
    count: String,
    apart: Option<String>,
}

/// `GET /admin/clusters/{id}?plan=&count=&apart=`
pub async fn show(
    State(app): State<Arc<App>>,
    staff: Staff,
    notice: Notice,
    Path(id): Path<ClusterId>,
    Query(asked): Query<Asked>,
) -> Result<Response, PageError> {
    let mut page = cluster_page(&app, &staff, &notice, id, None).await?;
    answer(&app, id, asked, &mut page.fit).await?;
    Ok(render_with(&app, &notice, &page))
}

/// Answers the question, if one was asked.
async fn answer(app: &App, id: ClusterId, asked: Asked, form: &mut FitForm) -> Result<()> {
    let Some(plan) = asked.plan else { return Ok(()) };
    form.apart = asked.apart.is_some();
    form.count = asked.count;
    form.plan.clone_from(&plan);
    let outcome = match (plan.parse(), form.count.trim().parse()) {
        (Ok(plan), Ok(count)) => clusters::would_fit(app, id, plan, count, form.apart).await,
        (Err(_), _) => Err(Error::invalid("plan", "Choose one of the plans.")),
        (_, Err(_)) => Err(Error::invalid("count", "A number from 1 to 1000.")),
    };
    match outcome {
        Ok(filled) => {
            form.answer = Some(FitAnswer {
                wanted: form.count.trim().parse().unwrap_or(0),
                fits: u64::from(filled.count()),
                sentence: filled.refused.as_ref().map(clusters::NoPlace::sentence),
                places: filled.places.into_iter().map(|(_, node, count)| (node, count)).collect(),
                passed_over: filled.refused.map_or_else(Vec::new, |refused| {
                    refused.nodes.into_iter().map(|node| (node.node.clone(), node.reasons())).collect()
                }),
            });
        }
        Err(error) => form.errors = form_errors(error)?,
    }
    Ok(())
}

/// `POST /admin/clusters/{id}/test`
pub async fn test_again(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<ClusterId>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    let report = clusters::test_again(&app, id).await?;
    Ok(render(&cluster_page(&app, &staff, &Notice::default(), id, Some(&report)).await?))
}

/// `POST /admin/clusters/{id}/look`
pub async fn look(
    State(app): State<Arc<App>>,
    _staff: Staff,
    Path(id): Path<ClusterId>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    let to = format!("/admin/clusters/{id}");
    match vms::reconcile(&app, id).await {
        Ok(_) => Ok(redirect_with(&app, &to, FlashKind::Success, "It answered: this is how it is now.")),
        Err(Trouble::Ours(error)) => Err(error.into()),
        Err(trouble) => Ok(redirect_with(&app, &to, FlashKind::Warning, format!("It did not answer: {trouble}"))),
    }
}

/// A further endpoint to add, or one to take away.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TypedEndpoint {
    url: String,
    fingerprint: String,
    remove: String,
}

/// `POST /admin/clusters/{id}/endpoints`
pub async fn set_endpoints(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<ClusterId>,
    CsrfForm(typed): CsrfForm<TypedEndpoint>,
) -> Result<Response, PageError> {
    let known = clusters::endpoints(&app, id).await?;
    let mut wanted: Vec<Endpoint> = known
        .into_iter()
        .skip(1)
        .map(|known| Endpoint { url: known.url, fingerprint: known.fingerprint })
        .filter(|known| known.url != typed.remove)
        .collect();
    if typed.remove.is_empty() {
        wanted.push(Endpoint { url: typed.url.clone(), fingerprint: Some(typed.fingerprint.clone()) });
    }
    let Err(error) = clusters::set_endpoints(&app, id, &wanted, &staff.actor).await else {
        let to = format!("/admin/clusters/{id}");
        return Ok(redirect_with(&app, &to, FlashKind::Success, "The endpoints were saved."));
    };
    let status = status(&error);
    let mut page = cluster_page(&app, &staff, &Notice::default(), id, None).await?;
    page.errors = form_errors(error)?;
    (page.endpoint_url, page.endpoint_fingerprint) = (typed.url, typed.fingerprint);
    Ok((status, render(&page)).into_response())
}

pub(super) async fn cluster_page(
    app: &App,
    staff: &Staff,
    notice: &Notice,
    id: ClusterId,
    report: Option<&TestReport>,
) -> Result<ClusterPage> {
    let cluster = clusters::find(app, id).await?;
    let chosen: HashMap<ImageId, i32> =
        clusters::templates(app, id).await?.into_iter().map(|template| (template.image, template.vmid)).collect();
    let images = catalog::images(app).await?;
    let nodes = clusters::nodes(app, id).await?;
    let plans = catalog::plans(app).await?;
    let frame = frames::admin(app, staff, cluster.name.clone(), AdminSection::Clusters, count(app).await?, notice);
    let test = report.map(|report| {
        let mut card = card(app, report);
        if matches!(card.test, ConnectionTest::Failed { fingerprint_seen: Some(_), .. }) {
            card.certificate = Some(CertificateForm {
                cluster: id.to_string(),
                csrf: frame.csrf.clone(),
                pinned: cluster.fingerprint.clone(),
                errors: FormErrors::none(),
            });
        }
        card
    });
    Ok(ClusterPage {
        token_id: cluster.token_id.clone(),
        storage: cluster.storage.clone(),
        iso_storage: cluster.iso_storage.clone(),
        bridge: cluster.bridge.clone(),
        vmid_from: cluster.vmid_from.unsigned_abs(),
        vmid_to: cluster.vmid_to.unsigned_abs(),
        limits: limits(&cluster),
        storages: storage_rows(clusters::storages(app, id).await?),
        endpoints: endpoint_rows(clusters::endpoints(app, id).await?),
        endpoint_url: String::new(),
        endpoint_fingerprint: String::new(),
        isos: clusters::isos(app, id).await?.into_iter().map(iso_row).collect(),
        fit: FitForm {
            plan: plans.first().map(|plan| plan.id.to_string()).unwrap_or_default(),
            plans: plans.into_iter().map(|plan| SelectOption { value: plan.id.to_string(), text: plan.name }).collect(),
            count: "1".into(),
            ..FitForm::default()
        },
        test,
        templates: report.map_or_else(Vec::new, |report| template_choices(&report.templates, &chosen)),
        images: images
            .into_iter()
            .map(|image| ImageTemplate {
                image_id: image.id.to_string(),
                vmid: chosen.get(&image.id).map_or_else(String::new, ToString::to_string),
                image: image.name,
            })
            .collect(),
        cluster: cluster_row(cluster, &nodes),
        nodes: nodes.into_iter().map(node_row).collect(),
        errors: FormErrors::none(),
        frame,
    })
}

fn limits(cluster: &Cluster) -> String {
    format!(
        "Memory {} % after {} per node, processors {} %, disk {} %",
        cluster.memory_percent,
        format::mebibytes(&u64::from(cluster.node_reserve_mib.unsigned_abs())),
        cluster.cpu_percent,
        cluster.disk_percent
    )
}

/// The templates that were found, and those that are set but were not: choosing among the others must not drop them unseen.
fn template_choices(found: &[TestedTemplate], chosen: &HashMap<ImageId, i32>) -> Vec<TemplateFound> {
    let mut choices: Vec<TemplateFound> = found.iter().map(template_found).collect();
    if choices.is_empty() {
        return choices;
    }
    for vmid in chosen.values().map(|vmid| vmid.unsigned_abs()) {
        if !choices.iter().any(|choice| choice.vmid == vmid) {
            choices.push(TemplateFound { vmid, name: "not found on the cluster".into(), node: String::new() });
        }
    }
    choices
}

pub(super) fn cluster_row(cluster: Cluster, nodes: &[Node]) -> ClusterRow {
    let health = match (cluster.unreachable_since, cluster.last_seen_at) {
        (Some(since), _) => ClusterHealth::Silent {
            since,
            words: cluster.last_error.unwrap_or_default(),
            next_look: cluster.next_look_at,
        },
        (None, None) => ClusterHealth::Unasked,
        (None, Some(_)) => ClusterHealth::Answering,
    };
    ClusterRow {
        id: cluster.id.to_string(),
        name: cluster.name,
        location: cluster.location_name,
        endpoint: cluster.endpoint,
        health,
        version: cluster.version,
        nodes: format::unsigned(cluster.nodes),
        guests: format::unsigned(cluster.vms),
        looked_at: cluster.last_seen_at,
        maintenance: cluster.maintenance,
        memory: nodes.iter().filter(|node| node.online).map(memory).fold(Gauge::default(), Gauge::plus),
    }
}

fn memory(node: &Node) -> Gauge {
    let mebibytes = |bytes: i64| format::unsigned(bytes) / BYTES_PER_MEBIBYTE;
    Gauge {
        total: mebibytes(node.memory_bytes),
        limit: mebibytes(node.memory_limit_bytes),
        sold: mebibytes(node.memory_sold_bytes),
        used: mebibytes(node.memory_used_bytes),
    }
}

fn node_row(node: Node) -> NodeRow {
    let cpus = u64::from(node.cpu_count.unsigned_abs());
    let load = u64::from(node.cpu_used_percent.unsigned_abs());
    NodeRow {
        memory: memory(&node),
        online: node.online,
        cpus: node.cpu_count.unsigned_abs(),
        vms: format::unsigned(node.vms),
        cpu: Gauge {
            total: cpus,
            limit: format::unsigned(node.vcpu_limit),
            sold: format::unsigned(node.vcpu_sold),
            used: cpus * load / 100,
        },
        load,
        name: node.name,
    }
}

/// A shared storage has one row, however many nodes list it.
fn storage_rows(storages: Vec<Storage>) -> Vec<StorageRow> {
    let mut rows: BTreeMap<(bool, String, String), StorageRow> = BTreeMap::new();
    for storage in storages {
        let place = if storage.shared { "all nodes".to_owned() } else { storage.node };
        let total = format::unsigned(storage.total_bytes) / BYTES_PER_GIBIBYTE;
        let row = rows.entry((!storage.holds_disks, storage.name.clone(), place.clone())).or_insert(StorageRow {
            name: storage.name,
            place,
            kind: storage.kind,
            available: storage.available,
            holds_disks: storage.holds_disks,
            space: Gauge {
                total,
                // What is not for disks is not sold.
                limit: if storage.holds_disks { format::unsigned(storage.limit_gib) } else { total },
                sold: format::unsigned(storage.sold_gib),
                used: format::unsigned(storage.used_bytes) / BYTES_PER_GIBIBYTE,
            },
        });
        row.available |= storage.available;
    }
    rows.into_values().collect()
}

fn endpoint_rows(endpoints: Vec<EndpointHealth>) -> Vec<EndpointRow> {
    endpoints
        .into_iter()
        .enumerate()
        .map(|(place, endpoint)| EndpointRow {
            url: endpoint.url,
            fingerprint: endpoint.fingerprint,
            current: endpoint.current,
            failures: endpoint.failures,
            last_error: endpoint.last_error.filter(|_| endpoint.failures > 0),
            certificate_differs: endpoint.certificate_differs,
            further: place > 0,
        })
        .collect()
}

fn iso_row(image: IsoImage) -> IsoRow {
    IsoRow {
        id: image.id.to_string(),
        volume: image.volume,
        name: image.name,
        size: format::unsigned(image.size_bytes),
        offered: image.offered,
        rescue: image.rescue,
    }
}
