//! Changing a cluster: its name, its limits, how to reach it, whether it takes new machines. What changes the way to reach it
//! is tried before it is saved.

use proxmox_client::{ApiToken, Fingerprint};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::add::{NOT_A_FINGERPRINT, NOT_AN_ENDPOINT};
use super::{db, test};
use crate::app::App;
use crate::audit::{self, Actor, Changes, Event, Subject};
use crate::error::{Error, NOT_A_PLAIN_LINE, Problem, Result, is_plain_line};
use crate::ids::ClusterId;
use crate::live;

/// What to change of a cluster; what is not given stays.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClusterChange {
    /// Its name.
    #[schema(min_length = 1, max_length = 64)]
    pub name: Option<String>,
    /// `https://host:8006`.
    #[schema(max_length = 200)]
    pub endpoint: Option<String>,
    /// `user@realm!id`.
    #[schema(max_length = 200)]
    pub token_id: Option<String>,
    /// The token's secret.
    #[schema(value_type = Option<String>, format = Password)]
    pub token_secret: Option<SecretString>,
    /// SHA-256 of the certificate; empty when a public authority has signed it.
    pub fingerprint: Option<String>,
    /// The bridge of new machines.
    #[schema(max_length = 15)]
    pub bridge: Option<String>,
    /// How much memory may be sold, in percent.
    #[schema(minimum = 10, maximum = 400)]
    pub memory_percent: Option<i32>,
    /// How many virtual processors may be sold, in percent of the processors.
    #[schema(minimum = 100, maximum = 3200)]
    pub cpu_percent: Option<i32>,
    /// How much disk may be sold, in percent.
    #[schema(minimum = 10, maximum = 1000)]
    pub disk_percent: Option<i32>,
    /// Memory of each node that is never sold, in MiB.
    #[schema(minimum = 0, maximum = 1_048_576)]
    pub node_reserve_mib: Option<i32>,
    /// Where CD images are; empty: there are none.
    #[schema(max_length = 100)]
    pub iso_storage: Option<String>,
    /// Takes no new machines.
    pub maintenance: Option<bool>,
}

/// The ranges of the limits, the same as the table's.
const MEMORY_PERCENT: (i32, i32) = (10, 400);
const CPU_PERCENT: (i32, i32) = (100, 3200);
const DISK_PERCENT: (i32, i32) = (10, 1000);
const NODE_RESERVE_MIB: (i32, i32) = (0, 1_048_576);

impl ClusterChange {
    /// Checks every field, so that all problems are told at once.
    fn check(&self) -> Result<()> {
        let mut problems = Vec::new();
        let mut line = |field: &'static str, value: Option<&String>, most: usize, missing: Option<&str>| {
            let Some(value) = value.map(|value| value.trim()) else { return };
            match missing {
                Some(missing) if value.is_empty() => problems.push(Problem::new(field, missing)),
                _ if value.chars().count() > most => {
                    problems.push(Problem::new(field, format!("At most {most} characters.")))
                }
                _ if !is_plain_line(value) => problems.push(Problem::new(field, NOT_A_PLAIN_LINE)),
                _ => {}
            }
        };
        line("name", self.name.as_ref(), 64, Some("Give the cluster a name."));
        line(
            "endpoint",
            self.endpoint.as_ref(),
            200,
            Some("The URL of the API, such as https://pve1.example.org:8006."),
        );
        line("token_id", self.token_id.as_ref(), 200, Some("The id of an API token, such as uni-manager@pve!panel."));
        line("bridge", self.bridge.as_ref(), 15, Some("The bridge that machines are connected to, such as vmbr0."));
        line("iso_storage", self.iso_storage.as_ref(), 100, None);
        if self.endpoint.as_ref().is_some_and(|url| !url.trim().is_empty() && !url.trim().starts_with("https://")) {
            problems.push(Problem::new("endpoint", NOT_AN_ENDPOINT));
        }
        if let Some(token_id) = self.token_id.as_ref().map(|id| id.trim()).filter(|id| !id.is_empty())
            && let Err(error) = ApiToken::new(token_id, "any")
        {
            problems.push(Problem::new("token_id", error.to_string()));
        }
        if let Some(fingerprint) = self.fingerprint.as_ref().map(|text| text.trim()).filter(|text| !text.is_empty())
            && fingerprint.parse::<Fingerprint>().is_err()
        {
            problems.push(Problem::new("fingerprint", NOT_A_FINGERPRINT));
        }
        for (field, value, (least, most)) in [
            ("memory_percent", self.memory_percent, MEMORY_PERCENT),
            ("cpu_percent", self.cpu_percent, CPU_PERCENT),
            ("disk_percent", self.disk_percent, DISK_PERCENT),
            ("node_reserve_mib", self.node_reserve_mib, NODE_RESERVE_MIB),
        ] {
            if value.is_some_and(|value| !(least..=most).contains(&value)) {
                problems.push(Problem::new(field, format!("A number from {least} to {most}.")));
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(Error::Invalid(problems)) }
    }

    fn secret(&self) -> Option<SecretString> {
        let secret = self.token_secret.as_ref()?.expose_secret().trim();
        (!secret.is_empty()).then(|| SecretString::from(secret))
    }

    /// Whether it changes how the cluster is reached.
    fn is_of_connection(&self) -> bool {
        self.endpoint.is_some() || self.token_id.is_some() || self.fingerprint.is_some() || self.secret().is_some()
    }

    /// What becomes of the settings, and the old and the new of everything that changes, without secrets.
    fn applied(&self, app: &App, old: &db::Settings) -> Result<(db::Settings, Changes)> {
        let text = |wanted: &Option<String>, old: &String| {
            wanted.as_ref().map_or_else(|| old.clone(), |text| text.trim().to_owned())
        };
        let optional = |wanted: &Option<String>, old: &Option<String>| match wanted {
            Some(text) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
            None => old.clone(),
        };
        let new = db::Settings {
            name: text(&self.name, &old.name),
            endpoint: text(&self.endpoint, &old.endpoint).trim_end_matches('/').to_owned(),
            token_id: text(&self.token_id, &old.token_id),
            token_secret_encrypted: self
                .secret()
                .map_or_else(|| old.token_secret_encrypted.clone(), |secret| app.settings.vault.encrypt(&secret)),
            fingerprint: optional(&self.fingerprint, &old.fingerprint),
            bridge: text(&self.bridge, &old.bridge),
            memory_percent: self.memory_percent.unwrap_or(old.memory_percent),
            cpu_percent: self.cpu_percent.unwrap_or(old.cpu_percent),
            disk_percent: self.disk_percent.unwrap_or(old.disk_percent),
            node_reserve_mib: self.node_reserve_mib.unwrap_or(old.node_reserve_mib),
            iso_storage: optional(&self.iso_storage, &old.iso_storage),
            maintenance: self.maintenance.unwrap_or(old.maintenance),
        };
        let changes = Changes::of("name", &old.name, &new.name)?
            .and("endpoint", &old.endpoint, &new.endpoint)?
            .and("token_id", &old.token_id, &new.token_id)?
            .and("fingerprint", &old.fingerprint, &new.fingerprint)?
            .and("bridge", &old.bridge, &new.bridge)?
            .and("memory_percent", &old.memory_percent, &new.memory_percent)?
            .and("cpu_percent", &old.cpu_percent, &new.cpu_percent)?
            .and("disk_percent", &old.disk_percent, &new.disk_percent)?
            .and("node_reserve_mib", &old.node_reserve_mib, &new.node_reserve_mib)?
            .and("iso_storage", &old.iso_storage, &new.iso_storage)?
            .and_hidden("token_secret", self.secret().is_some());
        Ok((new, changes))
    }
}

/// Changes a cluster. Machines that are on it are not touched; a lower limit only keeps new ones away.
///
/// # Errors
/// `Invalid` with a problem per field, also when the cluster does not answer as it is to be reached now; `NotFound` without
/// such a cluster.
pub async fn change(app: &App, id: ClusterId, wanted: &ClusterChange, actor: &Actor) -> Result<()> {
    wanted.check()?;
    if wanted.is_of_connection() {
        let mut connection = app.pool.acquire().await?;
        let old = db::lock_settings(&mut connection, id).await?.ok_or(Error::NotFound("cluster"))?;
        drop(connection);
        let (new, changes) = wanted.applied(app, &old)?;
        if ["endpoint", "token_id", "fingerprint", "token_secret"].into_iter().any(|field| changes.has(field)) {
            let secret = app.settings.vault.decrypt(&new.token_secret_encrypted)?;
            test::check_answers(&new.endpoint, new.fingerprint.as_deref(), &new.token_id, secret).await?;
        }
    }
    let mut transaction = app.pool.begin().await?;
    let old = db::lock_settings(&mut transaction, id).await?.ok_or(Error::NotFound("cluster"))?;
    let (new, changes) = wanted.applied(app, &old)?;
    let now = app.clock.now();
    db::update_settings(&mut transaction, id, &new, app.clock.machine_now()).await?;
    let subject = || Subject::new("cluster", id, &new.name);
    if !changes.is_empty() {
        audit::record(&mut transaction, now, actor, None, Event::ClusterChanged, subject(), changes).await?;
    }
    if new.maintenance != old.maintenance {
        let event = if new.maintenance { Event::ClusterMaintenanceBegun } else { Event::ClusterMaintenanceEnded };
        let changes = Changes::of("maintenance", &old.maintenance, &new.maintenance)?;
        audit::record(&mut transaction, now, actor, None, event, subject(), changes).await?;
    }
    live::announce(&mut transaction, None, "clusters").await?;
    live::announce(&mut transaction, None, "exceptions").await?;
    transaction.commit().await?;
    app.connections.forget(id);
    Ok(())
}
