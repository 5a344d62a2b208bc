//! Time in which a machine was there and nobody is charged for it: we could not see it, or an operator waived it.

use chrono::{DateTime, Utc};
use serde::Serialize;
use sqlx::PgConnection;

use super::db::uncharged as db;
use crate::app::App;
use crate::error::Result;
use crate::ids::{ClusterId, OrganisationId, VmId};

/// How many of them a page shows.
pub const PAGE_MAX: i64 = 100;

/// Why nobody is charged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, utoipa::ToSchema)]
#[schema(as = UnchargedReason)]
#[serde(rename_all = "snake_case")]
pub enum Reason {
    /// Its cluster did not answer.
    ClusterAway,
    /// The node that it is on was down or told nothing of it.
    NodeAway,
    /// The cluster did not know its guest.
    Missing,
    /// An operator let missed time go by.
    Waived,
}

impl Reason {
    /// The stored name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ClusterAway => "cluster_away",
            Self::NodeAway => "node_away",
            Self::Missing => "missing",
            Self::Waived => "waived",
        }
    }

    /// Reads the stored name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::ClusterAway, Self::NodeAway, Self::Missing, Self::Waived]
            .into_iter()
            .find(|reason| reason.name() == text)
    }

    /// What the customer and the operator read.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::ClusterAway => "The cluster did not answer: we could not see it",
            Self::NodeAway => "Its node did not answer: we could not see it",
            Self::Missing => "The guest was not found: we could not see it",
            Self::Waived => "Missed and waived by an operator",
        }
    }
}

/// A time of machines of one cluster.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct UnchargedTime {
    /// The cluster, if it is known.
    pub cluster: Option<ClusterId>,
    /// Its name.
    pub cluster_name: Option<String>,
    /// From here.
    pub from: DateTime<Utc>,
    /// Until here; none: it goes on.
    pub to: Option<DateTime<Utc>>,
    /// Why.
    pub reason: Reason,
    /// How many machines.
    pub vms: i64,
    /// Of how many organisations.
    pub organisations: i64,
}

/// A time of one machine.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
#[schema(as = UnchargedTimeOfVm)]
pub struct UnchargedOfVm {
    /// Goes into `after` for the next page.
    #[serde(skip)]
    pub number: i64,
    /// The machine.
    pub vm_id: VmId,
    /// Its name.
    pub vm_name: String,
    /// From here.
    pub from: DateTime<Utc>,
    /// Until here; none: it goes on.
    pub to: Option<DateTime<Utc>>,
    /// Why.
    pub reason: Reason,
}

/// The latest of all machines, those that go on first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn latest(app: &App) -> Result<Vec<UnchargedTime>> {
    db::select_latest(&app.pool, PAGE_MAX).await
}

/// Which times of a customer's machines are asked for: those that touch a span.
#[derive(Debug, Clone, Copy)]
pub struct UnchargedFilter {
    /// From here.
    pub from: DateTime<Utc>,
    /// Until here.
    pub to: DateTime<Utc>,
    /// Only those of one machine.
    pub vm: Option<VmId>,
    /// Only what was noted before this one.
    pub after: Option<i64>,
}

/// The times of a customer's machines, those that were noted last first, at most `limit`.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn of_organisation(
    app: &App,
    organisation: OrganisationId,
    filter: UnchargedFilter,
    limit: i64,
) -> Result<Vec<UnchargedOfVm>> {
    db::select_of_organisation(&app.pool, organisation, filter, limit).await
}

/// Notes that a machine that was metered cannot be found from `at` on.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn note_missing(connection: &mut PgConnection, vm: VmId, at: DateTime<Utc>) -> Result<()> {
    db::open(connection, vm, at, Reason::Missing).await
}
