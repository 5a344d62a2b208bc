//! How much the organisation that is open may have.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;

use crate::app::App;
use crate::error::Result;
use crate::quotas::{self, Quota, Standing};
use crate::web::error::PageError;
use crate::web::format;
use crate::web::pages::frames::{Notice, portal, render_with};
use crate::web::session::Customer;
use crate::web::views::frame::Section;
use crate::web::views::organisations::{QuotaRow, QuotasPage, Tab};

/// `GET /organisation/quotas`
pub async fn quotas(State(app): State<Arc<App>>, customer: Customer, notice: Notice) -> Result<Response, PageError> {
    let standing = quotas::standing(&app, customer.organisation()).await?;
    let page = QuotasPage {
        frame: portal(&app, &customer, "Quotas", Section::Organisation, &notice).await?,
        tab: Tab::Quotas,
        rows: rows(&standing),
        ask_url: standing.ask_url(&customer.session.organisation.name),
    };
    Ok(render_with(&app, &notice, &page))
}

/// Every quota with what is used of it.
pub(in crate::web::pages) fn rows(standing: &Standing) -> Vec<QuotaRow> {
    Quota::ALL.into_iter().map(|quota| row(standing, quota)).collect()
}

fn row(standing: &Standing, quota: Quota) -> QuotaRow {
    let (used, limit) = (standing.used.of(quota), standing.limits.of(quota));
    let note = match quota {
        Quota::Snapshots | Quota::Backups => "Not offered yet.",
        Quota::ApiRequests => "Of all its programs together.",
        Quota::Vms | Quota::Vcpu | Quota::Memory | Quota::Disk | Quota::Addresses => "",
    };
    let is_counted = note.is_empty();
    QuotaRow {
        title: quota.title(),
        used: is_counted.then(|| amount(quota, used)),
        limit: amount(quota, limit),
        percent: percent(used, limit),
        is_full: is_counted && used >= limit,
        is_own: standing.is_own(quota),
        note,
    }
}

fn amount(quota: Quota, amount: i64) -> String {
    let amount = format::unsigned(amount);
    match quota {
        Quota::Memory => format::mebibytes(&amount),
        _ if quota.unit().is_empty() => format::grouped(&amount),
        _ => format!("{} {}", format::grouped(&amount), quota.unit()),
    }
}

/// How full a quota is. What may not be had at all is full.
fn percent(used: i64, limit: i64) -> u8 {
    if limit <= 0 {
        return 100;
    }
    let percent = i128::from(used.max(0)) * 100 / i128::from(limit);
    u8::try_from(percent.min(100)).unwrap_or(100)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_is_never_fuller_than_full() {
        assert_eq!((percent(0, 10), percent(5, 10), percent(25, 10), percent(0, 0)), (0, 50, 100, 100));
    }
}
