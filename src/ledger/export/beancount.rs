//! The journal that beancount reads. Every account is opened, texts are metadata, and every balance is asserted without
//! tolerance. A debit is a positive amount there and a credit a negative one.

use std::fmt::Write as _;

use billing::Money;
use chrono::{Days, NaiveDate};

use super::{AccountName, ExportedLeg, ExportedWallet, Pen, instant};

/// Accounts open before anything can have been posted.
const OPEN: &str = "1970-01-01";
const ACCOUNTS: [&str; 9] = [
    "Income:Revenue",
    "Equity:ManualCredits",
    "Expenses:Promotions",
    "Assets:Clearing:Bank",
    "Assets:Clearing:Stripe",
    "Expenses:Refunds",
    "Liabilities:Tax",
    "Expenses:WriteOff",
    "Equity:OpeningBalances",
];

pub(super) struct Beancount<'a> {
    pub currency: &'a str,
}

impl Beancount<'_> {
    fn line(&self, page: &mut String, account: &str, amount: Money) {
        let _ = writeln!(page, "  {account:<32}  {amount:>20} {}", self.currency);
    }
}

impl Pen for Beancount<'_> {
    fn begin(&self, page: &mut String) {
        let _ = writeln!(page, "; The ledger of Uni-Manager, for beancount. Times are UTC.");
        let _ = writeln!(page, "option \"operating_currency\" \"{}\"\n", self.currency);
        for account in ACCOUNTS {
            let _ = writeln!(page, "{OPEN} open {account}  {}", self.currency);
        }
    }

    fn wallet(&self, page: &mut String, wallet: &ExportedWallet, from: Option<NaiveDate>) {
        let name = wallet_name(wallet.number);
        let _ = writeln!(page, "{OPEN} open {name}  {}\n  organisation: \"{}\"", self.currency, wallet.organisation);
        if let Some(from) = from.filter(|_| wallet.opening != Money::ZERO) {
            let _ = writeln!(page, "\n{from} * \"opening balance\"");
            self.line(page, &name, -wallet.opening);
            self.line(page, "Equity:OpeningBalances", wallet.opening);
        }
    }

    fn posting(&self, page: &mut String, legs: &[ExportedLeg]) {
        let Some(first) = legs.first() else { return };
        let narration = quoted(&first.code.replace('_', " "));
        let _ = writeln!(page, "\n{} * {narration}", super::day(first.at));
        let _ = writeln!(page, "  posting: \"{}\"\n  at: \"{}\"", first.posting, instant(first.at));
        let _ = writeln!(page, "  code: \"{}\"\n  source: {}", first.code, quoted(&first.source));
        if !first.memo.is_empty() {
            let _ = writeln!(page, "  memo: {}", quoted(&first.memo));
        }
        for (index, leg) in legs.iter().enumerate() {
            self.line(page, &name(&leg.debit), leg.amount);
            if index > 0 {
                let _ = writeln!(page, "    code: \"{}\"", leg.code);
            }
            self.line(page, &name(&leg.credit), -leg.amount);
        }
    }

    fn closing(&self, page: &mut String, wallet: &ExportedWallet, last: NaiveDate) {
        // It asserts what is there when a day begins.
        let next = last.checked_add_days(Days::new(1)).unwrap_or(last);
        let (currency, name) = (self.currency, wallet_name(wallet.number));
        let _ = writeln!(page, "\n{next} balance {name:<32}  {:>20} ~ 0 {currency}", -wallet.closing);
    }
}

fn wallet_name(number: i64) -> String {
    format!("Liabilities:Wallets:W{number:08}")
}

fn name(account: &AccountName) -> String {
    match (account.kind.as_str(), account.provider.as_deref(), account.wallet) {
        ("wallet", _, Some((number, _))) => wallet_name(number),
        ("payment_clearing", Some("bank"), _) => "Assets:Clearing:Bank".into(),
        ("payment_clearing", Some("stripe"), _) => "Assets:Clearing:Stripe".into(),
        ("revenue", ..) => "Income:Revenue".into(),
        ("manual_credits", ..) => "Equity:ManualCredits".into(),
        ("promotions", ..) => "Expenses:Promotions".into(),
        ("refunds", ..) => "Expenses:Refunds".into(),
        ("tax", ..) => "Liabilities:Tax".into(),
        ("write_off", ..) => "Expenses:WriteOff".into(),
        // It is not opened, so beancount says that there is something it does not know.
        _ => "Equity:Unknown".into(),
    }
}

/// A text that people typed, as a string of one line.
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for character in text.chars() {
        match character {
            '"' | '\\' => quoted.extend(['\\', character]),
            control if control.is_control() => quoted.push(' '),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_text_stays_a_string() {
        assert_eq!(quoted("say \"hi\" \\ \n2026-01-01 open"), r#""say \"hi\" \\  2026-01-01 open""#);
    }
}
