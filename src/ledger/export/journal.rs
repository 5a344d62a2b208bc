//! The journal that hledger and ledger read alike: only what both understand the same way.
//! A debit is a positive amount there and a credit a negative one, so what we owe a customer is negative.

use std::fmt::Write as _;

use billing::Money;
use chrono::NaiveDate;

use super::{AccountName, ExportedLeg, ExportedWallet, Pen, instant};

/// The platform's accounts, for programs that are strict about names.
const ACCOUNTS: [&str; 9] = [
    "income:revenue",
    "equity:manual credits",
    "expenses:promotions",
    "assets:clearing:bank",
    "assets:clearing:stripe",
    "expenses:refunds",
    "liabilities:tax",
    "expenses:write-off",
    "equity:opening balances",
];
const TAGS: [&str; 5] = ["posting", "at", "code", "source", "memo"];

pub(super) struct Journal<'a> {
    pub currency: &'a str,
}

impl Journal<'_> {
    fn line(&self, page: &mut String, account: &str, amount: Money) {
        let _ = writeln!(page, "    {account:<40}  {amount:>20} {}", self.currency);
    }
}

impl Pen for Journal<'_> {
    fn begin(&self, page: &mut String) {
        let currency = self.currency;
        let _ = writeln!(page, "; The ledger of Uni-Manager, for hledger and ledger. Times are UTC.\n");
        let _ = writeln!(page, "commodity {currency}\n    format 1000.000000 {currency}\n");
        TAGS.iter().for_each(|tag| page.extend(["tag ", tag, "\n"]));
        ACCOUNTS.iter().for_each(|account| page.extend(["account ", account, "\n"]));
    }

    fn wallet(&self, page: &mut String, wallet: &ExportedWallet, from: Option<NaiveDate>) {
        let _ = writeln!(page, "\n; organisation {}\naccount {}", wallet.organisation, wallet_name(wallet.number));
        if let Some(from) = from.filter(|_| wallet.opening != Money::ZERO) {
            let _ = writeln!(page, "\n{from} * opening balance");
            self.line(page, &wallet_name(wallet.number), -wallet.opening);
            self.line(page, "equity:opening balances", wallet.opening);
        }
    }

    fn posting(&self, page: &mut String, legs: &[ExportedLeg]) {
        let Some(first) = legs.first() else { return };
        let _ = writeln!(page, "\n{} * {}", super::day(first.at), first.code.replace('_', " "));
        let _ = writeln!(page, "    ; posting: {}\n    ; at: {}", first.posting, instant(first.at));
        let _ = writeln!(page, "    ; code: {}\n    ; source: {}", first.code, plain(&first.source));
        if !first.memo.is_empty() {
            let _ = writeln!(page, "    ; memo: {}", plain(&first.memo));
        }
        for (index, leg) in legs.iter().enumerate() {
            self.line(page, &name(&leg.debit), leg.amount);
            if index > 0 {
                let _ = writeln!(page, "    ; code: {}", leg.code);
            }
            self.line(page, &name(&leg.credit), -leg.amount);
        }
    }

    fn closing(&self, page: &mut String, wallet: &ExportedWallet, last: NaiveDate) {
        let (currency, name, zero) = (self.currency, wallet_name(wallet.number), Money::ZERO);
        let _ = writeln!(page, "\n{last} * the balance that we show");
        let _ = writeln!(page, "    {name:<40}  {zero:>20} {currency} = {} {currency}", -wallet.closing);
    }
}

fn wallet_name(number: i64) -> String {
    format!("liabilities:wallets:{number}")
}

fn name(account: &AccountName) -> String {
    match (account.kind.as_str(), &account.provider, account.wallet) {
        ("wallet", _, Some((number, _))) => wallet_name(number),
        ("payment_clearing", Some(provider), _) => format!("assets:clearing:{provider}"),
        ("revenue", ..) => "income:revenue".into(),
        ("manual_credits", ..) => "equity:manual credits".into(),
        ("promotions", ..) => "expenses:promotions".into(),
        ("refunds", ..) => "expenses:refunds".into(),
        ("tax", ..) => "liabilities:tax".into(),
        ("write_off", ..) => "expenses:write-off".into(),
        (other, ..) => format!("equity:{}", other.replace('_', " ")),
    }
}

/// A text that people typed, as a comment of one line. Both programs take dates in brackets for dates of the transaction.
fn plain(text: &str) -> String {
    let plain = |character: char| match character {
        '[' => '(',
        ']' => ')',
        control if control.is_control() => ' ',
        other => other,
    };
    text.chars().map(plain).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_typed_text_stays_a_comment() {
        assert_eq!(plain("paid [2026-13-99]\n2026-01-01 * more\t;"), "paid (2026-13-99) 2026-01-01 * more ;");
    }
}
