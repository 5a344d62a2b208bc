//! Rescue time: what was shut down may run once more for a while, to fetch data from it. Once for each end of the credit, at no
//! charge; the clock ends it.

use billing::{Rescue, ZeroRules};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::{Exhausted, db};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::{OrganisationId, VmId};
use crate::platform_settings::{self, PlatformSettings};
use crate::{ledger, live, vms};

/// What is asked for.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
pub struct NewRescue {
    /// Which machines; none: all that were shut down for lack of credit.
    #[serde(default)]
    pub vms: Vec<VmId>,
}

/// What was granted.
#[derive(Debug, Clone, Copy, Serialize, utoipa::ToSchema)]
pub struct Rescued {
    /// When the machines are shut down again.
    pub until: DateTime<Utc>,
    /// How many are being started.
    pub started: usize,
}

fn decide(settings: &PlatformSettings, known: &Exhausted, now: DateTime<Utc>) -> Rescue {
    let whole = |number: i32| u32::try_from(number).unwrap_or(0);
    let rules = ZeroRules {
        grace_days: whole(known.grace_days),
        deletion_notices_min: whole(settings.deletion_notices_min),
        rescue_hours: whole(settings.rescue_hours),
    };
    rules.rescue(&billing::Exhaustion { at: known.at, rescued_at: known.rescued_at }, now)
}

/// Whether rescue time can be had now.
pub(super) fn is_granted(settings: &PlatformSettings, known: &Exhausted, now: DateTime<Utc>) -> bool {
    matches!(decide(settings, known, now), Rescue::Until(_))
}

/// Starts what was shut down for lack of credit, for the hours that the operator has set.
///
/// # Errors
/// `Conflict` when the wallet has credit, when the time was had already, when there is none on this platform, or when nothing
/// was shut down; `NotFound` for a machine that was not.
pub async fn rescue(app: &App, organisation: OrganisationId, new: &NewRescue, actor: &Actor) -> Result<Rescued> {
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    ledger::lock_wallet(&mut transaction, organisation).await?;
    let Some(mut known) = db::select_exhausted(&mut *transaction, organisation).await? else {
        return Err(Error::conflict("Your credit has not run out: start your VMs as usual."));
    };
    let settings = platform_settings::read(&mut transaction).await?;
    let until = match decide(&settings, &known, now) {
        Rescue::Until(until) => until,
        Rescue::AlreadyTaken => {
            return Err(Error::conflict("You have had the rescue time for this end of your credit. It is given once."));
        }
        Rescue::SwitchedOff => return Err(Error::conflict("There is no rescue time on this platform.")),
        Rescue::GraceOver => return Err(Error::conflict("The time for which disks are kept is over.")),
    };
    let mut start: Vec<VmId> = Vec::new();
    for vm in vms::made(&mut transaction, organisation).await?.into_iter().filter(|vm| vm.stopped_for_credit) {
        if new.vms.is_empty() || new.vms.contains(&vm.id) {
            start.push(vm.id);
        }
    }
    if !new.vms.is_empty() && start.len() < new.vms.len() {
        return Err(Error::NotFound("VM that was shut down for lack of credit"));
    }
    if start.is_empty() {
        return Err(Error::conflict("No VM was shut down for lack of credit."));
    }
    ledger::set_rescue(&mut transaction, organisation, Some(until)).await?;
    for vm in &start {
        vms::start_after_credit(app, &mut transaction, organisation, *vm).await?;
    }
    let rescued = Rescued { until, started: start.len() };
    known.rescued_at = Some(now);
    known.rescue_until = Some(until);
    known.rescued_vms = start;
    known.look_at = known.look_at.min(until);
    db::update_exhausted(&mut transaction, &known, None).await?;
    let subject = Subject::new("wallet", organisation, "Wallet");
    let detail = json!({ "until": until, "vms": rescued.started });
    audit::record(&mut transaction, now, actor, Some(organisation), Event::RescueBegan, subject, detail).await?;
    live::announce(&mut transaction, Some(organisation), "wallet").await?;
    transaction.commit().await?;
    Ok(rescued)
}
