//! What an admin types to move credit by hand: an amount, the reason that its owner reads, and what makes a double submit one
//! movement. It posts nothing. Credit, debits and what goes back of payments are moved so.

use billing::Money;

use crate::error::{Error, NOT_A_PLAIN_LINE, Problem, Result, is_plain_line};

/// The longest reason, in characters.
const REASON_CHARACTERS_MAX: usize = 200;
/// The longest key that makes a double submit one movement, in bytes.
const ORDER_BYTES_MAX: usize = 200;
/// The most that is moved at once: a slip of the finger should not be a fortune.
const AMOUNT_MAX: Money = Money::from_micros(1_000_000_000_000);

/// A movement that can be made.
pub struct Movement<'a> {
    /// How much.
    pub amount: Money,
    /// Why; its owner reads it.
    pub reason: &'a str,
    /// The one that was sent, or a fresh one.
    pub order: String,
}

/// An amount as it is typed: above zero and no fortune.
///
/// # Errors
/// What is wrong with it, as a sentence for who typed it.
pub fn typed_amount(text: &str) -> Result<Money, &'static str> {
    match text.trim().parse::<Money>() {
        Ok(amount) if !amount.is_positive() => Err("More than zero."),
        Ok(amount) if amount > AMOUNT_MAX => Err("At most 1,000,000 at once."),
        Ok(amount) => Ok(amount),
        Err(_) => Err("An amount such as 25 or 12.50, with at most six decimals."),
    }
}

/// Checks what was typed, every field of it.
///
/// # Errors
/// `Invalid` with what is wrong with each field.
pub fn checked<'a>(amount: &str, reason: &'a str, order: Option<&str>) -> Result<Movement<'a>> {
    let mut problems = Vec::new();
    let amount = typed_amount(amount);
    if let Err(problem) = amount {
        problems.push(Problem::new("amount", problem));
    }
    let reason = reason.trim();
    if reason.is_empty() {
        problems.push(Problem::new("reason", "Say why: the customer reads it in the ledger."));
    } else if reason.chars().count() > REASON_CHARACTERS_MAX {
        problems.push(Problem::new("reason", format!("At most {REASON_CHARACTERS_MAX} characters.")));
    } else if !is_plain_line(reason) {
        problems.push(Problem::new("reason", NOT_A_PLAIN_LINE));
    }
    let order = checked_order(order);
    match (amount, order, problems.is_empty()) {
        (Ok(amount), Ok(order), true) => Ok(Movement { amount, reason, order }),
        (_, order, _) => {
            problems.extend(order.err());
            Err(Error::Invalid(problems))
        }
    }
}

/// What makes a double submit one movement: what was sent, or something fresh.
fn checked_order(order: Option<&str>) -> Result<String, Problem> {
    match order.map(str::trim).filter(|order| !order.is_empty()) {
        Some(order) if order.len() > ORDER_BYTES_MAX || !is_plain_line(order) => {
            Err(Problem::new("order", format!("At most {ORDER_BYTES_MAX} characters on one line.")))
        }
        Some(order) => Ok(order.to_owned()),
        None => Ok(uuid::Uuid::now_v7().to_string()),
    }
}

/// The same order was sent before. Another amount is another order.
///
/// # Errors
/// `Conflict` when the amounts differ.
pub fn repeated(before: Option<Money>, amount: Money) -> Result<()> {
    if before == Some(amount) {
        return Ok(());
    }
    Err(Error::conflict("This order was sent before with another amount. Reload the page and try again."))
}
