//! What a transaction of a pass writes, gathered as columns: one statement for each table, however many wallets there are.

use std::collections::BTreeMap;

use anyhow::Context;
use billing::Money;
use chrono::{DateTime, SecondsFormat, Utc};
use chrono_tz::Tz;

use super::rated::Charged;
use crate::catalog::PriceBook;
use crate::error::Result;
use crate::ids::{OrganisationId, TransferId};
use crate::ledger::{BulkTransfers, BulkWallets};
use crate::metering::{BulkCharges, BulkMeters};
use crate::runway::Standing;

/// Everything a batch writes, as columns.
#[derive(Default)]
pub(super) struct Columns {
    pub charges: BulkCharges,
    pub meters: BulkMeters,
    pub transfers: BulkTransfers,
    pub wallets: BulkWallets,
}

/// What one wallet has added.
pub(super) struct Added {
    pub charges: usize,
    pub amount: Money,
    /// The instant at which it ran out, if it did.
    pub ran_out: Option<(OrganisationId, DateTime<Utc>)>,
}

impl Columns {
    /// Adds one wallet; on an error nothing of it is added.
    pub fn add(&mut self, charged: Charged, book: &PriceBook, zone: Tz) -> Result<Added> {
        let Charged { wallet, through, ran_out, meters, charges } = charged;
        let total: Money = charges.iter().map(|(_, _, charge)| charge.amount).sum();
        let balance = wallet.balance - total;
        let outlook = Standing::after_charging(balance + wallet.credit_limit, book, &meters, through)?.outlook(zone);
        let mut settled = Vec::new();
        for meter in &meters {
            if let Some(done) = meter.settled(book, through, zone).context("while settling intervals")? {
                let accrued = done.state.accrued.to_decimal().context("a meter's sum does not fit its column")?;
                settled.push((meter.meter, done, accrued));
            }
        }

        let organisation = wallet.organisation.uuid();
        let mut hours: BTreeMap<DateTime<Utc>, (Money, DateTime<Utc>)> = BTreeMap::new();
        for (index, (price, quantity), charge) in &charges {
            self.charges.meters.push(meters[*index].meter.uuid());
            self.charges.organisations.push(organisation);
            self.charges.from.push(charge.from);
            self.charges.to.push(charge.to);
            self.charges.quantities.push(*quantity);
            self.charges.prices.push(price.uuid());
            self.charges.rates.push(charge.rate.to_decimal());
            self.charges.amounts.push(charge.amount.to_decimal());
            let hour = hours.entry(billing::hour_floor(charge.from)).or_insert((Money::ZERO, charge.to));
            hour.0 += charge.amount;
            hour.1 = hour.1.max(charge.to);
        }
        for (hour, (amount, to)) in hours.into_iter().filter(|(_, (amount, _))| amount.is_positive()) {
            // A wallet's cursor only moves forward, so the place where its charge begins is a key for it.
            let from = hour.max(wallet.charged_through);
            self.transfers.ids.push(TransferId::new().uuid());
            self.transfers.accounts.push(wallet.account.uuid());
            self.transfers.amounts.push(amount.to_decimal());
            self.transfers.sources.push(format!(
                "charge:{}:{}",
                wallet.organisation,
                from.to_rfc3339_opts(SecondsFormat::AutoSi, true)
            ));
            self.transfers.at.push(to);
            self.transfers.memos.push(format!("VMs, {}–{} UTC", from.format("%-d %b %H:%M"), to.format("%H:%M")));
        }
        for (meter, done, accrued) in settled {
            self.meters.meters.push(meter.uuid());
            self.meters.months.push(done.state.month.first_day());
            self.meters.accrued.push(accrued);
            self.meters.caps.push(done.state.cap.map(Money::to_decimal));
            self.meters.through.push(done.through);
            self.meters.settled.extend(done.intervals);
        }
        self.wallets.organisations.push(organisation);
        self.wallets.balances.push(balance.to_decimal());
        self.wallets.charged_through.push(through);
        self.wallets.burns.push(outlook.burn_per_hour.to_decimal());
        self.wallets.runs_out_at.push(outlook.runs_out_at);
        self.wallets.metered.push(outlook.due_at.is_some());
        self.wallets.due_at.push(outlook.wakes_at());
        Ok(Added { charges: charges.len(), amount: total, ran_out: ran_out.then_some((wallet.organisation, through)) })
    }
}
