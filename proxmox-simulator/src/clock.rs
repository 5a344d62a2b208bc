//! The simulator's only clock: wall-clock microseconds that move with the machine's monotonic clock. It does not
//! follow later corrections of the system time, so a task never ends before it began.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Microseconds since the Unix epoch.
pub(crate) type Micros = u64;

/// Reads the time; clones show the same.
#[derive(Clone, Debug)]
pub(crate) struct Clock {
    started: Instant,
    started_micros: Micros,
    /// By how much somebody moved it forward.
    ahead: Arc<AtomicU64>,
}

impl Clock {
    /// A clock set once from the system time.
    pub(crate) fn new() -> Self {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { started: Instant::now(), started_micros: micros(since_epoch), ahead: Arc::default() }
    }

    /// Moves it forward; it never goes back.
    pub(crate) fn advance(&self, by: Duration) {
        self.ahead.fetch_add(micros(by), Ordering::SeqCst);
    }

    /// Now, never going backwards.
    pub(crate) fn now(&self) -> Micros {
        let ahead = self.ahead.load(Ordering::SeqCst);
        self.started_micros.saturating_add(micros(self.started.elapsed())).saturating_add(ahead)
    }
}

/// A duration in whole microseconds.
pub(crate) fn micros(duration: Duration) -> Micros {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// Whole seconds of a point in time.
pub(crate) fn seconds(at: Micros) -> u64 {
    at / 1_000_000
}
