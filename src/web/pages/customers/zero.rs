//! What happens at zero to one customer, on his page: his own answer, and disks that are kept longer.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use billing::Money;
use serde::Deserialize;

use super::super::frames::{self, Notice, form_errors, redirect_with};
use super::super::wallet::ran_out;
use super::hand::Forms;
use super::{Place, customer_page};
use crate::app::App;
use crate::charging::{self, OwnZero};
use crate::error::{Error, Problem, Result};
use crate::ids::OrganisationId;
use crate::web::error::{PageError, status};
use crate::web::format;
use crate::web::forms::CsrfForm;
use crate::web::read::Path;
use crate::web::session::Staff;
use crate::web::views::form::FormErrors;
use crate::web::views::frame::FlashKind;
use crate::web::views::zero::{CustomerZero, OwnZeroForm};
use crate::{platform_settings, vms};

/// Days that are offered to keep disks longer.
const DAYS_OFFERED: &str = "7";

/// What was typed, if anything was refused.
#[derive(Default)]
pub(super) struct ZeroForms {
    own: Option<OwnZeroForm>,
    keep: Option<(String, FormErrors)>,
}

/// The part of the page.
pub(super) async fn part(app: &App, id: OrganisationId, typed: ZeroForms) -> Result<CustomerZero> {
    let settings = platform_settings::current(app).await?;
    let zero = charging::at_zero(app, id).await?;
    let own = match typed.own {
        Some(own) => own,
        None => shown(charging::own(app, id).await?),
    };
    let (days, keep_errors) = typed.keep.unwrap_or((DAYS_OFFERED.to_owned(), FormErrors::none()));
    let stopped = format::unsigned(vms::count(app, id).await?.stopped_for_credit);
    Ok(CustomerZero {
        platform: if settings.auto_shutdown {
            "As the platform: shut down".to_owned()
        } else {
            "As the platform: go below zero".to_owned()
        },
        form: own,
        notices: zero.ended.as_ref().map_or(0, |ended| u64::try_from(ended.notices).unwrap_or(u64::MAX)),
        ran_out: ran_out(&zero, stopped),
        days,
        keep_errors,
    })
}

fn shown(own: OwnZero) -> OwnZeroForm {
    OwnZeroForm {
        auto_shutdown: match own.auto_shutdown {
            None => String::new(),
            Some(true) => "yes".to_owned(),
            Some(false) => "no".to_owned(),
        },
        own_limit: own.credit_limit.map(|limit| limit.to_decimal().normalize().to_string()).unwrap_or_default(),
        errors: FormErrors::none(),
    }
}

/// What was typed for one organisation.
#[derive(Debug, Deserialize)]
pub struct TypedOwn {
    #[serde(default)]
    auto_shutdown: String,
    #[serde(default)]
    own_limit: String,
}

/// `POST /admin/customers/{id}/zero`
pub async fn change_zero(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<OrganisationId>,
    CsrfForm(typed): CsrfForm<TypedOwn>,
) -> Result<Response, PageError> {
    let auto_shutdown = match typed.auto_shutdown.as_str() {
        "yes" => Some(true),
        "no" => Some(false),
        _ => None,
    };
    let limit = typed.own_limit.trim();
    // What is no amount is out of range: the operation says what is expected.
    let credit_limit = (!limit.is_empty()).then(|| limit.parse().unwrap_or(Money::from_micros(-1)));
    match charging::change_own(&app, id, OwnZero { auto_shutdown, credit_limit }, &staff.actor).await {
        Ok(()) => Ok(redirect_with(&app, &format!("/admin/customers/{id}#zero"), FlashKind::Success, "Saved.")),
        Err(error) => {
            let status = status(&error);
            let errors = form_errors(at("own_limit", error))?;
            let own = OwnZeroForm { auto_shutdown: typed.auto_shutdown, own_limit: typed.own_limit, errors };
            refused(&app, &staff, id, ZeroForms { own: Some(own), ..ZeroForms::default() }, status).await
        }
    }
}

/// How much longer.
#[derive(Debug, Deserialize)]
pub struct Longer {
    #[serde(default)]
    days: String,
}

/// `POST /admin/customers/{id}/keep`
pub async fn keep(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<OrganisationId>,
    CsrfForm(longer): CsrfForm<Longer>,
) -> Result<Response, PageError> {
    match charging::keep(&app, id, longer.days.trim().parse().unwrap_or(0), &staff.actor).await {
        Ok(until) => {
            let sentence = format!("Disks are kept until {} UTC.", format::time(&until));
            Ok(redirect_with(&app, &format!("/admin/customers/{id}#zero"), FlashKind::Success, sentence))
        }
        Err(error) => {
            let status = status(&error);
            let errors = form_errors(error)?;
            let typed = ZeroForms { keep: Some((longer.days, errors)), ..ZeroForms::default() };
            refused(&app, &staff, id, typed, status).await
        }
    }
}

/// Fields have names of their own on this page.
fn at(field: &'static str, error: Error) -> Error {
    let Error::Invalid(problems) = error else { return error };
    Error::Invalid(problems.into_iter().map(|known| Problem::new(field, known.problem)).collect())
}

async fn refused(
    app: &App,
    staff: &Staff,
    id: OrganisationId,
    zero: ZeroForms,
    status: axum::http::StatusCode,
) -> Result<Response, PageError> {
    let forms = Forms { zero, ..Forms::default() };
    let page = customer_page(app, staff, &Notice::default(), id, &Place::default(), forms).await?;
    Ok((status, frames::render(&page)).into_response())
}
