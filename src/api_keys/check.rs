//! Who a key that was sent acts for. One query answers; what it may do is the smaller of what it was given and of what its
//! maker may do at this instant.

use std::net::IpAddr;
use std::sync::Arc;

use billing::Money;
use chrono::{DateTime, TimeDelta, Utc};
use serde_json::json;

use super::{KeyText, db};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::ApiKeyId;
use crate::network::Network;
use crate::organisations::{Membership, Organisation};
use crate::permissions::Permissions;
use crate::sessions::Assurance;
use crate::users::User;

const REFUSED: &str = "The API key is wrong, has expired or was revoked.";
/// How often it is written down that a key was used from a wrong network.
const REFUSAL_WRITTEN_EVERY: TimeDelta = TimeDelta::hours(1);

/// A program that has shown a key.
#[derive(Debug, Clone)]
pub struct ByKey {
    /// The key.
    pub id: ApiKeyId,
    /// How people call it.
    pub name: String,
    /// Who made it.
    pub maker: User,
    /// For which organisation it acts.
    pub organisation: Organisation,
    /// What it may do there.
    pub permissions: Permissions,
    /// How sure we are of who made it. A key itself proves nothing anew.
    pub assurance: Assurance,
    /// The most that its machines may cost in a day.
    pub daily_limit: Option<Money>,
    /// How many requests a minute all programs of the organisation may make, by its quota.
    pub requests_per_minute: i64,
}

/// What the query says of a key.
pub(super) struct Found {
    pub by: ByKey,
    pub networks: Vec<String>,
    pub last_used_at: Option<DateTime<Utc>>,
    pub refused_at: Option<DateTime<Utc>>,
}

/// What a key may do, of a maker who may do `own`.
pub(super) fn permissions(patterns: &[String], own: Permissions) -> Permissions {
    Permissions::of_patterns(patterns.iter().map(String::as_str)).only(Permissions::for_keys()).only(own)
}

/// Who acts with a key that was sent from an address. `actor` is whoever sent it, not known yet: what is written of a refusal
/// names the key.
///
/// # Errors
/// `Unauthenticated` when it opens nothing, `WrongNetwork` when it must not be used from there.
pub async fn check(app: &Arc<App>, sent: &str, address: Option<IpAddr>, actor: &Actor) -> Result<ByKey> {
    let text = KeyText::parse(sent).ok_or(Error::Unauthenticated(REFUSED))?;
    let now = app.clock.machine_now();
    let found = db::select_by_hash(&app.pool, &text.hash(), now).await?.ok_or(Error::Unauthenticated(REFUSED))?;
    if !is_from(&found.networks, address) {
        refuse(app, &found, address, actor, now).await?;
        return Err(Error::WrongNetwork(address.map_or_else(|| "nowhere".to_owned(), |address| address.to_string())));
    }
    if app.key_uses.is_due(found.by.id, found.last_used_at, now) {
        let (app, id) = (Arc::clone(app), found.by.id);
        tokio::spawn(async move {
            let address = address.map(|address| address.to_canonical().to_string());
            if let Err(error) = db::write_use(&app.pool, id, address.as_deref(), now).await {
                tracing::warn!(?error, key = %id, "the use of an API key was not written down");
            }
        });
    }
    Ok(found.by)
}

/// A key without networks may come from anywhere; one with some, from no place that is not known.
fn is_from(networks: &[String], address: Option<IpAddr>) -> bool {
    networks.is_empty()
        || address.is_some_and(|address| {
            networks.iter().any(|network| network.parse::<Network>().is_ok_and(|network| network.holds(address)))
        })
}

/// Writes down, once in a while, that a key was used from where it must not be: it may be stolen.
async fn refuse(app: &App, found: &Found, address: Option<IpAddr>, actor: &Actor, now: DateTime<Utc>) -> Result<()> {
    let since = now - REFUSAL_WRITTEN_EVERY;
    if found.refused_at.is_some_and(|at| at > since) {
        return Ok(());
    }
    let mut transaction = app.pool.begin().await?;
    if db::mark_refused(&mut transaction, found.by.id, since, now).await? {
        let subject = Subject::new("api_key", found.by.id, &found.by.name);
        let detail = json!({ "address": address });
        let organisation = Some(found.by.organisation.id);
        let event = Event::ApiKeyRefused;
        audit::record(&mut transaction, app.clock.now(), actor, organisation, event, subject, detail).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// Who made the key of a hash and what it may do now, if it still opens anything: for a connection that outlives its request.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn standing(app: &App, hash: &[u8]) -> Result<Option<(User, Membership)>> {
    let found = db::select_by_hash(&app.pool, hash, app.clock.machine_now()).await?;
    Ok(found
        .filter(|found| !found.by.assurance.missing_for_organisation)
        .map(|Found { by, .. }| (by.maker, Membership { organisation: by.organisation, permissions: by.permissions })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_with_networks_comes_from_one_of_them() {
        let address = |text: &str| Some(text.parse().unwrap());
        let networks = ["203.0.113.0/24".to_owned(), "2001:db8::/32".to_owned()];
        assert!(is_from(&[], address("192.0.2.1")) && is_from(&[], None));
        assert!(is_from(&networks, address("203.0.113.4")) && is_from(&networks, address("2001:db8::4")));
        assert!(!is_from(&networks, address("192.0.2.1")) && !is_from(&networks, None));
        assert!(!is_from(&["nonsense".to_owned()], address("192.0.2.1")), "what cannot be read holds nothing");
    }
}
