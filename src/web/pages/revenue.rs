//! Figures for operators: revenue of a month by day and plan, and wallets that end soon.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use billing::Money;
use chrono::NaiveDate;
use rust_decimal::Decimal;
use serde::Deserialize;

use super::exceptions::count;
use super::frames::{self, Notice, cut, decimal, lasts_at, level, render_with};
use super::wallet::{days_in, line_name, month_options, name_of, name_of_day, words_of_days};
use crate::app::App;
use crate::ids::OrganisationId;
use crate::metering;
use crate::revenue::{self, Ending, Revenue, Sold, WALLETS_MAX, WalletCounts, WalletLine};
use crate::web::error::PageError;
use crate::web::format;
use crate::web::read::Query;
use crate::web::session::Staff;
use crate::web::views::chart::{self, Chart, Column, Key, Part, SERIES_MAX};
use crate::web::views::frame::AdminSection;
use crate::web::views::revenue::{RevenuePage, RevenueRow, Tab, WalletRow, WalletsPage};

/// How many months back can be chosen.
const MONTHS_BACK: usize = 24;

/// Which month to show.
#[derive(Debug, Deserialize)]
pub struct Shown {
    #[serde(default)]
    month: String,
}

/// `GET /admin/revenue?month=`
pub async fn month(
    State(app): State<Arc<App>>,
    staff: Staff,
    notice: Notice,
    Query(shown): Query<Shown>,
) -> Result<Response, PageError> {
    let now = metering::month_of(&app, app.clock.now());
    let first = std::iter::successors(Some(now), |month| revenue::month_before(*month)).nth(MONTHS_BACK).unwrap_or(now);
    let month = shown.month.parse().ok().filter(|month| (first..=now).contains(month)).unwrap_or(now);
    let revenue = revenue::of_month(&app, month).await?;
    let sold = columns_of(&revenue);
    let name = name_of(month);
    let rows = rows(&revenue, &sold);
    let before = revenue::month_before(month);
    let compared = revenue.before_by_now.unwrap_or(revenue.total_before);
    let page = RevenuePage {
        frame: frames::admin(
            &app,
            &staff,
            format!("Revenue in {name}"),
            AdminSection::Revenue,
            count(&app).await?,
            &notice,
        ),
        months: month_options(first, now),
        chosen: month.to_string(),
        zone: app.settings.time_zone.name().to_owned(),
        total: decimal(revenue.total),
        before: before.map(name_of).unwrap_or_default(),
        total_before: decimal(revenue.total_before),
        before_by_now: revenue.before_by_now.map(decimal),
        change: change(compared, revenue.total),
        per_day: per_day(revenue.total, rows.len()),
        chart: (!rows.is_empty()).then(|| chart_of(&app, &revenue, &sold)),
        sums: (0..sold.words.len()).map(|column| rows.iter().map(|row| row.amounts[column]).sum()).collect(),
        columns: sold.words.clone(),
        rows: rows.into_iter().rev().collect(),
        month: name,
    };
    Ok(render_with(&app, &notice, &page))
}

/// What was sold, as columns: as many as there are colours, the last for everything else.
struct SoldColumns {
    of: HashMap<Sold, usize>,
    words: Vec<String>,
}

fn columns_of(revenue: &Revenue) -> SoldColumns {
    let mut totals: Vec<(&Sold, Money)> = Vec::new();
    for part in &revenue.parts {
        match totals.iter_mut().find(|(sold, _)| **sold == part.sold) {
            Some((_, total)) => *total += part.amount,
            None => totals.push((&part.sold, part.amount)),
        }
    }
    totals.sort_by(|(one, first), (other, second)| second.cmp(first).then_with(|| one.cmp(other)));
    let alone = if totals.len() > SERIES_MAX { SERIES_MAX - 1 } else { totals.len() };
    let mut words: Vec<String> = totals.iter().take(alone).map(|(sold, _)| words_of(sold)).collect();
    if totals.len() > alone {
        words.push("Other".into());
    }
    let of = totals.iter().enumerate().map(|(index, (sold, _))| ((*sold).clone(), index.min(alone))).collect();
    SoldColumns { of, words }
}

fn words_of(sold: &Sold) -> String {
    if sold.plan.is_some() { format!("Plan {}", sold.plan_name) } else { line_name(sold.resource).to_owned() }
}

/// The days on which anything was charged, in their order.
fn days_of(revenue: &Revenue, sold: &SoldColumns) -> Vec<(NaiveDate, Vec<Money>)> {
    let mut days: Vec<(NaiveDate, Vec<Money>)> = Vec::new();
    for part in &revenue.parts {
        if days.last().is_none_or(|(day, _)| *day != part.day) {
            days.push((part.day, vec![Money::ZERO; sold.words.len()]));
        }
        if let (Some((_, amounts)), Some(column)) = (days.last_mut(), sold.of.get(&part.sold)) {
            amounts[*column] += part.amount;
        }
    }
    days
}

fn rows(revenue: &Revenue, sold: &SoldColumns) -> Vec<RevenueRow> {
    days_of(revenue, sold)
        .into_iter()
        .map(|(day, amounts)| RevenueRow {
            day: name_of_day(day),
            total: decimal(amounts.iter().copied().sum()),
            amounts: amounts.into_iter().map(decimal).collect(),
        })
        .collect()
}

fn chart_of(app: &App, revenue: &Revenue, sold: &SoldColumns) -> Chart {
    let currency = &app.settings.currency;
    let days: HashMap<NaiveDate, Vec<Money>> = days_of(revenue, sold).into_iter().collect();
    let all = days_in(revenue.month);
    let column = |day: &NaiveDate| {
        let amounts = days.get(day).map_or(&[][..], Vec::as_slice);
        let part = |(series, amount): (usize, &Money)| Part {
            series,
            micros: amount.micros(),
            words: format!(
                "{}, {}: {}",
                name_of_day(*day),
                sold.words[series],
                format::money(&decimal(*amount), currency)
            ),
        };
        Column { parts: amounts.iter().enumerate().map(part).collect(), url: None }
    };
    let columns: Vec<Column> = all.iter().map(column).collect();
    let (drawing, heights) = chart::columns(&columns, currency);
    let key = |(index, word): (usize, &String)| Key { class: format!("series-{}", index + 1), text: word.clone() };
    Chart {
        id: "revenue-chart",
        title: format!("Revenue of each day of {}, by plan.", name_of(revenue.month)),
        description: format!(
            "{} in all on {} days; most from {}. The table has each day and plan.",
            format::money(&decimal(revenue.total), currency),
            days.len(),
            sold.words.first().map_or("nothing", String::as_str),
        ),
        drawing,
        heights,
        places: words_of_days(&all),
        columns: true,
        keys: sold.words.iter().enumerate().map(key).collect(),
    }
}

/// By how many percent something has changed, with its sign; nothing for what began with nothing.
fn change(before: Money, after: Money) -> Option<String> {
    if !before.is_positive() {
        return None;
    }
    let percent = ((after.micros() - before.micros()) * 100).checked_div(before.micros())?;
    let sign = if percent < 0 { "\u{2212}" } else { "+" };
    Some(format!("{sign}{} %", percent.abs()))
}

fn per_day(total: Money, days: usize) -> Option<Decimal> {
    decimal(total).checked_div(Decimal::from(days)).map(|average| average.round_dp(Money::PLACES))
}

/// Which wallets to show.
#[derive(Debug, Deserialize)]
pub struct Which {
    #[serde(default)]
    ending: String,
    after: Option<OrganisationId>,
}

/// `GET /admin/wallets?ending=&after=`
pub async fn wallets(
    State(app): State<Arc<App>>,
    staff: Staff,
    notice: Notice,
    Query(which): Query<Which>,
) -> Result<Response, PageError> {
    let ending = Ending::parse(&which.ending).unwrap_or_default();
    let mut found = revenue::wallets(&app, ending, which.after, WALLETS_MAX + 1).await?;
    let counts = revenue::count_wallets(&app).await?;
    let url = format!("/admin/wallets?ending={}", ending.name());
    let page = WalletsPage {
        frame: frames::admin(&app, &staff, "Wallets", AdminSection::Wallets, count(&app).await?, &notice),
        burn_per_hour: counts.burn_per_hour.to_decimal(),
        credit: decimal(counts.credit),
        debt: decimal(counts.debt),
        tabs: Ending::ALL.into_iter().map(|other| tab(other, ending, &counts)).collect(),
        next_url: cut(&mut found, WALLETS_MAX).map(|last| format!("{url}&after={}", last.organisation)),
        first_url: which.after.map(|_| url),
        rows: found.into_iter().map(|line| wallet_row(&app, line)).collect(),
    };
    Ok(render_with(&app, &notice, &page))
}

fn tab(of: Ending, chosen: Ending, counts: &WalletCounts) -> Tab {
    let (text, count) = match of {
        Ending::Any => ("All that run out", counts.any),
        Ending::Hour => ("Within 1 h", counts.hour),
        Ending::Day => ("24 h", counts.day),
        Ending::Week => ("7 days", counts.week),
        Ending::RunOut => ("Run out", counts.run_out),
        Ending::BelowZero => ("Below zero", counts.below_zero),
        Ending::Parked => ("Not charged", counts.parked),
    };
    Tab {
        text,
        url: format!("/admin/wallets?ending={}", of.name()),
        count: format::unsigned(count),
        is_chosen: of == chosen,
    }
}

fn wallet_row(app: &App, line: WalletLine) -> WalletRow {
    let (exhausted, now) = (line.exhausted_at.is_some(), app.clock.now());
    WalletRow {
        id: line.organisation.to_string(),
        organisation: line.name,
        balance: decimal(line.balance),
        burn_per_hour: line.burn_per_hour.to_decimal(),
        lasts: lasts_at(line.burn_per_hour, exhausted, line.runs_out_at, now),
        level: level(exhausted, line.runs_out_at, now),
        at: line.exhausted_at.or(line.runs_out_at),
        parked: line
            .charging_error
            .map(|why| (line.charged_through, why.lines().next().unwrap_or_default().to_owned())),
    }
}
