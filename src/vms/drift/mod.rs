//! Where a guest is not what we sell: resized, retagged or removed by hand. A look finds it and ends it when the guest is
//! right again; what else becomes of it an operator decides, with its effect on the bill before him.

mod bill;
mod decide;

use chrono::{DateTime, Utc};
use proxmox_client::Tags;
use serde_json::Value;

pub use bill::{Effect, PlanEffect};
pub(super) use decide::cannot_ask;
pub use decide::{Adoption, accept, adopt, enforce};

use super::db;
use super::identity;
use crate::app::App;
use crate::catalog::{self, Plan};
use crate::error::Result;
use crate::ids::{ClusterId, DriftId, ImageId, OrganisationId, PlanId, VmId};

/// The most differences that are listed at once.
pub const PAGE_MAX: i64 = 200;

/// What differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DriftKind {
    /// Processors or memory.
    Size,
    /// The disk.
    Disk,
    /// It has lost the tags that name our machine.
    Tags,
    /// It has our tag, but another SMBIOS uuid: it is not touched.
    Identity,
    /// It is not where it should be.
    Missing,
}

impl DriftKind {
    /// The stored name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Size => "size",
            Self::Disk => "disk",
            Self::Tags => "tags",
            Self::Identity => "identity",
            Self::Missing => "missing",
        }
    }

    /// Reads the stored name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Size, Self::Disk, Self::Tags, Self::Identity, Self::Missing].into_iter().find(|kind| kind.name() == text)
    }
}

/// What became of a difference by a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Resolution {
    /// The guest is left as it is, and billed as before.
    Accepted,
    /// A job sets the guest back.
    Enforced,
    /// The books follow the guest.
    Adopted,
}

impl Resolution {
    /// The stored name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Enforced => "enforced",
            Self::Adopted => "adopted",
        }
    }
}

/// An open difference between a guest and what we sell.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct Drift {
    /// Its id.
    pub id: DriftId,
    /// What differs.
    pub kind: DriftKind,
    /// What we sell.
    pub expected: Value,
    /// What the cluster listed.
    pub found: Value,
    /// The look that saw it first.
    pub first_seen_at: DateTime<Utc>,
    /// The look that saw it change last.
    pub last_seen_at: DateTime<Utc>,
    /// On which cluster.
    pub cluster: ClusterId,
    /// The cluster's name.
    pub cluster_name: String,
    /// Which machine.
    pub vm: VmId,
    /// The machine's name.
    pub vm_name: String,
    /// It runs, as far as we believe.
    pub running: bool,
    /// Two good looks have missed it: nothing is charged.
    pub missing: bool,
    /// A job is at work on it.
    pub busy: bool,
    /// Where we believe it.
    pub node: String,
    /// Its VMID.
    pub vmid: Option<i32>,
    /// Its plan.
    pub plan: PlanId,
    /// The plan's name.
    pub plan_name: String,
    /// How much disk in GiB its plan comes with.
    #[serde(skip)]
    pub plan_disk_gib: i32,
    /// Its disk in GiB, by our books.
    pub disk_gib: i32,
    /// How many addresses it has.
    #[serde(skip)]
    pub addresses: i64,
    /// The image whose licence it needs, if it needs one.
    #[serde(skip)]
    pub licensed: Option<ImageId>,
    /// Whose it is.
    pub organisation: OrganisationId,
    /// The organisation's name.
    pub organisation_name: String,
}

impl Drift {
    fn number(&self, key: &str) -> Option<i32> {
        self.found.get(key).and_then(Value::as_i64).and_then(|number| i32::try_from(number).ok())
    }

    /// Processors and memory in MiB that were found.
    #[must_use]
    pub fn found_size(&self) -> Option<(i32, i32)> {
        Some((self.number("vcpu")?, self.number("memory_mib")?))
    }

    /// The disk in GiB that was found.
    #[must_use]
    pub fn found_disk_gib(&self) -> Option<i32> {
        self.number("disk_gib")
    }

    /// The VMID under which a missing machine's tag was found.
    #[must_use]
    pub fn found_vmid(&self) -> Option<i32> {
        self.number("vmid").filter(|_| self.kind == DriftKind::Missing)
    }

    /// The SMBIOS uuid that was found.
    #[must_use]
    pub fn found_uuid(&self) -> Option<uuid::Uuid> {
        self.found.get("uuid").and_then(Value::as_str).and_then(|uuid| uuid.parse().ok())
    }

    /// What we sell, in words.
    #[must_use]
    pub fn expected_words(&self) -> String {
        match self.kind {
            DriftKind::Size => size_words(&self.expected),
            DriftKind::Disk => disk_words(&self.expected),
            DriftKind::Tags => format!("tags {} and {}", identity::TAG, identity::tag(self.vm)),
            DriftKind::Identity => {
                format!("SMBIOS uuid {}", self.expected.get("uuid").and_then(Value::as_str).unwrap_or("?"))
            }
            DriftKind::Missing => self
                .expected
                .get("vmid")
                .and_then(Value::as_i64)
                .map_or_else(|| "there".to_owned(), |vmid| format!("there as VMID {vmid}")),
        }
    }

    /// What the cluster listed, in words.
    #[must_use]
    pub fn found_words(&self) -> String {
        let name = |key: &str| self.found.get(key).and_then(Value::as_str).filter(|name| !name.is_empty());
        match self.kind {
            DriftKind::Size => size_words(&self.found),
            DriftKind::Disk => disk_words(&self.found),
            DriftKind::Tags => {
                let tags: Tags = self
                    .found
                    .get("tags")
                    .and_then(Value::as_array)
                    .into_iter()
                    .flatten()
                    .filter_map(Value::as_str)
                    .collect();
                if tags.is_empty() {
                    "no tags".to_owned()
                } else {
                    format!("tags {}", tags.iter().collect::<Vec<_>>().join(", "))
                }
            }
            DriftKind::Identity => {
                name("uuid").map_or_else(|| "no SMBIOS uuid".to_owned(), |uuid| format!("SMBIOS uuid {uuid}"))
            }
            DriftKind::Missing => match (self.found_vmid(), self.found.get("foreign")) {
                (Some(vmid), _) => format!("found again as VMID {vmid}"),
                (None, Some(_)) => {
                    format!(
                        "another guest has its VMID{}",
                        name("foreign").map(|name| format!(": {name}")).unwrap_or_default()
                    )
                }
                (None, None) => "not listed any more".to_owned(),
            },
        }
    }
}

fn size_words(value: &Value) -> String {
    let number = |key: &str| value.get(key).and_then(Value::as_i64).unwrap_or(0);
    let memory = number("memory_mib");
    let memory = if memory % 1024 == 0 { format!("{} GiB", memory / 1024) } else { format!("{memory} MiB") };
    format!("{} vCPU, {memory}", number("vcpu"))
}

fn disk_words(value: &Value) -> String {
    format!("{} GiB disk", value.get("disk_gib").and_then(Value::as_i64).unwrap_or(0))
}

/// Whether a decision can be taken, and what it means.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
#[schema(as = DriftChoice)]
pub struct Choice {
    /// What it does, as a sentence for the operator.
    pub words: String,
    /// Why it is not offered; none: it is.
    pub refused: Option<String>,
    /// What it does to the bill.
    pub effect: Effect,
}

/// An open difference with what can be decided about it.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
#[schema(as = DecidableDrift)]
pub struct Decidable {
    /// The difference.
    #[serde(flatten)]
    pub drift: Drift,
    /// What we sell, in words.
    pub expected_words: String,
    /// What was found, in words.
    pub found_words: String,
    /// Leave the guest as it is and go on billing as before.
    pub accept: Choice,
    /// Set the guest back.
    pub enforce: Choice,
    /// Let the books follow the guest.
    pub adopt: Choice,
    /// The plans that adopting may choose, each with its effect; the one that fits exactly is chosen when none is named.
    pub plans: Vec<PlanEffect>,
    /// Let the books follow a missing guest to where its tag was found again, with the effect; none: nowhere.
    pub follow: Option<Choice>,
}

/// The open differences, longest first, at most [`PAGE_MAX`].
///
/// # Errors
/// When PostgreSQL fails or a price is missing.
pub async fn list(app: &App) -> Result<Vec<Decidable>> {
    let drifts = db::select_drifts(&app.pool, None, PAGE_MAX).await?;
    let plans = catalog::plans(app).await?;
    let organisations: Vec<_> = drifts.iter().map(|drift| drift.organisation).collect();
    let mut connection = app.pool.acquire().await?;
    let mut book = catalog::price_book(&mut connection).await?;
    let lists = catalog::own_lists(&mut connection, &organisations).await?;
    drop(connection);
    let now = app.clock.now();
    let standard = book.list();
    let mut decidables = Vec::with_capacity(drifts.len());
    for drift in drifts {
        book = book.seen_from(lists.get(&drift.organisation).copied().unwrap_or(standard));
        decidables.push(decide::decidable(drift, &plans, &book, now)?);
    }
    Ok(decidables)
}

/// How many differences are open.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn count(app: &App) -> Result<i64> {
    db::select_drift_count(&app.pool).await
}

/// The plan that fits a size exactly.
fn exact(plans: &[Plan], (vcpu, memory_mib): (i32, i32)) -> Option<&Plan> {
    plans.iter().find(|plan| plan.vcpu == vcpu && plan.memory_mib == memory_mib)
}
