//! Letting go of a machine that was taken over: our marks come off, it is ours no more, and its guest runs on as it is.

use serde_json::{Map, json};

use super::job::take_marks_off;
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};
use crate::fault;
use crate::ids::{JobId, VmId};
use crate::jobs::{self, Job, Kind, NewJob};
use crate::vms::machine::{Machine, Progress, Step};
use crate::vms::{State, db, find_within};
use crate::{ledger, live, metering, runway};

/// Lets go of an adopted machine. It is charged until now.
///
/// # Errors
/// `NotFound` when there is no such machine, `Conflict` when it was made by us or something is at work on it.
pub async fn release(app: &App, vm: VmId, actor: &Actor) -> Result<JobId> {
    let organisation = db::select_owner(&app.pool, vm).await?.ok_or(Error::NotFound("VM"))?;
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    let wallet = ledger::lock_wallet(&mut transaction, organisation).await?;
    let found = find_within(app, &mut transaction, organisation, vm).await?;
    if found.adopted_at.is_none() {
        return Err(Error::conflict(
            "Only a VM that was adopted can be let go: this one was made here. Delete it instead.",
        ));
    }
    found.check_free()?;
    match found.state {
        State::Running | State::Stopped => {}
        State::Provisioning | State::Failed | State::Deleting | State::Deleted => {
            return Err(Error::conflict(format!("{} is {}: it cannot be let go.", found.name, found.state.name())));
        }
    }
    db::update_state(&mut transaction, vm, State::Deleting, None, now).await?;
    metering::close(&mut transaction, &wallet, vm, now).await?;
    runway::recompute(app, &mut transaction, organisation, now).await?;
    let new = NewJob { kind: Kind::VmRelease, organisation, vm, payload: Map::new(), requested_by: actor.user() };
    let job = jobs::enqueue(app, &mut transaction, new).await?;
    let subject = Subject::new("vm", vm, &found.name);
    audit::record(&mut transaction, now, actor, Some(organisation), Event::VmRelease, subject, json!({})).await?;
    live::announce(&mut transaction, Some(organisation), "vms").await?;
    live::announce(&mut transaction, None, "foreign-guests").await?;
    transaction.commit().await?;
    Ok(job)
}

/// Takes our tags off the guest. It keeps its uuid: what runs in it may know itself by it.
pub(in crate::vms) async fn unmark(app: &App, job: &Job) -> Step {
    let machine = Machine::load(app, job.vm).await?;
    take_marks_off(&machine, job, false).await?;
    fault::point("vm.release.unmark.taken_off");
    Ok(Progress::Done)
}
