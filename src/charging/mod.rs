//! The charge of every hour, and what happens at zero and when credit comes back. One transaction holds a batch of wallets
//! with everything that follows for them, so that late, twice, in parallel or killed half-way leave the same ledger.

mod credit;
mod db;
mod pass;
mod resume;
mod zero;

pub use credit::{Credited, NewCredit, add_credit};
pub use pass::{Pass, WALLETS_PER_BATCH, next_due, run};
