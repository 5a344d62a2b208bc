//! The settings of the platform, for operators.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use billing::{Money, TaxRate};
use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;
use serde::Deserialize;

use super::exceptions::count;
use super::frames::{self, Notice, form_errors, redirect_with, render, render_with};
use super::quotas;
use crate::app::App;
use crate::charging;
use crate::error::{Error, Problem, Result};
use crate::invoices::{self, InvoiceSettings};
use crate::platform_settings::{self, PlatformSettings};
use crate::quotas::NewDefaults;
use crate::web::error::{PageError, status};
use crate::web::forms::CsrfForm;
use crate::web::session::Staff;
use crate::web::views::form::FormErrors;
use crate::web::views::frame::{AdminSection, FlashKind};
use crate::web::views::invoices::SettingsForm as IssuerForm;
use crate::web::views::zero::{SettingsForm, SettingsPage};

/// What stands for what is no number: out of every range, so that the operation says what is expected.
const NO_NUMBER: i32 = i32::MIN;

/// `GET /admin/settings`
pub async fn show(State(app): State<Arc<App>>, staff: Staff, notice: Notice) -> Result<Response, PageError> {
    let form = shown(&platform_settings::current(&app).await?);
    Ok(render_with(&app, &notice, &page(&app, &staff, &notice, form, Again::default()).await?))
}

/// What was typed. A switch is only sent when it is on.
#[derive(Debug, Deserialize)]
#[serde(default)]
#[derive(Default)]
pub struct Typed {
    auto_shutdown: Option<String>,
    credit_limit: String,
    grace_days: String,
    grace_charged: Option<String>,
    delete_after_grace: Option<String>,
    deletion_notices_min: String,
    rescue_hours: String,
    life_seconds_min: String,
    breaker_factor: String,
    breaker_stop_percent: String,
    breaker_vms_min: String,
    catch_up_hours: String,
    price_notice_days: String,
    staff_second_factor: Option<String>,
}

impl Typed {
    fn read(&self) -> PlatformSettings {
        let whole = |text: &str| text.trim().parse().unwrap_or(NO_NUMBER);
        let hundredths = |text: &str| {
            let times: Option<Decimal> = text.trim().parse().ok();
            times.and_then(|times| times.checked_mul(Decimal::ONE_HUNDRED)?.to_i32()).unwrap_or(NO_NUMBER)
        };
        PlatformSettings {
            auto_shutdown: self.auto_shutdown.is_some(),
            credit_limit: self.credit_limit.trim().parse().unwrap_or(Money::from_micros(-1)),
            grace_days: whole(&self.grace_days),
            grace_charged: self.grace_charged.is_some(),
            delete_after_grace: self.delete_after_grace.is_some(),
            deletion_notices_min: whole(&self.deletion_notices_min),
            rescue_hours: whole(&self.rescue_hours),
            life_seconds_min: whole(&self.life_seconds_min),
            breaker_factor_hundredths: hundredths(&self.breaker_factor),
            breaker_stop_percent: whole(&self.breaker_stop_percent),
            breaker_vms_min: whole(&self.breaker_vms_min),
            catch_up_hours: whole(&self.catch_up_hours),
            price_notice_days: whole(&self.price_notice_days),
            staff_second_factor: self.staff_second_factor.is_some(),
        }
    }
}

/// `POST /admin/settings`
pub async fn change(
    State(app): State<Arc<App>>,
    staff: Staff,
    CsrfForm(typed): CsrfForm<Typed>,
) -> Result<Response, PageError> {
    let new = typed.read();
    match charging::change_settings(&app, &new, &staff.actor).await {
        Ok(()) => Ok(redirect_with(&app, "/admin/settings", FlashKind::Success, "The settings are saved.")),
        Err(error) => {
            let status = status(&error);
            let form = SettingsForm { errors: form_errors(as_typed(error))?, ..again(typed, &new) };
            let page = page(&app, &staff, &Notice::default(), form, Again::default()).await?;
            Ok((status, render(&page)).into_response())
        }
    }
}

/// The factor is typed as how many times, not in hundredths.
fn as_typed(error: Error) -> Error {
    let Error::Invalid(problems) = error else { return error };
    let typed = |problem: Problem| match problem.field.as_ref() {
        "breaker_factor_hundredths" => {
            Problem::new("breaker_factor", "A number from 1.1 to 100, with two decimals at most.")
        }
        _ => problem,
    };
    Error::Invalid(problems.into_iter().map(typed).collect())
}

fn again(typed: Typed, read: &PlatformSettings) -> SettingsForm {
    SettingsForm {
        auto_shutdown: read.auto_shutdown,
        credit_limit: typed.credit_limit,
        grace_days: typed.grace_days,
        grace_charged: read.grace_charged,
        delete_after_grace: read.delete_after_grace,
        deletion_notices_min: typed.deletion_notices_min,
        rescue_hours: typed.rescue_hours,
        life_seconds_min: typed.life_seconds_min,
        breaker_factor: typed.breaker_factor,
        breaker_stop_percent: typed.breaker_stop_percent,
        breaker_vms_min: typed.breaker_vms_min,
        catch_up_hours: typed.catch_up_hours,
        price_notice_days: typed.price_notice_days,
        staff_second_factor: read.staff_second_factor,
        ..SettingsForm::default()
    }
}

fn shown(settings: &PlatformSettings) -> SettingsForm {
    SettingsForm {
        auto_shutdown: settings.auto_shutdown,
        credit_limit: settings.credit_limit.to_decimal().normalize().to_string(),
        grace_days: settings.grace_days.to_string(),
        grace_charged: settings.grace_charged,
        delete_after_grace: settings.delete_after_grace,
        deletion_notices_min: settings.deletion_notices_min.to_string(),
        rescue_hours: settings.rescue_hours.to_string(),
        life_seconds_min: settings.life_seconds_min.to_string(),
        breaker_factor: Decimal::new(settings.breaker_factor_hundredths.into(), 2).normalize().to_string(),
        breaker_stop_percent: settings.breaker_stop_percent.to_string(),
        breaker_vms_min: settings.breaker_vms_min.to_string(),
        catch_up_hours: settings.catch_up_hours.to_string(),
        price_notice_days: settings.price_notice_days.to_string(),
        staff_second_factor: settings.staff_second_factor,
        ..SettingsForm::default()
    }
}

/// `POST /admin/settings/quotas`
pub async fn change_quotas(
    State(app): State<Arc<App>>,
    staff: Staff,
    CsrfForm(typed): CsrfForm<quotas::Typed>,
) -> Result<Response, PageError> {
    let new = NewDefaults { limits: typed.all_limits(), contact: Some(typed.contact.clone()) };
    match crate::quotas::change_defaults(&app, &new, &staff.actor).await {
        Ok(()) => Ok(redirect_with(&app, "/admin/settings#quotas", FlashKind::Success, "The quotas are saved.")),
        Err(error) => {
            let status = status(&error);
            let form = shown(&platform_settings::current(&app).await?);
            let again = Again { quotas: Some((typed, form_errors(error)?)), ..Again::default() };
            let page = page(&app, &staff, &Notice::default(), form, again).await?;
            Ok((status, render(&page)).into_response())
        }
    }
}

/// Who issues invoices, as it was typed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct TypedIssuer {
    issuer_name: String,
    issuer_address: String,
    issuer_tax_id: String,
    number_prefix: String,
    tax_rate: String,
    currency_places: String,
}

/// `POST /admin/settings/invoices`
pub async fn change_invoices(
    State(app): State<Arc<App>>,
    staff: Staff,
    CsrfForm(typed): CsrfForm<TypedIssuer>,
) -> Result<Response, PageError> {
    let rate = typed.tax_rate.trim().parse::<TaxRate>();
    let new = InvoiceSettings {
        issuer_name: typed.issuer_name.clone(),
        issuer_address: typed.issuer_address.clone(),
        issuer_tax_id: typed.issuer_tax_id.clone(),
        number_prefix: typed.number_prefix.clone(),
        tax_rate: rate.unwrap_or_default(),
        currency_places: typed.currency_places.trim().parse().unwrap_or(NO_NUMBER),
    };
    let done = match rate {
        Ok(_) => invoices::change_settings(&app, &new, &staff.actor).await,
        Err(_) => Err(Error::invalid("tax_rate", "A number from 0 to 100, with four decimals at most.")),
    };
    match done {
        Ok(()) => {
            Ok(redirect_with(&app, "/admin/settings#invoices", FlashKind::Success, "How invoices are issued is saved."))
        }
        Err(error) => {
            let status = status(&error);
            let form = shown(&platform_settings::current(&app).await?);
            let invoices = IssuerForm {
                issuer_name: typed.issuer_name,
                issuer_address: typed.issuer_address,
                issuer_tax_id: typed.issuer_tax_id,
                number_prefix: typed.number_prefix,
                tax_rate: typed.tax_rate,
                currency_places: typed.currency_places,
                errors: form_errors(error)?,
            };
            let again = Again { invoices: Some(invoices), ..Again::default() };
            let page = page(&app, &staff, &Notice::default(), form, again).await?;
            Ok((status, render(&page)).into_response())
        }
    }
}

fn issuer_shown(settings: InvoiceSettings) -> IssuerForm {
    IssuerForm {
        issuer_name: settings.issuer_name,
        issuer_address: settings.issuer_address,
        issuer_tax_id: settings.issuer_tax_id,
        number_prefix: settings.number_prefix,
        tax_rate: settings.tax_rate.to_string(),
        currency_places: settings.currency_places.to_string(),
        errors: FormErrors::none(),
    }
}

/// What was typed into the forms beside the first, when it was refused.
#[derive(Default)]
struct Again {
    quotas: Option<(quotas::Typed, FormErrors)>,
    invoices: Option<IssuerForm>,
}

async fn page(app: &App, staff: &Staff, notice: &Notice, form: SettingsForm, again: Again) -> Result<SettingsPage> {
    let quotas = quotas::of_all(crate::quotas::defaults(app).await?, again.quotas);
    let invoices = match again.invoices {
        Some(typed) => typed,
        None => issuer_shown(invoices::current_settings(app).await?),
    };
    let frame = frames::admin(app, staff, "Settings", AdminSection::Settings, count(app).await?, notice);
    Ok(SettingsPage { frame, form, quotas, invoices })
}
