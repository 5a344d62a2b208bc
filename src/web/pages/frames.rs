//! What stands around every page: filled from who is logged in, his wallet, and the notice of what he did last.

use std::sync::Arc;

use askama::Template;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse, Redirect, Response};
use axum_extra::extract::CookieJar;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use billing::Rate;
use chrono::{DateTime, TimeDelta, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::OrganisationId;
use crate::ledger::{self, Wallet};
use crate::notifications;
use crate::organisations;
use crate::permissions::Permission;
use crate::users;
use crate::web::assets;
use crate::web::format::{self, Lasts};
use crate::web::session::{Customer, Staff, cookie, cookie_name};
use crate::web::views::form::FormErrors;
use crate::web::views::frame::{
    AdminFrame, AdminSection, AssetVersion, BareFrame, BehalfView, BellView, ClockView, Flash, FlashKind, PortalFrame,
    Section, WalletLevel, WalletView,
};

/// From how much before the end the wallet is shown in orange.
const NOTICE_HOURS: i64 = 24;
const FLASH: &str = "flash";

/// The notice of what was done last, from the cookie that the redirect set.
#[derive(Debug, Clone, Default)]
pub struct Notice(Option<Flash>);

#[derive(Serialize, Deserialize)]
struct StoredFlash {
    kind: u8,
    text: String,
}

impl FromRequestParts<Arc<App>> for Notice {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> std::result::Result<Self, Self::Rejection> {
        let jar = CookieJar::from_headers(&parts.headers);
        let stored = jar
            .get(&cookie_name(app, FLASH))
            .and_then(|cookie| BASE64_URL_SAFE_NO_PAD.decode(cookie.value()).ok())
            .and_then(|bytes| serde_json::from_slice::<StoredFlash>(&bytes).ok());
        Ok(Self(stored.map(|stored| Flash {
            kind: match stored.kind {
                0 => FlashKind::Success,
                1 => FlashKind::Info,
                2 => FlashKind::Warning,
                _ => FlashKind::Danger,
            },
            text: stored.text,
        })))
    }
}

/// Leads to a page that shows a notice once.
pub fn redirect_with(app: &App, to: &str, kind: FlashKind, text: impl Into<String>) -> Response {
    let kind = match kind {
        FlashKind::Success => 0,
        FlashKind::Info => 1,
        FlashKind::Warning => 2,
        FlashKind::Danger => 3,
    };
    let stored = serde_json::to_vec(&StoredFlash { kind, text: text.into() }).unwrap_or_default();
    let mut response = Redirect::to(to).into_response();
    add_cookie(&mut response, &cookie(app, FLASH, BASE64_URL_SAFE_NO_PAD.encode(stored)));
    response
}

pub(super) fn add_cookie(response: &mut Response, cookie: &axum_extra::extract::cookie::Cookie<'static>) {
    if let Ok(value) = HeaderValue::from_str(&cookie.to_string()) {
        response.headers_mut().append(header::SET_COOKIE, value);
    }
}

/// A rendered template.
pub fn render(template: &impl Template) -> Response {
    match template.render() {
        Ok(html) => Html(html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be rendered");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// A rendered page on which a notice was shown: it is not shown again.
pub fn render_with(app: &App, notice: &Notice, template: &impl Template) -> Response {
    let mut response = render(template);
    if notice.0.is_some() {
        let mut gone = cookie(app, FLASH, String::new());
        gone.make_removal();
        add_cookie(&mut response, &gone);
    }
    response
}

/// The frame of a page of the portal.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn portal(
    app: &App,
    customer: &Customer,
    title: impl Into<String>,
    active: Section,
    notice: &Notice,
) -> Result<PortalFrame> {
    let may = customer.session.permissions;
    let wallet = match may.has(Permission::BillingView) {
        true => Some(wallet_view(app, &ledger::wallet(app, customer.organisation()).await?)),
        false => None,
    };
    let user = &customer.session.user;
    Ok(PortalFrame {
        title: title.into(),
        active,
        organisation_name: customer.session.organisation.name.clone(),
        other_organisations: others(app, customer).await?,
        user_email: user.email.clone(),
        user_initials: format::initials(&user.name),
        is_staff: user.platform_role.is_some(),
        must_verify: !user.is_verified && users::must_verify(app),
        may,
        csrf: customer.session.csrf_token.clone(),
        wallet,
        bell: bell(app, customer.organisation()).await?,
        behalf: customer.session.on_behalf.as_ref().map(|behalf| BehalfView {
            name: user.name.clone(),
            minutes: format::unsigned((behalf.until - app.clock.machine_now()).num_minutes() + 1),
        }),
        flash: notice.0.clone(),
        assets: AssetVersion(assets::version()),
        currency: app.settings.currency.clone(),
        demo_clock: demo_clock(app),
    })
}

/// The other organisations that somebody can turn to.
async fn others(app: &App, customer: &Customer) -> Result<Vec<(String, String)>> {
    let open = customer.organisation();
    let known = organisations::brief_of(app, customer.session.user.id).await?;
    let others = known.into_iter().filter(|(id, _)| *id != open);
    Ok(others.map(|(id, name)| (name, id.to_string())).collect())
}

/// The bell of an organisation.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn bell(app: &App, organisation: OrganisationId) -> Result<BellView> {
    Ok(BellView { unread: format::unsigned(notifications::count_unread(app, organisation).await?) })
}

/// What waits for a person, as the rail of the admin panel counts it.
#[derive(Debug, Clone, Copy)]
pub struct Waiting {
    /// Things on the home page.
    pub exceptions: u64,
    /// Guests that are not what is sold.
    pub drifts: u64,
}

/// The frame of a page of the admin panel.
pub fn admin(
    app: &App,
    staff: &Staff,
    title: impl Into<String>,
    active: AdminSection,
    waiting: Waiting,
    notice: &Notice,
) -> AdminFrame {
    let user = &staff.session.user;
    AdminFrame {
        title: title.into(),
        active,
        user_email: user.email.clone(),
        user_initials: format::initials(&user.name),
        csrf: staff.session.csrf_token.clone(),
        exceptions: waiting.exceptions,
        drifts: waiting.drifts,
        flash: notice.0.clone(),
        assets: AssetVersion(assets::version()),
        currency: app.settings.currency.clone(),
        demo_clock: demo_clock(app),
    }
}

/// The frame of a page for somebody who is not logged in.
pub fn bare(app: &App, title: impl Into<String>, notice: &Notice) -> BareFrame {
    BareFrame {
        title: title.into(),
        assets: AssetVersion(assets::version()),
        flash: notice.0.clone(),
        demo_clock: demo_clock(app),
    }
}

fn demo_clock(app: &App) -> Option<ClockView> {
    app.settings.demo.then(|| ClockView { now: app.clock.now(), speed: app.clock.speed() })
}

/// The wallet as the header shows it.
pub fn wallet_view(app: &App, wallet: &Wallet) -> WalletView {
    let now = app.clock.now();
    WalletView {
        balance: wallet.balance.to_decimal(),
        available: wallet.available().to_decimal(),
        lasts: lasts_at(wallet.burn_per_hour, wallet.exhausted_at.is_some(), wallet.runs_out_at, now),
        burn_per_hour: wallet.burn_per_hour.to_decimal(),
        level: level(wallet.exhausted_at.is_some(), wallet.runs_out_at, now),
        currency: app.settings.currency.clone(),
    }
}

/// How long a wallet lasts.
pub fn lasts(exhausted: bool, runs_out_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Lasts {
    match runs_out_at {
        _ if exhausted => Lasts::Empty,
        Some(at) => Lasts::For((at - now).num_seconds().max(0)),
        None => Lasts::NotRunningOut,
    }
}

/// How long a wallet lasts that burns credit; what ends behind the horizon still ends.
pub fn lasts_at(burn: Rate, exhausted: bool, runs_out_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Lasts {
    match lasts(exhausted, runs_out_at, now) {
        Lasts::NotRunningOut if burn > Rate::ZERO => Lasts::For(i64::MAX),
        lasts => lasts,
    }
}

/// How near to its end a wallet is.
pub fn level(exhausted: bool, runs_out_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> WalletLevel {
    match runs_out_at {
        _ if exhausted => WalletLevel::Empty,
        Some(at) if at - now < TimeDelta::hours(NOTICE_HOURS) => WalletLevel::Warning,
        _ => WalletLevel::Normal,
    }
}

/// The problems of an operation as the problems of a form. What is not about a field stands above the form; what is not the
/// person's doing is given back.
///
/// # Errors
/// The errors that no form can show.
pub fn form_errors(error: Error) -> Result<FormErrors> {
    let mut errors = FormErrors::none();
    match error {
        Error::Invalid(problems) => {
            for problem in problems {
                errors.add(problem.field, problem.problem);
            }
        }
        Error::Conflict(sentence) | Error::Unavailable(sentence) => errors.add("", sentence),
        Error::Unauthenticated(sentence) | Error::TooManyTries { sentence, .. } => errors.add("", sentence),
        exceeded @ Error::QuotaExceeded(_) => errors.add("", exceeded.to_string()),
        other => return Err(other),
    }
    Ok(errors)
}

/// An amount for a view.
pub fn decimal(money: billing::Money) -> Decimal {
    money.to_decimal()
}

/// Cuts a list that was read one longer than it is shown. Answers with its last entry when there are older ones.
pub(super) fn cut<T>(found: &mut Vec<T>, shown: i64) -> Option<&T> {
    let shown = usize::try_from(shown).unwrap_or(usize::MAX);
    let has_older = found.len() > shown;
    found.truncate(shown);
    found.last().filter(|_| has_older)
}
