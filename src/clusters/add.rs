//! Adding a cluster: checked, tested, its secret encrypted.

use proxmox_client::{ApiToken, Fingerprint, ResourceFilter};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::{db, test};
use crate::app::App;
use crate::audit::{self, Actor, Changes, Event, Subject};
use crate::error::{Error, NOT_A_PLAIN_LINE, Problem, Result, is_plain_line};
use crate::ids::{ClusterId, ImageId, LocationId};
use crate::{catalog, live};

/// What an operator types to add a cluster.
#[derive(Debug, Clone, Deserialize, utoipa::ToSchema)]
pub struct NewCluster {
    /// Its name.
    #[schema(min_length = 1, max_length = 64)]
    pub name: String,
    /// Where it stands.
    pub location: Option<LocationId>,
    /// `https://host:8006`.
    #[schema(max_length = 200, example = "https://pve1.example.org:8006")]
    pub endpoint: String,
    /// `user@realm!id`.
    #[schema(max_length = 200, example = "uni-manager@pve!panel")]
    pub token_id: String,
    /// The token's secret.
    #[schema(value_type = String, format = Password)]
    pub token_secret: SecretString,
    /// SHA-256 of the certificate; empty when a public authority has signed it.
    #[serde(default)]
    pub fingerprint: String,
    /// Where disks are made.
    #[schema(max_length = 100, example = "local-zfs")]
    pub storage: String,
    /// The bridge of new machines.
    #[schema(max_length = 15, example = "vmbr0")]
    pub bridge: String,
    /// The first VMID that is ours.
    #[schema(example = "10000")]
    pub vmid_from: String,
    /// The last VMID that is ours.
    #[schema(example = "19999")]
    pub vmid_to: String,
}

/// A checked order.
pub(super) struct Checked {
    pub name: String,
    pub location: LocationId,
    pub endpoint: String,
    pub token_id: String,
    pub token_secret: SecretString,
    pub fingerprint: Option<String>,
    pub storage: String,
    pub bridge: String,
    pub vmid_from: i32,
    pub vmid_to: i32,
}

/// What is said of a text that is no fingerprint.
pub(super) const NOT_A_FINGERPRINT: &str =
    "64 hexadecimal digits, such as AA:BB:…; Proxmox shows it under Certificates.";
/// What is said of an address that is not one of an API.
pub(super) const NOT_AN_ENDPOINT: &str = "It begins with https://.";
const VMID_MIN: i32 = 100;
const VMID_MAX: i32 = 999_999_999;

impl NewCluster {
    /// Checks every field, so that all problems are told at once.
    pub(super) fn checked(&self) -> Result<Checked> {
        let mut problems = Vec::new();
        let mut text = |field: &'static str, value: &str, most: usize, missing: &str| {
            let value = value.trim().to_owned();
            if value.is_empty() {
                problems.push(Problem::new(field, missing));
            } else if value.chars().count() > most {
                problems.push(Problem::new(field, format!("At most {most} characters.")));
            } else if !is_plain_line(&value) {
                problems.push(Problem::new(field, NOT_A_PLAIN_LINE));
            }
            value
        };
        let name = text("name", &self.name, 64, "Give the cluster a name.");
        let endpoint =
            text("endpoint", &self.endpoint, 200, "The URL of the API, such as https://pve1.example.org:8006.");
        let token_id = text("token_id", &self.token_id, 200, "The id of an API token, such as uni-manager@pve!panel.");
        let storage = text("storage", &self.storage, 100, "The storage on which disks are made.");
        let bridge = text("bridge", &self.bridge, 15, "The bridge that machines are connected to, such as vmbr0.");
        if !endpoint.is_empty() && !endpoint.starts_with("https://") {
            problems.push(Problem::new("endpoint", NOT_AN_ENDPOINT));
        }
        if self.token_secret.expose_secret().trim().is_empty() {
            problems.push(Problem::new("token_secret", "The secret that Proxmox showed when the token was made."));
        } else if !token_id.is_empty()
            && let Err(error) = ApiToken::new(&token_id, self.token_secret.clone())
        {
            problems.push(Problem::new("token_id", error.to_string()));
        }
        let fingerprint = Some(self.fingerprint.trim().to_owned()).filter(|text| !text.is_empty());
        if fingerprint.as_ref().is_some_and(|text| text.parse::<Fingerprint>().is_err()) {
            problems.push(Problem::new("fingerprint", NOT_A_FINGERPRINT));
        }
        let mut number = |field: &'static str, value: &str| {
            let number = value.trim().parse().ok().filter(|number| (VMID_MIN..=VMID_MAX).contains(number));
            if number.is_none() {
                problems.push(Problem::new(field, format!("A number from {VMID_MIN} to {VMID_MAX}.")));
            }
            number.unwrap_or(VMID_MIN)
        };
        let vmid_from = number("vmid_from", &self.vmid_from);
        let vmid_to = number("vmid_to", &self.vmid_to);
        if problems.is_empty() && vmid_to < vmid_from {
            problems.push(Problem::new("vmid_to", "Not below the first."));
        }
        let location = self.location;
        if location.is_none() {
            problems.push(Problem::new("location", "Choose where it stands."));
        }
        match location {
            Some(location) if problems.is_empty() => Ok(Checked {
                name,
                location,
                endpoint: endpoint.trim_end_matches('/').to_owned(),
                token_id,
                token_secret: SecretString::from(self.token_secret.expose_secret().trim()),
                fingerprint,
                storage,
                bridge,
                vmid_from,
                vmid_to,
            }),
            _ => Err(Error::Invalid(problems)),
        }
    }
}

/// Adds a cluster after a test of its connection.
///
/// # Errors
/// `Invalid` with a problem per field; a failed test is a problem of the endpoint.
pub async fn add(app: &App, new: &NewCluster, actor: &Actor) -> Result<ClusterId> {
    let checked = new.checked()?;
    if !catalog::locations(app).await?.iter().any(|location| location.id == checked.location) {
        return Err(Error::invalid("location", "Choose where it stands."));
    }
    let report = test(app, new).await?;
    if let Some(failure) = report.failure {
        return Err(match report.fingerprint_seen {
            Some(seen) => Error::invalid(
                "fingerprint",
                format!("{failure} It shows {seen}: compare it with what Proxmox has under Certificates."),
            ),
            None => Error::invalid("endpoint", failure),
        });
    }
    if let Some(problem) = report.storage_problem(&checked.storage) {
        return Err(Error::invalid("storage", problem));
    }
    let storage_shared = report.storages.iter().any(|storage| storage.name == checked.storage && storage.shared);
    let id = ClusterId::new();
    let now = app.clock.now();
    let secret = app.settings.vault.encrypt(&checked.token_secret);
    let mut transaction = app.pool.begin().await?;
    db::insert(&mut transaction, id, &checked, &secret, storage_shared, report.version.as_deref(), now).await?;
    let subject = Subject::new("cluster", id, &checked.name);
    let detail = json!({ "endpoint": checked.endpoint, "token_id": checked.token_id });
    audit::record(&mut transaction, now, actor, None, Event::ClusterAdded, subject, detail).await?;
    live::announce(&mut transaction, None, "clusters").await?;
    transaction.commit().await?;
    // Capacity is known before the first order; when this look fails, the next one is seconds away.
    if let Err(error) = super::look(app, id).await {
        tracing::warn!(cluster = %id, ?error, "the first look at a new cluster failed");
    }
    Ok(id)
}

/// Sets which template each image is cloned from on a cluster; `None` takes an image off it. The template is looked for on
/// the cluster, which also says on which node it is.
///
/// # Errors
/// `Invalid` when there is no such template; the field is `template_` and the id of the image.
pub async fn set_templates(
    app: &App,
    cluster: ClusterId,
    wanted: &[(ImageId, Option<u32>)],
    actor: &Actor,
) -> Result<()> {
    let name = super::find(app, cluster).await?.name;
    let client = app.connections.client(app, cluster).await?;
    let guests = client
        .resources(Some(ResourceFilter::Vm))
        .await
        .map_err(|error| Error::Unavailable(format!("The cluster could not be asked for its templates: {error}")))?;
    let images = catalog::images(app).await?;
    let mut found = Vec::new();
    let mut problems = Vec::new();
    for (image, wanted) in wanted {
        if !images.iter().any(|known| known.id == *image) {
            return Err(Error::NotFound("image"));
        }
        let template = wanted.and_then(|vmid| guests.iter().find(|guest| guest.vmid == Some(vmid) && guest.template));
        let node = template.and_then(|guest| guest.node.clone());
        if let (Some(vmid), None) = (wanted, &node) {
            problems.push(Problem::new(
                format!("template_{image}"),
                format!("There is no template with VMID {vmid} on this cluster."),
            ));
        }
        found.push((*image, *wanted, node));
    }
    if !problems.is_empty() {
        return Err(Error::Invalid(problems));
    }
    let before = db::select_templates(&app.pool, cluster).await?;
    let mut transaction = app.pool.begin().await?;
    for (image, vmid, node) in &found {
        match (vmid, node) {
            (Some(vmid), Some(node)) => {
                db::upsert_template(&mut transaction, cluster, *image, node, i32::try_from(*vmid).unwrap_or(VMID_MAX))
                    .await?
            }
            _ => db::delete_template(&mut transaction, cluster, *image).await?,
        }
    }
    let mut detail = Changes::default();
    for (image, vmid, _) in &found {
        let vmid_before = before.iter().find(|template| template.image == *image).map(|template| template.vmid);
        detail =
            detail.and(&format!("template {image}"), &vmid_before.and_then(|vmid| u32::try_from(vmid).ok()), vmid)?;
    }
    let subject = Subject::new("cluster", cluster, name);
    audit::record(&mut transaction, app.clock.now(), actor, None, Event::ClusterTemplatesChanged, subject, detail)
        .await?;
    live::announce(&mut transaction, None, "clusters").await?;
    transaction.commit().await?;
    Ok(())
}
