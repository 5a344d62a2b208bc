//! What one transaction charges: bounded in what it writes and not only in wallets, for one that missed weeks has as much to
//! write as hundreds that missed an hour. And how what is metered of its wallets is read.

use billing::{hour_ceil, hour_floor};
use chrono::{DateTime, TimeDelta, Utc};
use sqlx::PgConnection;
use uuid::Uuid;

use super::db::{self, DueWallet};
use crate::error::Result;
use crate::metering::{Checkpoint, Whose};

/// How many charges one transaction writes, about. It bounds memory, and what is sent to PostgreSQL in one message.
pub const CHARGES_PER_BATCH: usize = 100_000;
/// How many wallets one transaction charges at most. It bounds how long their rows are locked.
pub(super) const WALLETS_PER_BATCH: i64 = 1_000;
/// How many it charges at least, if there are as many: a transaction costs something by itself.
const WALLETS_PER_BATCH_MIN: i64 = 100;
/// From how many wallets on it is asked how far apart they lie. Fewer are always read by their keys.
const MANY: usize = 50;
/// How many wallets may lie between the first and the last for each that is wanted, for all of them to be read.
const DENSE: usize = 4;

/// How many wallets the next transaction claims when so many are left. Towards the end they are fewer and fewer, so that all who
/// work side by side are done at about the same time.
pub(super) fn wallets(left: i64, workers: usize) -> i64 {
    if workers < 2 {
        return WALLETS_PER_BATCH;
    }
    let share = left / i64::try_from(workers.saturating_mul(2)).unwrap_or(i64::MAX);
    share.clamp(WALLETS_PER_BATCH_MIN, WALLETS_PER_BATCH)
}

/// How much is metered of a wallet that is not charged yet.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    meters: usize,
    intervals: usize,
}

impl Size {
    pub(super) fn of(meters: &[Checkpoint]) -> Self {
        Self { meters: meters.len(), intervals: meters.iter().map(Checkpoint::intervals).sum() }
    }
}

/// What of a transaction's charges is not taken yet.
pub(super) struct Room {
    left: usize,
    is_empty: bool,
}

impl Room {
    pub(super) fn of(charges: usize) -> Self {
        Self { left: charges, is_empty: true }
    }

    /// Through which instant there is room for a wallet's charges; none when it has to wait for another transaction. The first
    /// is never turned away: it gets as many full hours as there is room for, and one at least.
    pub(super) fn fit(
        &mut self,
        wallet: &DueWallet,
        Size { meters, intervals }: Size,
        through: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        // Each meter has a charge for every hour that was begun, and one more for every time that it became something else.
        let start = hour_floor(wallet.charged_through);
        let hours = usize::try_from((hour_ceil(through) - start).num_hours()).unwrap_or(0);
        let charges = hours.saturating_mul(meters).saturating_add(intervals);
        if charges <= self.left {
            self.left -= charges;
            self.is_empty = false;
            return Some(through);
        }
        if !self.is_empty {
            return None;
        }
        let fitting = self.left.saturating_sub(intervals) / meters.max(1);
        *self = Self { left: 0, is_empty: false };
        let hours = TimeDelta::hours(u32::try_from(fitting.max(1)).unwrap_or(u32::MAX).into());
        Some(start.checked_add_signed(hours).map_or(through, |end| end.min(through)))
    }
}

/// How to read what is metered of some wallets: those close to each other as a range, which is much faster, and others by their
/// keys, so that not everything in between is read for a few that were left over.
pub(super) async fn whose<'a>(connection: &mut PgConnection, organisations: &'a [Uuid]) -> Result<Whose<'a>> {
    let ends = organisations.iter().min().zip(organisations.iter().max());
    if let (Some((first, last)), Some(most)) = (ends, most_between(organisations.len()))
        && db::count_metered_between(connection, (*first, *last), most.saturating_add(1)).await? <= most
    {
        return Ok(Whose::Between(*first, *last));
    }
    Ok(Whose::Of(organisations))
}

/// In how many wallets so many may lie and still be read as a range; none when they never are.
fn most_between(wanted: usize) -> Option<usize> {
    (wanted >= MANY).then(|| wanted.saturating_mul(DENSE))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::{AccountId, OrganisationId};
    use billing::Money;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn wallet(charged_through: &str) -> DueWallet {
        DueWallet {
            organisation: OrganisationId::new(),
            account: AccountId::new(),
            balance: Money::ZERO,
            credit_limit: Money::ZERO,
            charged_through: at(charged_through),
            runs_out_at: None,
            approved_through: None,
        }
    }

    const FIVE: Size = Size { meters: 5, intervals: 5 };

    #[test]
    fn wallets_are_taken_until_there_is_no_room_and_the_rest_waits() {
        let through = at("2026-11-20T13:00:00Z");
        let mut room = Room::of(25);

        assert_eq!(room.fit(&wallet("2026-11-20T12:00:00Z"), FIVE, through), Some(through), "ten");
        assert_eq!(room.fit(&wallet("2026-11-20T12:59:00Z"), FIVE, through), Some(through), "twenty");
        assert_eq!(room.fit(&wallet("2026-11-20T12:00:00Z"), FIVE, through), None);
        let nothing = Size { meters: 0, intervals: 0 };
        assert_eq!(room.fit(&wallet("2026-11-20T12:00:00Z"), nothing, through), Some(through));
    }

    #[test]
    fn one_wallet_that_is_too_much_by_itself_gets_as_many_full_hours_as_there_is_room_for() {
        let (from, through) = ("2026-10-10T12:17:00Z", at("2026-11-20T13:00:00Z"));

        let first = Room::of(25).fit(&wallet(from), FIVE, through);
        assert_eq!(first, Some(at("2026-10-10T16:00:00Z")), "four hours of five meters");
        let mut room = Room::of(1);
        assert_eq!(room.fit(&wallet(from), FIVE, through), Some(at("2026-10-10T13:00:00Z")), "always one at least");
        assert_eq!(room.fit(&wallet("2026-11-20T12:00:00Z"), FIVE, through), None, "and nothing beside it");
        let end = at("2026-10-10T12:40:00Z");
        assert_eq!(Room::of(1).fit(&wallet(from), FIVE, end), Some(end), "never further than it is due");
    }

    #[test]
    fn the_last_transactions_are_small_where_several_work_side_by_side() {
        let claimed = |mut left: i64, workers| {
            let mut sizes = Vec::new();
            while left > 0 {
                let size = wallets(left, workers).min(left);
                sizes.push(size);
                left -= size;
            }
            sizes
        };

        assert_eq!(claimed(5_000, 2), [1_000, 1_000, 750, 562, 422, 316, 237, 178, 133, 100, 100, 100, 100, 2]);
        assert_eq!(claimed(2_500, 1), [1_000, 1_000, 500], "nobody waits for the only one");
        assert_eq!(wallets(0, 2), WALLETS_PER_BATCH_MIN, "there may be more than were foreseen");
    }

    #[test]
    fn few_wallets_are_no_range_however_close_and_many_only_among_few_others() {
        assert_eq!(most_between(MANY - 1), None);
        assert_eq!(most_between(MANY), Some(200));
        assert_eq!(most_between(1_000), Some(4_000));
    }
}
