//! Notices that the credit ends soon: seven days, three days, a day and an hour before, once each, withdrawn when they are no
//! longer true. When is decided in `billing`.

use billing::Notice as Lead;
use chrono::{DateTime, Utc};
use sqlx::PgConnection;

use super::{db, words};
use crate::app::App;
use crate::error::Result;
use crate::ids::OrganisationId;
use crate::{ledger, notifications};

/// Organisations of which there is something to give or to withdraw, at most so many.
pub(super) async fn due(app: &App, limit: i64) -> Result<Vec<OrganisationId>> {
    db::select_to_notify(&app.pool, &db::Leads::all(), app.clock.now(), limit).await
}

/// When the next is due, within a day.
pub(super) async fn next(app: &App) -> Result<Option<DateTime<Utc>>> {
    let now = app.clock.now();
    db::select_next_notice(&app.pool, &db::Leads::all(), now, now + db::FAR).await
}

/// Gives and withdraws what is due of one wallet.
pub(super) async fn look(app: &App, organisation: OrganisationId) -> Result<()> {
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    let wallet = ledger::lock_wallet(&mut transaction, organisation).await?;
    if wallet.exhausted_at.is_some() {
        return Ok(());
    }
    let given = db::select_given(&mut transaction, organisation).await?;
    let due = billing::notices_due(&given, wallet.runs_out_at, now);
    for id in db::withdraw_notices(&mut transaction, organisation, &due.withdraw, now).await? {
        notifications::withdraw_from(&mut transaction, organisation, &words::soon_key(id), now).await?;
    }
    for overtaken in due.overtaken {
        db::insert_notice(&mut transaction, organisation, overtaken, now, false).await?;
    }
    if let (Some(lead), Some(ends)) = (due.send, wallet.runs_out_at) {
        // The portal shows the last one only; the others stand as given.
        for id in db::select_standing(&mut transaction, organisation).await? {
            notifications::withdraw_from(&mut transaction, organisation, &words::soon_key(id), now).await?;
        }
        let id = db::insert_notice(&mut transaction, organisation, lead, now, true).await?;
        let notice = words::ends_soon(app, id, lead, &wallet, ends, now);
        notifications::tell_organisation(app, &mut transaction, organisation, notice, now).await?;
    }
    transaction.commit().await?;
    Ok(())
}

/// The credit has ended: what was told before is withdrawn, for something else is true now.
pub(super) async fn over(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    now: DateTime<Utc>,
) -> Result<()> {
    for id in db::withdraw_notices(&mut *connection, organisation, &Lead::ALL, now).await? {
        notifications::withdraw_from(&mut *connection, organisation, &words::soon_key(id), now).await?;
    }
    Ok(())
}
