//! Coming in and going out: login, registration, logout.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Redirect, Response};
use axum_extra::extract::CookieJar;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rand::Rng;
use secrecy::SecretString;
use serde::Deserialize;

use super::frames::{Notice, add_cookie, bare, form_errors, render_with};
use super::organisations::email_of;
use super::recovery::with_head_of;
use crate::app::App;
use crate::passkeys;
use crate::permissions::Permission;
use crate::second_factor::{self, Method};
use crate::sessions::{self, Session};
use crate::users::{self, NewUser, PASSWORD_CHARACTERS_MIN, Place, User};
use crate::web::back::own_path;
use crate::web::error::{PageError, status, with_patience};
use crate::web::forms::{ANONYMOUS_CSRF, CsrfForm, Nothing};
use crate::web::read::Query;
use crate::web::request::Origin;
use crate::web::session::{Customer, cookie, cookie_name, pending_cookie, session_cookie, session_of};
use crate::web::views::auth::{LoginPage, RegisterPage};
use crate::web::views::form::FormErrors;

/// The cookie by which a browser is known in which somebody has logged in before.
const DEVICE: &str = "device";
/// How long it is kept, in days.
const DEVICE_DAYS: i64 = 180;

/// What a login form holds.
#[derive(Debug, Deserialize)]
pub struct Login {
    #[serde(default)]
    email: String,
    #[serde(default)]
    password: SecretString,
    #[serde(default)]
    next: String,
}

/// Where to go after the login.
#[derive(Debug, Deserialize)]
pub struct Next {
    #[serde(default)]
    next: String,
}

/// `GET /`
pub async fn home(State(app): State<Arc<App>>, parts: Parts) -> Result<Response, PageError> {
    let to = session_of(&parts, &app).await?.map_or("/login", |session| first_page(&session));
    Ok(Redirect::to(to).into_response())
}

/// Where somebody begins: the first page that his role opens.
fn first_page(session: &Session) -> &'static str {
    let pages = [
        (Permission::VmView, "/vms"),
        (Permission::BillingView, "/wallet"),
        (Permission::SshKeyView, "/ssh-keys"),
        (Permission::AuditView, "/audit"),
        (Permission::OrganisationView, "/organisation"),
    ];
    pages.iter().find(|(permission, _)| session.permissions.has(*permission)).map_or("/notifications", |(_, page)| page)
}

/// `GET /login`
pub async fn show_login(
    State(app): State<Arc<App>>,
    notice: Notice,
    Query(query): Query<Next>,
    parts: Parts,
) -> Result<Response, PageError> {
    if session_of(&parts, &app).await?.is_some() {
        return Ok(Redirect::to(own_path(&query.next)).into_response());
    }
    Ok(login_page(&app, &notice, &parts, String::new(), query.next, FormErrors::none()))
}

fn login_page(
    app: &Arc<App>,
    notice: &Notice,
    parts: &Parts,
    email: String,
    next: String,
    errors: FormErrors,
) -> Response {
    let (csrf, new) = anonymous_csrf(app, parts);
    let frame = bare(app, "Log in", notice);
    let page = LoginPage {
        frame,
        csrf: csrf.clone(),
        email,
        next,
        errors,
        may_register: app.settings.registration_open,
        provider: app.settings.oidc.as_ref().map(|provider| provider.name.clone()),
        passkeys: passkeys::are_possible(app),
    };
    with_anonymous_csrf(app, render_with(app, notice, &page), csrf, new)
}

/// `POST /login`
pub async fn login(
    State(app): State<Arc<App>>,
    origin: Origin,
    parts: Parts,
    CsrfForm(form): CsrfForm<Login>,
) -> Result<Response, PageError> {
    let place = place_of(&app, &parts, &origin);
    match users::authenticate(&app, &form.email, form.password, &place, origin.stranger()).await {
        Ok(user) => enter(&app, &user, &origin, &parts, own_path(&form.next)).await,
        Err(error) => refused(&app, &parts, form.email, form.next, error),
    }
}

/// The page of the login again, with what was wrong.
pub(super) fn refused(
    app: &Arc<App>,
    parts: &Parts,
    email: String,
    next: String,
    error: crate::error::Error,
) -> Result<Response, PageError> {
    let head = with_patience(&error, status(&error).into_response());
    let page = login_page(app, &Notice::default(), parts, email, next, form_errors(error)?);
    Ok(with_head_of(&head, page))
}

/// `GET /register`
pub async fn show_register(
    State(app): State<Arc<App>>,
    notice: Notice,
    Query(query): Query<Next>,
    parts: Parts,
) -> Result<Response, PageError> {
    if session_of(&parts, &app).await?.is_some() {
        return Ok(Redirect::to(own_path(&query.next)).into_response());
    }
    if !app.settings.registration_open {
        return Err(PageError::Request(
            StatusCode::FORBIDDEN,
            "Registration is closed. Ask the operator for an account.".into(),
        ));
    }
    // Who was invited registers with the address that the invitation went to.
    let email = email_of(&app, &query.next).await.unwrap_or_default();
    let typed = (String::new(), email, String::new());
    Ok(register_page(&app, &notice, &parts, typed, query.next, FormErrors::none()))
}

type Typed = (String, String, String);

fn register_page(
    app: &Arc<App>,
    notice: &Notice,
    parts: &Parts,
    (name, email, organisation): Typed,
    next: String,
    errors: FormErrors,
) -> Response {
    let (csrf, new) = anonymous_csrf(app, parts);
    let page = RegisterPage {
        frame: bare(app, "Register", notice),
        csrf: csrf.clone(),
        next,
        name,
        email,
        organisation,
        password_length_min: PASSWORD_CHARACTERS_MIN,
        sign_up_credit: app.settings.sign_up_credit.to_decimal(),
        currency: app.settings.currency.clone(),
        provider: app
            .settings
            .oidc
            .as_ref()
            .filter(|provider| provider.may_register)
            .map(|provider| provider.name.clone()),
        errors,
    };
    with_anonymous_csrf(app, render_with(app, notice, &page), csrf, new)
}

/// `POST /register`
pub async fn register(
    State(app): State<Arc<App>>,
    origin: Origin,
    Query(query): Query<Next>,
    parts: Parts,
    CsrfForm(form): CsrfForm<NewUser>,
) -> Result<Response, PageError> {
    let typed = (form.name.clone(), form.email.clone(), form.organisation.clone());
    match users::register(&app, form, origin.stranger()).await {
        Ok((user, _)) => enter(&app, &user, &origin, &parts, own_path(&query.next)).await,
        Err(error) => {
            let head = with_patience(&error, status(&error).into_response());
            let page = register_page(&app, &Notice::default(), &parts, typed, query.next, form_errors(error)?);
            Ok(with_head_of(&head, page))
        }
    }
}

/// `POST /logout`
pub async fn logout(
    State(app): State<Arc<App>>,
    customer: Customer,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    sessions::end(&app, &customer.session, &customer.actor).await?;
    Ok(without_session(&app, Redirect::to("/login").into_response()))
}

/// An answer that takes the session's cookie away.
pub(super) fn without_session(app: &App, mut response: Response) -> Response {
    let mut gone = cookie(app, "session", String::new());
    gone.make_removal();
    add_cookie(&mut response, &gone);
    response
}

/// Lets somebody in who has given the right password, or asks him for his second factor first.
pub(super) async fn enter(
    app: &Arc<App>,
    user: &User,
    origin: &Origin,
    parts: &Parts,
    to: &str,
) -> Result<Response, PageError> {
    enter_through(app, user, origin, parts, to, Method::Password).await
}

/// The same, whatever he gave first.
pub(super) async fn enter_through(
    app: &Arc<App>,
    user: &User,
    origin: &Origin,
    parts: &Parts,
    to: &str,
    way: Method,
) -> Result<Response, PageError> {
    if let Some(token) = second_factor::begin(app, user, way, origin.stranger()).await? {
        let next = percent_encoding::utf8_percent_encode(to, percent_encoding::NON_ALPHANUMERIC);
        let mut response = Redirect::to(&format!("/login/code?next={next}")).into_response();
        add_cookie(&mut response, &pending_cookie(app, &token));
        return Ok(response);
    }
    let_in_through(app, user, origin, parts, to, way).await
}

/// Lets somebody in who has proved all that he must.
pub(super) async fn let_in(
    app: &Arc<App>,
    user: &User,
    origin: &Origin,
    parts: &Parts,
    to: &str,
) -> Result<Response, PageError> {
    let token = sessions::start(app, user, origin.stranger(), origin.user_agent.as_deref()).await?;
    is_in(app, user, parts, to, token).await
}

/// The same, and the way is written down.
pub(super) async fn let_in_through(
    app: &Arc<App>,
    user: &User,
    origin: &Origin,
    parts: &Parts,
    to: &str,
    way: Method,
) -> Result<Response, PageError> {
    let (actor, user_agent) = (origin.stranger(), origin.user_agent.as_deref());
    let token = sessions::start_through(app, user, actor, user_agent, way.name()).await?;
    is_in(app, user, parts, to, token).await
}

async fn is_in(app: &Arc<App>, user: &User, parts: &Parts, to: &str, token: String) -> Result<Response, PageError> {
    let mut response = Redirect::to(to).into_response();
    add_cookie(&mut response, &session_cookie(app, token));
    remember_device(app, user, parts, &mut response).await?;
    Ok(response)
}

/// From where somebody asks, and with which browser.
pub(super) fn place_of(app: &App, parts: &Parts, origin: &Origin) -> Place {
    Place::new(origin.address().as_deref(), device_of(app, parts).as_deref())
}

/// The token that this browser was given when somebody logged in with it.
fn device_of(app: &App, parts: &Parts) -> Option<String> {
    let jar = CookieJar::from_headers(&parts.headers);
    jar.get(&cookie_name(app, DEVICE)).map(|cookie| cookie.value().to_owned())
}

/// Remembers that this browser is the person's, so that what strangers try does not keep him out of it.
pub(super) async fn remember_device(
    app: &App,
    user: &User,
    parts: &Parts,
    response: &mut Response,
) -> Result<(), PageError> {
    if let Some(token) = users::remember_device(app, user, device_of(app, parts).as_deref()).await? {
        let mut device = cookie(app, DEVICE, token);
        device.set_max_age(time::Duration::days(DEVICE_DAYS));
        add_cookie(response, &device);
    }
    Ok(())
}

/// The token that stands in for a session's before there is one, and whether it is new.
pub(super) fn anonymous_csrf(app: &App, parts: &Parts) -> (String, bool) {
    let jar = CookieJar::from_headers(&parts.headers);
    match jar.get(&cookie_name(app, ANONYMOUS_CSRF)) {
        Some(known) if known.value().len() >= 32 => (known.value().to_owned(), false),
        _ => {
            let mut bytes = [0_u8; 32];
            rand::rng().fill_bytes(&mut bytes);
            (BASE64_URL_SAFE_NO_PAD.encode(bytes), true)
        }
    }
}

pub(super) fn with_anonymous_csrf(app: &App, mut response: Response, csrf: String, new: bool) -> Response {
    if new {
        add_cookie(&mut response, &cookie(app, ANONYMOUS_CSRF, csrf));
    }
    response
}
