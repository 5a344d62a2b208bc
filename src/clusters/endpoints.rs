//! Further nodes of a cluster that are asked when the first does not answer, and how each endpoint is doing.

use std::collections::HashSet;

use proxmox_client::Fingerprint;
use serde::{Deserialize, Serialize};

use super::add::{NOT_A_FINGERPRINT, NOT_AN_ENDPOINT};
use super::db;
use crate::app::App;
use crate::audit::{self, Actor, Changes, Event, Subject};
use crate::error::{Error, Problem, Result, is_plain_line};
use crate::ids::ClusterId;
use crate::live;

/// How many further endpoints a cluster may have: it has no more nodes.
const ENDPOINTS_MAX: usize = 31;
/// The longest URL of one.
const URL_CHARACTERS_MAX: usize = 200;

/// A further endpoint of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Endpoint {
    /// `https://host:8006`.
    #[schema(max_length = 200, example = "https://pve2.example.org:8006")]
    pub url: String,
    /// SHA-256 of its certificate, each node has its own; none: signed by an authority.
    #[serde(default)]
    pub fingerprint: Option<String>,
}

/// How an endpoint is doing, as the calls of this process have found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct EndpointHealth {
    /// Where it is.
    pub url: String,
    /// Its pinned certificate.
    pub fingerprint: Option<String>,
    /// Whether it is asked first.
    pub current: bool,
    /// Failures since it last answered; 0 when it is well, or was never asked.
    pub failures: u32,
    /// What was last wrong with it, kept when it is well again.
    pub last_error: Option<String>,
    /// Whether it fails because of its certificate: it was renewed, or somebody sits in between.
    pub certificate_differs: bool,
}

/// The endpoints of a cluster in the order they are tried, the first one too. Nothing is sent.
///
/// # Errors
/// `NotFound` without such a cluster.
pub async fn endpoints(app: &App, id: ClusterId) -> Result<Vec<EndpointHealth>> {
    let cluster = super::find(app, id).await?;
    let first = Endpoint { url: cluster.endpoint, fingerprint: cluster.fingerprint };
    let further = db::select_endpoints(&app.pool, id).await?;
    // A cluster whose secret cannot be read still shows where it is.
    let states = match app.connections.client(app, id).await {
        Ok(client) => client.endpoints(),
        Err(error) => {
            tracing::warn!(cluster = %id, ?error, "the endpoints' health is not known");
            Vec::new()
        }
    };
    let known = std::iter::once(first).chain(further);
    Ok(known
        .enumerate()
        .map(|(place, endpoint)| {
            let state = states.get(place);
            EndpointHealth {
                url: endpoint.url,
                fingerprint: endpoint.fingerprint,
                current: state.map_or(place == 0, |state| state.is_current),
                failures: state.map_or(0, |state| state.failures),
                last_error: state.and_then(|state| state.last_error.as_ref()).map(ToString::to_string),
                certificate_differs: state.is_some_and(proxmox_client::EndpointState::is_tls_failure),
            }
        })
        .collect())
}

/// Replaces the further endpoints of a cluster; the first one is a setting of the cluster itself.
///
/// # Errors
/// `Invalid` with the problems of the fields `endpoint` and `fingerprint`; `NotFound` without such a cluster.
pub async fn set_endpoints(app: &App, id: ClusterId, wanted: &[Endpoint], actor: &Actor) -> Result<()> {
    let before = db::select_endpoints(&app.pool, id).await?;
    let mut transaction = app.pool.begin().await?;
    let cluster = db::lock_settings(&mut transaction, id).await?.ok_or(Error::NotFound("cluster"))?;
    let checked = checked(&cluster.endpoint, wanted)?;
    // Later than the time of the row, so that no process keeps its old connection.
    let now = app.clock.machine_now();
    db::replace_endpoints(&mut transaction, id, &checked, now).await?;
    let detail = Changes::of("endpoints", &before, &checked)?;
    let subject = Subject::new("cluster", id, cluster.name);
    audit::record(&mut transaction, app.clock.now(), actor, None, Event::ClusterEndpointsChanged, subject, detail)
        .await?;
    live::announce(&mut transaction, None, "clusters").await?;
    transaction.commit().await?;
    app.connections.forget(id);
    Ok(())
}

/// Checks every endpoint, so that all problems are told at once.
fn checked(first: &str, wanted: &[Endpoint]) -> Result<Vec<Endpoint>> {
    let mut problems = Vec::new();
    if wanted.len() > ENDPOINTS_MAX {
        return Err(Error::invalid("endpoint", format!("At most {ENDPOINTS_MAX} further endpoints.")));
    }
    let mut known = HashSet::from([first.to_owned()]);
    let mut checked = Vec::new();
    for endpoint in wanted {
        let url = endpoint.url.trim().trim_end_matches('/').to_owned();
        let fingerprint = endpoint.fingerprint.as_deref().map(str::trim).filter(|text| !text.is_empty());
        if !url.starts_with("https://") || url.len() > URL_CHARACTERS_MAX || !is_plain_line(&url) {
            problems.push(Problem::new("endpoint", NOT_AN_ENDPOINT));
        } else if !known.insert(url.clone()) {
            problems.push(Problem::new("endpoint", format!("{url} is an endpoint already.")));
        }
        if fingerprint.is_some_and(|text| text.parse::<Fingerprint>().is_err()) {
            problems.push(Problem::new("fingerprint", NOT_A_FINGERPRINT));
        }
        checked.push(Endpoint { url, fingerprint: fingerprint.map(str::to_owned) });
    }
    if problems.is_empty() { Ok(checked) } else { Err(Error::Invalid(problems)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(url: &str, fingerprint: Option<&str>) -> Endpoint {
        Endpoint { url: url.into(), fingerprint: fingerprint.map(str::to_owned) }
    }

    #[test]
    fn an_endpoint_is_used_once_and_has_a_fingerprint_or_none() {
        let first = "https://pve1.example:8006";
        let good = checked(first, &[endpoint(" https://pve2.example:8006/ ", Some(" "))]).unwrap();
        assert_eq!(good, [endpoint("https://pve2.example:8006", None)]);
        for wrong in [endpoint(first, None), endpoint("http://pve2", None), endpoint("https://pve3", Some("AA:BB"))] {
            assert!(checked(first, &[wrong]).is_err());
        }
    }
}
