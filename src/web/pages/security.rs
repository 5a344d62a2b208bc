//! The safety of one's account: authenticator app, passkeys, recovery codes, and what the organisation demands.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::frames::{Notice, form_errors, portal, redirect_with, render, render_with};
use crate::app::App;
use crate::oidc;
use crate::passkeys;
use crate::permissions::Permission;
use crate::second_factor::{self, RECOVERY_CODES};
use crate::sessions::Login;
use crate::web::error::{PageError, status};
use crate::web::forms::{CsrfForm, Nothing};
use crate::web::read::Query;
use crate::web::session::Customer;
use crate::web::views::form::FormErrors;
use crate::web::views::frame::{FlashKind, Section};
use crate::web::views::security::{
    DemandView, IdentityRow, PasskeyRow, RecoveryCodesPage, SecurityPage, TotpPage, qr_code,
};

/// The page of one's own safety.
pub(super) const SECURITY: &str = "/account/security";
/// In how many characters a secret is written at a time.
const GROUP: usize = 4;

/// Whether somebody was led here.
#[derive(Debug, Deserialize)]
pub struct Led {
    required: Option<String>,
}

/// `GET /account/security`
pub async fn show(
    State(app): State<Arc<App>>,
    customer: Customer,
    notice: Notice,
    Query(led): Query<Led>,
) -> Result<Response, PageError> {
    page(&app, &customer, &notice, led.required.is_some(), FormErrors::none()).await
}

async fn page(
    app: &App,
    customer: &Customer,
    notice: &Notice,
    led_here: bool,
    errors: FormErrors,
) -> Result<Response, PageError> {
    let factors = second_factor::factors(app, customer.session.user.id).await?;
    let passkeys = passkeys::list(app, customer.session.user.id).await?.into_iter().map(|passkey| PasskeyRow {
        id: passkey.id.to_string(),
        name: passkey.name,
        added_at: passkey.created_at,
        used_at: passkey.last_used_at,
    });
    let demand = match customer.session.permissions.has(Permission::OrganisationConfigure) {
        true => Some(DemandView {
            organisation: customer.session.organisation.name.clone(),
            required: second_factor::is_demanded(app, customer.organisation()).await?,
        }),
        false => None,
    };
    let page = SecurityPage {
        frame: portal(app, customer, "Login security", Section::Account, notice).await?,
        led_here,
        totp: factors.totp,
        required: factors.required,
        any: factors.any(),
        recovery_codes_left: factors.recovery_codes_left,
        recovery_codes: RECOVERY_CODES,
        passkeys: passkeys.collect(),
        passkeys_possible: passkeys::are_possible(app),
        errors,
        provider: app.settings.oidc.as_ref().map(|provider| provider.name.clone()),
        identities: identities(app, customer).await?,
        demand,
    };
    Ok(render_with(app, notice, &page))
}

/// The accounts elsewhere that somebody has linked.
async fn identities(app: &App, customer: &Customer) -> Result<Vec<IdentityRow>, PageError> {
    let now_used = app.settings.oidc.as_ref().map_or("", |provider| provider.issuer());
    let rows = oidc::list(app, customer.session.user.id).await?.into_iter().map(|identity| IdentityRow {
        id: identity.id.to_string(),
        name: identity.email.unwrap_or_else(|| "without an address".to_owned()),
        elsewhere: (identity.issuer != now_used).then_some(identity.issuer),
        added_at: identity.created_at,
        used_at: identity.last_used_at,
    });
    Ok(rows.collect())
}

/// `POST /account/security/totp/begin`
pub async fn begin_totp(
    State(app): State<Arc<App>>,
    customer: Customer,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    second_factor::start(&app, &customer.session.user).await?;
    Ok(Redirect::to("/account/security/totp").into_response())
}

/// `GET /account/security/totp`
pub async fn show_totp(State(app): State<Arc<App>>, customer: Customer, notice: Notice) -> Result<Response, PageError> {
    totp_page(&app, &customer, &notice, FormErrors::none()).await
}

async fn totp_page(app: &App, customer: &Customer, notice: &Notice, errors: FormErrors) -> Result<Response, PageError> {
    let Some(setup) = second_factor::shown(app, &customer.session.user).await? else {
        return Ok(Redirect::to(SECURITY).into_response());
    };
    let characters: Vec<char> = setup.secret.expose_secret().chars().collect();
    let groups: Vec<String> = characters.chunks(GROUP).map(|group| group.iter().collect()).collect();
    let page = TotpPage {
        frame: portal(app, customer, "Set up an authenticator app", Section::Account, notice).await?,
        secret: groups.join(" "),
        qr: qr_code(setup.url.expose_secret(), "QR code for your authenticator app"),
        url: setup.url.expose_secret().to_owned(),
        errors,
    };
    Ok(render_with(app, notice, &page))
}

/// A code as it was typed.
#[derive(Debug, Deserialize)]
pub struct Code {
    #[serde(default)]
    code: SecretString,
}

/// `POST /account/security/totp`
pub async fn add_totp(
    State(app): State<Arc<App>>,
    customer: Customer,
    CsrfForm(form): CsrfForm<Code>,
) -> Result<Response, PageError> {
    let (user, login) = (&customer.session.user, Login::Session(customer.session.id));
    match second_factor::add(&app, user, form.code.expose_secret(), login, &customer.actor).await {
        Ok(Some(codes)) => codes_page(&app, &customer, codes).await,
        Ok(None) => Ok(redirect_with(&app, SECURITY, FlashKind::Success, "Your authenticator app is set up.")),
        Err(error) => {
            let status = status(&error);
            let page = totp_page(&app, &customer, &Notice::default(), form_errors(error)?).await?;
            Ok(if page.status().is_redirection() { page } else { (status, page).into_response() })
        }
    }
}

/// `POST /account/security/totp/remove`
pub async fn remove_totp(
    State(app): State<Arc<App>>,
    customer: Customer,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    match second_factor::remove(&app, &customer.session.user, &customer.actor).await {
        Ok(()) => Ok(redirect_with(&app, SECURITY, FlashKind::Success, "The authenticator app was removed.")),
        Err(error) => refused(&app, &customer, error).await,
    }
}

/// The page again, with what was wrong above it.
pub(super) async fn refused(app: &App, customer: &Customer, error: crate::error::Error) -> Result<Response, PageError> {
    let status = status(&error);
    let page = page(app, customer, &Notice::default(), false, form_errors(error)?).await?;
    Ok((status, page).into_response())
}

/// `POST /account/security/recovery-codes`
pub async fn make_codes(
    State(app): State<Arc<App>>,
    customer: Customer,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    match second_factor::make_anew(&app, &customer.session.user, &customer.actor).await {
        Ok(codes) => codes_page(&app, &customer, codes).await,
        Err(error) => refused(&app, &customer, error).await,
    }
}

pub(super) async fn codes_page(app: &App, customer: &Customer, codes: Vec<String>) -> Result<Response, PageError> {
    let frame = portal(app, customer, "Your recovery codes", Section::Account, &Notice::default()).await?;
    Ok(render(&RecoveryCodesPage { frame, codes }))
}

/// What an organisation demands, as it was chosen.
#[derive(Debug, Deserialize)]
pub struct Demand {
    required: Option<String>,
}

/// `POST /organisation/second-factor`
pub async fn demand(
    State(app): State<Arc<App>>,
    customer: Customer,
    CsrfForm(form): CsrfForm<Demand>,
) -> Result<Response, PageError> {
    let required = form.required.is_some();
    let user = &customer.session.user;
    match second_factor::demand(&app, customer.organisation(), required, user, &customer.actor).await {
        Ok(()) => {
            let said = if required {
                "Every member must have a second factor from now on."
            } else {
                "A second factor is no longer required."
            };
            Ok(redirect_with(&app, SECURITY, FlashKind::Success, said))
        }
        Err(error) => refused(&app, &customer, error).await,
    }
}
