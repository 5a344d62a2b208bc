//! Proxmox clusters for operators: the list, adding one after a test of its connection, which template an image is cloned
//! from. One cluster in detail is in `page`, its settings in `settings`, its CD images in `isos`. A token's secret is read
//! from a form and never written into a page.

mod isos;
mod page;
mod settings;
mod vms;

pub use isos::{refresh_isos, set_isos};
pub use page::{look, set_endpoints, show, test_again};
pub use settings::{change, remove, set_maintenance, settings, trust_certificate};
pub use vms::vms;

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use secrecy::SecretString;
use serde::Deserialize;

use page::cluster_page;

use super::exceptions::count;
use super::frames::{self, Notice, form_errors, redirect_with, render, render_with};
use crate::app::App;
use crate::catalog;
use crate::clusters::{self, NewCluster, TestReport, TestedTemplate};
use crate::error::{Error, Problem, Result};
use crate::ids::{ClusterId, ImageId};
use crate::web::error::{PageError, status};
use crate::web::forms::CsrfForm;
use crate::web::read::Path;
use crate::web::session::Staff;
use crate::web::views::clusters::{
    ClusterForm, ClusterNewPage, ClustersPage, ConnectionTest, ConnectionTestCard, MissingPrivilege, NodeFound,
    StorageFound, TemplateFound,
};
use crate::web::views::form::{FormErrors, SelectOption};
use crate::web::views::frame::{AdminSection, FlashKind};

/// The range of VMIDs that the form suggests: far from those that people hand out themselves.
const VMID_FROM_SUGGESTED: &str = "10000";
const VMID_TO_SUGGESTED: &str = "19999";
const BYTES_PER_MEBIBYTE: u64 = 1 << 20;

/// What was typed to add a cluster.
#[derive(Debug, Deserialize)]
#[serde(default)]
pub struct Typed {
    name: String,
    location: String,
    endpoint: String,
    token_id: String,
    secret: SecretString,
    fingerprint: String,
    storage: String,
    bridge: String,
    vmid_from: String,
    vmid_to: String,
}

impl Default for Typed {
    fn default() -> Self {
        let empty = String::new;
        Self {
            name: empty(),
            location: empty(),
            endpoint: empty(),
            token_id: empty(),
            secret: SecretString::default(),
            fingerprint: empty(),
            storage: empty(),
            bridge: empty(),
            vmid_from: empty(),
            vmid_to: empty(),
        }
    }
}

impl Typed {
    /// The order, and the form that shows it again.
    fn parted(self) -> (NewCluster, ClusterForm) {
        let order = NewCluster {
            name: self.name.clone(),
            location: self.location.parse().ok(),
            endpoint: self.endpoint.clone(),
            token_id: self.token_id.clone(),
            token_secret: self.secret,
            fingerprint: self.fingerprint.clone(),
            storage: self.storage.clone(),
            bridge: self.bridge.clone(),
            vmid_from: self.vmid_from.clone(),
            vmid_to: self.vmid_to.clone(),
        };
        let form = ClusterForm {
            name: self.name,
            location: self.location,
            endpoint: self.endpoint,
            token_id: self.token_id,
            fingerprint: self.fingerprint,
            storage: self.storage,
            bridge: self.bridge,
            vmid_from: self.vmid_from,
            vmid_to: self.vmid_to,
            errors: FormErrors::none(),
        };
        (order, form)
    }
}

/// `GET /admin/clusters`
pub async fn list(State(app): State<Arc<App>>, staff: Staff, notice: Notice) -> Result<Response, PageError> {
    let frame = frames::admin(&app, &staff, "Clusters", AdminSection::Clusters, count(&app).await?, &notice);
    let mut rows = Vec::new();
    for cluster in clusters::list(&app).await? {
        let nodes = clusters::nodes(&app, cluster.id).await?;
        rows.push(page::cluster_row(cluster, &nodes));
    }
    Ok(render_with(&app, &notice, &ClustersPage { frame, rows }))
}

/// `GET /admin/clusters/new`
pub async fn new(State(app): State<Arc<App>>, staff: Staff, notice: Notice) -> Result<Response, PageError> {
    let form = ClusterForm {
        vmid_from: VMID_FROM_SUGGESTED.into(),
        vmid_to: VMID_TO_SUGGESTED.into(),
        ..ClusterForm::default()
    };
    let page = new_page(&app, &staff, &notice, form, None).await?;
    Ok(render_with(&app, &notice, &page))
}

/// `POST /admin/clusters/test`
pub async fn test(
    State(app): State<Arc<App>>,
    staff: Staff,
    CsrfForm(typed): CsrfForm<Typed>,
) -> Result<Response, PageError> {
    let (order, mut form) = typed.parted();
    let (status, report) = match clusters::test(&app, &order).await {
        Ok(report) => {
            let problem = report.storage_problem(order.storage.trim()).filter(|_| report.failure.is_none());
            form.errors = problem.map(|problem| ("storage", problem)).into_iter().collect();
            (StatusCode::OK, Some(card(&app, &report)))
        }
        Err(error) => (status(&error), {
            form.errors = cluster_errors(error)?;
            None
        }),
    };
    let page = new_page(&app, &staff, &Notice::default(), form, report).await?;
    Ok((status, render(&page)).into_response())
}

/// `POST /admin/clusters`
pub async fn add(
    State(app): State<Arc<App>>,
    staff: Staff,
    CsrfForm(typed): CsrfForm<Typed>,
) -> Result<Response, PageError> {
    let (order, mut form) = typed.parted();
    match clusters::add(&app, &order, &staff.actor).await {
        Ok(id) => {
            let sentence = format!(
                "{} was added. Say which templates its images are cloned from; then customers can order there.",
                order.name.trim()
            );
            Ok(redirect_with(&app, &format!("/admin/clusters/{id}"), FlashKind::Success, sentence))
        }
        Err(error) => {
            let status = status(&error);
            form.errors = cluster_errors(error)?;
            form.errors.add("secret", "Type it again: a secret is never sent back to the page.");
            let page = new_page(&app, &staff, &Notice::default(), form, None).await?;
            Ok((status, render(&page)).into_response())
        }
    }
}

/// `POST /admin/clusters/{id}/templates`
pub async fn set_templates(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<ClusterId>,
    CsrfForm(typed): CsrfForm<HashMap<String, String>>,
) -> Result<Response, PageError> {
    let outcome = match wanted_templates(&typed) {
        Ok(wanted) => clusters::set_templates(&app, id, &wanted, &staff.actor).await,
        Err(problems) => Err(problems),
    };
    let Err(error) = outcome else {
        return Ok(redirect_with(&app, &format!("/admin/clusters/{id}"), FlashKind::Success, "The images were saved."));
    };
    let status = status(&error);
    let mut page = cluster_page(&app, &staff, &Notice::default(), id, None).await?;
    page.errors = form_errors(error)?;
    for image in &mut page.images {
        if let Some(vmid) = typed.get(&template_field(&image.image_id)) {
            image.vmid.clone_from(vmid);
        }
    }
    Ok((status, render(&page)).into_response())
}

fn template_field(image: &str) -> String {
    format!("template_{image}")
}

/// The fields `template_<image id>`; an empty one takes the image off the cluster.
fn wanted_templates(typed: &HashMap<String, String>) -> Result<Vec<(ImageId, Option<u32>)>> {
    let mut wanted = Vec::new();
    let mut problems = Vec::new();
    for (field, vmid) in typed {
        let Some(image) = field.strip_prefix("template_").and_then(|id| id.parse().ok()) else { continue };
        match vmid.trim() {
            "" => wanted.push((image, None)),
            number => match number.parse() {
                Ok(vmid) => wanted.push((image, Some(vmid))),
                Err(_) => problems.push(Problem::new(
                    field.clone(),
                    "The VMID of a template, such as 9000; empty when the image is not offered here.",
                )),
            },
        }
    }
    if problems.is_empty() { Ok(wanted) } else { Err(Error::Invalid(problems)) }
}

/// The problems of a cluster by the names of the form's fields.
fn cluster_errors(error: Error) -> Result<FormErrors> {
    let Error::Invalid(problems) = error else { return form_errors(error) };
    let field = |problem: &Problem| {
        if problem.field == "token_secret" { "secret".to_owned() } else { problem.field.to_string() }
    };
    Ok(problems.iter().map(|problem| (field(problem), problem.problem.clone())).collect())
}

async fn new_page(
    app: &App,
    staff: &Staff,
    notice: &Notice,
    form: ClusterForm,
    test: Option<ConnectionTestCard>,
) -> Result<ClusterNewPage> {
    let locations = catalog::locations(app).await?;
    Ok(ClusterNewPage {
        frame: frames::admin(app, staff, "Add a cluster", AdminSection::Clusters, count(app).await?, notice),
        form,
        locations: locations
            .into_iter()
            .map(|location| SelectOption { value: location.id.to_string(), text: location.name })
            .collect(),
        test,
    })
}

fn template_found(template: &TestedTemplate) -> TemplateFound {
    TemplateFound { vmid: template.vmid, name: template.name.clone(), node: template.node.clone() }
}

fn card(app: &App, report: &TestReport) -> ConnectionTestCard {
    let test = match &report.failure {
        Some(failure) => {
            ConnectionTest::Failed { sentence: failure.clone(), fingerprint_seen: report.fingerprint_seen.clone() }
        }
        None => ConnectionTest::Answered {
            version: report.version.clone().unwrap_or_default(),
            nodes: report
                .nodes
                .iter()
                .map(|node| NodeFound {
                    name: node.name.clone(),
                    cpus: node.cpu_count,
                    memory_mib: node.memory_bytes / BYTES_PER_MEBIBYTE,
                })
                .collect(),
            storages: report
                .storages
                .iter()
                .map(|storage| StorageFound { name: storage.name.clone(), shared: storage.shared })
                .collect(),
            templates: report.templates.iter().map(template_found).collect(),
            missing: report.missing.iter().map(missing_privilege).collect(),
        },
    };
    ConnectionTestCard { test, at: app.clock.now(), certificate: None }
}

fn missing_privilege(missing: &clusters::MissingPrivilege) -> MissingPrivilege {
    MissingPrivilege {
        why: missing.without.clone(),
        privilege: missing.privilege.clone(),
        path: missing.path.clone(),
        command: missing.grant.clone(),
    }
}
