//! How often somebody may try a password. Tries that failed are counted in PostgreSQL, for every process alike, under the device,
//! the network and the account that they were about. Who comes from where he logged in before is counted by himself, so that
//! no stranger can lock him out; `docs/decisions/logins.md` says why it is so. What anybody may ask for is counted in `asked`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::ExposeSecret;
use sha2::{Digest, Sha256};
use sqlx::PgConnection;

use super::db::limits as db;
use crate::app::App;
use crate::error::{Error, Result};
use crate::network::Network;

/// In how many minutes failures are counted together.
const WINDOW_MINUTES: i64 = 5;
/// After how many minutes without a failure all is forgotten; longer than the longest delay.
const FORGET_MINUTES: i64 = 120;
/// How long a place that nobody knows waits before its first try at an account that is under attack, in seconds.
const FIRST_WAIT_SECONDS: i64 = 30;
/// How many days a device or a network is known after the last login from there.
const KNOWN_DAYS: i64 = 180;

/// Said to who has to wait, whoever he is.
const LIMITED: &str =
    "Too many tries failed. Wait a few minutes before the next one, or have a new password sent to you.";

/// How many failures within a window are without consequence, and how long a delay follows the last of them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rule {
    /// So many at first.
    pub free: i32,
    /// So many once it has come to a delay.
    pub free_again: i32,
    /// The first delay; doubled each time.
    pub delay_minutes: i64,
    /// The longest.
    pub delay_minutes_max: i64,
}

/// One account from one network or one device: five tries, then one at a time.
pub(super) const ONE_ACCOUNT: Rule = Rule { free: 5, free_again: 1, delay_minutes: 5, delay_minutes_max: 60 };
/// All accounts from one network, which many may share.
pub(super) const NETWORK: Rule = Rule { free: 20, free_again: 20, delay_minutes: 5, delay_minutes_max: 60 };
/// All accounts from what one customer of an IPv6 provider may have: thousands of networks.
pub(super) const SITE: Rule = Rule { free: 100, free_again: 100, delay_minutes: 5, delay_minutes_max: 60 };
/// One account from everywhere that it does not know. It is never closed: a delay here means that it is under attack.
const ACCOUNT: Rule = Rule { free: 20, free_again: 20, delay_minutes: 15, delay_minutes_max: 60 };
/// What is known of one key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Count {
    pub failures: i32,
    pub window_ends_at: DateTime<Utc>,
    pub level: i32,
    pub blocked_until: Option<DateTime<Utc>>,
    pub forget_at: DateTime<Utc>,
}

impl Count {
    pub const fn none(now: DateTime<Utc>) -> Self {
        Self { failures: 0, window_ends_at: now, level: 0, blocked_until: None, forget_at: now }
    }

    /// After one more failure.
    fn and_one(self, rule: Rule, now: DateTime<Utc>) -> Self {
        let before = if self.forget_at <= now { Self::none(now) } else { self };
        let in_window = before.window_ends_at > now;
        let failures = if in_window { before.failures } else { 0 } + 1;
        let window_ends_at = if in_window { before.window_ends_at } else { now + TimeDelta::minutes(WINDOW_MINUTES) };
        let forget_at = now + TimeDelta::minutes(FORGET_MINUTES);
        if failures < if before.level == 0 { rule.free } else { rule.free_again } {
            return Self { failures, window_ends_at, forget_at, ..before };
        }
        let minutes = rule.delay_minutes << before.level.clamp(0, 16);
        let blocked_until = now + TimeDelta::minutes(minutes.min(rule.delay_minutes_max));
        Self {
            failures: 0,
            window_ends_at: now,
            level: before.level.saturating_add(1),
            blocked_until: Some(blocked_until),
            forget_at,
        }
    }

    /// Seconds until the next try, if one has to wait.
    fn wait(&self, now: DateTime<Utc>) -> Option<i64> {
        let left = self.blocked_until? - now;
        (left > TimeDelta::zero()).then(|| left.num_seconds() + 1)
    }
}

/// Something that is counted.
#[derive(Debug, Clone)]
pub(super) struct Counter {
    pub key: Vec<u8>,
    rule: Rule,
}

impl Counter {
    pub fn new(app: &App, rule: Rule, parts: &[&str]) -> Self {
        Self { key: keyed(app, parts), rule }
    }
}

/// From where somebody tries to log in.
#[derive(Debug, Clone)]
pub struct Place {
    line: String,
    network: String,
    /// Of an IPv6 address, the site that the network may be of.
    site: Option<String>,
    device: Option<String>,
}

impl Place {
    /// By the address of the connection, and the token that a browser was given when somebody logged in with it.
    #[must_use]
    pub fn new(address: Option<&str>, device: Option<&str>) -> Self {
        let device = device.filter(|device| !device.is_empty()).map(str::to_owned);
        Self { line: line(address), network: network(address), site: site(address), device }
    }

    /// What one line of an access provider has.
    pub(super) fn line(&self) -> &str {
        &self.line
    }

    /// What is around the line: as much as one may have.
    pub(super) fn around(&self) -> &str {
        self.site.as_deref().unwrap_or(&self.network)
    }

    /// The token of the browser.
    pub(super) fn device(&self) -> Option<&str> {
        self.device.as_deref()
    }

    /// The network, for the table of known places.
    pub(super) fn network_key(&self, app: &App) -> Vec<u8> {
        keyed(app, &["place", "network", &self.network])
    }

    /// The device, for the table of known places; of nothing when there is none.
    pub(super) fn device_key(&self, app: &App) -> Vec<u8> {
        self.device.as_deref().map(|device| device_key(app, device)).unwrap_or_default()
    }
}

/// A device, for the table of known places.
pub(super) fn device_key(app: &App, token: &str) -> Vec<u8> {
    keyed(app, &["place", "device", token])
}

/// What counts for a try at an account.
#[derive(Debug)]
pub(super) struct Gate {
    /// Its own count: of the device where that is known, else of account and network.
    own: Counter,
    /// Those that others count under as well, for who is not known by his device. Whether he is known by his network makes no
    /// difference to what is counted, so that nobody sees it on the waits.
    shared: Option<Shared>,
    /// Whether somebody came in from this network before.
    knows_network: bool,
}

/// How a try goes on.
#[derive(Debug, Clone, Copy)]
pub(super) enum Admission {
    /// The right password comes in.
    Open,
    /// It comes in only from a network that the account knows. Everybody else is told to wait so many seconds, after the same
    /// work, so that nobody learns which accounts are known there.
    Held { wait: i64, is_first: bool },
}

/// What counts for everybody who is not known by his device.
#[derive(Debug)]
struct Shared {
    /// The network, and the site that it may be of.
    networks: Vec<Counter>,
    account: Counter,
}

impl Gate {
    /// Of a try at an account, which is called by its id, or by the address where there is none.
    pub fn new(app: &App, account: &str, place: &Place, knows_device: bool, knows_network: bool) -> Self {
        let own = match place.device.as_deref().filter(|_| knows_device) {
            Some(device) => Counter::new(app, ONE_ACCOUNT, &["device", account, device]),
            None => Counter::new(app, ONE_ACCOUNT, &["pair", account, &place.network]),
        };
        let shared = (!knows_device).then(|| {
            let networks = networks(app, "network", place);
            Shared { networks, account: Counter::new(app, ACCOUNT, &["account", account]) }
        });
        Self { own, shared, knows_network }
    }

    /// Lets a try go on, or says how long to wait.
    ///
    /// # Errors
    /// `TooManyTries`.
    pub async fn admit(&self, app: &App) -> Result<Admission> {
        let now = app.clock.machine_now();
        let counts = db::select(&app.pool, &self.keys(), now).await?;
        let count_of = |counter: &Counter| counts.get(&counter.key);
        let own = count_of(&self.own);
        let own_wait = own.and_then(|count| count.wait(now));
        let Some(Shared { networks, account }) = &self.shared else {
            return refuse(own_wait).map(|()| Admission::Open);
        };
        let of_networks = networks.iter().filter_map(|network| count_of(network)?.wait(now)).max();
        if own_wait.is_some() {
            refuse(own_wait.max(of_networks))?;
        }
        let is_under_attack = count_of(account).is_some_and(|count| count.wait(now).is_some());
        // Everybody waits once and as long, however many strangers try; then he has his own try.
        let is_first = own.is_none() && is_under_attack;
        let wait = of_networks.max(is_first.then_some(FIRST_WAIT_SECONDS));
        Ok(wait.map_or(Admission::Open, |wait| Admission::Held { wait, is_first }))
    }

    /// Whether the right password comes in.
    pub const fn lets_in(&self, admission: Admission) -> bool {
        match admission {
            Admission::Open => true,
            Admission::Held { .. } => self.knows_network,
        }
    }

    /// Counts a try that did not come in, as part of somebody's transaction.
    pub async fn failed(&self, app: &App, connection: &mut PgConnection, admission: Admission) -> Result<()> {
        let now = app.clock.machine_now();
        match admission {
            Admission::Open => {
                let counters: Vec<_> = std::iter::once(&self.own).chain(self.shared()).cloned().collect();
                add(connection, counters, now).await
            }
            Admission::Held { is_first: true, .. } => {
                let first = Count {
                    level: 1,
                    blocked_until: Some(now + TimeDelta::seconds(FIRST_WAIT_SECONDS)),
                    forget_at: now + TimeDelta::minutes(FORGET_MINUTES),
                    ..Count::none(now)
                };
                db::insert(connection, &self.own.key, &first, now).await
            }
            // What others count under says already that they have to wait.
            Admission::Held { is_first: false, .. } => add(connection, vec![self.own.clone()], now).await,
        }
    }

    /// Forgets what was counted for this account from here: its owner is in.
    pub async fn passed(&self, app: &App) -> Result<()> {
        db::delete(&app.pool, &self.own.key).await
    }

    fn keys(&self) -> Vec<Vec<u8>> {
        std::iter::once(&self.own).chain(self.shared()).map(|counter| counter.key.clone()).collect()
    }

    fn shared(&self) -> impl Iterator<Item = &Counter> {
        self.shared.iter().flat_map(|Shared { networks, account }| networks.iter().chain([account]))
    }
}

/// Lets somebody go on unless one of the counters says to wait.
///
/// # Errors
/// `TooManyTries`.
pub(super) async fn admit(app: &App, counters: &[Counter]) -> Result<()> {
    let now = app.clock.machine_now();
    let keys: Vec<_> = counters.iter().map(|counter| counter.key.clone()).collect();
    let counts = db::select(&app.pool, &keys, now).await?;
    refuse(counts.values().filter_map(|count| count.wait(now)).max())
}

/// Counts a failure under each of these.
pub(super) async fn failed(app: &App, counters: &[Counter]) -> Result<()> {
    let mut transaction = app.pool.begin().await?;
    add(&mut transaction, counters.to_vec(), app.clock.machine_now()).await?;
    transaction.commit().await?;
    Ok(())
}

/// The same, as part of somebody's transaction.
async fn add(connection: &mut PgConnection, mut counters: Vec<Counter>, now: DateTime<Utc>) -> Result<()> {
    // In one order for everybody, so that nobody waits in a circle.
    counters.sort_by(|a, b| a.key.cmp(&b.key));
    let keys: Vec<_> = counters.iter().map(|counter| counter.key.clone()).collect();
    let before = db::lock(&mut *connection, &keys, now).await?;
    for counter in &counters {
        let count = before.get(&counter.key).copied().unwrap_or(Count::none(now));
        db::update(&mut *connection, &counter.key, &count.and_one(counter.rule, now)).await?;
    }
    Ok(())
}

/// Forgets what was counted under these.
pub(super) async fn forget(app: &App, counters: &[Counter]) -> Result<()> {
    for counter in counters {
        db::delete(&app.pool, &counter.key).await?;
    }
    Ok(())
}

/// Removes what is forgotten, and places from which nobody has come for long.
pub(super) async fn purge(app: &App) -> Result<u64> {
    let now = app.clock.machine_now();
    db::delete_forgotten(&app.pool, now, now - TimeDelta::days(KNOWN_DAYS)).await
}

fn refuse(wait: Option<i64>) -> Result<()> {
    wait.map_or(Ok(()), |seconds| Err(limited(seconds)))
}

/// What is said to who has to wait so many seconds.
pub(super) const fn limited(seconds: i64) -> Error {
    Error::TooManyTries { sentence: LIMITED, retry_after_seconds: seconds }
}

/// A hash that cannot be made, nor tried out, without the platform's own key.
pub(super) fn keyed(app: &App, parts: &[&str]) -> Vec<u8> {
    let mut hash = Sha256::new();
    for part in std::iter::once(app.settings.token_key.expose_secret()).chain(parts.iter().copied()) {
        hash.update(part.len().to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize().to_vec()
}

/// What counts for all who come from a network, and for the site that it is of.
pub(super) fn networks(app: &App, what: &str, place: &Place) -> Vec<Counter> {
    let of_network = Counter::new(app, NETWORK, &[what, &place.network]);
    let of_site = place.site.as_deref().map(|site| Counter::new(app, SITE, &[what, site]));
    std::iter::once(of_network).chain(of_site).collect()
}

/// The site of an IPv6 address: as many networks as one customer of a provider may have.
fn site(address: Option<&str>) -> Option<String> {
    const BITS: u8 = 48;
    let address: IpAddr = address?.parse().ok()?;
    let address = address.to_canonical();
    address.is_ipv6().then(|| Network::around(address, 0, BITS).to_string())
}

/// The line of an address.
fn line(address: Option<&str>) -> String {
    let address = address.and_then(|address| address.parse::<IpAddr>().ok());
    address.map_or_else(|| "unknown".to_owned(), |address| Network::of_one_line(address).to_string())
}

/// The network of an address: what one customer of a provider usually has.
fn network(address: Option<&str>) -> String {
    const V4_BITS: u32 = 24;
    const V6_BITS: u32 = 64;
    match address.and_then(|address| address.parse::<IpAddr>().ok()).map(|address| address.to_canonical()) {
        Some(IpAddr::V4(address)) => {
            let network = Ipv4Addr::from(u32::from(address) & (u32::MAX << (32 - V4_BITS)));
            format!("{network}/{V4_BITS}")
        }
        Some(IpAddr::V6(address)) => {
            let network = Ipv6Addr::from(u128::from(address) & (u128::MAX << (128 - V6_BITS)));
            format!("{network}/{V6_BITS}")
        }
        None => "unknown".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start() -> DateTime<Utc> {
        DateTime::from_timestamp(1_800_000_000, 0).unwrap()
    }

    #[test]
    fn five_are_free_and_then_each_costs_twice_as_much_up_to_an_hour() {
        let mut now = start();
        let mut count = Count::none(now);
        for _ in 0..4 {
            count = count.and_one(ONE_ACCOUNT, now);
            assert_eq!(count.wait(now), None);
        }
        let mut delays = Vec::new();
        for _ in 0..6 {
            count = count.and_one(ONE_ACCOUNT, now);
            let blocked = count.blocked_until.unwrap();
            delays.push((blocked - now).num_minutes());
            now = blocked;
            assert_eq!(count.wait(now), None, "over is over");
        }
        assert_eq!(delays, [5, 10, 20, 40, 60, 60]);
        now += TimeDelta::minutes(FORGET_MINUTES);
        assert_eq!(count.and_one(ONE_ACCOUNT, now).level, 0, "in the end it is forgotten");
    }

    #[test]
    fn failures_far_apart_cost_nothing() {
        let mut count = Count::none(start());
        for number in 0..50 {
            let now = start() + TimeDelta::minutes(number * 2);
            count = count.and_one(ONE_ACCOUNT, now);
            assert_eq!(count.wait(now), None, "three in five minutes");
        }
    }

    #[test]
    fn neighbours_share_a_network_however_they_are_written() {
        assert_eq!(network(Some("203.0.113.7")), network(Some("203.0.113.250")));
        assert_eq!(network(Some("::ffff:203.0.113.7")), "203.0.113.0/24");
        assert_ne!(network(Some("203.0.113.7")), network(Some("203.0.114.7")));
        assert_eq!(network(Some("2001:db8:1:2:3::1")), "2001:db8:1:2::/64");
        assert_eq!((network(None), line(None)), ("unknown".to_owned(), "unknown".to_owned()));
        assert_ne!(line(Some("203.0.113.7")), line(Some("203.0.113.8")));
        assert_eq!(line(Some("2001:db8:1:2:3::1")), line(Some("2001:db8:1:2:4::1")), "one line has them all");
        let around = |address| Place::new(Some(address), None).around().to_owned();
        assert_eq!(
            (around("203.0.113.7"), around("2001:db8:1:2::1")),
            ("203.0.113.0/24".into(), "2001:db8:1::/48".into())
        );
        assert_eq!(site(Some("2001:db8:1:2:3::1")).as_deref(), Some("2001:db8:1::/48"));
        assert_eq!((site(Some("203.0.113.7")), site(Some("::ffff:203.0.113.7")), site(None)), (None, None, None));
    }
}
