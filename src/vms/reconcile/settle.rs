//! Writing what a look found: all of it in one transaction, and if that fails, one machine at a time, so that one that
//! cannot be written holds nobody up.

use std::collections::{BTreeSet, HashSet};

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;

use super::compare::{Belief, Change, MISSING_LOOKS_MIN};
use super::foreign::ForeignChanges;
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::catalog::PowerState;
use crate::error::Result;
use crate::ids::{ClusterId, DriftId, OrganisationId, VmId};
use crate::metering::{self, Metered};
use crate::vms::db::{self, Believed, Found, Verdicts};
use crate::vms::power;
use crate::{ledger, live, runway};

/// How many machines are changed in one transaction: their wallets are locked until its end.
const CHANGES_MAX: usize = 500;
/// How much of an error is kept, in characters.
const ERROR_CHARACTERS_MAX: usize = 1_000;

/// What is written beside the machines.
#[derive(Debug)]
pub(super) struct Beside {
    pub foreign: ForeignChanges,
    /// Differences of machines that are gone.
    pub over: Vec<Uuid>,
}

impl Beside {
    fn is_empty(&self) -> bool {
        self.foreign.is_empty() && self.over.is_empty()
    }
}

/// Writes everything; those that could not be written before come last in `changes`. Answers how many machines have changed and how many could not be written.
pub(super) async fn write(
    app: &App,
    cluster: ClusterId,
    changes: &[Change],
    beside: &Beside,
    at: DateTime<Utc>,
) -> Result<(usize, usize)> {
    let (mut changed, mut failed) = (0, 0);
    let mut beside = (!beside.is_empty()).then_some(beside);
    // What failed at an earlier look is kept apart, so that it does not spoil the rest again.
    let first_failed = changes.partition_point(|change| !change.row.failed);
    let (fresh, known_bad) = changes.split_at(first_failed);
    for chunk in fresh.chunks(CHANGES_MAX) {
        match write_together(app, cluster, chunk, beside, at).await {
            Ok(count) => {
                changed += count;
                beside = None;
            }
            Err(error) => {
                tracing::warn!(%cluster, vms = chunk.len(), ?error, "a look could not be written at once: one VM after the other");
                let (one, other) = write_one_by_one(app, cluster, chunk, at).await?;
                changed += one;
                failed += other;
            }
        }
    }
    if beside.is_some() {
        write_together(app, cluster, &[], beside, at).await?;
    }
    let (one, other) = write_one_by_one(app, cluster, known_bad, at).await?;
    Ok((changed + one, failed + other))
}

async fn write_one_by_one(
    app: &App,
    cluster: ClusterId,
    changes: &[Change],
    at: DateTime<Utc>,
) -> Result<(usize, usize)> {
    let (mut changed, mut failed) = (0, 0);
    for change in changes {
        match write_together(app, cluster, std::slice::from_ref(change), None, at).await {
            Ok(count) => changed += count,
            Err(error) => {
                failed += 1;
                tracing::error!(vm = %change.row.id, %cluster, ?error, "what a look found of a VM could not be written");
                let words = format!("{:#}", anyhow::Error::new(error)).replace('\0', "\u{fffd}");
                let words: String = words.chars().take(ERROR_CHARACTERS_MAX).collect();
                db::insert_failure(&app.pool, change.row.id, &words, at).await?;
            }
        }
    }
    if failed > 0 {
        let mut connection = app.pool.acquire().await?;
        live::announce(&mut connection, None, "exceptions").await?;
    }
    Ok((changed, failed))
}

/// One transaction for all of it.
async fn write_together(
    app: &App,
    cluster: ClusterId,
    changes: &[Change],
    beside: Option<&Beside>,
    at: DateTime<Utc>,
) -> Result<usize> {
    let mut transaction = app.pool.begin().await?;
    let quiet = believe(app, &mut transaction, changes, at).await?;
    let changes: Vec<&Change> = changes.iter().filter(|change| quiet.contains(&change.row.id)).collect();
    let drifted = drift(&mut transaction, cluster, &changes, at).await?;
    remember(&mut transaction, &changes, at).await?;
    let unsettled: Vec<Uuid> =
        changes.iter().filter(|change| change.row.failed).map(|change| change.row.id.uuid()).collect();
    if !unsettled.is_empty() {
        db::delete_failures(&mut transaction, &unsettled).await?;
    }
    if let Some(beside) = beside {
        if !beside.foreign.upserts.is_empty() {
            db::upsert_foreign(&mut transaction, cluster, &beside.foreign.upserts, at).await?;
        }
        if !beside.foreign.gone.is_empty() {
            db::delete_foreign(&mut transaction, cluster, &beside.foreign.gone).await?;
        }
        if !beside.over.is_empty() {
            db::end_drifts(&mut transaction, &beside.over, at).await?;
        }
        live::announce(&mut transaction, None, "foreign-guests").await?;
    }
    if drifted || beside.is_some_and(|beside| !beside.over.is_empty()) {
        live::announce(&mut transaction, None, "drift").await?;
        live::announce(&mut transaction, None, "exceptions").await?;
    } else if !unsettled.is_empty() {
        live::announce(&mut transaction, None, "exceptions").await?;
    }
    transaction.commit().await?;
    Ok(changes.iter().filter(|change| counts(change)).count())
}

/// Whether something visible has changed: a first look that misses a guest is nothing yet.
fn counts(change: &Change) -> bool {
    match change.belief {
        Belief::Present { .. } => true,
        Belief::Missed(looks) => looks == MISSING_LOOKS_MIN,
        Belief::Unchanged => !change.drifts.is_empty() || !change.over.is_empty(),
    }
}

/// Locks the wallets, looks again which machines are still quiet, and writes where and how they are and what they are
/// metered as. Answers with the quiet ones.
async fn believe(
    app: &App,
    connection: &mut PgConnection,
    changes: &[Change],
    at: DateTime<Utc>,
) -> Result<HashSet<VmId>> {
    if changes.is_empty() {
        return Ok(HashSet::new());
    }
    let organisations: BTreeSet<OrganisationId> = changes.iter().map(|change| change.row.organisation).collect();
    let organisations: Vec<OrganisationId> = organisations.into_iter().collect();
    let wallets = ledger::lock_wallets(&mut *connection, &organisations).await?;
    let ids: Vec<Uuid> = changes.iter().map(|change| change.row.id.uuid()).collect();
    let states: Vec<String> = changes.iter().map(|change| change.row.state.clone()).collect();
    let vmids: Vec<i32> = changes.iter().map(|change| change.row.vmid).collect();
    let quiet: HashSet<VmId> =
        db::select_still_quiet(&mut *connection, &ids, &states, &vmids).await?.into_iter().collect();

    let mut believed = Believed::default();
    let mut burning: BTreeSet<OrganisationId> = BTreeSet::new();
    let mut touched: BTreeSet<OrganisationId> = BTreeSet::new();
    for change in changes.iter().filter(|change| quiet.contains(&change.row.id)) {
        let row = &change.row;
        let (state, node, missing_looks) = match &change.belief {
            Belief::Unchanged => continue,
            Belief::Present { node, power } => (power.name(), node.as_str(), 0),
            Belief::Missed(looks) => (row.state.as_str(), row.node.as_str(), *looks),
        };
        believed.vms.push(row.id.uuid());
        believed.states.push(state.to_owned());
        believed.nodes.push(node.to_owned());
        believed.missing_looks.push(missing_looks);
        believed.missing.push(missing_looks == MISSING_LOOKS_MIN);
    }
    if believed.vms.is_empty() {
        return Ok(quiet);
    }
    db::update_believed(&mut *connection, &believed, at).await?;
    for change in changes.iter().filter(|change| quiet.contains(&change.row.id)) {
        let row = &change.row;
        let Some(wallet) = wallets.get(&row.organisation) else { continue };
        match &change.belief {
            Belief::Unchanged => continue,
            Belief::Present { power, .. } => {
                if row.unseen && power.name() == row.state {
                    observed(&mut *connection, change, "unknown", "seen", at).await?;
                }
                if power.name() != row.state {
                    observed(&mut *connection, change, &row.state, power.name(), at).await?;
                    // Whoever started it: nothing that runs on an empty wallet is charged, so it is shut down again.
                    if *power == PowerState::Running {
                        power::stop_if_empty(app, &mut *connection, wallet, row.id, row.plan).await?;
                    }
                }
                let what = Metered { vm: row.id, plan: row.plan, state: *power };
                metering::open(app, &mut *connection, wallet, what, at).await?;
            }
            Belief::Missed(looks) if *looks < MISSING_LOOKS_MIN => continue,
            Belief::Missed(_) => {
                metering::close(&mut *connection, wallet, row.id, at).await?;
                metering::uncharged::note_missing(&mut *connection, row.id, at).await?;
                observed(&mut *connection, change, &row.state, "missing", at).await?;
            }
        }
        burning.insert(row.organisation);
        touched.insert(row.organisation);
        live::announce(&mut *connection, Some(row.organisation), format!("vm:{}", row.id)).await?;
    }
    for organisation in burning {
        runway::recompute(app, &mut *connection, organisation, at).await?;
    }
    for organisation in touched {
        live::announce(&mut *connection, Some(organisation), "vms").await?;
    }
    Ok(quiet)
}

async fn observed(
    connection: &mut PgConnection,
    change: &Change,
    from: &str,
    to: &str,
    at: DateTime<Utc>,
) -> Result<()> {
    let row = &change.row;
    let detail = json!({ "from": from, "to": to });
    let subject = Subject::new("vm", row.id, &row.name);
    audit::record(connection, at, &Actor::system(), Some(row.organisation), Event::VmObserved, subject, detail).await
}

/// Opens and ends differences. Answers whether there were any.
async fn drift(
    connection: &mut PgConnection,
    cluster: ClusterId,
    changes: &[&Change],
    at: DateTime<Utc>,
) -> Result<bool> {
    let over: Vec<Uuid> = changes.iter().flat_map(|change| change.over.iter().copied()).collect();
    if !over.is_empty() {
        db::end_drifts(&mut *connection, &over, at).await?;
    }
    let mut found = Found::default();
    for change in changes {
        for differing in &change.drifts {
            found.ids.push(DriftId::new().uuid());
            found.vms.push(change.row.id.uuid());
            found.kinds.push(differing.kind.name().to_owned());
            found.expected.push(differing.expected.clone());
            found.found.push(differing.found.clone());
        }
    }
    if !found.ids.is_empty() {
        db::upsert_drifts(connection, cluster, &found, at).await?;
    }
    Ok(!over.is_empty() || !found.ids.is_empty())
}

/// Remembers what configurations said, so that the same listing is not asked about again.
async fn remember(connection: &mut PgConnection, changes: &[&Change], at: DateTime<Utc>) -> Result<()> {
    let mut verdicts = Verdicts::default();
    for change in changes {
        if let Some(verdict) = &change.verdict {
            verdicts.vms.push(change.row.id.uuid());
            verdicts.listings.push(verdict.listing.clone());
            verdicts.ours.push(verdict.ours);
            verdicts.tagged.push(verdict.tagged);
            verdicts.uuids.push(verdict.uuid.clone());
        }
    }
    if verdicts.vms.is_empty() { Ok(()) } else { db::upsert_verdicts(connection, &verdicts, at).await }
}
