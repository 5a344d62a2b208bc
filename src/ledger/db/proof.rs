//! The SQL of the proof. It reads the tables of the rooms above by itself: a proof that asked their code would prove little.
//!
//! What is wrong is told by the first row, and yet no query says `limit 1`: PostgreSQL would then hope for an early one, join by
//! nested loops, and take hours with 200,000 wallets that are all right.

use billing::{Accrued, MeterState, Money, Month, Rate};
use chrono::{DateTime, Utc};
use futures_util::{Stream, TryStreamExt};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::ledger::{money, rate};

/// Some organisations that follow each other: those after the first id up to and with the second.
#[derive(Clone, Copy)]
pub(in crate::ledger) struct Range {
    pub after: Uuid,
    pub through: Uuid,
}

pub(in crate::ledger) struct ProvedWallet {
    pub organisation: Uuid,
    /// When its organisation was made.
    pub created_at: DateTime<Utc>,
    pub charged_through: DateTime<Utc>,
}

pub(in crate::ledger) async fn select_wallets(
    connection: &mut PgConnection,
    after: Uuid,
    limit: i64,
) -> Result<Vec<ProvedWallet>> {
    Ok(sqlx::query_as!(
        ProvedWallet,
        "select w.organisation_id as organisation, o.created_at, w.charged_through from wallets w join organisations o on o.id = w.organisation_id
         where w.organisation_id > $1 order by w.organisation_id limit $2",
        after,
        limit,
    )
    .fetch_all(connection)
    .await?)
}

/// What has a price: on which list, as what, and of which plan or image.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(in crate::ledger) struct Priced {
    pub list: Uuid,
    pub kind: String,
    pub of: Option<Uuid>,
}

pub(in crate::ledger) struct ProvedPrice {
    pub id: Uuid,
    pub from: DateTime<Utc>,
    pub to: Option<DateTime<Utc>>,
    pub rate: Rate,
    pub cap: Option<Money>,
}

pub(in crate::ledger) async fn select_prices(connection: &mut PgConnection) -> Result<Vec<(Priced, ProvedPrice)>> {
    let rows = sqlx::query!(
        r#"select v.price_list_id as "list!", p.kind, coalesce(p.plan_id, p.image_id) as "of", p.id,
                  lower(v.during) as "from!", upper(v.during) as "to", p.hourly_rate, p.monthly_cap
           from prices p join price_list_periods v on v.id = p.price_list_version_id
           order by v.price_list_id, lower(v.during)"#,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let priced = Priced { list: row.list, kind: row.kind, of: row.of };
            let price = ProvedPrice {
                id: row.id,
                from: row.from,
                to: row.to,
                rate: rate(row.hourly_rate)?,
                cap: row.monthly_cap.map(money).transpose()?,
            };
            Ok((priced, price))
        })
        .collect()
}

pub(in crate::ledger) struct ProvedMeter {
    pub organisation: Uuid,
    pub id: Uuid,
    /// Its sums at `through`, as they are written down.
    pub state: MeterState,
    pub through: DateTime<Utc>,
}

pub(in crate::ledger) async fn select_meters(connection: &mut PgConnection, range: Range) -> Result<Vec<ProvedMeter>> {
    let rows = sqlx::query!(
        "select organisation_id, id, month, accrued, cap, accrued_through from meters where organisation_id > $1 and organisation_id <= $2",
        range.after,
        range.through,
    )
    .fetch_all(connection)
    .await?;
    rows.into_iter()
        .map(|row| {
            let accrued =
                Accrued::try_from_decimal(row.accrued).map_err(|error| Error::Internal(anyhow::Error::new(error)))?;
            let cap = row.cap.map(money).transpose()?;
            let state = MeterState { month: Month::from(row.month), accrued, cap };
            Ok(ProvedMeter { organisation: row.organisation_id, id: row.id, state, through: row.accrued_through })
        })
        .collect()
}

pub(in crate::ledger) struct ProvedInterval {
    pub id: i64,
    pub meter: Uuid,
    pub what: Priced,
    pub quantity: i64,
    pub from: DateTime<Utc>,
    pub to: Option<DateTime<Utc>>,
    /// Whether charging takes all of it for charged, has it in the meter's sums and looks at it no more.
    pub settled: bool,
}

/// The intervals of these meters that reach beyond an instant, those of one meter in the order of time. The meters are a list
/// and the end is no range, so that PostgreSQL takes the index by meter: that of the constraint against overlaps is many times
/// slower.
pub(in crate::ledger) async fn select_intervals(
    connection: &mut PgConnection,
    meters: &[Uuid],
    since: DateTime<Utc>,
) -> Result<Vec<ProvedInterval>> {
    let rows = sqlx::query!(
        r#"select id, meter_id, price_list_id, kind, coalesce(plan_id, image_id) as "of", quantity,
                  lower(during) as "from!", upper(during) as "to", settled
           from meter_intervals where meter_id = any($1) and coalesce(upper(during), 'infinity') > $2
           order by meter_id, lower(during)"#,
        meters,
        since,
    )
    .fetch_all(connection)
    .await?;
    Ok(rows
        .into_iter()
        .map(|row| ProvedInterval {
            id: row.id,
            meter: row.meter_id,
            what: Priced { list: row.price_list_id, kind: row.kind, of: row.of },
            quantity: row.quantity,
            from: row.from,
            to: row.to,
            settled: row.settled,
        })
        .collect())
}

pub(in crate::ledger) struct ProvedTransfer {
    pub id: Uuid,
    pub organisation: Uuid,
    pub source: String,
    pub at: DateTime<Utc>,
    pub amount: Money,
}

/// What was posted for charges of these organisations that ended after an instant, one by one. `offset 0` asks wallet by
/// wallet, where a join would read the whole table for every few of them.
pub(in crate::ledger) fn select_charge_transfers(
    connection: &mut PgConnection,
    range: Range,
    since: DateTime<Utc>,
) -> impl Stream<Item = Result<ProvedTransfer>> {
    sqlx::query!(
        "select t.id, w.organisation_id, t.source, t.at, t.amount from wallets w
         cross join lateral (select id, source, at, amount from transfers where debit_account = w.account_id and code = 'charge' and at > $3 offset 0) t
         where w.organisation_id > $1 and w.organisation_id <= $2",
        range.after,
        range.through,
        since,
    )
    .fetch(connection)
    .map_err(Error::from)
    .and_then(|row| async move {
        let amount = money(row.amount)?;
        Ok(ProvedTransfer { id: row.id, organisation: row.organisation_id, source: row.source, at: row.at, amount })
    })
}

pub(in crate::ledger) struct ProvedCharge {
    pub organisation: Uuid,
    pub meter: Uuid,
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
    pub quantity: i64,
    pub price: Uuid,
    pub rate: Rate,
    pub amount: Money,
}

/// The charges of these organisations from an instant on, one by one, organisation by organisation, each in the order of
/// time: the order of the table's key.
pub(in crate::ledger) fn select_charges(
    connection: &mut PgConnection,
    range: Range,
    since: DateTime<Utc>,
) -> impl Stream<Item = Result<ProvedCharge>> {
    sqlx::query!(
        "select organisation_id, meter_id, period_start, period_end, quantity, price_id, rate, amount from charges
         where organisation_id > $1 and organisation_id <= $2 and period_start >= $3 order by organisation_id, period_start, meter_id",
        range.after,
        range.through,
        since,
    )
    .fetch(connection)
    .map_err(Error::from)
    .and_then(|row| async move {
        Ok(ProvedCharge {
            organisation: row.organisation_id,
            meter: row.meter_id,
            from: row.period_start,
            to: row.period_end,
            quantity: row.quantity,
            price: row.price_id,
            rate: rate(row.rate)?,
            amount: money(row.amount)?,
        })
    })
}

/// Accounts that are not what they should be: of wallets, and of transfers, which have no foreign keys.
pub(in crate::ledger) async fn select_wrong_account(connection: &mut PgConnection) -> Result<Option<String>> {
    let wallet = sqlx::query!(
        "select w.organisation_id, w.account_id from wallets w join accounts a on a.id = w.account_id
         where a.organisation_id is distinct from w.organisation_id"
    )
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(wallet) = wallet {
        return Ok(Some(format!(
            "the wallet of organisation {} has account {}, which is not its own",
            wallet.organisation_id, wallet.account_id
        )));
    }
    let transfer = sqlx::query!(
        r#"select t.id, t.debit_account, t.credit_account, d.id is null as "no_debit!", c.id is null as "no_credit!"
           from transfers t left join accounts d on d.id = t.debit_account left join accounts c on c.id = t.credit_account
           where d.id is null or c.id is null or (t.code = 'charge' and (d.kind <> 'wallet' or c.kind <> 'revenue'))"#
    )
    .fetch_optional(connection)
    .await?;
    Ok(transfer.map(|transfer| match (transfer.no_debit, transfer.no_credit) {
        (true, _) => {
            format!("transfer {} takes from account {}, which does not exist", transfer.id, transfer.debit_account)
        }
        (_, true) => {
            format!("transfer {} gives to account {}, which does not exist", transfer.id, transfer.credit_account)
        }
        _ => format!("transfer {} is a charge, but not from a wallet to revenue", transfer.id),
    }))
}

pub(in crate::ledger) async fn select_wrong_balance(connection: &mut PgConnection) -> Result<Option<String>> {
    let wallet = sqlx::query!(
        r#"select w.organisation_id, w.balance, coalesce(c.total, 0) - coalesce(d.total, 0) as "proved!"
           from wallets w
           left join (select credit_account, sum(amount) as total from transfers where code <> 'charge' group by 1) c on c.credit_account = w.account_id
           left join (select debit_account, sum(amount) as total from transfers group by 1) d on d.debit_account = w.account_id
           where w.balance <> coalesce(c.total, 0) - coalesce(d.total, 0)"#
    )
    .fetch_optional(connection)
    .await?;
    Ok(wallet.map(|wallet| {
        format!(
            "the wallet of organisation {} says {}, its transfers say {}",
            wallet.organisation_id, wallet.balance, wallet.proved
        )
    }))
}

/// Credit is set aside for each machine that is being made and costs something, and for nothing else; one that is taken over is
/// there already.
pub(in crate::ledger) async fn select_wrong_hold(connection: &mut PgConnection) -> Result<Option<String>> {
    let hold = sqlx::query!(
        "select h.vm_id, h.amount, v.state, v.organisation_id = h.organisation_id as is_own from holds h join vms v on v.id = h.vm_id
         where v.state <> 'provisioning' or v.organisation_id <> h.organisation_id"
    )
    .fetch_optional(&mut *connection)
    .await?;
    if let Some(hold) = hold {
        let why = if hold.is_own == Some(true) {
            format!("is {}", hold.state)
        } else {
            "belongs to another organisation".to_owned()
        };
        return Ok(Some(format!("{} is held for machine {}, which {why}", hold.amount, hold.vm_id)));
    }
    let machine = sqlx::query!(
        "select v.id from vms v join organisations o on o.id = v.organisation_id
         join price_list_periods l on l.during @> v.created_at
              and l.price_list_id = coalesce(o.price_list_id, (select id from price_lists where is_default))
         join prices p on p.price_list_version_id = l.id and p.kind = 'vm_running' and p.plan_id = v.plan_id and p.hourly_rate > 0
         where v.state = 'provisioning' and v.adopted_at is null and not exists (select 1 from holds h where h.vm_id = v.id)"
    )
    .fetch_optional(connection)
    .await?;
    Ok(machine.map(|machine| format!("machine {} is being made, and no credit is held for it", machine.id)))
}

/// Only what is there is metered.
pub(in crate::ledger) async fn select_wrong_meter(connection: &mut PgConnection) -> Result<Option<String>> {
    let gone = sqlx::query!(
        r#"select i.id, m.id as meter, m.vm_id, v.state as "state?" from meter_intervals i join meters m on m.id = i.meter_id
           left join vms v on v.id = m.vm_id
           where upper_inf(i.during) and (v.id is null or v.state in ('provisioning', 'failed', 'deleted'))"#
    )
    .fetch_optional(connection)
    .await?;
    Ok(gone.map(|gone| {
        let state = gone.state.as_deref().unwrap_or("nowhere");
        format!("interval {} of meter {} is open, but its machine {} is {state}", gone.id, gone.meter, gone.vm_id)
    }))
}

/// Whatever goes on and can cost something is charged by the next pass, so its wallet must be among those that passes look at.
pub(in crate::ledger) async fn select_overlooked(connection: &mut PgConnection) -> Result<Option<String>> {
    let overlooked = sqlx::query!(
        "select i.id, i.meter_id, w.organisation_id from meter_intervals i join wallets w on w.organisation_id = i.organisation_id
         where not w.metered and not i.settled and (upper_inf(i.during) or upper(i.during) > w.charged_through)
           and i.kind in (select p.kind from prices p join price_list_periods v on v.id = p.price_list_version_id)"
    )
    .fetch_optional(connection)
    .await?;
    Ok(overlooked.map(|overlooked| {
        format!(
            "interval {} of meter {} is not charged yet, but the wallet of organisation {} is not looked at by any pass",
            overlooked.id, overlooked.meter_id, overlooked.organisation_id
        )
    }))
}

/// What operators read as revenue is kept beside the charges, by time and price: both must say the same.
pub(in crate::ledger) async fn select_wrong_revenue(
    connection: &mut PgConnection,
    since: DateTime<Utc>,
) -> Result<Option<String>> {
    let part = sqlx::query!(
        r#"select coalesce(c.at, r.at) as "at!", coalesce(c.price_id, r.price_id) as "price!", coalesce(c.total, 0) as "charged!", coalesce(r.total, 0) as "kept!"
           from (select date_bin('15 minutes', period_start, '2000-01-01 00:00:00+00') as at, price_id, sum(amount) as total from charges where period_start >= $1 group by 1, 2) c
           full join (select period_start as at, price_id, sum(amount) as total from revenue_parts where period_start >= $1 group by 1, 2) r
                on r.at = c.at and r.price_id = c.price_id
           where coalesce(c.total, 0) <> coalesce(r.total, 0)"#,
        since,
    )
    .fetch_optional(connection)
    .await?;
    Ok(part.map(|part| {
        format!(
            "the revenue of price {} in the quarter of an hour from {} is kept as {}, its charges are {}",
            part.price, part.at, part.kept, part.charged
        )
    }))
}
