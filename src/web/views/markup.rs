//! Small pieces of HTML that many templates need: icons, amounts, times, bars.
//! Everything put into them is escaped here or is a number; it holds no page and no words of its own.

use std::fmt;

use askama::filters::HtmlSafe;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use crate::web::format;

/// HTML that is safe to put into a page as it stands.
#[derive(Clone, Debug)]
pub struct Markup(String);

impl Markup {
    /// Takes HTML that was escaped by the caller.
    pub(in crate::web) fn new(html: String) -> Self {
        Self(html)
    }
}

impl fmt::Display for Markup {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl HtmlSafe for Markup {}

/// Escapes text for an element or a quoted attribute.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

/// An icon of the sprite, hidden from screen readers: a word always stands beside it or in its
/// control's label. Its name must be in `assets/icons.txt`.
pub fn icon(name: &str) -> Markup {
    let name = escape(name);
    Markup(format!(
        r#"<svg class="icon" aria-hidden="true" focusable="false"><use href="/assets/sprite.svg#{name}"/></svg>"#
    ))
}

/// An amount in the face of numbers.
pub fn money(amount: &Decimal, currency: &str) -> Markup {
    number(&format::money(amount, currency), "")
}

/// A balance, cut down to cents.
pub fn balance(amount: &Decimal, currency: &str) -> Markup {
    number(&format::balance(amount, currency), "")
}

/// An amount with its sign.
pub fn signed_money(amount: &Decimal, currency: &str) -> Markup {
    number(&format::signed_money(amount, currency), "")
}

/// A price per hour, its unit in the quieter colour.
pub fn hourly(amount: &Decimal, currency: &str) -> Markup {
    number(&format::hourly(amount, currency), "/h")
}

/// What a month costs at most, its unit in the quieter colour.
pub fn monthly_cap(amount: &Decimal, currency: &str) -> Markup {
    number(&format::money(amount, currency), "/mo")
}

fn number(text: &str, unit: &str) -> Markup {
    let text = escape(text);
    Markup(match unit {
        "" => format!(r#"<span class="number">{text}</span>"#),
        _ => format!(r#"<span class="number">{text}<span class="unit">{unit}</span></span>"#),
    })
}

/// A point in time to the minute, with the machine's spelling beside it.
pub fn time(at: &DateTime<Utc>) -> Markup {
    time_element(at, &format::time(at))
}

/// A point in time to the second, for logs.
pub fn time_to_the_second(at: &DateTime<Utc>) -> Markup {
    time_element(at, &format::time_to_the_second(at))
}

/// A day.
pub fn date(at: &DateTime<Utc>) -> Markup {
    time_element(at, &format::date(at))
}

fn time_element(at: &DateTime<Utc>, shown: &str) -> Markup {
    let machine = format::machine_time(at);
    let title = format::time_to_the_second(at);
    Markup(format!(r#"<time class="when" datetime="{machine}" title="{title} UTC">{shown}</time>"#))
}

/// A bar that is `percent` full; `label` says to a screen reader what it measures.
pub fn bar(percent: &u8, label: &str) -> Markup {
    let (percent, label) = ((*percent).min(100), escape(label));
    Markup(format!(r#"<progress class="bar" value="{percent}" max="100" aria-label="{label}">{percent} %</progress>"#))
}

/// How wide a gauge is in its own units.
const GAUGE_WIDTH: u64 = 1000;

/// A bar of what there is: what is sold of it, a line in it for what is in use, and a mark at the most that may be sold. It is
/// as wide as the largest of them; `label` says it all to a screen reader.
pub fn gauge(sold: u64, limit: u64, used: u64, total: u64, label: &str) -> Markup {
    let whole = u128::from(sold.max(limit).max(used).max(total).max(1));
    let width = |part: u64| u128::from(part) * u128::from(GAUGE_WIDTH) / whole;
    let class = if sold > limit { "gauge gauge-over" } else { "gauge" };
    Markup(format!(
        r#"<svg class="{class}" viewBox="0 0 {GAUGE_WIDTH} 12" preserveAspectRatio="none" role="img" aria-label="{}"><rect class="gauge-ground" width="{GAUGE_WIDTH}" height="12"/><rect class="gauge-sold" width="{}" height="12"/><rect class="gauge-used" y="4" width="{}" height="4"/><rect class="gauge-limit" x="{}" width="6" height="12"/></svg>"#,
        escape(label),
        width(sold),
        width(used),
        width(limit).min(u128::from(GAUGE_WIDTH) - 6),
    ))
}

/// A button that copies `text`; it shows itself only where a script can do it.
pub fn copy_button(text: &str, what: &str) -> Markup {
    let (text, what, drawing) = (escape(text), escape(what), icon("copy"));
    Markup(format!(
        r#"<button class="copy" type="button" data-copy="{text}" aria-label="Copy {what}" title="Copy {what}">{drawing}</button>"#
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::path::Path;

    #[test]
    fn text_is_escaped_in_every_piece() {
        assert_eq!(escape(r#"<a b="c">'&"#), "&lt;a b=&quot;c&quot;&gt;&#39;&amp;");
        assert!(!copy_button(r#""><script>"#, "it").to_string().contains("<script>"));
        assert!(!bar(&3, r#"" onload="x"#).to_string().contains(r#"" onload"#));
    }

    #[test]
    fn a_gauge_is_as_wide_as_the_largest_of_what_it_shows() {
        let drawn = gauge(50, 80, 25, 100, "Memory").to_string();
        assert!(drawn.contains(r#"gauge-sold" width="500""#) && drawn.contains(r#"gauge-limit" x="800""#), "{drawn}");
        let over = gauge(200, 100, 10, 100, "Memory").to_string();
        assert!(over.contains("gauge-over") && over.contains(r#"gauge-sold" width="1000""#), "{over}");
        assert!(gauge(0, 0, 0, 0, "Nothing").to_string().contains(r#"gauge-sold" width="0""#));
    }

    #[test]
    fn a_price_has_its_unit_apart() {
        let price = hourly(&Decimal::new(83, 4), "EUR").to_string();
        assert_eq!(price, r#"<span class="number">€0.0083<span class="unit">/h</span></span>"#);
    }

    /// Every file below `folder`, as text.
    fn texts_below(folder: &Path, texts: &mut Vec<String>) {
        for entry in std::fs::read_dir(folder).expect("a folder of the tree") {
            let path = entry.expect("an entry of a folder").path();
            if path.is_dir() {
                texts_below(&path, texts);
            } else {
                texts.push(std::fs::read_to_string(&path).expect("a text file"));
            }
        }
    }

    #[test]
    fn the_sprite_holds_exactly_the_icons_in_use() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let mut texts = Vec::new();
        texts_below(&root.join("templates"), &mut texts);
        texts_below(&root.join("src/web/views"), &mut texts);
        let used: BTreeSet<String> = texts
            .iter()
            .flat_map(|text| text.split("icon(\"").skip(1))
            .filter_map(|rest| rest.split_once('"'))
            .map(|(name, _)| name.to_owned())
            .filter(|name| !name.is_empty())
            .collect();
        let listed: BTreeSet<String> = std::fs::read_to_string(root.join("assets/icons.txt"))
            .expect("the list of icons")
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| line.split_whitespace().next().unwrap_or(line).to_owned())
            .collect();
        assert_eq!(used, listed);
    }
}
