//! When each key was last used is written down at most once a minute, and not by the query that checks it. This process
//! remembers what it wrote a moment ago, so that a key in heavy use costs nothing more.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use chrono::{DateTime, TimeDelta, Utc};

use crate::ids::ApiKeyId;

/// How often the use of one key is written down.
const WRITTEN_EVERY: TimeDelta = TimeDelta::seconds(60);
/// How many keys are remembered; beyond, a use may be written a little more often.
const REMEMBERED_MAX: usize = 10_000;

/// Which keys' uses this process wrote down, and when.
#[derive(Debug, Default)]
pub struct Uses(Mutex<HashMap<ApiKeyId, DateTime<Utc>>>);

impl Uses {
    /// Whether a use at `now` is to be written down, with what the database says of the last one. It is counted as written.
    pub(super) fn is_due(&self, key: ApiKeyId, stored: Option<DateTime<Utc>>, now: DateTime<Utc>) -> bool {
        let is_fresh = |at: DateTime<Utc>| now - at < WRITTEN_EVERY;
        if stored.is_some_and(is_fresh) {
            return false;
        }
        let mut written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if written.get(&key).copied().is_some_and(is_fresh) {
            return false;
        }
        if written.len() >= REMEMBERED_MAX {
            written.retain(|_, at| is_fresh(*at));
            if written.len() >= REMEMBERED_MAX {
                written.clear();
            }
        }
        written.insert(key, now);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_use_is_written_once_a_minute() {
        let (uses, key, now) = (Uses::default(), ApiKeyId::new(), DateTime::UNIX_EPOCH);
        assert!(uses.is_due(key, None, now));
        assert!(!uses.is_due(key, None, now + TimeDelta::seconds(59)));
        assert!(uses.is_due(key, Some(now), now + TimeDelta::seconds(60)));
        assert!(!uses.is_due(ApiKeyId::new(), Some(now), now + TimeDelta::seconds(1)), "another process wrote it");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (uses, now) = (Uses::default(), DateTime::UNIX_EPOCH);
        for _ in 0..REMEMBERED_MAX + 10 {
            uses.is_due(ApiKeyId::new(), None, now);
        }
        assert!(uses.0.lock().unwrap().len() <= REMEMBERED_MAX);
    }
}
