//! Testing a connection before it is saved: does it answer, as what, and may our token do what we need. Each missing
//! privilege is named with the command that grants it.

use anyhow::Context;
use proxmox_client::{Client, Error as ProxmoxError, NeverSentCause, Permissions, ResourceFilter};

use super::{NewCluster, connections};
use crate::app::App;
use crate::error::Result;
use crate::ids::ClusterId;

/// What a test found.
#[derive(Debug, Clone, Default, serde::Serialize)]
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
#[derive(Debug, Clone, serde::Serialize)]
pub struct TestedNode {
    /// Its name.
    pub name: String,
    /// Processors.
    pub cpu_count: u32,
    /// Memory in bytes.
    pub memory_bytes: u64,
}

/// A storage that was found.
#[derive(Debug, Clone, serde::Serialize)]
pub struct TestedStorage {
    /// Its name.
    pub name: String,
    /// Whether all nodes see the same data.
    pub shared: bool,
}

/// A template that was found.
#[derive(Debug, Clone, serde::Serialize)]
pub struct TestedTemplate {
    /// Its VMID.
    pub vmid: u32,
    /// Its name.
    pub name: String,
    /// The node it is on.
    pub node: String,
}

/// A privilege that our token lacks.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct MissingPrivilege {
    /// The privilege.
    pub privilege: String,
    /// Where.
    pub path: String,
    /// The command that grants it.
    pub grant: String,
}

/// What the token needs, and where. Any of the alternatives will do: `VM.Monitor` became `VM.GuestAgent.Audit` with 9.0.
const NEEDED: [(&str, &[&str]); 18] = [
    ("/vms", &["VM.Allocate"]),
    ("/vms", &["VM.Audit"]),
    ("/vms", &["VM.Clone"]),
    ("/vms", &["VM.Config.CPU"]),
    ("/vms", &["VM.Config.Cloudinit"]),
    ("/vms", &["VM.Config.Disk"]),
    ("/vms", &["VM.Config.HWType"]),
    ("/vms", &["VM.Config.Memory"]),
    ("/vms", &["VM.Config.Network"]),
    ("/vms", &["VM.Config.Options"]),
    ("/vms", &["VM.Console"]),
    ("/vms", &["VM.GuestAgent.Audit", "VM.GuestAgent.Unrestricted", "VM.Monitor"]),
    ("/vms", &["VM.PowerMgmt"]),
    ("/storage", &["Datastore.AllocateSpace"]),
    ("/storage", &["Datastore.Audit"]),
    ("/sdn/zones", &["SDN.Use"]),
    ("/nodes", &["Sys.Audit"]),
    ("/", &["Sys.Audit"]),
];

/// Tests what an operator typed. A cluster that cannot be used is a finding, not an error.
///
/// # Errors
/// `Invalid` with a problem per field.
pub async fn test(_app: &App, new: &NewCluster) -> Result<TestReport> {
    let checked = new.checked()?;
    let client = match connections::connect(
        &checked.endpoint,
        &checked.token_id,
        checked.token_secret.clone(),
        checked.fingerprint.as_deref(),
        None,
    ) {
        Ok(client) => client,
        Err(error) => return Ok(failed(format!("{error:#}"))),
    };
    let place = Place { endpoint: &checked.endpoint, is_pinned: checked.fingerprint.is_some() };
    Ok(examine(&client, &place, &checked.token_id, &checked.storage).await)
}

/// Tests the connection of a cluster that was added before.
///
/// # Errors
/// `NotFound` without such a cluster.
pub async fn test_again(app: &App, id: ClusterId) -> Result<TestReport> {
    let cluster = super::find(app, id).await?;
    let client = app.connections.client(app, id).await?;
    let place = Place { endpoint: &cluster.endpoint, is_pinned: cluster.fingerprint.is_some() };
    Ok(examine(&client, &place, &cluster.token_id, &cluster.storage).await)
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

async fn examine(client: &Client, place: &Place<'_>, token_id: &str, storage: &str) -> TestReport {
    match try_examine(client, token_id, storage).await {
        Ok(report) => report,
        Err(error) => {
            let is_certificate = matches!(error, ProxmoxError::NeverSent { cause: NeverSentCause::Tls, .. });
            // Without TLS at that address there is no certificate to show.
            let fingerprint_seen = if is_certificate { fingerprint_of(place.endpoint).await.ok() } else { None };
            TestReport { fingerprint_seen, ..failed(sentence(&error, place.is_pinned)) }
        }
    }
}

async fn try_examine(client: &Client, token_id: &str, storage: &str) -> std::result::Result<TestReport, ProxmoxError> {
    let version = client.version().await?;
    let missing = missing(&client.permissions(None).await?, token_id, storage);
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

/// What is needed and not granted. A privilege on a path holds below it when it propagates.
fn missing(granted: &Permissions, token_id: &str, storage: &str) -> Vec<MissingPrivilege> {
    let storage_path = format!("/storage/{storage}");
    NEEDED
        .into_iter()
        .filter_map(|(needed_at, alternatives)| {
            let path = if needed_at == "/storage" { storage_path.as_str() } else { needed_at };
            let has = |privilege: &&str| {
                granted.iter().any(|(granted_at, privileges)| {
                    let above = granted_at == "/" || path == granted_at || path.starts_with(&format!("{granted_at}/"));
                    // Below: granted on every zone or pool by itself is enough to use it.
                    let below = path != "/" && granted_at.starts_with(&format!("{path}/"));
                    (above && privileges.get(*privilege).is_some_and(|propagates| *propagates || granted_at == path))
                        || (below && privileges.contains_key(*privilege))
                })
            };
            let privilege = *alternatives.first()?;
            (!alternatives.iter().any(has)).then(|| MissingPrivilege {
                privilege: privilege.to_owned(),
                path: path.to_owned(),
                grant: grant(privilege, path, token_id),
            })
        })
        .collect()
}

/// A token may do what its user may, and with privilege separation only what both may: so both are granted it.
fn grant(privilege: &str, path: &str, token_id: &str) -> String {
    let user = token_id.split_once('!').map_or(token_id, |(user, _)| user);
    let role = format!("UniManager-{}", privilege.replace('.', ""));
    format!(
        "pveum role add {role} --privs {privilege}; pveum acl modify {path} --users '{user}' --tokens '{token_id}' --roles {role}"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn all_at(path: &str, propagate: bool) -> Permissions {
        let privileges = NEEDED.iter().map(|(_, alternatives)| (alternatives[0].to_owned(), propagate)).collect();
        BTreeMap::from([(path.to_owned(), privileges)])
    }

    #[test]
    fn everything_granted_at_the_root_is_enough() {
        assert_eq!(missing(&all_at("/", true), "a@pve!b", "fast"), []);
    }

    #[test]
    fn what_does_not_propagate_holds_only_where_it_is() {
        let missing = missing(&all_at("/", false), "a@pve!b", "fast");

        assert_eq!(missing.len(), NEEDED.len() - 1, "only Sys.Audit on / is granted");
        assert!(missing[0].grant.contains("'a@pve!b'"));
    }

    #[test]
    fn a_missing_privilege_is_named_with_its_path() {
        let mut granted = all_at("/", true);
        granted.get_mut("/").unwrap().remove("Datastore.AllocateSpace");

        let missing = missing(&granted, "a@pve!b", "fast");

        assert_eq!(missing.len(), 1);
        assert_eq!(
            (missing[0].path.as_str(), missing[0].privilege.as_str()),
            ("/storage/fast", "Datastore.AllocateSpace")
        );
    }
}
