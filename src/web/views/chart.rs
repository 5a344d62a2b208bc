//! Charts, drawn by the server as SVG: no script draws them and no style is written into them. What is drawn is stretched to
//! the width of its place; words stand beside it as text, so that they are as large on a phone as anywhere. Who does not see
//! it hears a title and a description, and finds the figures in a table.

use std::fmt::Write;

use askama::Template;
use rust_decimal::Decimal;

use super::markup::{self, Markup};
use crate::web::format;

/// How high and wide a drawing is in its own units.
const SIZE: i128 = 1_000;
/// How many steps an axis has at most.
const STEPS_MAX: i128 = 4;
/// How many colours there are.
pub const SERIES_MAX: usize = 6;

/// A chart with its axes.
#[derive(Debug, Template)]
#[template(path = "wallet/chart.html")]
pub struct Chart {
    /// Names the chart among others on its page.
    pub id: &'static str,
    /// What it shows.
    pub title: String,
    /// What is to be seen in it.
    pub description: String,
    /// The drawing, without words.
    pub drawing: Markup,
    /// Written at the left, from top to bottom, evenly spaced.
    pub heights: Vec<String>,
    /// Written below, evenly spaced.
    pub places: Vec<String>,
    /// Whether each place is a column, with its word in the middle; else the first and last stand at the edges.
    pub columns: bool,
    /// What the colours mean.
    pub keys: Vec<Key>,
}

/// What a colour means.
#[derive(Debug)]
pub struct Key {
    /// Its class.
    pub class: String,
    /// What it means.
    pub text: String,
}

/// An axis of amounts: from `low` to `high`, both whole steps.
struct Axis {
    low: i128,
    step: i128,
    steps: i128,
}

impl Axis {
    /// One on which all amounts between two have room. In millionths of the currency.
    fn over(low: i128, high: i128) -> Self {
        let (low, high) = (low.min(0), high.max(low + 1).max(1));
        let mut step = 1;
        'found: loop {
            for factor in [1, 2, 5] {
                let candidate = step * factor;
                if (high + candidate - 1).div_euclid(candidate) - low.div_euclid(candidate) <= STEPS_MAX {
                    step = candidate;
                    break 'found;
                }
            }
            step *= 10;
        }
        let low_steps = low.div_euclid(step);
        Self { low: low_steps * step, step, steps: (high + step - 1).div_euclid(step) - low_steps }
    }

    fn height(&self, micros: i128) -> i128 {
        (micros - self.low) * SIZE / (self.step * self.steps)
    }

    /// Down from the top.
    fn y(&self, micros: i128) -> i128 {
        SIZE - self.height(micros)
    }

    fn labels(&self, currency: &str) -> Vec<String> {
        let amount = |step: i128| Decimal::from_i128_with_scale(self.low + step * self.step, 6);
        (0..=self.steps).rev().map(|step| format::money(&amount(step), currency)).collect()
    }

    fn grid(&self, width: i128) -> String {
        let mut lines = String::new();
        for step in 0..=self.steps {
            let (y, class) = (
                self.y(self.low + step * self.step),
                if self.low + step * self.step == 0 { "chart-zero" } else { "chart-grid" },
            );
            let _ = write!(lines, r#"<path class="{class}" d="M0 {y}H{width}"/>"#);
        }
        lines
    }
}

/// A balance at a place from 0 to 1,000, with the words of a pointer that rests on it.
#[derive(Debug, Clone)]
pub struct Point {
    /// How far from the left.
    pub x: i64,
    /// In millionths of the currency.
    pub micros: i128,
}

/// A stretch of the chart that says its words when a pointer rests on it.
#[derive(Debug, Clone)]
pub struct Spot {
    /// From here, from 0 to 1,000.
    pub from: i64,
    /// To here.
    pub to: i64,
    /// What it says.
    pub words: String,
}

/// A balance over time: what it was as a line that steps, what it will be as a dashed one, with a mark between them.
#[derive(Debug, Clone)]
pub struct Line {
    /// What it was; in the order of time.
    pub past: Vec<Point>,
    /// What it will be.
    pub ahead: Vec<Point>,
    /// Where the one ends and the other begins.
    pub now: i64,
    /// What is said where.
    pub spots: Vec<Spot>,
}

impl Line {
    /// Draws it. The labels on the left come with it.
    pub fn draw(&self, currency: &str) -> (Markup, Vec<String>) {
        let all = || self.past.iter().chain(&self.ahead).map(|point| point.micros);
        let axis = Axis::over(all().min().unwrap_or(0), all().max().unwrap_or(0));
        let mut drawing = frame(SIZE);
        drawing.push_str(&axis.grid(SIZE));
        if let (Some(first), Some(last)) = (self.past.first(), self.past.last()) {
            let mut path = format!("M{} {}", first.x, axis.y(first.micros));
            for point in self.past.iter().skip(1) {
                let _ = write!(path, "H{}V{}", point.x, axis.y(point.micros));
            }
            let zero = axis.y(0);
            let _ = write!(
                drawing,
                r#"<path class="chart-area" d="{path}L{} {zero}L{} {zero}Z"/><path class="chart-line" d="{path}"/>"#,
                last.x, first.x
            );
        }
        if let Some(first) = self.ahead.first() {
            let mut path = format!("M{} {}", first.x, axis.y(first.micros));
            for point in self.ahead.iter().skip(1) {
                let _ = write!(path, "L{} {}", point.x, axis.y(point.micros));
            }
            let _ = write!(drawing, r#"<path class="chart-ahead" d="{path}"/>"#);
        }
        let _ = write!(drawing, r#"<path class="chart-now" d="M{0} 0V{SIZE}"/>"#, self.now);
        for spot in &self.spots {
            let width = (spot.to - spot.from).max(1);
            let _ = write!(
                drawing,
                r#"<rect class="chart-spot" x="{}" width="{width}" height="{SIZE}"><title>{}</title></rect>"#,
                spot.from,
                markup::escape(&spot.words)
            );
        }
        drawing.push_str("</svg>");
        (Markup::new(drawing), axis.labels(currency))
    }
}

/// A part of a column.
#[derive(Debug, Clone)]
pub struct Part {
    /// Which colour.
    pub series: usize,
    /// In millionths of the currency.
    pub micros: i128,
    /// What it says when a pointer rests on it.
    pub words: String,
}

/// A column of parts that stand on each other.
#[derive(Debug, Clone)]
pub struct Column {
    /// Its parts, from below.
    pub parts: Vec<Part>,
    /// Where it leads.
    pub url: Option<String>,
}

/// Draws columns beside each other. The labels on the left come with it.
pub fn columns(columns: &[Column], currency: &str) -> (Markup, Vec<String>) {
    const SLOT: i128 = 20;
    const GAP: i128 = 3;
    let sum = |column: &Column| column.parts.iter().map(|part| part.micros).sum::<i128>();
    let axis = Axis::over(0, columns.iter().map(sum).max().unwrap_or(0));
    let width = SLOT * i128::try_from(columns.len().max(1)).unwrap_or(1);
    let mut drawing = frame(width);
    drawing.push_str(&axis.grid(width));
    let mut x = GAP;
    for column in columns {
        let mut below = 0;
        if let Some(url) = &column.url {
            let _ = write!(drawing, r#"<a href="{}" tabindex="-1">"#, markup::escape(url));
        }
        for part in column.parts.iter().filter(|part| part.micros > 0) {
            let (top, bottom) = (axis.y(below + part.micros), axis.y(below));
            below += part.micros;
            let _ = write!(
                drawing,
                r#"<rect class="series-{}" x="{x}" y="{top}" width="{}" height="{}"><title>{}</title></rect>"#,
                part.series.min(SERIES_MAX - 1) + 1,
                SLOT - 2 * GAP,
                (bottom - top).max(1),
                markup::escape(&part.words)
            );
        }
        if column.url.is_some() {
            drawing.push_str("</a>");
        }
        x += SLOT;
    }
    drawing.push_str("</svg>");
    (Markup::new(drawing), axis.labels(currency))
}

fn frame(width: i128) -> String {
    format!(
        r#"<svg class="chart-drawing" viewBox="0 0 {width} {SIZE}" preserveAspectRatio="none" aria-hidden="true" focusable="false">"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_axis_has_round_steps_with_room_for_everything() {
        for (low, high, labels) in [
            (0, 24_000_000, vec!["€30.00", "€20.00", "€10.00", "€0.00"]),
            (0, 20_000_000, vec!["€20.00", "€15.00", "€10.00", "€5.00", "€0.00"]),
            (-1_500_000, 4_000_000, vec!["€4.00", "€2.00", "€0.00", "−€2.00"]),
            (0, 0, vec!["€0.000001", "€0.00"]),
        ] {
            assert_eq!(Axis::over(low, high).labels("EUR"), labels, "{low} to {high}");
        }
    }

    #[test]
    fn columns_stand_on_each_other_and_say_what_they_are() {
        let part = |series, micros, words: &str| Part { series, micros, words: words.into() };
        let (drawing, labels) = columns(
            &[Column { parts: vec![part(0, 1_000_000, "S: <1>"), part(9, 1_000_000, "rest")], url: None }],
            "EUR",
        );
        let drawing = drawing.to_string();

        assert_eq!(labels, ["€2.00", "€1.50", "€1.00", "€0.50", "€0.00"]);
        assert!(
            drawing.contains(
                r#"<rect class="series-1" x="3" y="500" width="14" height="500"><title>S: &lt;1&gt;</title>"#
            ),
            "{drawing}"
        );
        assert!(drawing.contains(r#"<rect class="series-6" x="3" y="0""#), "{drawing}");
        assert!(!drawing.contains("style="));
    }
}
