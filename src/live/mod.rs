//! What changed, told to open pages and to sleeping workers: PostgreSQL's NOTIFY, so that it is told at commit and to every
//! process on the database. A message says only *that* something changed; who hears it looks for himself.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::postgres::PgListener;
use sqlx::{PgConnection, PgPool};
use tokio::sync::{Notify, broadcast};

use crate::ids::{OrganisationId, UserId};
use crate::network::Network;

const CHANNEL: &str = "uni_manager";
/// How many messages an open page may lag behind before it is told to look at everything again.
const BACKLOG_MAX: usize = 1024;
/// How many pages may be open that hear of changes, in one process: a quarter of its connections, so that most of them are left
/// to requests. Who comes later sees changes when he loads a page again.
const STREAMS_MAX: usize = 1024;
/// How many of them one person may have.
const STREAMS_PER_PERSON_MAX: usize = 50;
/// How many one network may have, whatever accounts they are of: an office behind one address, and far from all of them.
const STREAMS_PER_NETWORK_MAX: usize = 200;
/// How many changes may wait to be told together; what is beyond is not told, and pages see it at their next look.
const UNTOLD_MAX: usize = 10_000;
/// For how long changes are gathered before they are told together.
const GATHERING_MILLISECONDS: u64 = 20;
/// How long to wait before listening again after the connection broke.
const RETRY_SECONDS: u64 = 1;

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Change {
    /// Whose; none: everybody's.
    #[serde(rename = "o", skip_serializing_if = "Option::is_none", default)]
    pub organisation: Option<OrganisationId>,
    /// What: `vm:<id>`, `vms`, `wallet`, `job:<id>`, `jobs`, `clusters`, `notifications`, `mails`.
    #[serde(rename = "t")]
    pub topic: String,
}

/// Where changes arrive in this process.
#[derive(Debug, Clone)]
pub struct Hub {
    changes: broadcast::Sender<Change>,
    /// Rings when there may be a job to run.
    pub jobs: Arc<Notify>,
    /// Rings when a wallet may have become due earlier.
    pub billing: Arc<Notify>,
    /// Rings when there may be a mail to send.
    pub mails: Arc<Notify>,
    streams: Arc<Mutex<Streams>>,
    untold: Arc<Mutex<HashSet<Change>>>,
    gathered: Arc<Notify>,
}

/// How many streams are open, and whose.
#[derive(Debug, Default)]
struct Streams {
    open: usize,
    people: HashMap<UserId, usize>,
    networks: HashMap<Network, usize>,
}

/// An open stream of one person, counted until it is dropped.
#[derive(Debug)]
pub struct OpenStream {
    person: UserId,
    network: Option<Network>,
    streams: Arc<Mutex<Streams>>,
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.open -= 1;
        one_less(&mut streams.people, &self.person);
        if let Some(network) = &self.network {
            one_less(&mut streams.networks, network);
        }
    }
}

fn one_less<Who: Eq + Hash>(counts: &mut HashMap<Who, usize>, who: &Who) {
    if let Some(open) = counts.get_mut(who) {
        *open -= 1;
        if *open == 0 {
            counts.remove(who);
        }
    }
}

impl Default for Hub {
    fn default() -> Self {
        Self {
            changes: broadcast::channel(BACKLOG_MAX).0,
            jobs: Arc::default(),
            billing: Arc::default(),
            mails: Arc::default(),
            streams: Arc::default(),
            untold: Arc::default(),
            gathered: Arc::default(),
        }
    }
}

impl Hub {
    /// Hears of every change from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Change> {
        self.changes.subscribe()
    }

    /// Counts one more open page of a person in a network; none when there are as many as he, his network or all may have.
    #[must_use]
    pub fn open_stream(&self, person: UserId, address: Option<IpAddr>) -> Option<OpenStream> {
        let network = address.map(Network::of_one_line);
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let of_person = streams.people.get(&person).copied().unwrap_or_default();
        let of_network = network.and_then(|network| streams.networks.get(&network).copied()).unwrap_or_default();
        if streams.open >= STREAMS_MAX || of_person >= STREAMS_PER_PERSON_MAX || of_network >= STREAMS_PER_NETWORK_MAX {
            return None;
        }
        streams.open += 1;
        *streams.people.entry(person).or_default() += 1;
        if let Some(network) = network {
            *streams.networks.entry(network).or_default() += 1;
        }
        Some(OpenStream { person, network, streams: Arc::clone(&self.streams) })
    }

    /// Tells of a change soon, after its commit, together with others. Commits that notify wait for each other's disk, one
    /// after the other; a job that writes down a dozen steps must not make every other job wait for each of them. What is lost
    /// when the process dies is only that a page looks a little later.
    pub fn announce_soon(&self, organisation: Option<OrganisationId>, topic: impl Into<String>) {
        let mut untold = self.untold.lock().unwrap_or_else(PoisonError::into_inner);
        if untold.len() < UNTOLD_MAX {
            untold.insert(Change { organisation, topic: topic.into() });
        }
        drop(untold);
        self.gathered.notify_one();
    }

    /// Listens to PostgreSQL, and tells it what was gathered, until the task is dropped; a broken connection is opened again.
    pub async fn listen(self, pool: PgPool) {
        tokio::join!(self.listen_always(&pool), self.tell_always(&pool));
    }

    async fn listen_always(&self, pool: &PgPool) {
        loop {
            if let Err(error) = self.listen_once(pool).await {
                tracing::warn!(%error, "listening for changes was interrupted");
            }
            tokio::time::sleep(Duration::from_secs(RETRY_SECONDS)).await;
        }
    }

    async fn tell_always(&self, pool: &PgPool) {
        loop {
            self.gathered.notified().await;
            tokio::time::sleep(Duration::from_millis(GATHERING_MILLISECONDS)).await;
            let untold = std::mem::take(&mut *self.untold.lock().unwrap_or_else(PoisonError::into_inner));
            if let Err(error) = tell(pool, &untold).await {
                tracing::warn!(%error, changes = untold.len(), "changes could not be told");
            }
        }
    }

    async fn listen_once(&self, pool: &PgPool) -> Result<(), sqlx::Error> {
        let mut listener = PgListener::connect_with(pool).await?;
        listener.listen(CHANNEL).await?;
        loop {
            // Whatever was said before we listened, or while we did not, is looked for now.
            self.jobs.notify_one();
            self.billing.notify_one();
            self.mails.notify_one();
            while let Some(notification) = listener.try_recv().await? {
                match notification.payload() {
                    JOBS => self.jobs.notify_one(),
                    BILLING => self.billing.notify_one(),
                    MAILS => self.mails.notify_one(),
                    payload => {
                        if let Ok(change) = serde_json::from_str(payload) {
                            // No receiver is fine: no page is open.
                            let _ = self.changes.send(change);
                        }
                    }
                }
            }
        }
    }
}

const JOBS: &str = "jobs";
const BILLING: &str = "billing";
const MAILS: &str = "mails";

/// The topic of what a person may do: whoever has something open for him looks again whether it may stay open.
#[must_use]
pub fn of_person(person: UserId) -> String {
    format!("person:{person}")
}

/// Announces a change of an organisation's things at commit.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn announce(
    connection: &mut PgConnection,
    organisation: Option<OrganisationId>,
    topic: impl Into<String>,
) -> Result<(), sqlx::Error> {
    let change = Change { organisation, topic: topic.into() };
    notify(connection, &serde_json::to_string(&change).expect("strings and ids always serialise")).await
}

/// Announces several changes at commit, with one question to the database; `wake_jobs` also wakes the workers.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn announce_all(
    connection: &mut PgConnection,
    changes: impl IntoIterator<Item = (Option<OrganisationId>, String)>,
    wake_jobs: bool,
) -> Result<(), sqlx::Error> {
    let changes = changes.into_iter().map(|(organisation, topic)| Change { organisation, topic });
    let mut payloads: Vec<String> =
        changes.map(|change| serde_json::to_string(&change).expect("strings and ids always serialise")).collect();
    if wake_jobs {
        payloads.push(JOBS.to_owned());
    }
    notify_all(connection, &payloads).await
}

/// Wakes the billing clock at commit: a wallet may be due earlier.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn wake_billing(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    notify(connection, BILLING).await
}

/// Wakes whoever carries mails at commit: one may be due.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn wake_mails(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    notify(connection, MAILS).await
}

/// Tells of many changes in one transaction, whose commit waits for no disk: nothing is kept by it.
async fn tell(pool: &PgPool, changes: &HashSet<Change>) -> Result<(), sqlx::Error> {
    let payloads: Vec<String> = changes.iter().filter_map(|change| serde_json::to_string(change).ok()).collect();
    let mut transaction = pool.begin().await?;
    sqlx::query!("select set_config('synchronous_commit', 'off', true)").fetch_one(&mut *transaction).await?;
    notify_all(&mut transaction, &payloads).await?;
    transaction.commit().await
}

async fn notify_all(connection: &mut PgConnection, payloads: &[String]) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_notify($1, payload) from unnest($2::text[]) as told(payload)", CHANNEL, payloads)
        .fetch_all(connection)
        .await?;
    Ok(())
}

async fn notify(connection: &mut PgConnection, payload: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("select pg_notify($1, $2)", CHANNEL, payload).fetch_one(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: usize) -> IpAddr {
        let [.., high, low] = u32::try_from(number).unwrap().to_be_bytes();
        IpAddr::from([10, 0, high, low])
    }

    #[test]
    fn nobody_and_no_network_has_all_streams_and_all_have_so_many() {
        let hub = Hub::default();
        let ann = UserId::new();
        let of_ann: Vec<_> =
            (0..STREAMS_PER_PERSON_MAX).map(|number| hub.open_stream(ann, Some(address(number)))).collect();
        assert!(of_ann.iter().all(Option::is_some) && hub.open_stream(ann, Some(address(99))).is_none());
        drop(of_ann);
        assert!(hub.open_stream(ann, None).is_some(), "what is closed is free again");

        let office: Vec<_> =
            (0..STREAMS_PER_NETWORK_MAX).map(|_| hub.open_stream(UserId::new(), Some(address(1)))).collect();
        assert!(office.iter().all(Option::is_some) && hub.open_stream(UserId::new(), Some(address(1))).is_none());
        assert!(hub.open_stream(UserId::new(), Some(address(2))).is_some(), "the next network");

        let rest = STREAMS_MAX - STREAMS_PER_NETWORK_MAX;
        let others: Vec<_> =
            (0..rest).map(|number| hub.open_stream(UserId::new(), Some(address(number + 10)))).collect();
        assert!(others.iter().all(Option::is_some) && hub.open_stream(UserId::new(), None).is_none());
        drop((office, others));
        let streams = hub.streams.lock().unwrap();
        assert!(streams.open == 0 && streams.people.is_empty() && streams.networks.is_empty());
    }
}
