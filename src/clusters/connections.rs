//! Clients of the clusters, made once per cluster and made anew when its row changes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use chrono::{DateTime, Utc};
use proxmox_client::{ApiToken, Client, Endpoint, Settings, Trust};
use secrecy::SecretString;

use super::db;
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::ClusterId;

/// How many requests one cluster gets from us at once: a node has three workers that block.
const REQUESTS_AT_ONCE: usize = 8;

/// The clients by cluster.
#[derive(Debug, Default)]
pub struct Connections(Mutex<HashMap<ClusterId, (DateTime<Utc>, Client)>>);

impl Connections {
    /// The client of a cluster.
    ///
    /// # Errors
    /// `NotFound` without such a cluster; `Internal` when its secret cannot be decrypted.
    pub async fn client(&self, app: &App, cluster: ClusterId) -> Result<Client> {
        let access = db::select_access(&app.pool, cluster).await?.ok_or(Error::NotFound("cluster"))?;
        if let Some((made, client)) = self.lock().get(&cluster)
            && *made == access.updated_at
        {
            return Ok(client.clone());
        }
        let secret = app.settings.vault.decrypt(&access.token_secret_encrypted)?;
        let further = db::select_endpoints(&app.pool, cluster).await?;
        let place = Place {
            endpoint: &access.endpoint,
            fingerprint: access.fingerprint.as_deref(),
            ca_pem: access.ca_pem,
            further: &further,
        };
        let client = connect(place, &access.token_id, secret)?;
        self.lock().insert(cluster, (access.updated_at, client.clone()));
        Ok(client)
    }

    /// Makes the next call connect anew: a clock that stands still would not tell a changed row from the old one.
    pub(super) fn forget(&self, cluster: ClusterId) {
        self.lock().remove(&cluster);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ClusterId, (DateTime<Utc>, Client)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where a cluster is, and which certificates are believed there.
pub(super) struct Place<'a> {
    pub endpoint: &'a str,
    pub fingerprint: Option<&'a str>,
    pub ca_pem: Option<String>,
    /// Asked when the first does not answer.
    pub further: &'a [super::Endpoint],
}

impl<'a> Place<'a> {
    /// One endpoint, pinned or not.
    pub(super) fn of(endpoint: &'a str, fingerprint: Option<&'a str>) -> Self {
        Self { endpoint, fingerprint, ca_pem: None, further: &[] }
    }
}

/// A client by what an operator typed. Nothing is sent yet.
///
/// # Errors
/// When an endpoint, the token or a fingerprint is not one; the message says which.
pub(super) fn connect(place: Place<'_>, token_id: &str, secret: SecretString) -> anyhow::Result<Client> {
    let token = ApiToken::new(token_id, secret)?;
    // A further endpoint without a fingerprint of its own is believed as what signs for all: an authority. A pinned
    // certificate is one node's alone.
    let of_all = place.ca_pem.map_or(Trust::PublicRoots, Trust::Ca);
    let first = match place.fingerprint {
        Some(fingerprint) => Trust::Fingerprint(fingerprint.parse()?),
        None => of_all.clone(),
    };
    let mut settings = Settings::new(place.endpoint, token, first);
    for further in place.further {
        let trust = match &further.fingerprint {
            Some(fingerprint) => Trust::Fingerprint(fingerprint.parse()?),
            None => of_all.clone(),
        };
        settings = settings.endpoint(Endpoint::new(further.url.as_str()).trust(trust));
    }
    settings.requests_at_once = REQUESTS_AT_ONCE;
    Client::new(settings).context("while setting up the connection to the cluster")
}
