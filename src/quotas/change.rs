//! Setting quotas: the default of the platform, and the own answers of an organisation.

use serde::{Deserialize, Serialize};

use super::{Amounts, Quota, contact, db, standing_in};
use crate::app::App;
use crate::audit::{self, Actor, Changes, Event, Subject};
use crate::error::{Error, Problem, Result};
use crate::ids::OrganisationId;
use crate::organisations;

/// What an organisation may have by its own answers; where it has none, the default of the platform holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields)]
#[schema(as = OwnQuotas)]
pub struct OwnLimits {
    /// Machines.
    #[schema(minimum = 0, maximum = 1000000)]
    pub vms: Option<i64>,
    /// Processors of all machines.
    #[schema(minimum = 0, maximum = 10000000)]
    pub vcpu: Option<i64>,
    /// Memory of all machines, in MiB.
    #[schema(minimum = 0, maximum = 1000000000)]
    pub memory_mib: Option<i64>,
    /// Disks of all machines, in GiB.
    #[schema(minimum = 0, maximum = 1000000000)]
    pub disk_gib: Option<i64>,
    /// Snapshots.
    #[schema(minimum = 0, maximum = 1000000)]
    pub snapshots: Option<i64>,
    /// Backups.
    #[schema(minimum = 0, maximum = 1000000)]
    pub backups: Option<i64>,
    /// Addresses.
    #[schema(minimum = 0, maximum = 1000000)]
    pub addresses: Option<i64>,
    /// Requests to the API per minute.
    #[schema(minimum = 1, maximum = 1000000)]
    pub api_requests_per_minute: Option<i64>,
}

impl OwnLimits {
    /// The own answer for one.
    #[must_use]
    pub const fn of(&self, quota: Quota) -> Option<i64> {
        match quota {
            Quota::Vms => self.vms,
            Quota::Vcpu => self.vcpu,
            Quota::Memory => self.memory_mib,
            Quota::Disk => self.disk_gib,
            Quota::Snapshots => self.snapshots,
            Quota::Backups => self.backups,
            Quota::Addresses => self.addresses,
            Quota::ApiRequests => self.api_requests_per_minute,
        }
    }

    /// The same with another answer for one.
    #[must_use]
    pub fn with(mut self, quota: Quota, limit: Option<i64>) -> Self {
        let place = match quota {
            Quota::Vms => &mut self.vms,
            Quota::Vcpu => &mut self.vcpu,
            Quota::Memory => &mut self.memory_mib,
            Quota::Disk => &mut self.disk_gib,
            Quota::Snapshots => &mut self.snapshots,
            Quota::Backups => &mut self.backups,
            Quota::Addresses => &mut self.addresses,
            Quota::ApiRequests => &mut self.api_requests_per_minute,
        };
        *place = limit;
        self
    }

    fn problems(&self) -> Vec<Problem> {
        let wrong = |quota: &Quota| self.of(*quota).is_some_and(|limit| !is_in_range(*quota, limit));
        Quota::ALL.into_iter().filter(wrong).map(problem).collect()
    }
}

fn is_in_range(quota: Quota, limit: i64) -> bool {
    let (least, most) = quota.range();
    (least..=most).contains(&limit)
}

fn problem(quota: Quota) -> Problem {
    let (least, most) = quota.range();
    Problem::new(quota.name(), format!("A whole number from {least} to {most}."))
}

/// What every organisation may have from now on that has no own answer.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewDefaultQuotas)]
pub struct NewDefaults {
    /// All of them; one that is left out stays as it is.
    #[serde(default)]
    pub limits: OwnLimits,
    /// Where customers ask for more; empty: they are told to ask the operator. Left out: as it is.
    #[serde(default)]
    #[schema(max_length = 200)]
    pub contact: Option<String>,
}

/// Sets the own answers of an organisation, all of them. What it has already it keeps.
///
/// # Errors
/// `Invalid` with a problem per field, `NotFound` when there is no such organisation.
pub async fn change_own(app: &App, organisation: OrganisationId, new: &OwnLimits, actor: &Actor) -> Result<()> {
    let problems = new.problems();
    if !problems.is_empty() {
        return Err(Error::Invalid(problems));
    }
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    let name = organisations::name_of(&mut transaction, organisation).await?;
    // Who uses a quota and who sets it wait for each other.
    crate::ledger::lock_wallet(&mut transaction, organisation).await?;
    let before = standing_in(&mut transaction, organisation).await?.own;
    let changes = Changes::between(&before, new)?;
    if changes.is_empty() {
        return Ok(());
    }
    db::upsert(&mut transaction, organisation, new, now).await?;
    let subject = Subject::new("organisation", organisation, name);
    let event = Event::QuotasChanged;
    audit::record(&mut transaction, now, actor, Some(organisation), event, subject, changes).await?;
    transaction.commit().await?;
    Ok(())
}

/// Sets what every organisation may have that has no own answer.
///
/// # Errors
/// `Invalid` with a problem per field.
pub async fn change_defaults(app: &App, new: &NewDefaults, actor: &Actor) -> Result<()> {
    let mut problems = new.limits.problems();
    let contact = match new.contact.as_deref().map(contact::checked).transpose() {
        Ok(contact) => contact,
        Err(problem) => {
            problems.push(Problem::new("contact", problem));
            None
        }
    };
    if !problems.is_empty() {
        return Err(Error::Invalid(problems));
    }
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    db::lock_defaults(&mut transaction).await?;
    let (before, contact_before) = db::select_defaults(&mut transaction).await?;
    let after = Quota::ALL.into_iter().fold(before, |after: Amounts, quota| match new.limits.of(quota) {
        Some(limit) => after.with(quota, limit),
        None => after,
    });
    let contact = contact.unwrap_or_else(|| contact_before.clone());
    let changes = Changes::between(&before, &after)?.and("contact", &contact_before, &contact)?;
    if changes.is_empty() {
        return Ok(());
    }
    db::update_defaults(&mut transaction, &after, contact.as_deref(), now).await?;
    let subject = Subject::new("settings", "quotas", "default quotas");
    let event = Event::DefaultQuotasChanged;
    audit::record(&mut transaction, now, actor, None, event, subject, changes).await?;
    transaction.commit().await?;
    Ok(())
}
