//! Sizes as Proxmox writes them: `32G`, `+10G`, `0.5`. Whole-number arithmetic only.

use crate::options::GIB;

/// Digits after the point that are taken into account.
const FRACTION_DIGITS_MAX: usize = 9;

/// Is it `digits` or `digits.digits`?
pub(crate) fn is_decimal(text: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    match text.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction),
        None => digits(text),
    }
}

/// `number` times `unit` bytes, rounded down; `None` when it is no number or too large.
pub(crate) fn scaled(number: &str, unit: u64) -> Option<u64> {
    if !is_decimal(number) {
        return None;
    }
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let whole: u64 = whole.parse().ok()?;
    let kept = &fraction[..fraction.len().min(FRACTION_DIGITS_MAX)];
    let denominator = 10_u128.pow(u32::try_from(kept.len()).ok()?);
    let numerator: u128 = if kept.is_empty() { 0 } else { kept.parse().ok()? };
    let part = u64::try_from(numerator * u128::from(unit) / denominator).ok()?;
    whole.checked_mul(unit)?.checked_add(part)
}

/// Reads `3G`, `512M`, `1048576`; bytes.
pub(crate) fn parse(text: &str) -> Option<u64> {
    let unit = match text.bytes().last()? {
        b'K' => 1 << 10,
        b'M' => 1 << 20,
        b'G' => GIB,
        b'T' => 1 << 40,
        _ => return scaled(text, 1),
    };
    scaled(&text[..text.len() - 1], unit)
}

/// Prints bytes in the largest unit that divides them, as in a drive's `size=`.
pub(crate) fn print(bytes: u64) -> String {
    for (unit, name) in [(1_u64 << 40, "T"), (GIB, "G"), (1 << 20, "M"), (1 << 10, "K")] {
        if bytes >= unit && bytes.is_multiple_of(unit) {
            // Proxmox writes `1024G`, not `1T`.
            return if name == "T" { format!("{}G", bytes / GIB) } else { format!("{}{name}", bytes / unit) };
        }
    }
    bytes.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_printed() {
        assert_eq!(parse("3G"), Some(3 * GIB));
        assert_eq!(parse("0.5G"), Some(GIB / 2));
        assert_eq!(parse("1.5"), Some(1));
        assert_eq!(parse("x"), None);
        assert_eq!(parse(""), None);
        assert_eq!(parse("99999999999T"), None);
        assert_eq!(print(3 * GIB), "3G");
        assert_eq!(print(3 * GIB / 2), "1536M");
        assert_eq!(print(1 << 40), "1024G");
        assert_eq!(print(4 << 20), "4M");
        assert_eq!(print(7), "7");
    }
}
