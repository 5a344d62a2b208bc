//! The figures of invoices and credit notes: exact lines become figures of the currency, taxed once for each rate, with what
//! rounding makes different shown as figures of its own.
//! Numbers, texts and addresses of documents are elsewhere.

use std::collections::BTreeMap;
use std::ops::Sub;

use crate::fixed::OutOfRange;
use crate::money::Money;
use crate::tax::{CurrencyPlaces, TaxRate};

/// The most lines an invoice may have.
pub const INVOICE_LINES_MAX: usize = 100_000;

/// Whether the amounts of lines are without or with their tax.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prices {
    /// Tax comes on top.
    Exclusive,
    /// Tax is contained.
    Inclusive,
}

/// A line to be invoiced, as exact as it was charged. A refunded line is negative.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvoiceLine {
    /// What was charged, to six places.
    pub amount: Money,
    /// How it is taxed.
    pub tax: TaxRate,
}

/// The lines of one tax rate, added up. All but `exact` are in the places of the currency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TaxGroup {
    /// The rate.
    pub rate: TaxRate,
    /// What the lines amount to before any rounding.
    pub exact: Money,
    /// The rounding line: what the rounded lines lack of the rounded sum. With it they add up to `net` if prices are
    /// exclusive, to `gross` if they are inclusive.
    pub rounding: Money,
    /// Without tax.
    pub net: Money,
    /// The tax: of the net on top, or contained in the gross; rounded once.
    pub tax: Money,
    /// With tax: `net` and `tax`.
    pub gross: Money,
}

/// The figures of an invoice, or, negative, of a credit note. All but `exact` are in the places of the currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoice {
    /// Each line in the order given, rounded for itself.
    pub lines: Vec<Money>,
    /// The tax rates that occur, the lowest first.
    pub groups: Vec<TaxGroup>,
    /// What the lines amount to before any rounding.
    pub exact: Money,
    /// The rounding lines of all groups.
    pub rounding: Money,
    /// Without tax.
    pub net: Money,
    /// All tax.
    pub tax: Money,
    /// What is to be paid: `net` and `tax`. It is also the sum of `lines` and `rounding`, and of `tax` on top of them if prices
    /// are exclusive.
    pub total: Money,
}

/// Why lines make no invoice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvoiceError {
    /// There are more than [`INVOICE_LINES_MAX`] lines.
    #[error("more than {INVOICE_LINES_MAX} lines")]
    TooManyLines,
    /// A line or the total does not fit its column.
    #[error("out of range")]
    OutOfRange,
    /// A credit note does not say for each line what remains.
    #[error("not as many remaining amounts as lines")]
    LinesDiffer,
}

impl From<OutOfRange> for InvoiceError {
    fn from(_: OutOfRange) -> Self {
        Self::OutOfRange
    }
}

/// Computes an invoice.
///
/// Per tax rate the exact lines are added up and rounded once, half to even; the tax of the rate is computed from that figure,
/// which the customer sees, and rounded once. Lines are rounded each for itself and a rounding line makes up the difference,
/// so that what is printed adds up to the digit.
///
/// # Errors
/// With too many lines, or if an amount or a total does not fit the column `numeric(20,6)`.
pub fn invoice(lines: &[InvoiceLine], prices: Prices, places: CurrencyPlaces) -> Result<Invoice, InvoiceError> {
    if lines.len() > INVOICE_LINES_MAX {
        return Err(InvoiceError::TooManyLines);
    }
    let mut sums: BTreeMap<TaxRate, (Money, Money)> = BTreeMap::new();
    let mut rounded_lines = Vec::with_capacity(lines.len());
    for line in lines {
        let rounded = places.round(line.amount);
        let (exact, shown) = sums.entry(line.tax).or_default();
        *exact = exact.checked_add(line.amount)?;
        *shown = shown.checked_add(rounded)?;
        rounded_lines.push(rounded);
    }
    let groups = sums.into_iter().map(|(rate, (exact, shown))| group(rate, exact, shown, prices, places)).collect();
    total(rounded_lines, groups)
}

fn group(rate: TaxRate, exact: Money, shown: Money, prices: Prices, places: CurrencyPlaces) -> TaxGroup {
    let sum = places.round(exact);
    let (net, tax, gross) = match prices {
        Prices::Exclusive => {
            let tax = places.tax_on(sum, rate);
            (sum, tax, sum + tax)
        }
        Prices::Inclusive => {
            let tax = places.tax_in(sum, rate);
            (sum - tax, tax, sum)
        }
    };
    TaxGroup { rate, exact, rounding: sum - shown, net, tax, gross }
}

fn total(lines: Vec<Money>, groups: Vec<TaxGroup>) -> Result<Invoice, InvoiceError> {
    let sum = |figure: fn(&TaxGroup) -> Money| groups.iter().map(figure).try_fold(Money::ZERO, Money::checked_add);
    Ok(Invoice {
        exact: sum(|group| group.exact)?,
        rounding: sum(|group| group.rounding)?,
        net: sum(|group| group.net)?,
        tax: sum(|group| group.tax)?,
        total: sum(|group| group.gross)?,
        lines,
        groups,
    })
}

/// Computes the credit note for lines that were invoiced, when of each line the amount in `remaining` stays invoiced.
///
/// It is the invoice of what remains less the invoice of what was, figure by figure. So a note of everything mirrors the
/// invoice to the digit, and so do any number of notes one after another, each computed from what the one before left. A
/// partial note's tax may therefore be a unit of the currency beside the tax of its own sum.
///
/// # Errors
/// As [`invoice`], or if there are not as many remaining amounts as lines.
pub fn credit_note(
    lines: &[InvoiceLine],
    remaining: &[Money],
    prices: Prices,
    places: CurrencyPlaces,
) -> Result<Invoice, InvoiceError> {
    if lines.len() != remaining.len() {
        return Err(InvoiceError::LinesDiffer);
    }
    let kept: Vec<_> =
        lines.iter().zip(remaining).map(|(line, amount)| InvoiceLine { amount: *amount, ..*line }).collect();
    let (before, after) = (invoice(lines, prices, places)?, invoice(&kept, prices, places)?);
    // Both have the same lines and so the same rates.
    let lines = after.lines.iter().zip(&before.lines).map(|(after, before)| *after - *before).collect();
    total(lines, after.groups.iter().zip(&before.groups).map(|(after, before)| *after - *before).collect())
}

impl Sub for TaxGroup {
    type Output = Self;

    /// The difference of two groups of the same rate, figure by figure.
    fn sub(self, other: Self) -> Self {
        Self {
            rate: self.rate,
            exact: self.exact - other.exact,
            rounding: self.rounding - other.rounding,
            net: self.net - other.net,
            tax: self.tax - other.tax,
            gross: self.gross - other.gross,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn money(text: &str) -> Money {
        text.parse().expect("a written amount")
    }

    fn line(amount: &str, tax: &str) -> InvoiceLine {
        InvoiceLine { amount: money(amount), tax: tax.parse().expect("a written tax rate") }
    }

    fn texts(amounts: &[Money], places: u32) -> Vec<String> {
        amounts.iter().map(|amount| amount.rounded_to(places).to_string()).collect()
    }

    const CENTS: CurrencyPlaces = CurrencyPlaces::new(2).expect("at most four");

    #[test]
    fn the_difference_of_rounding_is_a_line() {
        // Three lines of a third of a cent less than a cent: 0.03 as lines, 0.02 as a sum.
        let lines = [line("0.006667", "0"), line("0.006667", "0"), line("0.006666", "0")];

        let invoice = invoice(&lines, Prices::Exclusive, CENTS).expect("three lines");

        assert_eq!(texts(&invoice.lines, 2), ["0.01", "0.01", "0.01"]);
        assert_eq!((invoice.exact, invoice.rounding, invoice.total), (money("0.02"), money("-0.01"), money("0.02")));
    }

    #[test]
    fn tax_is_rounded_once_for_each_rate() {
        let lines = [line("0.03", "19"), line("0.03", "19"), line("0.03", "7"), line("1", "19")];

        let invoice = invoice(&lines, Prices::Exclusive, CENTS).expect("four lines");

        let groups: Vec<_> =
            invoice.groups.iter().map(|group| (group.rate.to_string(), group.net, group.tax)).collect();
        assert_eq!(groups, [("7".into(), money("0.03"), money("0")), ("19".into(), money("1.06"), money("0.20"))]);
        assert_eq!((invoice.net, invoice.tax, invoice.total), (money("1.09"), money("0.20"), money("1.29")));
    }

    #[test]
    fn inclusive_prices_are_what_is_paid() {
        let lines = [line("11.90", "19"), line("10.70", "7")];

        let invoice = invoice(&lines, Prices::Inclusive, CENTS).expect("two lines");

        assert_eq!((invoice.net, invoice.tax, invoice.total), (money("20"), money("2.60"), money("22.60")));
        assert_eq!(invoice.rounding, Money::ZERO);
    }

    #[test]
    fn a_currency_without_places_rounds_to_whole_ones() {
        let yen = CurrencyPlaces::new(0).expect("at most four");

        let invoice = invoice(&[line("100.5", "10"), line("101.5", "10")], Prices::Exclusive, yen).expect("two lines");

        assert_eq!(texts(&invoice.lines, 0), ["100", "102"]);
        assert_eq!((invoice.net, invoice.tax, invoice.total), (money("202"), money("20"), money("222")));
    }

    #[test]
    fn credit_notes_mirror_the_invoice_to_the_digit() {
        let lines = [line("0.333333", "19"), line("0.333333", "19"), line("0.333334", "7")];
        let billed = invoice(&lines, Prices::Exclusive, CENTS).expect("three lines");

        let first_kept = [Money::ZERO, money("0.333333"), money("0.333334")];
        let first = credit_note(&lines, &first_kept, Prices::Exclusive, CENTS).expect("a note");
        let rest = [line("0", "19"), line("0.333333", "19"), line("0.333334", "7")];
        let second = credit_note(&rest, &[Money::ZERO; 3], Prices::Exclusive, CENTS).expect("a note");

        assert!(first.total.is_negative());
        assert_eq!(billed.total + first.total + second.total, Money::ZERO);
        assert_eq!(billed.tax + first.tax + second.tax, Money::ZERO);
        assert_eq!(billed.rounding + first.rounding + second.rounding, Money::ZERO);
    }

    #[test]
    fn what_makes_no_invoice_is_refused() {
        let largest = InvoiceLine { amount: Money::MAX, tax: TaxRate::ZERO };
        let many = vec![InvoiceLine { amount: Money::ZERO, tax: TaxRate::ZERO }; INVOICE_LINES_MAX + 1];

        assert_eq!(invoice(&many, Prices::Exclusive, CENTS), Err(InvoiceError::TooManyLines));
        assert_eq!(invoice(&[largest, largest], Prices::Exclusive, CENTS), Err(InvoiceError::OutOfRange));
        assert_eq!(credit_note(&[largest], &[], Prices::Exclusive, CENTS), Err(InvoiceError::LinesDiffer));
        let empty = invoice(&[], Prices::Exclusive, CENTS).expect("nothing");
        assert_eq!((empty.total, empty.lines.len()), (Money::ZERO, 0));
    }
}
