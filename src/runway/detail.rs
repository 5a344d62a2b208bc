//! A wallet's outlook, spread out for people: what each machine costs now, and how the balance will go if everything stays as
//! it is. Caps and month starts count as they do for the run-out.

use anyhow::Context;
use billing::{Money, Piece, Rate, WalletMeter, total_through};
use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;

use super::{Standing, read_standing};
use crate::app::App;
use crate::catalog::Resource;
use crate::error::Result;
use crate::ids::VmId;
use crate::ledger::{BalancePoint, Wallet};

/// How far ahead the balance is drawn at most.
const AHEAD_DAYS_MAX: i64 = 30;
/// At how many instants it is computed.
const POINTS: i32 = 48;

/// What a machine costs now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BurnOfVm {
    /// The machine.
    pub vm: VmId,
    /// Everything of it per hour, without what has reached its cap for this month.
    pub per_hour: Rate,
    /// Of that, what it has beside itself: disk beyond its plan, addresses, a licence.
    pub beside: Rate,
    /// Whether the machine itself is free until the month ends.
    pub cap_reached: bool,
}

/// A wallet's outlook, spread out.
#[derive(Debug, Clone)]
pub struct Detail {
    /// What each machine costs now, dearest first.
    pub vms: Vec<BurnOfVm>,
    /// The balance from now to the run-out, or as far ahead as is drawn; empty if nothing is used up.
    pub ahead: Vec<BalancePoint>,
}

/// Spreads out what a wallet's balance goes to and how it will go.
///
/// # Errors
/// When PostgreSQL fails or a price is missing.
pub async fn detail(app: &App, wallet: &Wallet) -> Result<Detail> {
    let zone = app.settings.time_zone;
    let mut connection = app.pool.acquire().await?;
    let standing = read_standing(app, &mut connection, wallet, app.clock.now()).await?;
    drop(connection);
    Ok(Detail { vms: standing.by_vm(zone), ahead: standing.ahead(wallet.credit_limit, zone)? })
}

impl Standing {
    fn by_vm(&self, zone: Tz) -> Vec<BurnOfVm> {
        let mut found: Vec<BurnOfVm> = Vec::with_capacity(self.lines.len());
        for line in &self.lines {
            let Some(vm) = line.vm else { continue };
            let burn = billing::burn(std::slice::from_ref(&line.burn), self.at, zone);
            let index = found.iter().position(|known| known.vm == vm).unwrap_or_else(|| {
                found.push(BurnOfVm { vm, per_hour: Rate::ZERO, beside: Rate::ZERO, cap_reached: false });
                found.len() - 1
            });
            let known = &mut found[index];
            known.per_hour = known.per_hour + burn;
            if line.what.item.resource() == Resource::Vm {
                known.cap_reached = burn.is_zero() && !line.burn.rate.is_zero();
            } else {
                known.beside = known.beside + burn;
            }
        }
        found.sort_by(|one, other| other.per_hour.cmp(&one.per_hour).then(one.vm.cmp(&other.vm)));
        found
    }

    fn ahead(&self, credit_limit: Money, zone: Tz) -> Result<Vec<BalancePoint>> {
        let outlook = self.outlook(zone);
        let horizon = self.at + TimeDelta::days(AHEAD_DAYS_MAX);
        let end = outlook.runs_out_at.map_or(horizon, |at| at.min(horizon));
        if self.lines.is_empty() || end <= self.at {
            return Ok(Vec::new());
        }
        let pieces: Vec<_> = (0..self.lines.len()).map(|line| self.pieces_of(line, end)).collect();
        let meters: Vec<_> = self
            .lines
            .iter()
            .zip(&pieces)
            .map(|(line, pieces)| WalletMeter { state: line.burn.state, pieces })
            .collect();
        let step = (end - self.at) / POINTS;
        let at = |point: i32| if point == POINTS { end } else { self.at + step * point };
        (0..=POINTS)
            .map(|point| {
                let spent = total_through(&meters, self.at, at(point), zone).context("while looking ahead")?;
                Ok(BalancePoint { at: at(point), balance: self.balance - credit_limit - spent })
            })
            .collect()
    }

    /// What a line costs until then, by the prices that are known of any time.
    fn pieces_of(&self, line: usize, end: DateTime<Utc>) -> Vec<Piece> {
        let Some(burn) = self.lines.get(line).map(|line| line.burn) else { return Vec::new() };
        let (mut from, mut price) = (self.at, (burn.rate, burn.cap));
        let mut pieces = Vec::with_capacity(self.changes.len() + 1);
        let later = self.changes.iter().map(|change| (change.at.min(end), change.prices.get(line).copied()));
        for (to, next) in later.chain([(end, None)]) {
            if to > from {
                pieces.push(Piece { from, to, rate: price.0, cap: price.1 });
                from = to;
            }
            price = next.unwrap_or(price);
        }
        pieces
    }
}

/// How many seconds a wallet lasts from an instant on, if it runs out.
#[must_use]
pub fn seconds_left(runs_out_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Option<i64> {
    runs_out_at.map(|at| (at - now).num_seconds().max(0))
}
