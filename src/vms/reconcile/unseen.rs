//! Machines whose node is away: the cluster lists them and can say nothing of them, so nobody pays for that time.

use std::collections::BTreeSet;

use serde_json::json;
use uuid::Uuid;

use super::compare::{Guests, Listed, whose};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::clusters::Look;
use crate::error::Result;
use crate::ids::{ClusterId, OrganisationId};
use crate::vms::db::{self, SeenRow};
use crate::{ledger, live, metering, runway};

/// Ends the metering of the machines that this look cannot see at the last look that could, and writes down since when.
/// A job that waits for the node holds nobody's bill open; when it is done, it meters again by itself.
pub(super) async fn suspend(
    app: &App,
    cluster: ClusterId,
    rows: &[SeenRow],
    guests: &Guests<'_>,
    look: &Look,
) -> Result<()> {
    let mut vmids = guests.away();
    // A guest that was just made is not reported for ten seconds, which says nothing about its node.
    let unseen = rows.iter().filter(|row| !row.settling && matches!(whose(row, guests, None), Listed::Unseen));
    vmids.extend(unseen.map(|row| row.vmid));
    if vmids.is_empty() {
        return Ok(());
    }
    let mut connection = app.pool.acquire().await?;
    let wanting = db::select_unseen(&mut connection, cluster, &vmids).await?;
    drop(connection);
    if wanting.is_empty() {
        return Ok(());
    }

    let since = look.before.unwrap_or(look.at);
    let mut transaction = app.pool.begin().await?;
    let organisations: BTreeSet<OrganisationId> = wanting.iter().map(|row| row.organisation).collect();
    let organisations: Vec<OrganisationId> = organisations.into_iter().collect();
    ledger::lock_wallets(&mut transaction, &organisations).await?;
    // Once more, now that nobody else changes them.
    let vmids: Vec<i32> = wanting.iter().map(|row| row.vmid).collect();
    let wanting = db::select_unseen(&mut transaction, cluster, &vmids).await?;
    let vms: Vec<Uuid> = wanting.iter().map(|row| row.id.uuid()).collect();
    let vmids: Vec<i32> = wanting.iter().map(|row| row.vmid).collect();
    db::update_unseen(&mut transaction, &vms, since).await?;
    for row in wanting.iter().filter(|row| !row.known) {
        let detail = json!({ "from": row.state, "to": "unknown" });
        let subject = Subject::new("vm", row.id, &row.name);
        let system = Actor::system();
        audit::record(&mut transaction, look.at, &system, Some(row.organisation), Event::VmObserved, subject, detail)
            .await?;
        live::announce(&mut transaction, Some(row.organisation), format!("vm:{}", row.id)).await?;
    }
    for organisation in metering::suspend_guests(&mut transaction, cluster, &vmids, since).await? {
        runway::recompute(app, &mut transaction, organisation, look.at).await?;
    }
    for organisation in organisations {
        live::announce(&mut transaction, Some(organisation), "vms").await?;
    }
    live::announce(&mut transaction, None, "exceptions").await?;
    transaction.commit().await?;
    Ok(())
}
