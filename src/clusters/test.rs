//! Testing a connection before it is saved: does it answer, as what, and may our token do what we need. Each missing
//! privilege is named with the command that grants it.

use anyhow::Context;
use proxmox_client::{Client, Error as ProxmoxError, NeverSentCause, ResourceFilter};
use secrecy::SecretString;

use super::{MissingPrivilege, NewCluster, connections, privileges};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::ClusterId;

/// What a test found.
#[derive(Debug, Clone, Default, serde::Serialize, utoipa::ToSchema)]
#[schema(as = ClusterTest)]
pub struct TestReport {
    /// Why the cluster cannot be used at all, as a sentence for the operator.
    pub failure: Option<String>,
    /// The SHA-256 fingerprint of the certificate that the server shows, when that is why, for an operator to compare.
    pub fingerprint_seen: Option<String>,
    /// Its version, such as `9.2.11`.
    pub version: Option<String>,
    /// Its nodes.
    pub nodes: Vec<TestedNode>,
    /// Storages that hold disks.
    pub storages: Vec<TestedStorage>,
    /// Templates that images can be cloned from.
    pub templates: Vec<TestedTemplate>,
    /// What our token lacks.
    pub missing: Vec<MissingPrivilege>,
}

impl TestReport {
    /// What is wrong with a storage of this name, as a sentence; nothing when it is there.
    #[must_use]
    pub fn storage_problem(&self, name: &str) -> Option<String> {
        if self.storages.iter().any(|storage| storage.name == name) {
            return None;
        }
        let known: Vec<_> = self.storages.iter().map(|storage| storage.name.as_str()).collect();
        Some(match known.is_empty() {
            true => "The cluster has no storage for disks, or the token may not see it.".into(),
            false => format!("There is no storage for disks of this name. There are: {}.", known.join(", ")),
        })
    }
}

/// A node that was found.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct TestedNode {
    /// Its name.
    pub name: String,
    /// Processors.
    pub cpu_count: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
}

/// A storage that was found.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct TestedStorage {
    /// Its name.
    pub name: String,
    /// Whether all nodes see the same data.
    pub shared: bool,
}

/// A template that was found.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct TestedTemplate {
    /// Its VMID.
    pub vmid: u32,
    /// Its name.
    pub name: String,
    /// The node it is on.
    pub node: String,
}

/// Tests what an operator typed. A cluster that cannot be used is a finding, not an error.
///
/// # Errors
/// `Invalid` with a problem per field.
pub async fn test(_app: &App, new: &NewCluster) -> Result<TestReport> {
    let checked = new.checked()?;
    let place = connections::Place::of(&checked.endpoint, checked.fingerprint.as_deref());
    let client = match connections::connect(place, &checked.token_id, checked.token_secret.clone()) {
        Ok(client) => client,
        Err(error) => return Ok(failed(format!("{error:#}"))),
    };
    let place = Place { endpoint: &checked.endpoint, is_pinned: checked.fingerprint.is_some() };
    Ok(examine(&client, &place, &checked.token_id, &checked.storage, None).await)
}

/// Tests the connection of a cluster that was added before.
///
/// # Errors
/// `NotFound` without such a cluster.
pub async fn test_again(app: &App, id: ClusterId) -> Result<TestReport> {
    let cluster = super::find(app, id).await?;
    let client = app.connections.client(app, id).await?;
    let place = Place { endpoint: &cluster.endpoint, is_pinned: cluster.fingerprint.is_some() };
    Ok(examine(&client, &place, &cluster.token_id, &cluster.storage, cluster.iso_storage.as_deref()).await)
}

/// Whether a cluster answers with these settings, before they are saved.
///
/// # Errors
/// `Invalid` with a problem of the field that seems to be the matter.
pub(super) async fn check_answers(
    endpoint: &str,
    fingerprint: Option<&str>,
    token_id: &str,
    secret: SecretString,
) -> Result<()> {
    let client = connections::connect(connections::Place::of(endpoint, fingerprint), token_id, secret)
        .map_err(|error| Error::invalid("endpoint", format!("{error:#}")))?;
    let Err(error) = client.version().await else { return Ok(()) };
    let sentence = sentence(&error, fingerprint.is_some());
    Err(match &error {
        ProxmoxError::NeverSent { cause: NeverSentCause::Tls, .. } => match fingerprint_of(endpoint).await {
            Ok(seen) => Error::invalid(
                "fingerprint",
                format!("{sentence} It shows {seen}: compare it with what Proxmox has under Certificates."),
            ),
            Err(_) => Error::invalid("endpoint", sentence),
        },
        ProxmoxError::Refused(refusal) if refusal.is_unauthenticated() => Error::invalid("token_secret", sentence),
        _ => Error::invalid("endpoint", sentence),
    })
}

/// The fingerprint of the certificate that an endpoint shows, for an operator to compare.
///
/// # Errors
/// When there is no TLS server at that address.
pub async fn fingerprint_of(endpoint: &str) -> anyhow::Result<String> {
    let fingerprint =
        proxmox_client::fetch_fingerprint(endpoint.trim()).await.context("while reading the certificate")?;
    Ok(fingerprint.to_string())
}

fn failed(failure: String) -> TestReport {
    TestReport { failure: Some(failure), ..TestReport::default() }
}

/// What a client was told to connect to.
struct Place<'a> {
    endpoint: &'a str,
    is_pinned: bool,
}

async fn examine(
    client: &Client,
    place: &Place<'_>,
    token_id: &str,
    storage: &str,
    iso_storage: Option<&str>,
) -> TestReport {
    match try_examine(client, token_id, storage, iso_storage).await {
        Ok(report) => report,
        Err(error) => {
            let is_certificate = matches!(error, ProxmoxError::NeverSent { cause: NeverSentCause::Tls, .. });
            // Without TLS at that address there is no certificate to show.
            let fingerprint_seen = if is_certificate { fingerprint_of(place.endpoint).await.ok() } else { None };
            TestReport { fingerprint_seen, ..failed(sentence(&error, place.is_pinned)) }
        }
    }
}

async fn try_examine(
    client: &Client,
    token_id: &str,
    storage: &str,
    iso_storage: Option<&str>,
) -> std::result::Result<TestReport, ProxmoxError> {
    let version = client.version().await?;
    let granted = client.permissions(None).await?;
    let missing = privileges::missing(&granted, &version.version, token_id, storage, iso_storage);
    let nodes = client.nodes().await?;
    let mut report = TestReport { version: Some(version.version.clone()), missing, ..TestReport::default() };
    for resource in client.resources(Some(ResourceFilter::Vm)).await? {
        if let (true, Some(vmid), Some(node)) = (resource.template, resource.vmid, resource.node) {
            report.templates.push(TestedTemplate { vmid, name: resource.name.unwrap_or_default(), node });
        }
    }
    report.templates.sort_by_key(|template| template.vmid);
    if let Some(node) = nodes.first() {
        for storage in client.storages(&node.node).await? {
            if storage.holds("images") && storage.enabled {
                report.storages.push(TestedStorage { name: storage.storage, shared: storage.shared });
            }
        }
    }
    report.nodes = nodes
        .into_iter()
        .map(|node| TestedNode {
            name: node.node,
            cpu_count: node.maxcpu.unwrap_or(0),
            memory_bytes: node.maxmem.unwrap_or(0),
        })
        .collect();
    report.nodes.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(report)
}

/// What a failed call means, in words that say what to do.
fn sentence(error: &ProxmoxError, is_pinned: bool) -> String {
    match error {
        ProxmoxError::NeverSent { cause: NeverSentCause::Tls, .. } if is_pinned => {
            "The server shows another certificate than the one with this fingerprint.".into()
        }
        ProxmoxError::NeverSent { cause: NeverSentCause::Tls, detail, .. } => {
            format!("The certificate was not accepted: {detail}.")
        }
        ProxmoxError::NeverSent { detail, .. } => format!("The cluster cannot be reached: {detail}."),
        ProxmoxError::MaybeDone { detail, .. } => format!("What answered is not a Proxmox VE: {detail}."),
        ProxmoxError::Refused(refusal) if refusal.is_unauthenticated() => {
            "Proxmox does not know this token, or its secret is another one, or it has expired.".into()
        }
        ProxmoxError::Refused(refusal) => format!("Proxmox refused: {refusal}."),
    }
}
