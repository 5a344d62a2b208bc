//! Coming in with an account at the operator's identity provider (OpenID Connect). A person there is named by the provider and
//! its own word for him. An account here is linked with him by who is logged in here, never by a mail address alone.

mod db;
mod identities;
mod journeys;
mod judge;
mod provider;

use chrono::{DateTime, Utc};
use secrecy::SecretString;

pub(crate) use identities::forget_all;
pub use identities::{Identity, Shown, link, list, shown, unlink};
pub use journeys::{Departure, Errand, JOURNEY_MINUTES, purge};
pub use provider::{Directory, NewProvider, Provider};

use crate::app::App;
use crate::audit::Actor;
use crate::error::{Error, Result};
use crate::second_factor::{self, Method};
use crate::sessions::Session;
use crate::users::{self, BANNED, NewUser, Place, User, UserState};
use journeys::{Journey, Kind};
use judge::Person;
use provider::Proof;

/// Said to who comes from the provider with a mail address that has an account here.
const TAKEN: &str = "There is an account with your e-mail address already. Log in with your password, then link the two in your account, under Security.";
/// Said to who is new where nobody may come in anew.
const CLOSED: &str = "Nobody here is linked with that account, and registration is closed. If you have an account here, log in with your password, then link the two in your account, under Security.";
/// The longest name of a person, in characters.
const NAME_CHARACTERS_MAX: usize = 80;

/// With what the provider sent a browser back.
#[derive(Debug, Default, serde::Deserialize)]
pub struct Returned {
    /// What can be exchanged for a word about who it is, once.
    #[serde(default)]
    code: SecretString,
    /// What it was sent there with.
    #[serde(default)]
    state: String,
    /// Why there is no code.
    #[serde(default)]
    error: String,
    /// Who sends it back (RFC 9207); not every provider says so.
    #[serde(default)]
    iss: String,
}

/// Who came back.
#[derive(Debug)]
pub enum Arrival {
    /// Somebody whose account here is known.
    LoggedIn {
        /// The person.
        user: Box<User>,
        /// The provider has proved a second factor of his, and is believed.
        showed_factor: bool,
        /// Where he goes: a path of ours.
        next: String,
    },
    /// Somebody who wants to link his account there; he must say so once more, here.
    WantsToLink,
    /// Somebody who has proved once more who he is.
    Confirmed {
        /// Where he goes: a path of ours.
        next: String,
    },
}

/// Why somebody who came back does not get what he wanted, and where that is to be said.
#[derive(Debug)]
pub struct Missed {
    /// What he went there for; nothing when that is not known.
    pub errand: Option<Missing>,
    /// Where he wanted to go afterwards: a path of ours.
    pub next: String,
    /// Why.
    pub error: Error,
}

/// What somebody who is logged in went to the provider for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missing {
    /// To link an account.
    Link,
    /// To confirm who he is.
    Confirmation,
}

/// Whom people may log in with, if anybody.
fn provider(app: &App) -> Result<&Provider> {
    app.settings.oidc.as_ref().ok_or(Error::NotFound("identity provider"))
}

/// Whether a person can prove only at the provider that it is still him: he has neither password nor second factor.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn is_only_proof(app: &App, user: &User) -> Result<bool> {
    if app.settings.oidc.is_none() || users::has_password(app, user.id).await? {
        return Ok(false);
    }
    Ok(!second_factor::factors(app, user.id).await?.any())
}

/// Sends a browser to the provider. `browser` is the token that it kept from a time before; it goes on keeping that one, so that
/// two of its windows do not disturb each other.
///
/// # Errors
/// `NotFound` where no provider is set, `Unavailable` when it does not answer, `TooManyTries` where it is begun too often.
pub async fn begin(
    app: &App,
    errand: Errand<'_>,
    browser: Option<SecretString>,
    next: &str,
    place: &Place,
) -> Result<Departure> {
    let provider = provider(app)?;
    if let Errand::Confirm(session) = errand
        && !is_only_proof(app, &session.user).await?
    {
        return Err(Error::conflict("Confirm with your password or with a code."));
    }
    users::asked::count_journey(app, place).await?;
    let now = app.clock.machine_now();
    let secrets = journeys::Secrets::of(browser);
    let url = app.oidc.departure(app, provider, &secrets, errand.asks_again(), now).await?;
    journeys::keep(app, &secrets, errand, next, now).await?;
    Ok(Departure { url, browser: secrets.browser })
}

/// Somebody comes back from the provider. Of two who come back with one state, exactly one is heard.
///
/// # Errors
/// Says why not, and on which page: what came back was not begun in this browser or is too old, the provider refuses or lies, the
/// address has an account already or was not verified, registration is closed, the account is banned.
pub async fn arrive(
    app: &App,
    browser: Option<SecretString>,
    returned: &Returned,
    session: Option<&Session>,
    actor: &Actor,
) -> Result<Arrival, Missed> {
    let lost = |error| Missed { errand: None, next: String::new(), error };
    let provider = provider(app).map_err(lost)?;
    let now = app.clock.machine_now();
    let secrets = journeys::Secrets::returned(browser, &returned.state).map_err(lost)?;
    let journey = journeys::take(app, &secrets, now).await.map_err(lost)?;
    let errand = match journey.kind {
        Kind::LogIn => None,
        Kind::Link => Some(Missing::Link),
        Kind::Confirm => Some(Missing::Confirmation),
    };
    let next = journey.next.clone();
    let arrival = heard(app, provider, journey, &secrets, returned, session, (actor, now)).await;
    arrival.map_err(|error| Missed { errand, next, error })
}

async fn heard(
    app: &App,
    provider: &Provider,
    journey: Journey,
    secrets: &journeys::Secrets,
    returned: &Returned,
    session: Option<&Session>,
    (actor, now): (&Actor, DateTime<Utc>),
) -> Result<Arrival> {
    // Who looks as a customer is not that customer.
    let session = session.filter(|session| {
        session.on_behalf.is_none() && Some(session.id) == journey.session && Some(session.user.id) == journey.user
    });
    let not_begun_here = Error::Unauthenticated(journeys::NOT_BEGUN_HERE);
    if journey.kind != Kind::LogIn && session.is_none() {
        return Err(not_begun_here);
    }
    if !returned.error.is_empty() {
        return Err(provider.refused(&returned.error));
    }
    if !returned.iss.is_empty() && returned.iss != provider.issuer() {
        return Err(provider.is_away(&anyhow::anyhow!("another issuer sent somebody back: {:?}", returned.iss)));
    }
    let fresh_since = (journey.kind == Kind::Confirm).then_some(journey.created_at);
    let proof = Proof { code: &returned.code, secrets, fresh_since, now };
    let person = app.oidc.redeem(app, provider, proof).await?;
    match (journey.kind, session) {
        (Kind::Link, Some(session)) => {
            identities::may_link(provider, &person)?;
            journeys::keep_shown(app, secrets, session, &person, provider.issuer(), now).await?;
            Ok(Arrival::WantsToLink)
        }
        (Kind::Confirm, Some(session)) => {
            let owner = identities::owner(app, provider, &person.subject).await?;
            if owner.is_none_or(|owner| owner.id != session.user.id) {
                return Err(Error::conflict(format!(
                    "You logged in at {} as somebody who is not linked with this account.",
                    provider.name
                )));
            }
            let mut transaction = app.pool.begin().await?;
            let actor = actor.clone().known_as(&session.user);
            second_factor::note(app, &mut transaction, session, Method::Provider, &actor).await?;
            transaction.commit().await?;
            Ok(Arrival::Confirmed { next: journey.next })
        }
        (Kind::Link | Kind::Confirm, None) => Err(not_begun_here),
        (Kind::LogIn, _) => {
            let user = match identities::owner(app, provider, &person.subject).await? {
                Some(user) => user,
                None => welcome(app, provider, &person, actor).await?,
            };
            if user.state == UserState::Banned {
                return Err(Error::Unauthenticated(BANNED));
            }
            Ok(Arrival::LoggedIn { user: Box::new(user), showed_factor: person.showed_factor, next: journey.next })
        }
    }
}

/// An account for somebody new: only with an address that the provider has made sure of, and that has no account here. Whoever
/// has one logs in to it first, and links the two himself.
async fn welcome(app: &App, provider: &Provider, person: &Person, actor: &Actor) -> Result<User> {
    let email = identities::vouched_email(provider, person)?;
    let mut connection = app.pool.acquire().await?;
    if users::find_by_email(&mut connection, email).await?.is_some() {
        return Err(Error::conflict(TAKEN));
    }
    drop(connection);
    if !provider.may_register || !app.settings.registration_open {
        return Err(Error::conflict(CLOSED));
    }
    let name = person.name.as_deref().or_else(|| email.split('@').next()).unwrap_or(email);
    let name: String = name.chars().filter(|c| crate::error::is_plain_line(c.encode_utf8(&mut [0; 4]))).collect();
    let name: String = name.trim().chars().take(NAME_CHARACTERS_MAX).collect();
    let name = if name.is_empty() { email.chars().take(NAME_CHARACTERS_MAX).collect() } else { name };
    // Nobody knows this password; who wants one has a link sent to his address.
    let password = crate::random_tokens::make().into();
    let new = NewUser { email: email.to_owned(), name, organisation: String::new(), password };
    match identities::register(app, provider, person, new, actor).await {
        Ok(user) => Ok(user),
        // The same person may have come at once with another browser, or somebody registered with the address by hand.
        Err(Error::Invalid(problems)) if problems.iter().any(|problem| problem.field == "email") => {
            let owner = identities::owner(app, provider, &person.subject).await?;
            owner.ok_or_else(|| Error::conflict(TAKEN))
        }
        Err(other) => Err(other),
    }
}
