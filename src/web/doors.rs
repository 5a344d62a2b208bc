//! Who may enter where. Every route is declared with its door, the extractors in a handler's signature check it, and a route
//! without one lets nobody in.

use std::sync::Arc;

use axum::extract::MatchedPath;
use axum::handler::Handler;
use axum::http::Method;
use axum::http::request::Parts;
use axum::routing::{MethodFilter, on};
use axum::{Extension, Router, middleware};

use super::{bodies, kept_forms, limits};
use crate::app::App;
use crate::error::{Error, Result};
use crate::permissions::{Permission, Permissions};
use crate::sessions::Assurance;
use crate::users::{SUSPENDED, User, UserState};

/// Who may enter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Door {
    /// Anybody, logged in or not.
    Anybody,
    /// A person, about his own account. A suspended one may still look after its safety.
    Account,
    /// Any member of the organisation.
    Member,
    /// Who has this permission: in the organisation, or as staff of the platform.
    May(Permission),
}

impl From<Permission> for Door {
    fn from(permission: Permission) -> Self {
        Self::May(permission)
    }
}

/// A door, and what it demands beyond that.
#[derive(Debug, Clone, Copy)]
pub struct Entry {
    door: Door,
    confirmed: bool,
}

impl<D: Into<Door>> From<D> for Entry {
    fn from(door: D) -> Self {
        Self { door: door.into(), confirmed: false }
    }
}

/// Doors that open to dangerous acts.
pub trait Confirmed {
    /// The same door, for who proved a moment ago that it is still him.
    fn confirmed(self) -> Entry;
}

impl<D: Into<Door>> Confirmed for D {
    fn confirmed(self) -> Entry {
        Entry { door: self.into(), confirmed: true }
    }
}

/// Left in the request where a door demands a fresh proof.
#[derive(Debug, Clone, Copy)]
struct NeedsConfirmation;

/// A method of a path, and who may use it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// The method.
    pub method: Method,
    /// The path, with `{names}` for its parts.
    pub path: String,
    /// Who may enter.
    pub door: Door,
    /// Whether he must have proved a moment ago who he is.
    pub confirmed: bool,
}

/// Routes with their doors.
pub(super) struct Doors {
    router: Router<Arc<App>>,
    routes: Vec<Route>,
}

impl Doors {
    pub fn new() -> Self {
        Self { router: Router::new(), routes: Vec::new() }
    }

    pub fn get<H: Handler<T, Arc<App>>, T: 'static>(self, path: &str, door: impl Into<Entry>, handler: H) -> Self {
        self.on(Method::GET, MethodFilter::GET, path, door.into(), handler)
    }

    pub fn post<H: Handler<T, Arc<App>>, T: 'static>(self, path: &str, door: impl Into<Entry>, handler: H) -> Self {
        self.on(Method::POST, MethodFilter::POST, path, door.into(), handler)
    }

    pub fn put<H: Handler<T, Arc<App>>, T: 'static>(self, path: &str, door: impl Into<Entry>, handler: H) -> Self {
        self.on(Method::PUT, MethodFilter::PUT, path, door.into(), handler)
    }

    pub fn patch<H: Handler<T, Arc<App>>, T: 'static>(self, path: &str, door: impl Into<Entry>, handler: H) -> Self {
        self.on(Method::PATCH, MethodFilter::PATCH, path, door.into(), handler)
    }

    pub fn delete<H: Handler<T, Arc<App>>, T: 'static>(self, path: &str, door: impl Into<Entry>, handler: H) -> Self {
        self.on(Method::DELETE, MethodFilter::DELETE, path, door.into(), handler)
    }

    fn on<H, T>(mut self, method: Method, filter: MethodFilter, path: &str, entry: Entry, handler: H) -> Self
    where
        H: Handler<T, Arc<App>>,
        T: 'static,
    {
        let Entry { door, confirmed } = entry;
        let mut handled = on(filter, handler).layer(Extension(door));
        if confirmed {
            handled = handled.layer(Extension(NeedsConfirmation)).layer(middleware::from_fn(kept_forms::hold));
        }
        if method != Method::GET {
            handled = handled.layer(middleware::from_fn(bodies::await_whole));
        }
        if door == Door::Anybody {
            handled = handled.layer(middleware::from_fn(limits::at_open_door));
        }
        self.router = self.router.route(path, handled);
        self.routes.push(Route { method, path: path.to_owned(), door, confirmed });
        self
    }

    /// The routes of another list below a path.
    pub fn nest(mut self, prefix: &str, other: Self) -> Self {
        self.routes
            .extend(other.routes.into_iter().map(|route| Route { path: format!("{prefix}{}", route.path), ..route }));
        self.router = self.router.nest(prefix, other.router);
        self
    }

    /// The routes of both.
    pub fn merge(mut self, other: Self) -> Self {
        self.routes.extend(other.routes);
        self.router = self.router.merge(other.router);
        self
    }

    /// What answers where there is no route.
    pub fn fallback<H: Handler<T, Arc<App>>, T: 'static>(mut self, handler: H) -> Self {
        self.router = self.router.fallback(handler);
        self
    }

    pub fn into_router(self) -> Router<Arc<App>> {
        self.router
    }

    pub fn into_routes(self) -> Vec<Route> {
        self.routes
    }
}

/// Lets somebody in, or says why not. `permissions` are those in the organisation he asks for.
///
/// # Errors
/// `Forbidden` with a sentence, or what is missing: `NotPermitted`, `SecondFactorMissing`, `NotConfirmed`. `Internal` when the route has no door, or one that needs nobody to be known: a mistake of ours
/// that must let nobody in.
pub(super) fn admit(
    parts: &Parts,
    app: &App,
    user: &User,
    permissions: Permissions,
    assurance: Assurance,
) -> Result<()> {
    let door = door_of(parts)?;
    let console = [Permission::VmConsole, Permission::PlatformVmConsole].map(Door::May).contains(&door);
    // Who has a console open does more than look.
    let looks = matches!(parts.method, Method::GET | Method::HEAD) && !console;
    match door {
        Door::Anybody => Err(misplaced(parts)),
        Door::Account => Ok(()),
        Door::Member => {
            refuse_without_factor(assurance.missing_for_organisation).and_then(|()| refuse_suspended(user, looks))
        }
        Door::May(permission) if permission.is_platform() => {
            if user.platform_role.is_none() {
                return Err(Error::Forbidden("This is for the operators of the platform."));
            }
            if !user.platform_permissions().has(permission) {
                return Err(Error::NotPermitted(permission));
            }
            refuse_without_factor(assurance.missing_for_platform)?;
            refuse_suspended(user, looks)
        }
        Door::May(permission) => {
            if !permissions.has(permission) {
                return Err(Error::NotPermitted(permission));
            }
            refuse_without_factor(assurance.missing_for_organisation)?;
            refuse_suspended(user, looks)
        }
    }?;
    let needs_confirmation = parts.extensions.get::<NeedsConfirmation>().is_some();
    if needs_confirmation && !assurance.is_confirmed(app.clock.machine_now()) {
        return Err(Error::NotConfirmed);
    }
    Ok(())
}

fn refuse_without_factor(missing: bool) -> Result<()> {
    if missing { Err(Error::SecondFactorMissing) } else { Ok(()) }
}

/// Doors that lead away: open to who looks as a customer as well.
const LEAVING: [&str; 2] = ["/logout", "/impersonation/stop"];
/// Doors to secrets whose permission would let him in who looks as a customer.
const SECRETS: [&str; 1] = ["/vms/{id}/user-data"];

/// Lets nobody who looks as a customer through to money, secrets or people: only to what is left of the customer's
/// permissions then, and of what needs none only to look.
///
/// # Errors
/// `Forbidden` with a sentence.
pub(super) fn admit_on_behalf(parts: &Parts, left: Permissions) -> Result<()> {
    let path = parts.extensions.get::<MatchedPath>().map_or("", MatchedPath::as_str);
    let looks = matches!(parts.method, Method::GET | Method::HEAD);
    let open = match door_of(parts)? {
        Door::Anybody => true,
        Door::Account => LEAVING.contains(&path),
        Door::Member => looks,
        Door::May(permission) => left.has(permission) && !SECRETS.contains(&path),
    };
    if open {
        return Ok(());
    }
    Err(Error::Forbidden(
        "This stays closed while you look at the portal as a customer. Go back, and stop looking as him to be yourself again.",
    ))
}

/// As [`admit`], for a program with a key of a person: never where only a person may enter, nor where staff work.
///
/// # Errors
/// As [`admit`].
pub(super) fn admit_key(
    parts: &Parts,
    app: &App,
    maker: &User,
    permissions: Permissions,
    assurance: Assurance,
) -> Result<()> {
    match door_of(parts)? {
        Door::Account => Err(Error::Forbidden("An API key cannot do this: it is for a person who has logged in.")),
        Door::May(permission) if permission.is_platform() => {
            Err(Error::Forbidden("This is for the operators of the platform, and never for an API key."))
        }
        Door::May(permission) if !permissions.has(permission) => Err(Error::NotPermittedToKey(permission)),
        Door::Anybody | Door::Member | Door::May(_) => admit(parts, app, maker, permissions, assurance),
    }
}

/// As [`admit`], where only staff may enter: the door must be theirs.
///
/// # Errors
/// As [`admit`].
pub(super) fn admit_staff(parts: &Parts, app: &App, user: &User, assurance: Assurance) -> Result<()> {
    match door_of(parts)? {
        Door::May(permission) if permission.is_platform() => admit(parts, app, user, Permissions::NONE, assurance),
        _ => Err(misplaced(parts)),
    }
}

fn door_of(parts: &Parts) -> Result<Door> {
    parts.extensions.get::<Door>().copied().ok_or_else(|| misplaced(parts))
}

fn misplaced(parts: &Parts) -> Error {
    Error::Internal(anyhow::anyhow!("{} {} has no door for who asks", parts.method, parts.uri.path()))
}

fn refuse_suspended(user: &User, looks: bool) -> Result<()> {
    if looks || user.state == UserState::Active {
        return Ok(());
    }
    Err(Error::Forbidden(SUSPENDED))
}
