//! What a wallet has run up: rated, cut at the instant its credit ended, and not written yet. Pure but for the dry run.

use anyhow::Context;
use billing::{CatchUp, Money, WalletMeter};
use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use sqlx::PgConnection;
use uuid::Uuid;

use super::batch;
use super::db::{self, DueWallet};
use crate::catalog::{self, PriceBook};
use crate::error::Result;
use crate::ids::PriceId;
use crate::metering::{self, Checkpoint, Unsettled};

/// How many wallets a dry run reads at once.
const DRY_WALLETS: i64 = 1_000;

/// A wallet's charges, computed and not yet written.
pub(super) struct Charged {
    pub wallet: DueWallet,
    /// Where the cursor goes.
    pub through: DateTime<Utc>,
    pub ran_out: bool,
    pub meters: Vec<Unsettled>,
    pub charges: Vec<(usize, (PriceId, i64), billing::Charge)>,
}

/// Through which instant a wallet is to be charged.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// A full hour.
    Hour(DateTime<Utc>),
    /// The end of its credit if that has come, else the last full hour.
    Now(DateTime<Utc>),
}

/// Where the cursor of a wallet goes unless its credit ends before; none when it is further behind than is charged without a
/// person.
pub(super) fn target(wallet: &DueWallet, until: Until, limit_hours: u32, is_approved: bool) -> Option<DateTime<Utc>> {
    let (now, hour) = match until {
        Until::Hour(hour) => (hour, hour),
        Until::Now(now) => (now, billing::hour_floor(now)),
    };
    let approved = if is_approved { Some(hour) } else { wallet.approved_through };
    let through = match billing::catch_up(wallet.charged_through, approved, hour, limit_hours) {
        CatchUp::Hold { .. } => return None,
        CatchUp::Charge { through } => through,
        CatchUp::Nothing => wallet.charged_through,
    };
    let runs_out = wallet.runs_out_at.is_some_and(|at| at <= now);
    Some(if runs_out && through >= hour { now.max(through) } else { through })
}

/// Rates what a wallet has run up to `through`, and cuts it at the instant the credit ended.
pub(super) fn charge(
    wallet: DueWallet,
    checkpoints: Vec<Checkpoint>,
    book: &PriceBook,
    mut through: DateTime<Utc>,
    zone: Tz,
) -> Result<Charged> {
    let from = wallet.charged_through;
    let credit = wallet.balance + wallet.credit_limit;
    let mut meters = metering::stand(checkpoints, book, from, zone).context("while adding up what was charged")?;
    let mut cut = pieces(&meters, book, from, through)?;
    let end = billing::run_out_instant(&views(&meters, &cut), credit, from, through, zone)
        .context("while looking for the run-out")?;
    if let Some(end) = end {
        through = end;
        cut = pieces(&meters, book, from, through)?;
    }

    let mut charges = Vec::with_capacity(meters.len());
    for (index, (meter, (pieces, prices))) in meters.iter_mut().zip(&cut).enumerate() {
        billing::rate_pieces(&mut meter.state, pieces, zone, |charge| {
            charges.push((index, prices[charge.piece], charge))
        })
        .context("while rating")?;
    }
    Ok(Charged { wallet, through, ran_out: end.is_some(), meters, charges })
}

/// What [`charge`] comes to, without a charge for each hour of it.
fn amount(
    wallet: &DueWallet,
    checkpoints: Vec<Checkpoint>,
    book: &PriceBook,
    through: DateTime<Utc>,
    zone: Tz,
) -> Result<Money> {
    let (from, credit) = (wallet.charged_through, wallet.balance + wallet.credit_limit);
    let meters = metering::stand(checkpoints, book, from, zone).context("while adding up what was charged")?;
    let cut = pieces(&meters, book, from, through)?;
    let views = views(&meters, &cut);
    let end = billing::run_out_instant(&views, credit, from, through, zone).context("while looking for the run-out")?;
    Ok(billing::total_through(&views, from, end.unwrap_or(through), zone).context("while rating")?)
}

type Cut = (Vec<billing::Piece>, Vec<(PriceId, i64)>);

fn views<'cut>(meters: &[Unsettled], cut: &'cut [Cut]) -> Vec<WalletMeter<'cut>> {
    meters.iter().zip(cut).map(|(meter, (pieces, _))| WalletMeter { state: meter.state, pieces }).collect()
}

fn pieces(meters: &[Unsettled], book: &PriceBook, from: DateTime<Utc>, to: DateTime<Utc>) -> Result<Vec<Cut>> {
    let cut: std::result::Result<Vec<_>, _> = meters.iter().map(|meter| meter.pieces(book, from, to)).collect();
    Ok(cut.context("while looking up prices")?)
}

/// What a pass through `hour` charges, exactly: everything is rated and nothing is locked or written. Wallets that cannot be
/// rated count for nothing: they are not charged either.
pub(super) async fn total(connection: &mut PgConnection, hour: DateTime<Utc>, zone: Tz) -> Result<Money> {
    let book = catalog::price_book(&mut *connection).await?;
    let (mut total, mut after) = (Money::ZERO, Uuid::nil());
    loop {
        let due = db::read_next(&mut *connection, after, hour, DRY_WALLETS).await?;
        let Some(last) = due.last() else { return Ok(total) };
        after = last.organisation.uuid();
        let organisations: Vec<_> = due.iter().map(|wallet| wallet.organisation.uuid()).collect();
        let whose = batch::whose(&mut *connection, &organisations).await?;
        let mut checkpoints = metering::checkpoints(&mut *connection, &book, whose).await?;
        for wallet in due {
            let meters = checkpoints.remove(&wallet.organisation).unwrap_or_default();
            if let Ok(amount) = amount(&wallet, meters, &book, hour, zone) {
                total += amount;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{AccountId, OrganisationId};

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn wallet(charged_through: &str, runs_out_at: Option<&str>) -> DueWallet {
        DueWallet {
            organisation: OrganisationId::new(),
            account: AccountId::new(),
            balance: Money::ZERO,
            credit_limit: Money::ZERO,
            charged_through: at(charged_through),
            runs_out_at: runs_out_at.map(at),
            approved_through: None,
        }
    }

    #[test]
    fn a_wallet_is_charged_to_the_hour_or_to_its_end() {
        let now = Until::Now(at("2026-11-20T13:10:00Z"));
        let lasting = wallet("2026-11-20T12:00:00Z", None);
        let ending = wallet("2026-11-20T13:00:00Z", Some("2026-11-20T13:10:00Z"));

        assert_eq!(target(&lasting, now, 48, false), Some(at("2026-11-20T13:00:00Z")));
        assert_eq!(target(&ending, now, 48, false), Some(at("2026-11-20T13:10:00Z")));
        assert_eq!(
            target(&ending, Until::Hour(at("2026-11-20T13:00:00Z")), 48, false),
            Some(at("2026-11-20T13:00:00Z"))
        );
    }

    #[test]
    fn time_missed_for_too_long_waits_for_a_person() {
        let late = wallet("2026-10-10T12:00:00Z", Some("2026-10-11T12:00:00Z"));
        let hour = at("2026-11-20T13:00:00Z");

        assert_eq!(target(&late, Until::Hour(hour), 48, false), None);
        assert_eq!(target(&late, Until::Now(hour), 48, false), None, "also when its credit has ended since");
        assert_eq!(target(&late, Until::Hour(hour), 48, true), Some(hour));
        let seen = DueWallet { approved_through: Some(at("2026-11-01T00:00:00Z")), ..late };
        assert_eq!(target(&seen, Until::Hour(hour), 48, false), seen.approved_through, "as far as somebody has looked");
    }
}
