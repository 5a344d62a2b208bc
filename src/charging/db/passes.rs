//! The SQL of passes: what is foreseen, what is held, what was decided.

use anyhow::Context;
use billing::Money;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde_json::Value;
use sqlx::{PgConnection, PgPool};
use uuid::Uuid;

use crate::charging::passes::{Foreseen, Kind, PassRecord, Status};
use crate::error::Result;
use crate::ids::{OrganisationId, PassId, UserId};
use crate::ledger::money;

/// Lets one process at a time decide about passes, until its transaction ends.
pub(in crate::charging) async fn lock(connection: &mut PgConnection) -> Result<()> {
    sqlx::query!(r#"select pg_advisory_xact_lock(hashtext('charging.passes')) as "locked!: ()""#)
        .execute(connection)
        .await?;
    Ok(())
}

struct Row {
    id: PassId,
    kind: String,
    from_at: DateTime<Utc>,
    hour: DateTime<Utc>,
    hours: i32,
    status: String,
    started_at: DateTime<Utc>,
    finished_at: Option<DateTime<Utc>>,
    wallets: i64,
    charges: i64,
    amount: Decimal,
    ran_out: i64,
    failed: i64,
    projected_wallets: i64,
    projected_amount: Decimal,
    projected_stops: i64,
    running_vms: i64,
    usual_amount: Option<Decimal>,
    reasons: Value,
    decided_by: Option<String>,
    decided_at: Option<DateTime<Utc>>,
}

impl TryFrom<Row> for PassRecord {
    type Error = crate::error::Error;
    fn try_from(row: Row) -> Result<Self> {
        Ok(Self {
            id: row.id,
            kind: Kind::parse(&row.kind).context("a pass is of an unknown kind")?,
            from: row.from_at,
            through: row.hour,
            hours: row.hours,
            status: Status::parse(&row.status).context("a pass has an unknown status")?,
            started_at: row.started_at,
            finished_at: row.finished_at,
            wallets: row.wallets,
            charges: row.charges,
            amount: money(row.amount)?,
            ran_out: row.ran_out,
            failed: row.failed,
            projected_wallets: row.projected_wallets,
            projected_amount: money(row.projected_amount)?,
            projected_stops: row.projected_stops,
            running_vms: row.running_vms,
            usual_amount: row.usual_amount.map(money).transpose()?,
            reasons: serde_json::from_value(row.reasons).context("the reasons of a pass cannot be read")?,
            decided_by: row.decided_by,
            decided_at: row.decided_at,
        })
    }
}

pub(in crate::charging) async fn select_latest_hourly(
    executor: impl sqlx::PgExecutor<'_>,
) -> Result<Option<PassRecord>> {
    let row = sqlx::query_as!(
        Row,
        r#"select p.id as "id: PassId", p.kind, p.from_at, p.hour, p.hours, p.status, p.started_at, p.finished_at, p.wallets, p.charges, p.amount, p.ran_out, p.failed,
                  p.projected_wallets, p.projected_amount, p.projected_stops, p.running_vms, p.usual_amount, p.reasons, u.name as "decided_by?", p.decided_at
           from passes p left join users u on u.id = p.decided_by where p.kind = 'hourly' order by p.hour desc limit 1"#
    )
    .fetch_optional(executor)
    .await?;
    row.map(PassRecord::try_from).transpose()
}

pub(in crate::charging) async fn select(connection: &mut PgConnection, id: PassId) -> Result<Option<PassRecord>> {
    let row = sqlx::query_as!(
        Row,
        r#"select p.id as "id: PassId", p.kind, p.from_at, p.hour, p.hours, p.status, p.started_at, p.finished_at, p.wallets, p.charges, p.amount, p.ran_out, p.failed,
                  p.projected_wallets, p.projected_amount, p.projected_stops, p.running_vms, p.usual_amount, p.reasons, u.name as "decided_by?", p.decided_at
           from passes p left join users u on u.id = p.decided_by where p.id = $1"#,
        id.uuid(),
    )
    .fetch_optional(connection)
    .await?;
    row.map(PassRecord::try_from).transpose()
}

/// Those that wait for a person first, then the latest.
pub(in crate::charging) async fn select_list(pool: &PgPool, limit: i64) -> Result<Vec<PassRecord>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select p.id as "id: PassId", p.kind, p.from_at, p.hour, p.hours, p.status, p.started_at, p.finished_at, p.wallets, p.charges, p.amount, p.ran_out, p.failed,
                  p.projected_wallets, p.projected_amount, p.projected_stops, p.running_vms, p.usual_amount, p.reasons, u.name as "decided_by?", p.decided_at
           from passes p left join users u on u.id = p.decided_by
           order by p.status in ('held', 'refused') desc, p.started_at desc limit $1"#,
        limit,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(PassRecord::try_from).collect()
}

/// Those that wait for a person.
pub(in crate::charging) async fn select_held(pool: &PgPool, limit: i64) -> Result<Vec<PassRecord>> {
    let rows = sqlx::query_as!(
        Row,
        r#"select p.id as "id: PassId", p.kind, p.from_at, p.hour, p.hours, p.status, p.started_at, p.finished_at, p.wallets, p.charges, p.amount, p.ran_out, p.failed,
                  p.projected_wallets, p.projected_amount, p.projected_stops, p.running_vms, p.usual_amount, p.reasons, u.name as "decided_by?", p.decided_at
           from passes p left join users u on u.id = p.decided_by where p.status in ('held', 'refused') order by p.started_at limit $1"#,
        limit,
    )
    .fetch_all(pool)
    .await?;
    rows.into_iter().map(PassRecord::try_from).collect()
}

/// What passes of one hour charged last, newest first.
pub(in crate::charging) async fn select_last_amounts(connection: &mut PgConnection, limit: i64) -> Result<Vec<Money>> {
    let amounts = sqlx::query_scalar!(
        "select amount from passes where kind = 'hourly' and status = 'done' and hours = 1 and wallets > 0 order by hour desc limit $1",
        limit
    )
    .fetch_all(connection)
    .await?;
    amounts.into_iter().map(money).collect()
}

/// The oldest cursor of all wallets that run up charges.
pub(in crate::charging) async fn select_oldest_cursor(pool: &PgPool) -> Result<Option<DateTime<Utc>>> {
    Ok(sqlx::query_scalar!("select min(charged_through) from wallets where metered").fetch_one(pool).await?)
}

/// What a pass through `hour` is going to do, from the wallets' burn: `passes` says how exact that is. While no wallet ends,
/// running machines are counted only up to `count_max`. An end of credit that an operator has let through is none.
pub(in crate::charging) async fn foresee_hour(
    connection: &mut PgConnection,
    hour: DateTime<Utc>,
    count_max: i64,
) -> Result<Foreseen> {
    let row = sqlx::query!(
        r#"select count(*) as "wallets!", min(charged_through) as from_at, count(*) filter (where runs_out_at <= $1 and (approved_through is null or approved_through < runs_out_at)) as "ending!",
                  round(coalesce(sum(least(burn * extract(epoch from $1 - charged_through) / 3600, greatest(balance + credit_limit, 0))), 0), 6) as "amount!"
           from wallets where metered and charged_through < $1 and parked_at is null and held_by is null and charging_error is null"#,
        hour,
    )
    .fetch_one(&mut *connection)
    .await?;
    let vms = sqlx::query!(
        r#"select case when $2 then (
                   select count(*) from vms v join wallets w on w.organisation_id = v.organisation_id
                   where v.state = 'running' and w.metered and w.charged_through < $1 and w.runs_out_at <= $1 and w.parked_at is null and w.held_by is null
                     and (w.approved_through is null or w.approved_through < w.runs_out_at) and w.charging_error is null) else 0 end as "stops!",
                  (select count(*) from (select from vms where state = 'running' limit case when $2 then null else $3::bigint end) running) as "running!""#,
        hour,
        row.ending > 0,
        count_max,
    )
    .fetch_one(connection)
    .await?;
    let (stops, running) = (vms.stops, vms.running);
    let from = row.from_at.unwrap_or(hour);
    Ok(Foreseen { from, wallets: row.wallets, ending: row.ending, amount: money(row.amount)?, stops, running })
}

/// Which ends of credit are looked for.
pub(in crate::charging) struct Ends {
    /// Until then.
    pub now: DateTime<Utc>,
    /// Whether an hour is held: those that wait for it are looked for as well.
    pub while_held: bool,
    /// Not those until here, which an operator has let through with the hour.
    pub seen: Option<DateTime<Utc>>,
}

/// The wallets whose credit has ended. Those that an operator has let through are left out.
pub(in crate::charging) async fn select_ended(connection: &mut PgConnection, ends: &Ends) -> Result<Vec<Uuid>> {
    if ends.while_held {
        return Ok(sqlx::query_scalar!(
            "select organisation_id from wallets
             where metered and runs_out_at <= $1 and parked_at is null and held_by is null and (approved_through is null or approved_through < runs_out_at)",
            ends.now,
        )
        .fetch_all(connection)
        .await?);
    }
    Ok(sqlx::query_scalar!(
        "select organisation_id from wallets
         where due_at <= $1 and runs_out_at <= $1 and parked_at is null and held_by is null and (approved_through is null or approved_through < runs_out_at)
           and ($2::timestamptz is null or runs_out_at > $2)",
        ends.now,
        ends.seen,
    )
    .fetch_all(connection)
    .await?)
}

/// What the ends of the credit of some wallets are going to stop.
pub(in crate::charging) async fn foresee_run_outs(
    connection: &mut PgConnection,
    organisations: &[Uuid],
    now: DateTime<Utc>,
) -> Result<Foreseen> {
    let row = sqlx::query!(
        r#"select count(*) as "wallets!", min(charged_through) as from_at, round(coalesce(sum(greatest(balance + credit_limit, 0)), 0), 6) as "amount!",
                  (select count(*) from vms where state = 'running' and organisation_id = any($1)) as "stops!",
                  (select count(*) from vms where state = 'running') as "running!"
           from wallets where organisation_id = any($1)"#,
        organisations,
    )
    .fetch_one(connection)
    .await?;
    let (wallets, amount, from) = (row.wallets, money(row.amount)?, row.from_at.unwrap_or(now));
    Ok(Foreseen { from, wallets, ending: wallets, amount, stops: row.stops, running: row.running })
}

/// Whether a price began to hold inside a time, so that what was burnt before says little about it.
pub(in crate::charging) async fn is_price_change_within(
    connection: &mut PgConnection,
    from: DateTime<Utc>,
    to: DateTime<Utc>,
) -> Result<bool> {
    Ok(sqlx::query_scalar!(
        r#"select exists (select 1 from price_list_versions where effective_from > $1 and effective_from < $2) as "any!""#,
        from,
        to
    )
    .fetch_one(connection)
    .await?)
}

/// A pass as it is written down first.
pub(in crate::charging) struct NewPass<'a> {
    pub id: PassId,
    pub kind: Kind,
    pub through: DateTime<Utc>,
    pub hours: i32,
    pub status: Status,
    pub at: DateTime<Utc>,
    pub foreseen: &'a Foreseen,
    pub usual: Option<Money>,
    pub reasons: Value,
}

pub(in crate::charging) async fn insert(connection: &mut PgConnection, pass: &NewPass<'_>) -> Result<()> {
    sqlx::query!(
        "insert into passes (id, kind, from_at, hour, hours, status, started_at, finished_at, projected_wallets, projected_amount, projected_stops, running_vms, usual_amount, reasons)
         values ($1, $2, $3, $4, $5, $6, $7::timestamptz, case when $6 = 'done' then $7 end, $8, $9, $10, $11, $12, $13)",
        pass.id.uuid(),
        pass.kind.name(),
        pass.foreseen.from,
        pass.through,
        pass.hours,
        pass.status.name(),
        pass.at,
        pass.foreseen.wallets,
        pass.foreseen.amount.to_decimal(),
        pass.foreseen.stops,
        pass.foreseen.running,
        pass.usual.map(Money::to_decimal),
        pass.reasons,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// A held pass has grown by hours.
pub(in crate::charging) async fn update_foreseen(
    connection: &mut PgConnection,
    id: PassId,
    through: DateTime<Utc>,
    hours: i32,
    foreseen: &Foreseen,
) -> Result<()> {
    sqlx::query!(
        "update passes set from_at = $2, hour = $3, hours = $4, projected_wallets = $5, projected_amount = $6, projected_stops = $7, running_vms = $8 where id = $1",
        id.uuid(),
        foreseen.from,
        through,
        hours,
        foreseen.wallets,
        foreseen.amount.to_decimal(),
        foreseen.stops,
        foreseen.running,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Holds the wallets that are further behind than is charged without a person; answers with what that is, if it is anything.
/// Which those are is what `billing::catch_up` says of each. Wallets that somebody works on are held at the next look.
pub(in crate::charging) async fn hold_behind(
    connection: &mut PgConnection,
    pass: PassId,
    through: DateTime<Utc>,
    limit_hours: i32,
) -> Result<Option<Foreseen>> {
    let row = sqlx::query!(
        r#"with behind as (
               select organisation_id from wallets
               where metered and charged_through < $2::timestamptz - make_interval(hours => $3) and parked_at is null and held_by is null
                 and (approved_through is null or approved_through <= charged_through)
               order by organisation_id for update skip locked),
           held as (
               update wallets w set held_by = $1 from behind b where w.organisation_id = b.organisation_id
               returning w.charged_through, w.burn, w.balance, w.credit_limit)
           select count(*) as "wallets!", min(charged_through) as from_at,
                  round(coalesce(sum(least(burn * extract(epoch from $2 - charged_through) / 3600, greatest(balance + credit_limit, 0))), 0), 6) as "amount!"
           from held"#,
        pass.uuid(),
        through,
        limit_hours,
    )
    .fetch_one(connection)
    .await?;
    let Some(from) = row.from_at else { return Ok(None) };
    let (wallets, amount) = (row.wallets, money(row.amount)?);
    Ok(Some(Foreseen { from, wallets, ending: 0, amount, stops: 0, running: 0 }))
}

/// Holds those of some wallets whose credit has ended and that nobody works on. Says how many.
pub(in crate::charging) async fn hold_run_outs(
    connection: &mut PgConnection,
    pass: PassId,
    organisations: &[Uuid],
    now: DateTime<Utc>,
) -> Result<u64> {
    let held = sqlx::query!(
        "update wallets set held_by = $1 where organisation_id in (
             select organisation_id from wallets where organisation_id = any($2) and runs_out_at <= $3 and parked_at is null and held_by is null
             order by organisation_id for update skip locked)",
        pass.uuid(),
        organisations,
        now,
    )
    .execute(connection)
    .await?;
    Ok(held.rows_affected())
}

/// What is foreseen of a pass that holds wallets.
pub(in crate::charging) async fn set_held(
    connection: &mut PgConnection,
    id: PassId,
    foreseen: &Foreseen,
    hours: i32,
    reasons: &Value,
) -> Result<()> {
    sqlx::query!(
        "update passes set from_at = $2, projected_wallets = $3, projected_amount = $4, hours = $5, reasons = $6 where id = $1",
        id.uuid(),
        foreseen.from,
        foreseen.wallets,
        foreseen.amount.to_decimal(),
        hours,
        reasons,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Lets go of the wallets that a pass holds, to be charged at once through what was seen.
pub(in crate::charging) async fn release(
    connection: &mut PgConnection,
    pass: PassId,
    through: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<()> {
    // In the order of the keys, as whoever locks several does.
    sqlx::query!(
        "with held as (select organisation_id from wallets where held_by = $1 order by organisation_id for update)
         update wallets w set held_by = null, approved_through = $2, due_at = $3 from held where held.organisation_id = w.organisation_id",
        pass.uuid(),
        through,
        now,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// The next wallets that a pass holds, locked.
pub(in crate::charging) async fn lock_held(
    connection: &mut PgConnection,
    pass: PassId,
    limit: i64,
) -> Result<Vec<OrganisationId>> {
    Ok(sqlx::query_scalar!(
        r#"select organisation_id as "organisation: OrganisationId" from wallets where held_by = $1 order by organisation_id limit $2 for update"#,
        pass.uuid(),
        limit,
    )
    .fetch_all(connection)
    .await?)
}

/// Moves the cursors of locked wallets without a charge.
pub(in crate::charging) async fn move_cursors(
    connection: &mut PgConnection,
    organisations: &[Uuid],
    through: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "update wallets set held_by = null, charged_through = greatest(charged_through, $2) where organisation_id = any($1)",
        organisations,
        through,
    )
    .execute(connection)
    .await?;
    Ok(())
}

pub(in crate::charging) async fn decide(
    connection: &mut PgConnection,
    id: PassId,
    status: Status,
    by: Option<UserId>,
    at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "update passes set status = $2, decided_by = $3, decided_at = $4 where id = $1",
        id.uuid(),
        status.name(),
        by.map(UserId::uuid),
        at,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// What one batch did.
pub(in crate::charging) struct Part {
    pub wallets: i32,
    pub charges: i32,
    pub amount: Money,
    pub ran_out: i32,
}

pub(in crate::charging) async fn insert_part(connection: &mut PgConnection, pass: PassId, part: &Part) -> Result<()> {
    sqlx::query!(
        "insert into pass_parts (pass_id, wallets, charges, amount, ran_out) values ($1, $2, $3, $4, $5)",
        pass.uuid(),
        part.wallets,
        part.charges,
        part.amount.to_decimal(),
        part.ran_out,
    )
    .execute(connection)
    .await?;
    Ok(())
}

/// Ends a pass and sums up what its batches did, however many processes ran them. `failed` are the wallets that were in its
/// way and are not charged.
pub(in crate::charging) async fn finish(
    pool: &PgPool,
    id: PassId,
    hour: DateTime<Utc>,
    at: DateTime<Utc>,
) -> Result<()> {
    sqlx::query!(
        "with parts as (delete from pass_parts where pass_id = $1 returning wallets, charges, amount, ran_out),
              sums as (select coalesce(sum(wallets), 0) as wallets, coalesce(sum(charges), 0) as charges, coalesce(sum(amount), 0) as amount,
                              coalesce(sum(ran_out), 0) as ran_out from parts)
         update passes p set status = 'done', finished_at = $3, wallets = p.wallets + s.wallets, charges = p.charges + s.charges, amount = p.amount + s.amount,
                ran_out = p.ran_out + s.ran_out,
                failed = (select count(*) from wallets where charging_error is not null and metered and charged_through < $2)
         from sums s where p.id = $1 and p.status in ('running', 'approved')",
        id.uuid(),
        hour,
        at,
    )
    .execute(pool)
    .await?;
    Ok(())
}
