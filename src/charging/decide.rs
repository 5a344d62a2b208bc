//! What a person decides about a pass that waits: it goes on, it waits on, or its time goes by without a charge.

use serde_json::json;

use super::db::passes;
use super::passes::{Kind, PassRecord, Status};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::PassId;
use crate::{live, metering, runway};

/// How many wallets are waived in one transaction.
const WAIVED_PER_BATCH: i64 = 500;
/// How many batches of them one request waives.
const WAIVED_BATCHES_MAX: usize = 10_000;

/// What a person decides about a held pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It goes on and charges everything through the hour that was shown.
    Approve,
    /// It must not go on as it is.
    Refuse,
    /// What was missed is not charged.
    Waive,
}

/// Decides about a pass that waits for a person.
///
/// # Errors
/// `NotFound` without such a pass, `Conflict` when it does not wait, or for what cannot be decided of it.
pub async fn decide(app: &App, id: PassId, decision: Decision, why: &str, actor: &Actor) -> Result<()> {
    let why = super::parked::reason(why, decision == Decision::Waive)?;
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    passes::lock(&mut transaction).await?;
    let pass = passes::select(&mut transaction, id).await?.ok_or(Error::NotFound("pass"))?;
    if !pass.status.is_waiting() {
        // A waiver that was cut off goes on where it was.
        if decision == Decision::Waive && pass.status == Status::Waived {
            transaction.rollback().await?;
            return waive(app, &pass).await;
        }
        return Err(Error::conflict("This pass does not wait for a decision any more. Reload the page."));
    }
    if decision == Decision::Waive && !pass.may_waive() {
        return Err(Error::conflict(
            "Only missed time can be waived. Approve the pass, or mend what made it so large.",
        ));
    }
    if decision == Decision::Refuse && pass.status == Status::Refused {
        return Ok(());
    }
    let (status, event) = match decision {
        Decision::Approve => (Status::Approved, Event::PassApproved),
        Decision::Refuse => (Status::Refused, Event::PassRefused),
        Decision::Waive => (Status::Waived, Event::PassWaived),
    };
    passes::decide(&mut transaction, id, status, actor.user(), now).await?;
    if decision == Decision::Approve && pass.kind != Kind::Hourly {
        passes::release(&mut transaction, id, pass.through, now).await?;
    }
    let subject = Subject::new("pass", id, pass.through.format("%-d %b %Y %H:%M UTC").to_string());
    let detail = json!({ "kind": pass.kind, "from": pass.from, "through": pass.through, "wallets": pass.projected_wallets,
        "projected": pass.projected_amount, "reason": why });
    audit::record(&mut transaction, now, actor, None, event, subject, detail).await?;
    live::announce(&mut transaction, None, "exceptions").await?;
    live::wake_billing(&mut transaction).await?;
    transaction.commit().await?;
    if decision == Decision::Waive { waive(app, &pass).await } else { Ok(()) }
}

/// Moves the cursors of all wallets of a pass over its time, a batch in each transaction. What ran then is written down as
/// not charged.
async fn waive(app: &App, pass: &PassRecord) -> Result<()> {
    for _ in 0..WAIVED_BATCHES_MAX {
        let now = app.clock.now();
        let mut transaction = app.pool.begin().await?;
        let organisations = passes::lock_held(&mut transaction, pass.id, WAIVED_PER_BATCH).await?;
        if organisations.is_empty() {
            return Ok(());
        }
        let ids: Vec<_> = organisations.iter().map(|organisation| organisation.uuid()).collect();
        metering::waive(&mut transaction, &ids, pass.through, pass.id).await?;
        passes::move_cursors(&mut transaction, &ids, pass.through).await?;
        for organisation in organisations {
            runway::recompute(app, &mut transaction, organisation, now).await?;
        }
        transaction.commit().await?;
    }
    Ok(())
}
