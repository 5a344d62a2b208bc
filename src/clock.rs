//! The only source of time. It has two faces: the time of the books (what is metered, charged and shown) and the time of
//! the machinery (leases, retries, sessions), which differ only in a demo that runs faster than life.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

/// Tells the time. Cheap to clone; clones tell the same time.
#[derive(Debug, Clone)]
pub enum Clock {
    /// The clock of the machine, for production.
    System,
    /// A clock of the books that runs faster than the machine's, for the demo.
    Scaled(Scaled),
    /// A clock that stands still until it is set, for tests. Both faces show the same.
    Set(Arc<Mutex<DateTime<Utc>>>),
}

/// A clock that began at `origin` when the machine read `started`, and runs `speed` times as fast.
#[derive(Debug, Clone, Copy)]
pub struct Scaled {
    origin: DateTime<Utc>,
    started: Instant,
    speed: u32,
}

impl Clock {
    /// A clock that begins at `origin` now and runs `speed` times as fast as the machine's.
    #[must_use]
    pub fn scaled(origin: DateTime<Utc>, speed: u32) -> Self {
        Self::Scaled(Scaled { origin, started: Instant::now(), speed: speed.max(1) })
    }

    /// A clock that shows `now` until it is set.
    #[must_use]
    pub fn set_to(now: DateTime<Utc>) -> Self {
        Self::Set(Arc::new(Mutex::new(now.trunc_subsecs(6))))
    }

    /// The time of the books, in whole microseconds (what PostgreSQL keeps).
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else asks")]
    pub fn now(&self) -> DateTime<Utc> {
        let now = match self {
            Self::System => Utc::now(),
            Self::Scaled(scaled) => {
                scaled.origin + elapsed(scaled.started) * i32::try_from(scaled.speed).unwrap_or(i32::MAX)
            }
            Self::Set(time) => *time.lock().unwrap_or_else(PoisonError::into_inner),
        };
        now.trunc_subsecs(6)
    }

    /// The time of the machinery: leases, retries, sessions, tokens. Never for money.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the clock that everything else asks")]
    pub fn machine_now(&self) -> DateTime<Utc> {
        match self {
            Self::System | Self::Scaled(_) => Utc::now().trunc_subsecs(6),
            Self::Set(_) => self.now(),
        }
    }

    /// How long the machine must wait until the books show `instant`; zero when they already do.
    #[must_use]
    pub fn until(&self, instant: DateTime<Utc>) -> Duration {
        let ahead = (instant - self.now()).to_std().unwrap_or(Duration::ZERO);
        ahead / self.speed()
    }

    /// How many times faster than life the books run.
    #[must_use]
    pub fn speed(&self) -> u32 {
        match self {
            Self::Scaled(scaled) => scaled.speed,
            Self::System | Self::Set(_) => 1,
        }
    }

    /// Sets a clock made by [`Clock::set_to`]; the others cannot be set and stay as they are.
    pub fn set(&self, now: DateTime<Utc>) {
        if let Self::Set(time) = self {
            *time.lock().unwrap_or_else(PoisonError::into_inner) = now.trunc_subsecs(6);
        }
    }

    /// Moves a clock made by [`Clock::set_to`] forward.
    pub fn advance(&self, by: TimeDelta) {
        if let Self::Set(time) = self {
            // Under one lock: of two who move it at once neither is lost.
            let mut time = time.lock().unwrap_or_else(PoisonError::into_inner);
            *time = (*time + by).trunc_subsecs(6);
        }
    }
}

fn elapsed(since: Instant) -> TimeDelta {
    TimeDelta::from_std(since.elapsed()).unwrap_or(TimeDelta::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_clock_stands_still_until_it_is_moved() {
        let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let clock = Clock::set_to(start);

        assert_eq!(clock.now(), start);
        clock.advance(TimeDelta::hours(2));

        assert_eq!(clock.now(), start + TimeDelta::hours(2));
        assert_eq!(clock.machine_now(), clock.now());
    }

    #[test]
    fn a_fast_clock_waits_less_than_the_books_say() {
        let start = DateTime::from_timestamp(1_800_000_000, 0).unwrap();
        let clock = Clock::scaled(start, 3600);

        let wait = clock.until(clock.now() + TimeDelta::hours(1));

        assert!(wait <= Duration::from_secs(1), "an hour passes in a second, not in {wait:?}");
        assert!(clock.now() >= start);
    }
}
