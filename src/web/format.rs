//! How values read on a page: money, durations, times, sizes and shares, as plain text.
//! They take references, because that is what a template hands on. Pure functions; no HTML (see `views::markup`), no clock, and no rounding that money depends on.

use chrono::{DateTime, Utc};
use rust_decimal::{Decimal, RoundingStrategy};

/// Most decimals an amount is shown with: what the ledger keeps.
const DECIMALS_MAX: u32 = 6;
/// A runway longer than this many seconds (two years) is no longer counted out.
const COUNTED_SECONDS_MAX: i64 = 2 * 365 * SECONDS_PER_DAY;
const SECONDS_PER_MINUTE: i64 = 60;
const SECONDS_PER_HOUR: i64 = 3_600;
const SECONDS_PER_DAY: i64 = 86_400;
const MEBIBYTES_PER_GIBIBYTE: u64 = 1_024;
/// U+2212: as wide as the plus sign, unlike the hyphen.
const MINUS: &str = "\u{2212}";

/// How long a wallet lasts at its present burn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lasts {
    /// Nothing is burnt, or the caps hold it for good.
    NotRunningOut,
    /// Seconds until the wallet is empty.
    For(i64),
    /// The wallet is empty.
    Empty,
}

/// The sign put before an amount of the currency with this ISO 4217 code; the code itself and a
/// no-break space where no sign is known.
pub fn currency_symbol(code: &str) -> String {
    match code {
        "EUR" => "€".into(),
        "USD" => "$".into(),
        "GBP" => "£".into(),
        "JPY" => "¥".into(),
        "INR" => "₹".into(),
        "AUD" => "A$".into(),
        "CAD" => "CA$".into(),
        other => format!("{other}\u{a0}"),
    }
}

/// An amount with its currency, thousands parted, at least two and up to six decimals:
/// `€0.0083`, `−€1,204.50`.
pub fn money(amount: &Decimal, currency: &str) -> String {
    money_with_decimals(amount, currency, 2)
}

/// As [`money`], with a plus sign when something is added: `+€5.00`, `−€0.0083`.
pub fn signed_money(amount: &Decimal, currency: &str) -> String {
    let text = money(amount, currency);
    if *amount > Decimal::ZERO { format!("+{text}") } else { text }
}

/// A price per hour without its unit. Small ones keep four decimals, so that a column of them lines up.
pub fn hourly(amount: &Decimal, currency: &str) -> String {
    let decimals_min = if amount.abs() < Decimal::ONE && !amount.is_zero() { 4 } else { 2 };
    money_with_decimals(amount, currency, decimals_min)
}

/// A wallet's balance at a glance: cut down to cents, never up, so that it never promises more than
/// there is. Below ten cents it keeps four decimals.
pub fn balance(amount: &Decimal, currency: &str) -> String {
    let small = amount.abs() < Decimal::new(10, 2);
    let places = if small { 4 } else { 2 };
    let cut = amount.round_dp_with_strategy(places, RoundingStrategy::ToNegativeInfinity);
    money(&cut, currency)
}

/// What is missing, raised to cents, never less than it is: who brings that much has enough.
pub fn missing(amount: &Decimal, currency: &str) -> String {
    money(&amount.round_dp_with_strategy(2, RoundingStrategy::ToPositiveInfinity), currency)
}

fn money_with_decimals(amount: &Decimal, currency: &str, decimals_min: usize) -> String {
    let shown = amount.round_dp(DECIMALS_MAX).normalize();
    let digits = shown.abs().to_string();
    let (whole, fraction) = digits.split_once('.').unwrap_or((&digits, ""));
    let sign = if shown < Decimal::ZERO { MINUS } else { "" };
    let symbol = currency_symbol(currency);
    let whole = part_thousands(whole);
    format!("{sign}{symbol}{whole}.{fraction:0<decimals_min$}")
}

/// A count or a size of the database as one that is shown; none of them is ever below zero.
pub fn unsigned(count: i64) -> u64 {
    u64::try_from(count).unwrap_or(0)
}

/// An amount in the places of its currency, none more and none less: `€1,204.50`, `¥120`.
pub fn rounded_money(amount: &Decimal, currency: &str, places: u32) -> String {
    let text = decimal_with(&amount.abs(), places, places);
    let sign = if *amount < Decimal::ZERO { MINUS } else { "" };
    format!("{sign}{}{text}", currency_symbol(currency))
}

/// A number that is not below zero, with its thousands parted and at most so many decimals: `1,488`, `0.333`.
pub fn decimal(number: &Decimal, places_max: u32) -> String {
    decimal_with(number, 0, places_max)
}

fn decimal_with(number: &Decimal, places_min: u32, places_max: u32) -> String {
    let shown = number.round_dp(places_max).normalize().to_string();
    let (whole, fraction) = shown.split_once('.').unwrap_or((&shown, ""));
    let width = usize::try_from(places_min).unwrap_or(0);
    let fraction = format!("{fraction:0<width$}");
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction}", part_thousands(whole))
}

/// A count with its thousands parted: `12,408`.
pub fn grouped(count: &u64) -> String {
    part_thousands(&count.to_string())
}

fn part_thousands(digits: &str) -> String {
    let mut parted = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            parted.push(',');
        }
        parted.push(digit);
    }
    parted
}

/// A count with its noun: `1 machine`, `5 machines`.
pub fn count(number: &u64, one: &str, many: &str) -> String {
    format!("{} {}", grouped(number), if *number == 1 { one } else { many })
}

/// How long a wallet lasts, in words: `13 h`, `6 d 4 h`, `> 2 years`, `not running out`, `used up`.
pub fn lasts(lasts: &Lasts) -> String {
    match lasts {
        Lasts::NotRunningOut => "not running out".into(),
        Lasts::Empty => "used up".into(),
        Lasts::For(seconds) => duration(*seconds),
    }
}

/// A duration in its two largest fitting units, cut down: `40 s`, `12 min`, `13 h`, `6 d 4 h`,
/// `> 2 years`. Negative ones count as nothing.
pub fn duration(seconds: i64) -> String {
    let seconds = seconds.max(0);
    if seconds > COUNTED_SECONDS_MAX {
        return "> 2 years".into();
    }
    let (days, hours) = (seconds / SECONDS_PER_DAY, seconds % SECONDS_PER_DAY / SECONDS_PER_HOUR);
    let (minutes, rest) = (seconds % SECONDS_PER_HOUR / SECONDS_PER_MINUTE, seconds % SECONDS_PER_MINUTE);
    match (days, hours, minutes) {
        (60.., _, _) | (1.., 0, _) => format!("{days} d"),
        (1.., _, _) => format!("{days} d {hours} h"),
        (_, 3.., _) | (_, 1.., 0) => format!("{hours} h"),
        (_, 1.., _) => format!("{hours} h {minutes} min"),
        (_, _, 1..) => format!("{minutes} min"),
        _ => format!("{rest} s"),
    }
}

/// How long ago, or how far ahead, `then` is seen from `now`: `12 min ago`, `in 6 d 4 h`, `now`.
pub fn relative(then: &DateTime<Utc>, now: &DateTime<Utc>) -> String {
    let seconds = then.signed_duration_since(*now).num_seconds();
    match seconds {
        0 => "now".into(),
        1.. => format!("in {}", duration(seconds)),
        _ => format!("{} ago", duration(seconds.saturating_neg())),
    }
}

/// A point in time to the minute, UTC: `12 Nov 2026 21:00`.
pub fn time(at: &DateTime<Utc>) -> String {
    at.format("%-d %b %Y %H:%M").to_string()
}

/// A point in time to the second, UTC: `12 Nov 2026 21:00:05`.
pub fn time_to_the_second(at: &DateTime<Utc>) -> String {
    at.format("%-d %b %Y %H:%M:%S").to_string()
}

/// A day, UTC: `12 Nov 2026`.
pub fn date(at: &DateTime<Utc>) -> String {
    at.format("%-d %b %Y").to_string()
}

/// A day without its year, UTC: `12 Nov`.
pub fn day_and_month(at: &DateTime<Utc>) -> String {
    at.format("%-d %b").to_string()
}

/// A point in time for machines (RFC 3339, to the second, `Z`).
pub fn machine_time(at: &DateTime<Utc>) -> String {
    at.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)
}

/// A size given in MiB: `512 MiB`, `4 GiB`, `1.5 GiB`, `2 TiB`.
pub fn mebibytes(size_mib: &u64) -> String {
    const UNITS: [&str; 3] = ["MiB", "GiB", "TiB"];
    let mut divisor = 1;
    let mut unit = 0;
    let size_mib = *size_mib;
    while unit + 1 < UNITS.len() && size_mib / divisor >= MEBIBYTES_PER_GIBIBYTE {
        divisor *= MEBIBYTES_PER_GIBIBYTE;
        unit += 1;
    }
    let tenths = size_mib % divisor * 10 / divisor;
    let whole = grouped(&(size_mib / divisor));
    match tenths {
        0 => format!("{whole} {}", UNITS[unit]),
        _ => format!("{whole}.{tenths} {}", UNITS[unit]),
    }
}

/// A size given in bytes, in the same manner; under a MiB it reads `< 1 MiB`.
pub fn bytes(size: &u64) -> String {
    match size / (1 << 20) {
        0 if *size > 0 => "< 1 MiB".into(),
        size_mib => mebibytes(&size_mib),
    }
}

/// The share of `part` in `whole` as a whole percentage from 0 to 100; nothing of nothing is 0.
pub fn percentage(part: u64, whole: u64) -> u8 {
    if whole == 0 {
        return 0;
    }
    let share = u128::from(part) * 100 / u128::from(whole);
    u8::try_from(share.min(100)).expect("100 at most, so it fits")
}

/// The share of an amount in another as a whole percentage from 0 to 100.
pub fn percentage_of_money(part: &Decimal, whole: &Decimal) -> u8 {
    if *whole <= Decimal::ZERO || *part <= Decimal::ZERO {
        return 0;
    }
    let share = (*part.min(whole) * Decimal::ONE_HUNDRED / whole).trunc();
    u8::try_from(share).unwrap_or(100)
}

/// Up to two capital letters that stand for a person or an organisation: `LM` for `Lea Martin`.
pub fn initials(name: &str) -> String {
    let words = name.split(|character: char| !character.is_alphanumeric());
    let first_letters = words.filter_map(|word| word.chars().next());
    let letters: String = first_letters.take(2).collect();
    if letters.is_empty() { "?".into() } else { letters.to_uppercase() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    fn decimal(text: &str) -> Decimal {
        text.parse().expect("a number in a test")
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().expect("a time in a test")
    }

    #[test]
    fn money_has_two_to_six_decimals_a_sign_and_thousands() {
        let cases = [
            ("0", "€0.00"),
            ("0.0083", "€0.0083"),
            ("5.6", "€5.60"),
            ("5.600000", "€5.60"),
            ("1204.5", "€1,204.50"),
            ("1234567.891", "€1,234,567.891"),
            ("-0.0052", "−€0.0052"),
            ("0.0000004", "€0.00"),
            ("-0.0000004", "€0.00"),
            ("0.0000016", "€0.000002"),
            ("999", "€999.00"),
            ("1000", "€1,000.00"),
        ];
        for (amount, shown) in cases {
            assert_eq!(money(&decimal(amount), "EUR"), shown, "{amount}");
        }
        assert_eq!(money(&decimal("2.8"), "USD"), "$2.80");
        assert_eq!(money(&decimal("2.8"), "GBP"), "£2.80");
        assert_eq!(money(&decimal("-2.8"), "CHF"), "−CHF\u{a0}2.80");
    }

    #[test]
    fn signs_stand_where_the_direction_matters() {
        assert_eq!(signed_money(&decimal("5"), "EUR"), "+€5.00");
        assert_eq!(signed_money(&decimal("-0.0083"), "EUR"), "−€0.0083");
        assert_eq!(signed_money(&Decimal::ZERO, "EUR"), "€0.00");
    }

    #[test]
    fn hourly_prices_line_up_while_they_are_small() {
        assert_eq!(hourly(&decimal("0.133"), "EUR"), "€0.1330");
        assert_eq!(hourly(&decimal("0.00125"), "EUR"), "€0.00125");
        assert_eq!(hourly(&decimal("8.31"), "EUR"), "€8.31");
        assert_eq!(hourly(&Decimal::ZERO, "EUR"), "€0.00");
    }

    #[test]
    fn a_balance_is_never_shown_larger_than_it_is() {
        assert_eq!(balance(&decimal("12.409999"), "EUR"), "€12.40");
        assert_eq!(balance(&decimal("0.019999"), "EUR"), "€0.0199");
        assert_eq!(balance(&decimal("-0.501"), "EUR"), "−€0.51");
        assert_eq!(balance(&Decimal::ZERO, "EUR"), "€0.00");
    }

    #[test]
    fn what_is_missing_is_never_shown_smaller_than_it_is() {
        assert_eq!(missing(&decimal("0.925982"), "EUR"), "€0.93");
        assert_eq!(missing(&decimal("0.000001"), "EUR"), "€0.01");
        assert_eq!(missing(&decimal("5"), "EUR"), "€5.00");
    }

    #[test]
    fn durations_use_their_two_largest_units() {
        let cases = [
            (-5, "0 s"),
            (40, "40 s"),
            (60, "1 min"),
            (3_599, "59 min"),
            (3_600, "1 h"),
            (5_400, "1 h 30 min"),
            (13 * 3_600 + 1_800, "13 h"),
            (86_400, "1 d"),
            (6 * 86_400 + 4 * 3_600, "6 d 4 h"),
            (61 * 86_400 + 4 * 3_600, "61 d"),
            (730 * 86_400, "730 d"),
            (730 * 86_400 + 1, "> 2 years"),
            (i64::MAX, "> 2 years"),
        ];
        for (seconds, shown) in cases {
            assert_eq!(duration(seconds), shown, "{seconds}");
        }
        assert_eq!(lasts(&Lasts::NotRunningOut), "not running out");
        assert_eq!(lasts(&Lasts::Empty), "used up");
        assert_eq!(lasts(&Lasts::For(46_800)), "13 h");
    }

    #[test]
    fn times_are_utc_and_readable() {
        let then = Utc.with_ymd_and_hms(2026, 11, 2, 21, 0, 5).single().expect("a real time");
        assert_eq!(time(&then), "2 Nov 2026 21:00");
        assert_eq!(time_to_the_second(&then), "2 Nov 2026 21:00:05");
        assert_eq!(date(&then), "2 Nov 2026");
        assert_eq!(machine_time(&then), "2026-11-02T21:00:05Z");
        assert_eq!(relative(&then, &at("2026-11-02T21:12:05Z")), "12 min ago");
        assert_eq!(relative(&then, &at("2026-10-27T17:00:05Z")), "in 6 d 4 h");
        assert_eq!(relative(&then, &then), "now");
    }

    #[test]
    fn sizes_climb_to_the_fitting_unit() {
        assert_eq!(mebibytes(&0), "0 MiB");
        assert_eq!(mebibytes(&512), "512 MiB");
        assert_eq!(mebibytes(&1_536), "1.5 GiB");
        assert_eq!(mebibytes(&4_096), "4 GiB");
        assert_eq!(mebibytes(&2_202_010), "2.1 TiB");
        assert_eq!(mebibytes(&(5_000 * 1_048_576)), "5,000 TiB");
        assert_eq!(bytes(&0), "0 MiB");
        assert_eq!(bytes(&1_000), "< 1 MiB");
        assert_eq!(bytes(&(40 << 30)), "40 GiB");
    }

    #[test]
    fn shares_stay_between_nothing_and_everything() {
        assert_eq!(percentage(0, 0), 0);
        assert_eq!(percentage(1, 3), 33);
        assert_eq!(percentage(5, 3), 100);
        assert_eq!(percentage(u64::MAX, u64::MAX), 100);
        assert_eq!(percentage_of_money(&decimal("1.64"), &decimal("5.60")), 29);
        assert_eq!(percentage_of_money(&decimal("6"), &decimal("5.60")), 100);
        assert_eq!(percentage_of_money(&decimal("-1"), &decimal("5.60")), 0);
        assert_eq!(percentage_of_money(&decimal("1"), &Decimal::ZERO), 0);
    }

    #[test]
    fn counts_and_initials() {
        assert_eq!(count(&1, "machine", "machines"), "1 machine");
        assert_eq!(count(&0, "machine", "machines"), "0 machines");
        assert_eq!(count(&12_408, "machine", "machines"), "12,408 machines");
        assert_eq!(initials("Lea Martin"), "LM");
        assert_eq!(initials("lea.martin@acme.example"), "LM");
        assert_eq!(initials("Acme"), "A");
        assert_eq!(initials("  "), "?");
    }
}
