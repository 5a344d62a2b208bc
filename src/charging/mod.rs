//! The charge of every hour, and what happens at zero and when credit comes back. One transaction holds a batch of wallets
//! with everything that follows for them, so that late, twice, in parallel or killed half-way leave the same ledger.

mod batch;
pub mod by_hand;
mod columns;
mod credit;
mod db;
mod debit;
mod decide;
mod parked;
mod pass;
pub mod passes;
mod rated;
mod resume;
mod zero;

pub use batch::CHARGES_PER_BATCH;
pub use by_hand::typed_amount;
pub use credit::{Credited, NewCredit, add_credit, refund_charges, write_off};
pub use debit::{Debited, NewDebit, take_credit};
pub use parked::{StuckShutdown, stuck_shutdowns, try_again};
pub use pass::{Pass, next_due, run, run_in_batches};
pub use resume::receive;
pub use zero::{
    AtZero, Ended, KEEP_DAYS_MAX, LIMIT_MAX, Looked, NewRescue, OwnZero, Rescued, Waiting, at_zero, change_own,
    change_settings, keep, next_zero, own, rescue, run_zero, waiting,
};
