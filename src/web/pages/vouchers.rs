//! Vouchers: a customer redeems one on the page of his wallet; operators make them, look at them and revoke them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, NaiveDate, Utc};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Deserialize;

use super::exceptions::count;
use super::frames::{self, Notice, cut, decimal, form_errors, redirect_with, render, render_with};
use super::wallet::wallet_page;
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::VoucherId;
use crate::vouchers::{self, Created, Filter, MADE_AT_ONCE_MAX, NewVouchers, PAGE_MAX, State as Standing, Voucher};
use crate::web::error::{PageError, status, with_patience};
use crate::web::format;
use crate::web::forms::{CsrfForm, Nothing};
use crate::web::read::{Path, Query};
use crate::web::session::{Customer, Staff};
use crate::web::views::frame::{AdminSection, FlashKind};
use crate::web::views::vouchers::{
    CodeRow, NewVouchersPage, RedemptionRow, VoucherForm, VoucherPage, VoucherRow, VoucherState, VoucherTab,
    VouchersCreatedPage, VouchersPage,
};
use crate::web::views::wallet::RedeemForm;

/// A code as it was typed.
// No Debug: there is a secret in it.
#[derive(Deserialize)]
pub struct Code {
    #[serde(default)]
    code: String,
}

/// `POST /vouchers/redeem`
pub async fn redeem(
    State(app): State<Arc<App>>,
    customer: Customer,
    CsrfForm(typed): CsrfForm<Code>,
) -> Result<Response, PageError> {
    match vouchers::redeem(&app, customer.organisation(), &typed.code, &customer.actor).await {
        Ok(redeemed) => {
            let amount = format::money(&decimal(redeemed.amount), &app.settings.currency);
            let started = u64::try_from(redeemed.started).unwrap_or(u64::MAX);
            let (kind, sentence) = match (redeemed.repeated, started) {
                (true, _) => {
                    let at = format::time(&redeemed.redeemed_at);
                    (FlashKind::Info, format!("This voucher was redeemed already: {amount} were added on {at} UTC."))
                }
                (false, 0) => (FlashKind::Success, format!("{amount} added.")),
                (false, started) => {
                    let vms = format::count(&started, "VM is", "VMs are");
                    (FlashKind::Success, format!("{amount} added; {vms} being started."))
                }
            };
            Ok(redirect_with(&app, "/wallet", kind, sentence))
        }
        Err(error) => {
            let answer = with_patience(&error, status(&error).into_response());
            let (mut parts, _) = answer.into_parts();
            let form = RedeemForm { code: typed.code, errors: form_errors(error)? };
            let page = render(&wallet_page(&app, &customer, &Notice::default(), form).await?);
            let (page_parts, body) = page.into_parts();
            parts.headers.extend(page_parts.headers);
            Ok(Response::from_parts(parts, body))
        }
    }
}

/// Which vouchers are looked at.
#[derive(Debug, Deserialize)]
pub struct Wanted {
    #[serde(default)]
    state: String,
    after: Option<VoucherId>,
}

/// `GET /admin/vouchers`
pub async fn list(
    State(app): State<Arc<App>>,
    staff: Staff,
    notice: Notice,
    Query(wanted): Query<Wanted>,
) -> Result<Response, PageError> {
    let state = Standing::ALL.into_iter().find(|state| state.name() == wanted.state);
    let mut found = vouchers::list(&app, &Filter { state, after: wanted.after }, PAGE_MAX + 1).await?;
    let name = state.map_or("", Standing::name);
    let older_url = cut(&mut found, PAGE_MAX).map(|last| format!("/admin/vouchers?state={name}&after={}", last.id));
    let now = app.clock.now();
    let page = VouchersPage {
        frame: frames::admin(&app, &staff, "Vouchers", AdminSection::Vouchers, count(&app).await?, &notice),
        tabs: tabs(state, vouchers::counts(&app).await?),
        rows: found.into_iter().map(|voucher| voucher_row(voucher, now)).collect(),
        older_url,
    };
    Ok(render_with(&app, &notice, &page))
}

/// What an operator typed to make vouchers.
#[derive(Debug, Deserialize)]
pub struct Typed {
    #[serde(default)]
    amount: String,
    #[serde(default)]
    count: String,
    #[serde(default)]
    uses_max: String,
    #[serde(default)]
    expires_on: String,
    #[serde(default)]
    note: String,
    #[serde(default)]
    order: String,
}

impl Typed {
    /// What is no number is no number of vouchers either: the operation says what is expected.
    fn read(&self, app: &App) -> Result<NewVouchers> {
        let whole = |text: &str| text.trim().parse().unwrap_or(0);
        let day = self.expires_on.trim();
        let expires_at = if day.is_empty() {
            None
        } else {
            let end = day.parse::<NaiveDate>().ok().and_then(|day| vouchers::end_of_day(day, app.settings.time_zone));
            Some(end.ok_or_else(|| Error::invalid("expires_at", "A day such as 2027-01-31, or nothing."))?)
        };
        Ok(NewVouchers {
            amount: self.amount.clone(),
            count: whole(&self.count),
            uses_max: whole(&self.uses_max),
            expires_at,
            note: self.note.clone(),
            order: Some(self.order.clone()),
        })
    }
}

/// `GET /admin/vouchers/new`
pub async fn new(State(app): State<Arc<App>>, staff: Staff, notice: Notice) -> Result<Response, PageError> {
    let form = VoucherForm {
        count: "1".into(),
        uses_max: "1".into(),
        order: uuid::Uuid::now_v7().to_string(),
        ..VoucherForm::default()
    };
    Ok(render_with(&app, &notice, &new_page(&app, &staff, &notice, form).await?))
}

/// `POST /admin/vouchers`: answers with the codes themselves, for they are kept nowhere that a redirect could read.
pub async fn create(
    State(app): State<Arc<App>>,
    staff: Staff,
    CsrfForm(typed): CsrfForm<Typed>,
) -> Result<Response, PageError> {
    let created = match typed.read(&app) {
        Ok(new) => vouchers::create(&app, &new, &staff.actor).await,
        Err(error) => Err(error),
    };
    match created {
        Ok(created) if created.codes.is_empty() => {
            let sentence = "These vouchers were made already and their codes were shown. If they are lost, revoke the vouchers and make new ones.";
            Ok(redirect_with(&app, "/admin/vouchers", FlashKind::Warning, sentence))
        }
        Ok(created) => {
            let page = created_page(&app, &staff, created).await?;
            Ok((StatusCode::CREATED, render(&page)).into_response())
        }
        Err(error) => {
            let status = status(&error);
            let form = VoucherForm {
                amount: typed.amount,
                count: typed.count,
                uses_max: typed.uses_max,
                expires_on: typed.expires_on,
                note: typed.note,
                order: typed.order,
                errors: form_errors(error)?,
            };
            let page = new_page(&app, &staff, &Notice::default(), form).await?;
            Ok((status, render(&page)).into_response())
        }
    }
}

/// `GET /admin/vouchers/{id}`
pub async fn show(
    State(app): State<Arc<App>>,
    staff: Staff,
    notice: Notice,
    Path(id): Path<VoucherId>,
) -> Result<Response, PageError> {
    let voucher = vouchers::find(&app, id).await?;
    let title = format!("Voucher {}…", voucher.prefix);
    let redemptions = vouchers::redemptions(&app, id).await?.into_iter().map(|redemption| RedemptionRow {
        organisation_id: redemption.organisation.to_string(),
        organisation: redemption.organisation_name,
        by: redemption.redeemed_by.unwrap_or_default(),
        at: redemption.redeemed_at,
    });
    let page = VoucherPage {
        redemptions: redemptions.collect(),
        voucher: voucher_row(voucher, app.clock.now()),
        frame: frames::admin(&app, &staff, title, AdminSection::Vouchers, count(&app).await?, &notice),
    };
    Ok(render_with(&app, &notice, &page))
}

/// `POST /admin/vouchers/{id}/revoke`
pub async fn revoke(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<VoucherId>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    vouchers::revoke(&app, id, &staff.actor).await?;
    let to = format!("/admin/vouchers/{id}");
    Ok(redirect_with(&app, &to, FlashKind::Success, "It is revoked. What was redeemed stays."))
}

async fn new_page(app: &App, staff: &Staff, notice: &Notice, form: VoucherForm) -> Result<NewVouchersPage> {
    Ok(NewVouchersPage {
        frame: frames::admin(app, staff, "Make vouchers", AdminSection::Vouchers, count(app).await?, notice),
        form,
        count_max: MADE_AT_ONCE_MAX,
        time_zone: app.settings.time_zone.name().to_owned(),
    })
}

async fn created_page(app: &App, staff: &Staff, created: Created) -> Result<VouchersCreatedPage> {
    let Some(first) = created.vouchers.first() else { return Err(Error::NotFound("voucher")) };
    let (amount, expires_at) = (decimal(first.amount), first.expires_at);
    let ends = expires_at.map(|at| format::machine_time(&at)).unwrap_or_default();
    let mut csv = "code,amount,currency,organisations,expires_at\r\n".to_owned();
    for code in &created.codes {
        let row = [&code.reveal(), &amount.to_string(), &app.settings.currency, &first.uses_max.to_string(), &ends];
        csv.push_str(&row.map(String::as_str).join(","));
        csv.push_str("\r\n");
    }
    let codes = created.vouchers.iter().zip(&created.codes);
    Ok(VouchersCreatedPage {
        frame: frames::admin(app, staff, "Vouchers", AdminSection::Vouchers, count(app).await?, &Notice::default()),
        amount,
        uses_max: format::unsigned(first.uses_max.into()),
        expires_at,
        csv_url: format!("data:text/csv;charset=utf-8,{}", utf8_percent_encode(&csv, NON_ALPHANUMERIC)),
        codes: codes.map(|(voucher, code)| CodeRow { id: voucher.id.to_string(), code: code.reveal() }).collect(),
    })
}

fn tabs(active: Option<Standing>, counts: [i64; 4]) -> Vec<VoucherTab> {
    let all =
        VoucherTab { value: "", word: "All", count: format::unsigned(counts.iter().sum()), active: active.is_none() };
    let each = Standing::ALL.into_iter().zip(counts).map(|(state, count)| VoucherTab {
        value: state.name(),
        word: shown(state).word(),
        count: format::unsigned(count),
        active: active == Some(state),
    });
    each.chain([all]).collect()
}

fn shown(state: Standing) -> VoucherState {
    match state {
        Standing::Open => VoucherState::Open,
        Standing::UsedUp => VoucherState::UsedUp,
        Standing::Expired => VoucherState::Expired,
        Standing::Revoked => VoucherState::Revoked,
    }
}

fn voucher_row(voucher: Voucher, now: DateTime<Utc>) -> VoucherRow {
    VoucherRow {
        state: shown(voucher.state(now)),
        id: voucher.id.to_string(),
        prefix: voucher.prefix,
        amount: decimal(voucher.amount),
        uses: format::unsigned(voucher.uses.into()),
        uses_max: format::unsigned(voucher.uses_max.into()),
        expires_at: voucher.expires_at,
        revoked_at: voucher.revoked_at,
        note: voucher.note,
        created_by: voucher.created_by.unwrap_or_else(|| "Uni-Manager".to_owned()),
        created_at: voucher.created_at,
    }
}
