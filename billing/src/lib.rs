//! The money core of Uni-Manager: amounts, billing periods, rating, run-out and what follows from it, invoices and postings.
//! Pure: no I/O, no clock, no async, no float; what a function needs is a parameter. One function rounds what is charged; the
//! figures of an invoice are rounded by its currency, and both half to even.
//!
//! | question | file |
//! |---|---|
//! | what is an amount, a price per hour, an accrued sum | `money`, `rate`, `accrued` (with [`round6`], the one rounding) |
//! | which hour and which billing month is it | `period` |
//! | what does a meter cost | `rating` |
//! | to which instant did a balance pay | `run_out` |
//! | how long will a balance last | `runway` |
//! | what would something cost, also under other prices | `estimate` |
//! | what must be in the wallet to create or resume | `hold` |
//! | which machines stop when the credit ends | `stopping` |
//! | what is a customer told before and after his credit ends, and when may we delete | `dunning` |
//! | does a person look first at missed hours, or at an unusual pass | `catch_up`, `breaker` |
//! | what is posted to the ledger | `posting` |
//! | what does an invoice say, and what does a refund | `tax`, `invoice`, `allocation` |
//!
//! # The hour, worked through
//!
//! A machine of plan S costs 0.0083 an hour running and 0.0021 stopped, at most 5.60 a month. It runs from 14:00 to 14:20, is
//! stopped until 14:50 and runs again until 15:00: 0.0083 × 1,200 s + 0.0021 × 1,800 s + 0.0083 × 600 s = 18.72, and 18.72 /
//! 3,600 = 0.0052.
//!
//! ```
//! use billing::{MeterState, Money, Month, Piece, Posting, rate_pieces};
//! use chrono::{DateTime, Utc};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let zone = chrono_tz::Europe::Paris;
//! let at = |time: &str| format!("2026-11-20T{time}:00Z").parse::<DateTime<Utc>>();
//! let cap = Some("5.60".parse()?);
//! let (running, stopped) = ("0.0083".parse()?, "0.0021".parse()?);
//! let pieces = [
//!     Piece { from: at("14:00")?, to: at("14:20")?, rate: running, cap },
//!     Piece { from: at("14:20")?, to: at("14:50")?, rate: stopped, cap },
//!     Piece { from: at("14:50")?, to: at("15:00")?, rate: running, cap },
//! ];
//!
//! let mut state = MeterState::new(Month::of(at("14:00")?, zone));
//! let mut total = Money::ZERO;
//! rate_pieces(&mut state, &pieces, zone, |charge| total += charge.amount)?;
//!
//! assert_eq!(total.to_string(), "0.005200");
//! assert_eq!(state.accrued.to_string(), "18.72");
//! let posting = Posting::charge("wallet", total)?;
//! assert_eq!(posting.net(&billing::Account::Revenue), total);
//! # Ok(())
//! # }
//! ```

mod accrued;
mod allocation;
mod breaker;
mod catch_up;
mod dunning;
mod estimate;
mod fixed;
mod hold;
mod invoice;
mod money;
mod period;
mod posting;
mod rate;
mod rating;
mod run_out;
mod runway;
mod schema;
mod stopping;
mod tax;

pub use accrued::{Accrued, round6};
pub use allocation::{AllocationError, allocate};
pub use breaker::{Breaker, BreakerRules, HoldReason, ProjectedPass, USUAL_PASSES_MIN, usual_amount};
pub use catch_up::{CatchUp, catch_up};
pub use dunning::{
    DELETION_NOTICES_MAX, Deletion, Exhaustion, Given, LAST_NOTICE_HOURS, Notice, NoticesDue, Rescue, UnknownNotice,
    ZeroRules, notices_due,
};
pub use estimate::{ESTIMATE_MONTH_HOURS, Estimate, WhatIf, what_if};
pub use fixed::{DecimalError, OutOfRange};
pub use hold::{HOLD_HOURS, hold_for, resumable};
pub use invoice::{INVOICE_LINES_MAX, Invoice, InvoiceError, InvoiceLine, Prices, TaxGroup, credit_note, invoice};
pub use money::Money;
pub use period::{Hours, Month, NotAMonth, hour_ceil, hour_floor, hours};
pub use posting::{Account, Code, LEGS_MAX, Leg, Posting, PostingError, Provider, UnknownCode, UnknownProvider};
pub use rate::Rate;
pub use rating::{Charge, MeterState, Piece, RatingError, WINDOW_HOURS_MAX, accrue_pieces, rate_pieces};
pub use run_out::{WalletMeter, run_out_instant, total_through};
pub use runway::{BurnLine, HORIZON_MONTHS, PriceChange, RunsOut, burn, runs_out_at, runs_out_at_with_changes};
pub use stopping::{Stoppable, to_stop};
pub use tax::{CurrencyPlaces, TaxRate};
