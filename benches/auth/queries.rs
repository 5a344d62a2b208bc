//! Counts the statements that this process sends to PostgreSQL, by what sqlx says of each.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};

static IS_COUNTING: AtomicBool = AtomicBool::new(false);
static COUNTED: AtomicUsize = AtomicUsize::new(0);

/// Hears of every statement while one counts, and of nothing else: what is not counted costs nothing.
struct Counter;

impl Subscriber for Counter {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        if metadata.target() == "sqlx::query" { Interest::sometimes() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target() == "sqlx::query" && IS_COUNTING.load(Ordering::Relaxed)
    }

    fn event(&self, _: &Event<'_>) {
        COUNTED.fetch_add(1, Ordering::Relaxed);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// Begins to hear of statements.
///
/// # Errors
/// When somebody else does already.
pub fn hear() -> anyhow::Result<()> {
    Ok(tracing::subscriber::set_global_default(Counter)?)
}

/// How many statements are sent while something is done. Whatever else this process does meanwhile counts with it.
pub async fn during<Output>(work: impl Future<Output = Output>) -> (usize, Output) {
    COUNTED.store(0, Ordering::Relaxed);
    IS_COUNTING.store(true, Ordering::Relaxed);
    let output = work.await;
    IS_COUNTING.store(false, Ordering::Relaxed);
    (COUNTED.load(Ordering::Relaxed), output)
}
