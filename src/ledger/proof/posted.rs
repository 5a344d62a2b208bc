//! What was posted for one wallet's charges: a transfer is the sum of the charges of its hour, from where charging stood on.

use billing::{Money, hour_floor};
use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{Scope, Stop, differs, during, instant};
use crate::error::Result;
use crate::ledger::db::proof::{ProvedCharge, ProvedTransfer};

/// A transfer and what of its charges was seen.
struct Hour {
    transfer: Uuid,
    from: DateTime<Utc>,
    at: DateTime<Utc>,
    amount: Money,
    charged: Money,
    /// Where the last of its charges that cost something ended, and the last of all; what costs nothing may belong to a
    /// later pass that had nothing to post.
    until: [DateTime<Utc>; 2],
}

/// The transfers of one wallet in the order of time.
#[derive(Default)]
pub(super) struct Posted {
    hours: Vec<Hour>,
    /// The first that is still to come.
    next: usize,
}

impl Posted {
    /// Adds a transfer, in any order. Its source says from where on it charges.
    pub(super) fn add(&mut self, transfer: ProvedTransfer, scope: Scope) -> Result<(), Stop> {
        let ProvedTransfer { id, organisation, source, at, amount } = transfer;
        let from = source.strip_prefix("charge:").and_then(|rest| rest.split_once(':'));
        let Some(from) = from
            .filter(|(whose, _)| *whose == organisation.to_string())
            .and_then(|(_, from)| from.parse::<DateTime<Utc>>().ok())
        else {
            return differs(format!(
                "transfer {id} charges organisation {organisation} for {source:?}, which is no hour of its"
            ));
        };
        if scope.cuts_hour_of(from) {
            return Ok(());
        }
        self.hours.push(Hour { transfer: id, from, at, amount, charged: Money::ZERO, until: [from; 2] });
        Ok(())
    }

    pub(super) fn sort(&mut self) {
        self.hours.sort_unstable_by_key(|hour| hour.from);
    }

    /// Counts a charge to its transfer. Charges come in the order of their beginnings.
    pub(super) fn take(&mut self, charge: &ProvedCharge, scope: Scope) -> Result<(), Stop> {
        if scope.cuts_hour_of(charge.from) {
            return Ok(());
        }
        while self.hours.get(self.next).is_some_and(|hour| hour.from <= charge.from) {
            self.next += 1;
        }
        let hour = self.next.checked_sub(1).and_then(|index| self.hours.get_mut(index));
        match hour.filter(|hour| hour_floor(hour.from) == hour_floor(charge.from)) {
            Some(hour) => {
                hour.charged += charge.amount;
                if charge.amount.is_positive() {
                    hour.until[0] = hour.until[0].max(charge.to);
                }
                hour.until[1] = hour.until[1].max(charge.to);
                Ok(())
            }
            // What cost nothing is not posted.
            None if charge.amount.is_zero() => Ok(()),
            None => differs(format!(
                "{} is charged {}, but nothing was posted for that hour",
                during(charge.meter, charge.from, charge.to),
                charge.amount
            )),
        }
    }

    /// Proves each transfer, once all charges are counted.
    pub(super) fn finish(&self, organisation: Uuid) -> Result<(), Stop> {
        for hour in &self.hours {
            let Hour { transfer, from, at, amount, charged, until } = hour;
            if amount != charged {
                return differs(format!(
                    "transfer {transfer} takes {amount} from organisation {organisation} for the hour from {}, its charges are {charged}",
                    instant(*from)
                ));
            }
            if at < &until[0] || at > &until[1] {
                return differs(format!(
                    "transfer {transfer} of organisation {organisation} is of {}, its charges end at {}",
                    instant(*at),
                    instant(until[0])
                ));
            }
        }
        Ok(())
    }
}
