//! Consoles: one-time addresses, and the WebSocket between a browser and the cluster. The browser never learns where the
//! machine runs, nor any password or ticket: this side proves who it is, and the browser is let in because it is logged in.

mod bridge;
mod screen;
mod serial;
mod upstream;

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::ws::{WebSocketUpgrade, rejection::WebSocketUpgradeRejection};
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};
use axum_extra::extract::CookieJar;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::error::{ApiError, PageError};
use super::forms::CsrfForm;
use super::read::{Path, Query};
use super::session::{Customer, Staff, cookie_name};
use crate::app::App;
use crate::audit::{self, Event, Subject};
use crate::consoles::Leave;
use crate::error::{Error, Result};
use crate::ids::VmId;
use crate::sessions::Standing;
use crate::vms::{self, ConsoleKind, Vm};
use upstream::Upstream;

/// How often it is looked whether a console may stay open: login, machine, its state.
const CHECK_PAUSE: Duration = Duration::from_secs(5);
/// How long nobody may press a key or move the pointer.
const IDLE_MAX: Duration = Duration::from_secs(30 * 60);
/// How long one console stays open.
const OPEN_MAX: Duration = Duration::from_secs(8 * 60 * 60);
/// The largest message read from a browser, bytes.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// How much may wait to be written to either side, bytes; who does not read is cut off.
const BUFFERED_BYTES_MAX: usize = 2 * 1024 * 1024;
/// How long either side may take to read what it was sent.
const SEND_MAX: Duration = Duration::from_secs(30);
/// How long the cluster may take for the WebSocket and the handshake on it: its own listener waits 10 s.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// The longest reason an operator gives, characters.
pub const REASON_CHARACTERS_MAX: usize = 200;

/// What a page asks with.
#[derive(Debug, Deserialize)]
pub struct Wanted {
    #[serde(default)]
    kind: ConsoleKind,
    #[serde(default)]
    reason: String,
}

/// Where a console can be opened once.
// No Debug: there is a secret in it.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = ConsoleAddress)]
pub struct Address {
    /// A WebSocket; the part after the host for pages, the whole for programs.
    pub url: String,
    /// Seconds until it expires.
    pub expires_in: i64,
    /// Whether the machine has a serial console besides its screen.
    pub has_serial: bool,
}

/// Checks that a console can be opened, and gives the path that opens it once.
///
/// # Errors
/// As [`vms::has_serial_console`], and `Conflict` when there are too many.
pub(super) async fn address(app: &App, vm: &Vm, leave: Leave) -> Result<Address> {
    let has_serial = vms::has_serial_console(app, vm).await?;
    let ticket = app.consoles.give(leave, app.clock.machine_now())?;
    let url = format!("/vms/{}/console/socket?ticket={ticket}", vm.id);
    Ok(Address { url, expires_in: crate::consoles::TICKET_SECONDS, has_serial })
}

/// `POST /vms/{id}/console/ticket`
pub async fn ticket(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<VmId>,
    jar: CookieJar,
    CsrfForm(wanted): CsrfForm<Wanted>,
) -> Result<Json<Address>, ApiError> {
    let vm = vms::find(&app, customer.organisation(), id).await?;
    let leave = leave(&app, &jar, &vm, wanted.kind, &customer)?;
    Ok(Json(address(&app, &vm, leave).await?))
}

/// `POST /admin/vms/{id}/console/ticket`
pub async fn ticket_for_staff(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<VmId>,
    jar: CookieJar,
    CsrfForm(wanted): CsrfForm<Wanted>,
) -> Result<Json<Address>, ApiError> {
    let reason = checked_reason(&wanted.reason)?;
    let vm = vms::find_for_staff(&app, id).await?;
    let person = Customer { session: staff.session, actor: staff.actor };
    let leave = Leave { reason: Some(reason), ..leave(&app, &jar, &vm, wanted.kind, &person)? };
    Ok(Json(address(&app, &vm, leave).await?))
}

/// Why an operator looks at somebody's machine: its owner reads it.
///
/// # Errors
/// `Invalid` when it is missing, too long or not one line.
pub(super) fn checked_reason(reason: &str) -> Result<String> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(Error::invalid("reason", "Say why. The customer reads it in the audit log."));
    }
    if reason.chars().count() > REASON_CHARACTERS_MAX {
        return Err(Error::invalid("reason", format!("At most {REASON_CHARACTERS_MAX} characters.")));
    }
    if !crate::error::is_plain_line(reason) {
        return Err(Error::invalid("reason", crate::error::NOT_A_PLAIN_LINE));
    }
    Ok(reason.to_owned())
}

fn leave(app: &App, jar: &CookieJar, vm: &Vm, kind: ConsoleKind, customer: &Customer) -> Result<Leave> {
    let cookie = jar.get(&cookie_name(app, "session")).ok_or(Error::Unauthenticated("Nobody is logged in."))?;
    Ok(Leave {
        vm: vm.id,
        organisation: vm.organisation,
        kind,
        standing: Standing::of_cookie(cookie.value()),
        person: customer.session.user.id,
        actor: customer.actor.clone(),
        reason: None,
    })
}

/// What opens a WebSocket: a ticket, or the session of the browser.
// No Debug: there is a secret in it.
#[derive(Deserialize)]
struct Asked {
    ticket: Option<String>,
    #[serde(default)]
    kind: ConsoleKind,
}

/// Somebody who may open one console: with a ticket, or as a logged-in browser for a machine of his own.
#[derive(Debug)]
pub struct Visitor(Leave);

impl FromRequestParts<Arc<App>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> std::result::Result<Self, Self::Rejection> {
        let Query(asked) = Query::<Asked>::from_request_parts(parts, app).await.map_err(IntoResponse::into_response)?;
        let path = Path::<VmId>::from_request_parts(parts, app).await;
        let refuse = |error: Error| ApiError::from(error).into_response();
        if let Some(ticket) = asked.ticket {
            // Programs name no origin; a page that does must be ours.
            if parts.headers.contains_key(header::ORIGIN) {
                check_origin(app, &parts.headers).map_err(refuse)?;
            }
            let Path(id) = path.map_err(IntoResponse::into_response)?;
            return app.consoles.take(&ticket, id, app.clock.machine_now()).map(Self).map_err(refuse);
        }
        let customer = Customer::from_request_parts(parts, app).await.map_err(PageError::into_response)?;
        // A cookie is sent whatever page opens the WebSocket, so that must be one of ours.
        check_origin(app, &parts.headers).map_err(refuse)?;
        let Path(id) = path.map_err(IntoResponse::into_response)?;
        let vm = vms::find(app, customer.organisation(), id).await.map_err(refuse)?;
        let jar = CookieJar::from_headers(&parts.headers);
        leave(app, &jar, &vm, asked.kind, &customer).map(Self).map_err(refuse)
    }
}

fn check_origin(app: &App, headers: &HeaderMap) -> Result<()> {
    let own = app.settings.public_url.split('/').take(3).collect::<Vec<_>>().join("/");
    let origin = headers.get(header::ORIGIN).and_then(|origin| origin.to_str().ok()).unwrap_or_default();
    if origin.eq_ignore_ascii_case(&own) {
        Ok(())
    } else {
        Err(Error::Forbidden("A console can only be opened from a page of this site."))
    }
}

/// `GET /vms/{id}/console/socket`
pub async fn socket(
    State(app): State<Arc<App>>,
    Visitor(leave): Visitor,
    upgrade: std::result::Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, ApiError> {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return Ok(rejection.into_response()),
    };
    let vm = match leave.reason {
        Some(_) => vms::find_for_staff(&app, leave.vm).await?,
        None => vms::find(&app, leave.organisation, leave.vm).await?,
    };
    if !leave.standing.is_good_for_console(&app, vm.organisation).await? {
        return Err(Error::Unauthenticated("You have been logged out.").into());
    }
    vms::check_console(&vm)?;
    let place = app.consoles.enter(vm.id, leave.person)?;
    let upstream = open(&app, &vm, leave.kind).await?;
    let visit = bridge::Visit { place, leave, name: vm.name };
    record(&app, &visit, Event::ConsoleOpened, json!({})).await?;
    let answer = upgrade
        .protocols(["binary"])
        .max_message_size(MESSAGE_BYTES_MAX)
        .max_frame_size(MESSAGE_BYTES_MAX)
        .max_write_buffer_size(BUFFERED_BYTES_MAX)
        .on_upgrade(move |browser| async move {
            let began = tokio::time::Instant::now();
            let (visit, why) = bridge::run(&app, browser, upstream, visit).await;
            let detail = json!({ "seconds": began.elapsed().as_secs(), "why": why });
            if let Err(error) = record(&app, &visit, Event::ConsoleClosed, detail).await {
                tracing::error!(?error, vm = %visit.leave.vm, "the end of a console was not written down");
            }
        });
    Ok(answer)
}

/// Opens the console on the cluster and goes through the handshake, so that what follows is only to be passed on.
async fn open(app: &App, vm: &Vm, kind: ConsoleKind) -> Result<Upstream> {
    let console = vms::open_console(app, vm, kind).await?;
    let connecting = async {
        let mut upstream = Upstream::connect(&console.socket).await?;
        match kind {
            ConsoleKind::Screen => screen::authenticate(&mut upstream, &console.secret).await?,
            ConsoleKind::Serial => serial::greet(&mut upstream, &console.secret).await?,
        }
        anyhow::Ok(upstream)
    };
    let outcome = tokio::time::timeout(CONNECT_MAX, connecting).await;
    let cause = match outcome {
        Ok(Ok(upstream)) => return Ok(upstream),
        Ok(Err(error)) => error,
        Err(_) => anyhow::anyhow!("no answer within {CONNECT_MAX:?}"),
    };
    tracing::warn!(vm = %vm.id, kind = kind.name(), error = ?cause, "a console was opened and could not be reached");
    Err(Error::Unavailable(format!("The console of {} did not answer. Try again in a moment.", vm.name)))
}

/// Writes into the audit log that a console was opened or closed.
async fn record(app: &App, visit: &bridge::Visit, event: Event, mut detail: serde_json::Value) -> Result<()> {
    let leave = &visit.leave;
    detail["console"] = json!(leave.kind.name());
    if let Some(reason) = &leave.reason {
        detail["reason"] = json!(reason);
    }
    let subject = Subject::new("vm", leave.vm, visit.name.clone());
    let mut transaction = app.pool.begin().await?;
    let organisation = Some(leave.organisation);
    audit::record(&mut transaction, app.clock.now(), &leave.actor, organisation, event, subject, detail).await?;
    transaction.commit().await?;
    Ok(())
}
