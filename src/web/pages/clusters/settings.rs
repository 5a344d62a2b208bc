//! The settings of a cluster: limits, how it is reached, maintenance, another certificate, taking it away.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::cluster_errors;
use super::page::{cluster_page, cluster_row};
use crate::app::App;
use crate::clusters::{self, Cluster, ClusterChange};
use crate::error::{Error, Problem, Result};
use crate::ids::ClusterId;
use crate::web::error::{PageError, status};
use crate::web::forms::{CsrfForm, Nothing};
use crate::web::pages::exceptions::count;
use crate::web::pages::frames::{self, Notice, form_errors, redirect_with, render, render_with};
use crate::web::read::Path;
use crate::web::session::Staff;
use crate::web::views::clusters::settings::{ClusterSettingsPage, SettingsForm};
use crate::web::views::form::{FormErrors, SelectOption};
use crate::web::views::frame::{AdminSection, FlashKind};

/// What was typed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TypedSettings {
    name: String,
    endpoint: String,
    token_id: String,
    secret: SecretString,
    bridge: String,
    memory_percent: String,
    cpu_percent: String,
    disk_percent: String,
    node_reserve_mib: String,
    iso_storage: String,
}

impl TypedSettings {
    /// The change; every field that should be a number and is none is a problem.
    fn change(&self) -> Result<ClusterChange> {
        let mut problems = Vec::new();
        let mut number = |field: &'static str, text: &str| {
            let number = text.trim().parse().ok();
            if number.is_none() {
                problems.push(Problem::new(field, "A whole number."));
            }
            number
        };
        let change = ClusterChange {
            memory_percent: number("memory_percent", &self.memory_percent),
            cpu_percent: number("cpu_percent", &self.cpu_percent),
            disk_percent: number("disk_percent", &self.disk_percent),
            node_reserve_mib: number("node_reserve_mib", &self.node_reserve_mib),
            name: Some(self.name.clone()),
            endpoint: Some(self.endpoint.clone()),
            token_id: Some(self.token_id.clone()),
            token_secret: (!self.secret.expose_secret().is_empty()).then(|| self.secret.clone()),
            bridge: Some(self.bridge.clone()),
            iso_storage: Some(self.iso_storage.clone()),
            ..ClusterChange::default()
        };
        if problems.is_empty() { Ok(change) } else { Err(Error::Invalid(problems)) }
    }

    fn form(self, errors: FormErrors) -> SettingsForm {
        SettingsForm {
            name: self.name,
            endpoint: self.endpoint,
            token_id: self.token_id,
            bridge: self.bridge,
            memory_percent: self.memory_percent,
            cpu_percent: self.cpu_percent,
            disk_percent: self.disk_percent,
            node_reserve_mib: self.node_reserve_mib,
            iso_storage: self.iso_storage,
            errors,
        }
    }
}

/// `GET /admin/clusters/{id}/settings`
pub async fn settings(
    State(app): State<Arc<App>>,
    staff: Staff,
    notice: Notice,
    Path(id): Path<ClusterId>,
) -> Result<Response, PageError> {
    let cluster = clusters::find(&app, id).await?;
    let form = SettingsForm {
        name: cluster.name.clone(),
        endpoint: cluster.endpoint.clone(),
        token_id: cluster.token_id.clone(),
        bridge: cluster.bridge.clone(),
        memory_percent: cluster.memory_percent.to_string(),
        cpu_percent: cluster.cpu_percent.to_string(),
        disk_percent: cluster.disk_percent.to_string(),
        node_reserve_mib: cluster.node_reserve_mib.to_string(),
        iso_storage: cluster.iso_storage.clone().unwrap_or_default(),
        errors: FormErrors::none(),
    };
    let page = settings_page(&app, &staff, &notice, cluster, form).await?;
    Ok(render_with(&app, &notice, &page))
}

/// `POST /admin/clusters/{id}/settings`
pub async fn change(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<ClusterId>,
    CsrfForm(typed): CsrfForm<TypedSettings>,
) -> Result<Response, PageError> {
    let outcome = match typed.change() {
        Ok(change) => clusters::change(&app, id, &change, &staff.actor).await,
        Err(problems) => Err(problems),
    };
    let Err(error) = outcome else {
        let to = format!("/admin/clusters/{id}");
        return Ok(redirect_with(&app, &to, FlashKind::Success, "The settings were saved."));
    };
    let status = status(&error);
    let mut errors = cluster_errors(error)?;
    if let Some(problem) = errors.of("fingerprint").map(str::to_owned) {
        // The certificate is changed on the cluster's own page, where it is compared.
        errors.add("endpoint", problem);
    }
    if !typed.secret.expose_secret().is_empty() {
        errors.add("secret", "Type it again: a secret is never sent back to the page.");
    }
    let cluster = clusters::find(&app, id).await?;
    let page = settings_page(&app, &staff, &Notice::default(), cluster, typed.form(errors)).await?;
    Ok((status, render(&page)).into_response())
}

/// Whether a cluster takes new machines.
#[derive(Debug, Deserialize)]
pub struct Maintenance {
    maintenance: bool,
}

/// `POST /admin/clusters/{id}/maintenance`
pub async fn set_maintenance(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<ClusterId>,
    CsrfForm(wanted): CsrfForm<Maintenance>,
) -> Result<Response, PageError> {
    let change = ClusterChange { maintenance: Some(wanted.maintenance), ..ClusterChange::default() };
    clusters::change(&app, id, &change, &staff.actor).await?;
    let sentence = match wanted.maintenance {
        true => "It takes no new VMs from now on. Those on it go on.",
        false => "It takes new VMs again.",
    };
    Ok(redirect_with(&app, &format!("/admin/clusters/{id}"), FlashKind::Success, sentence))
}

/// Another certificate, and whether somebody has compared it.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Certificate {
    fingerprint: String,
    compared: String,
}

/// `POST /admin/clusters/{id}/certificate`
pub async fn trust_certificate(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<ClusterId>,
    CsrfForm(typed): CsrfForm<Certificate>,
) -> Result<Response, PageError> {
    let outcome = if typed.compared != "yes" {
        Err(Error::invalid("compared", "Compare it first: whoever sits in between shows a certificate too."))
    } else if typed.fingerprint.trim().is_empty() {
        Err(Error::invalid("compared", "There is no certificate to trust. Test the connection again."))
    } else {
        let change = ClusterChange { fingerprint: Some(typed.fingerprint.clone()), ..ClusterChange::default() };
        clusters::change(&app, id, &change, &staff.actor).await
    };
    let Err(error) = outcome else {
        let to = format!("/admin/clusters/{id}");
        return Ok(redirect_with(&app, &to, FlashKind::Success, "The new certificate is trusted from now on."));
    };
    let status = status(&error);
    // The test shows what the server presents now.
    let report = clusters::test_again(&app, id).await?;
    let mut page = cluster_page(&app, &staff, &Notice::default(), id, Some(&report)).await?;
    let errors = form_errors(error)?;
    match page.test.as_mut().and_then(|test| test.certificate.as_mut()) {
        Some(form) => form.errors = errors,
        None => page.errors.add("", "The certificate was not changed: the server answers with the one that is pinned."),
    }
    Ok((status, render(&page)).into_response())
}

/// `POST /admin/clusters/{id}/remove`
pub async fn remove(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<ClusterId>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    let name = clusters::find(&app, id).await?.name;
    match clusters::remove(&app, id, &staff.actor).await {
        Ok(()) => Ok(redirect_with(&app, "/admin/clusters", FlashKind::Success, format!("{name} was removed."))),
        Err(Error::Conflict(sentence)) => {
            Ok(redirect_with(&app, &format!("/admin/clusters/{id}/settings"), FlashKind::Danger, sentence))
        }
        Err(error) => Err(error.into()),
    }
}

async fn settings_page(
    app: &App,
    staff: &Staff,
    notice: &Notice,
    cluster: Cluster,
    form: SettingsForm,
) -> Result<ClusterSettingsPage> {
    let mut storages: Vec<String> = clusters::storages(app, cluster.id)
        .await?
        .into_iter()
        .filter(|storage| storage.content.split(',').any(|content| content == "iso"))
        .map(|storage| storage.name)
        .collect();
    // What is chosen can be kept, also when the last look did not see it.
    storages.extend(cluster.iso_storage.clone());
    storages.sort();
    storages.dedup();
    let title = format!("Settings of {}", cluster.name);
    Ok(ClusterSettingsPage {
        frame: frames::admin(app, staff, title, AdminSection::Clusters, count(app).await?, notice),
        fingerprint: cluster.fingerprint.clone(),
        form,
        iso_storages: storages.into_iter().map(|name| SelectOption { value: name.clone(), text: name }).collect(),
        remove_refusal: (cluster.vms > 0)
            .then(|| "It still has VMs. Delete them first; maintenance keeps new ones away.".into()),
        cluster: cluster_row(cluster, &[]),
    })
}
