//! How often somebody may ask: so many times a minute, in one burst or spread over it. Counted in memory, in each process by
//! itself, for it is about the process; what is counted is bounded.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use crate::ids::{ApiKeyId, OrganisationId, UserId};
use crate::network::Network;

/// How many of a kind are told apart. Those who come when there are as many share one allowance.
const TOLD_APART_MAX: usize = 100_000;
/// How often those who have rested are forgotten, at most.
const FORGOTTEN_EVERY: TimeDelta = TimeDelta::seconds(1);
/// The time that a limit is for.
const MINUTE: TimeDelta = TimeDelta::seconds(60);

/// What is left of an allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Left {
    /// How many a minute.
    pub limit: u32,
    /// How many may follow at once.
    pub remaining: u32,
    /// In how many seconds all of them may again.
    pub reset_seconds: i64,
    /// After how many seconds to try again; none: this one was let through.
    pub retry_after_seconds: Option<i64>,
}

impl Left {
    fn is_let_through(&self) -> bool {
        self.retry_after_seconds.is_none()
    }
}

/// The allowances of everybody who asked lately.
#[derive(Debug, Default)]
pub struct Rates {
    keys: Book<ApiKeyId>,
    organisations: Book<OrganisationId>,
    networks: Book<Network>,
    people: Book<UserId>,
}

impl Rates {
    /// Counts a request of an organisation, made with a key or without; of the two allowances it says the smaller.
    pub fn take(
        &self,
        key: Option<(ApiKeyId, u32)>,
        (organisation, limit): (OrganisationId, u32),
        now: DateTime<Utc>,
    ) -> Left {
        let of_key = key.map(|(key, limit)| self.keys.take(key, limit, now));
        if let Some(left) = of_key.filter(|left| !left.is_let_through()) {
            return left;
        }
        let of_organisation = self.organisations.take(organisation, limit, now);
        match of_key {
            Some(of_key) if of_organisation.is_let_through() && of_key.remaining < of_organisation.remaining => of_key,
            _ => of_organisation,
        }
    }

    /// Counts a request of somebody who is not known, by the network that he is in.
    pub fn take_of_stranger(&self, address: IpAddr, limit: u32, now: DateTime<Utc>) -> Left {
        self.networks.take(Network::of_one_line(address), limit, now)
    }

    /// Counts a request of a person who is logged in.
    pub fn take_of_person(&self, person: UserId, limit: u32, now: DateTime<Utc>) -> Left {
        self.people.take(person, limit, now)
    }
}

/// The allowances of one kind: until when each is used up, if it were used evenly (GCRA).
struct Book<Who>(Mutex<Page<Who>>);

struct Page<Who> {
    used_until: HashMap<Who, DateTime<Utc>>,
    of_the_rest: DateTime<Utc>,
    forgotten_at: DateTime<Utc>,
}

impl<Who> Default for Book<Who> {
    fn default() -> Self {
        let (of_the_rest, forgotten_at) = (DateTime::UNIX_EPOCH, DateTime::UNIX_EPOCH);
        Self(Mutex::new(Page { used_until: HashMap::new(), of_the_rest, forgotten_at }))
    }
}

impl<Who> fmt::Debug for Book<Who> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Book")
    }
}

impl<Who: Eq + Hash> Book<Who> {
    fn take(&self, who: Who, limit: u32, now: DateTime<Utc>) -> Left {
        let mut page = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Page { used_until, of_the_rest, forgotten_at } = &mut *page;
        if used_until.len() >= TOLD_APART_MAX && now - *forgotten_at >= FORGOTTEN_EVERY {
            used_until.retain(|_, until| *until > now);
            *forgotten_at = now;
        }
        let until = if used_until.len() >= TOLD_APART_MAX && !used_until.contains_key(&who) {
            of_the_rest
        } else {
            used_until.entry(who).or_insert(DateTime::UNIX_EPOCH)
        };
        let (left, used) = take(*until, limit, now);
        *until = used;
        left
    }
}

/// Takes one of `limit` a minute from an allowance that is used up until an instant; answers with that of afterwards.
fn take(until: DateTime<Utc>, limit: u32, now: DateTime<Utc>) -> (Left, DateTime<Utc>) {
    let limit = limit.max(1);
    let each = MINUTE / i32::try_from(limit).unwrap_or(i32::MAX);
    // No allowance is used up for longer than a minute: then the clock was set back, which must not shut anybody out.
    let until = if until > now + MINUTE { now } else { until.max(now) };
    let after = until + each;
    let too_early = after - now - MINUTE;
    let (used, retry_after_seconds) =
        if too_early > TimeDelta::zero() { (until, Some(whole_seconds(too_early))) } else { (after, None) };
    let free = MINUTE - (used - now);
    let remaining = free.num_microseconds().unwrap_or(0) / each.num_microseconds().unwrap_or(1).max(1);
    let left = Left {
        limit,
        remaining: u32::try_from(remaining).unwrap_or(0).min(limit),
        reset_seconds: whole_seconds(used - now),
        retry_after_seconds,
    };
    (left, used)
}

/// Rounded up, so that who waits as long has waited long enough.
fn whole_seconds(time: TimeDelta) -> i64 {
    time.num_seconds() + i64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

    #[test]
    fn a_burst_is_let_through_and_then_one_at_a_time() {
        let rates = Rates::default();
        let address = "203.0.113.7".parse().unwrap();
        let take = |seconds: i64| rates.take_of_stranger(address, 6, NOW + TimeDelta::seconds(seconds));
        let remaining: Vec<_> = (0..6).map(|_| take(0).remaining).collect();
        assert_eq!(remaining, [5, 4, 3, 2, 1, 0]);
        let refused = Left { limit: 6, remaining: 0, reset_seconds: 60, retry_after_seconds: Some(10) };
        assert_eq!(take(0), refused);
        assert_eq!(take(9).retry_after_seconds, Some(1), "a refusal costs nothing");
        assert_eq!(take(10).retry_after_seconds, None);
        assert!(!take(10).is_let_through());
        assert_eq!(take(100).remaining, 5, "all of it is there again");
        let neighbour = rates.take_of_stranger("203.0.113.8".parse().unwrap(), 6, NOW);
        assert!(neighbour.is_let_through());
    }

    #[test]
    fn a_clock_that_is_set_back_shuts_nobody_out() {
        let rates = Rates::default();
        let take =
            |seconds: i64| rates.take_of_stranger("203.0.113.7".parse().unwrap(), 2, NOW + TimeDelta::seconds(seconds));
        assert!(take(3_600).is_let_through() && take(3_600).is_let_through() && !take(3_600).is_let_through());
        assert!(take(0).is_let_through() && take(0).is_let_through() && !take(0).is_let_through());
    }

    #[test]
    fn a_line_is_one_however_many_addresses_it_has() {
        let rates = Rates::default();
        let take = |address: &str| rates.take_of_stranger(address.parse().unwrap(), 2, NOW).is_let_through();
        assert!(take("2001:db8:1:2::1") && take("2001:db8:1:2:ffff::2") && !take("2001:db8:1:2::3"));
        assert!(take("2001:db8:1:3::1"), "the next line");
    }

    #[test]
    fn a_key_is_bounded_by_its_own_and_by_its_organisations_allowance() {
        let rates = Rates::default();
        let (organisation, one, other) = (OrganisationId::new(), ApiKeyId::new(), ApiKeyId::new());
        let take = |key: Option<ApiKeyId>| rates.take(key.map(|key| (key, 3)), (organisation, 5), NOW);
        let left: Vec<_> = (0..3).map(|_| take(Some(one))).collect();
        assert!(left.iter().all(Left::is_let_through) && left[2].remaining == 0 && left[2].limit == 3);
        assert_eq!(take(Some(one)).limit, 3, "the key's own");
        assert!(take(Some(other)).is_let_through() && take(None).is_let_through());
        let refused = take(Some(other));
        assert!(!refused.is_let_through() && refused.limit == 5, "the organisation's: {refused:?}");
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_rest_share() {
        let book = Book::<u32>::default();
        for who in 0..u32::try_from(TOLD_APART_MAX).unwrap() {
            assert!(book.take(who, 2, NOW).is_let_through());
        }
        let taken: Vec<_> = (0..5).map(|who| book.take(u32::MAX - who, 2, NOW).is_let_through()).collect();
        assert_eq!(taken, [true, true, false, false, false]);
        assert!(book.take(7, 2, NOW).is_let_through(), "who is known keeps his own");
        let later = NOW + MINUTE + MINUTE;
        assert!((0..5).all(|who| book.take(u32::MAX - who, 2, later).is_let_through()), "who rested is forgotten");
        assert!(book.0.lock().unwrap().used_until.len() < 10);
    }

    proptest! {
        #[test]
        fn in_no_minute_more_than_twice_the_limit_and_over_long_never_more_than_the_limit(
            limit in 1_u32..100,
            pauses in proptest::collection::vec(0_i64..3_000, 1..400)
        ) {
            let (mut until, mut now) = (DateTime::UNIX_EPOCH, NOW);
            let mut let_through = Vec::new();
            for pause in pauses {
                now += TimeDelta::milliseconds(pause);
                let (left, used) = take(until, limit, now);
                until = used;
                prop_assert!(left.remaining <= limit && left.reset_seconds <= 60);
                if left.is_let_through() {
                    let_through.push(now);
                } else {
                    // Who waits as long as he is told is let through.
                    let again = now + TimeDelta::seconds(left.retry_after_seconds.unwrap());
                    prop_assert!(take(until, limit, again).0.is_let_through());
                }
            }
            for first in &let_through {
                let within = let_through.iter().filter(|at| **at >= *first && **at - *first < MINUTE).count();
                prop_assert!(within <= 2 * limit as usize);
            }
            let span = (now - NOW).num_milliseconds();
            let most = i64::from(limit) + span * i64::from(limit) / 60_000 + 1;
            prop_assert!(i64::try_from(let_through.len()).unwrap() <= most);
        }
    }
}
