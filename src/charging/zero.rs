//! Zero: from the instant the credit ended nothing is charged, and everything that runs is shut down.

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;

use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::Result;
use crate::ids::OrganisationId;
use crate::{ledger, live, metering, vms};

/// Ends all metering at `at` and orders the shutdowns. The wallet is locked and charged through `at`. What it takes to shut
/// the machines down from there on is ours.
pub(super) async fn ran_out(
    app: &App,
    connection: &mut PgConnection,
    organisation: OrganisationId,
    at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<()> {
    metering::close_all(&mut *connection, organisation, at).await?;
    ledger::set_exhausted(&mut *connection, organisation, Some(at)).await?;
    ledger::set_outlook(&mut *connection, organisation, billing::Rate::ZERO, None, None).await?;
    let stopped = vms::shut_down_for_credit(app, &mut *connection, organisation).await?;
    let subject = Subject::new("wallet", organisation, "Wallet");
    let detail = json!({ "ran_out_at": at, "vms": stopped });
    audit::record(&mut *connection, now, &Actor::system(), Some(organisation), Event::CreditRanOut, subject, detail)
        .await?;
    live::announce(&mut *connection, Some(organisation), "wallet").await?;
    live::announce(connection, None, "exceptions").await?;
    Ok(())
}
