//! How much an organisation may have at once: the default of the platform, or its own answer. It is checked in the transaction
//! that uses it, while that holds the organisation's wallet, so that two orders at once cannot share the last room.

mod change;
mod contact;
mod db;
mod exceeded;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use sqlx::PgConnection;

pub use change::{NewDefaults, OwnLimits, change_defaults, change_own};
pub use exceeded::Exceeded;

use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::OrganisationId;

/// What there is a quota of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Quota {
    /// Machines.
    Vms,
    /// Their processors.
    Vcpu,
    /// Their memory.
    Memory,
    /// Their disks.
    Disk,
    /// Snapshots of them.
    Snapshots,
    /// Backups of them.
    Backups,
    /// Addresses that they have.
    Addresses,
    /// Requests to the API.
    ApiRequests,
}

impl Quota {
    /// Every quota, in the order in which screens list them.
    pub const ALL: [Self; 8] = [
        Self::Vms,
        Self::Vcpu,
        Self::Memory,
        Self::Disk,
        Self::Snapshots,
        Self::Backups,
        Self::Addresses,
        Self::ApiRequests,
    ];

    /// Its name in forms and in the API, with the unit.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vms => "vms",
            Self::Vcpu => "vcpu",
            Self::Memory => "memory_mib",
            Self::Disk => "disk_gib",
            Self::Snapshots => "snapshots",
            Self::Backups => "backups",
            Self::Addresses => "addresses",
            Self::ApiRequests => "api_requests_per_minute",
        }
    }

    /// How to call it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Vms => "VMs",
            Self::Vcpu => "vCPU",
            Self::Memory => "Memory",
            Self::Disk => "Disk",
            Self::Snapshots => "Snapshots",
            Self::Backups => "Backups",
            Self::Addresses => "Addresses",
            Self::ApiRequests => "API requests",
        }
    }

    /// What stands behind its number.
    #[must_use]
    pub const fn unit(self) -> &'static str {
        match self {
            Self::Memory => "MiB",
            Self::Disk => "GiB",
            Self::ApiRequests => "per minute",
            Self::Vms | Self::Vcpu | Self::Snapshots | Self::Backups | Self::Addresses => "",
        }
    }

    /// The least and the most that it can be set to, in its unit.
    #[must_use]
    pub const fn range(self) -> (i64, i64) {
        match self {
            Self::Vms | Self::Snapshots | Self::Backups | Self::Addresses => (0, 1_000_000),
            Self::Vcpu => (0, 10_000_000),
            Self::Memory => (0, 1_000_000_000),
            Self::Disk => (0, 1_000_000_000),
            Self::ApiRequests => (1, 1_000_000),
        }
    }
}

/// A number for every quota, each in the quota's unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Amounts {
    amounts: [i64; Quota::ALL.len()],
}

impl Amounts {
    /// Nothing of anything.
    pub const NONE: Self = Self { amounts: [0; Quota::ALL.len()] };

    /// How much of one.
    #[must_use]
    pub const fn of(&self, quota: Quota) -> i64 {
        self.amounts[quota as usize]
    }

    /// The same with another amount of one.
    #[must_use]
    pub const fn with(mut self, quota: Quota, amount: i64) -> Self {
        self.amounts[quota as usize] = amount;
        self
    }
}

impl Serialize for Amounts {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(Quota::ALL.len()))?;
        for quota in Quota::ALL {
            map.serialize_entry(quota.name(), &self.of(quota))?;
        }
        map.end()
    }
}

/// How an organisation stands.
#[derive(Debug, Clone)]
pub struct Standing {
    /// What it may have.
    pub limits: Amounts,
    /// What it has. Requests are not counted here.
    pub used: Amounts,
    /// What it has own answers for.
    pub own: OwnLimits,
    /// What every organisation may have that has no own answer.
    pub defaults: Amounts,
    /// Where to ask for more: an e-mail address or an `https://` address.
    pub contact: Option<String>,
}

impl Standing {
    /// Whether a quota has an answer of the organisation's own.
    #[must_use]
    pub fn is_own(&self, quota: Quota) -> bool {
        self.own.of(quota).is_some()
    }

    /// The first quota that does not carry so much more. Who has more than he may since his quota was lowered keeps it; he only
    /// gets no more.
    #[must_use]
    pub fn exceeded(&self, more: Amounts) -> Option<Exceeded> {
        Quota::ALL.into_iter().find_map(|quota| {
            let (asked, used, limit) = (more.of(quota), self.used.of(quota), self.limits.of(quota));
            let exceeds = asked > 0 && used.saturating_add(asked) > limit;
            exceeds.then(|| Exceeded { quota, used, limit, asked, contact: self.contact.clone() })
        })
    }

    /// A link to where to ask for more of it, if there is one.
    #[must_use]
    pub fn ask_url(&self, organisation: &str) -> Option<String> {
        self.contact.as_deref().map(|contact| contact::url(contact, organisation))
    }
}

/// How an organisation stands now.
///
/// # Errors
/// `NotFound` when there is none.
pub async fn standing(app: &App, organisation: OrganisationId) -> Result<Standing> {
    standing_in(&mut *app.pool.acquire().await?, organisation).await
}

async fn standing_in(connection: &mut PgConnection, organisation: OrganisationId) -> Result<Standing> {
    let (own, used) = db::select(&mut *connection, organisation).await?.ok_or(Error::NotFound("organisation"))?;
    let (defaults, contact) = db::select_defaults(connection).await?;
    let limits = Quota::ALL
        .into_iter()
        .fold(defaults, |limits, quota| limits.with(quota, own.of(quota).unwrap_or_else(|| defaults.of(quota))));
    Ok(Standing { limits, used, own, defaults, contact })
}

/// What every organisation may have that has no own answer, and where customers ask for more.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn defaults(app: &App) -> Result<(Amounts, Option<String>)> {
    db::select_defaults(&mut *app.pool.acquire().await?).await
}

/// Checks that an organisation may have so much more, in the transaction that gives it. The caller holds its wallet: that is
/// what makes others wait who use the same room.
///
/// # Errors
/// `QuotaExceeded` with the first that does not carry it.
pub async fn check(connection: &mut PgConnection, organisation: OrganisationId, more: Amounts) -> Result<()> {
    if more == Amounts::NONE {
        return Ok(());
    }
    match standing_in(connection, organisation).await?.exceeded(more) {
        Some(exceeded) => Err(Error::QuotaExceeded(Box::new(exceeded))),
        None => Ok(()),
    }
}
