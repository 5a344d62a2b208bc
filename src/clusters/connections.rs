//! Clients of the clusters, made once per cluster and made anew when its row changes.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use anyhow::Context;
use chrono::{DateTime, Utc};
use proxmox_client::{ApiToken, Client, Settings, Trust};
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
        let client = connect(&access.endpoint, &access.token_id, secret, access.fingerprint.as_deref(), access.ca_pem)?;
        self.lock().insert(cluster, (access.updated_at, client.clone()));
        Ok(client)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ClusterId, (DateTime<Utc>, Client)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client by what an operator typed. Nothing is sent yet.
///
/// # Errors
/// When the endpoint, the token or the fingerprint is not one; the message says which.
pub(super) fn connect(
    endpoint: &str,
    token_id: &str,
    secret: SecretString,
    fingerprint: Option<&str>,
    ca_pem: Option<String>,
) -> anyhow::Result<Client> {
    let token = ApiToken::new(token_id, secret)?;
    let trust = match (fingerprint, ca_pem) {
        (Some(fingerprint), _) => Trust::Fingerprint(fingerprint.parse()?),
        (None, Some(pem)) => Trust::Ca(pem),
        (None, None) => Trust::PublicRoots,
    };
    let mut settings = Settings::new(endpoint, token, trust);
    settings.requests_at_once = REQUESTS_AT_ONCE;
    Client::new(settings).context("while setting up the connection to the cluster")
}
