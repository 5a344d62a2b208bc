//! The way to the provider and back: a row that lives for some minutes and is used once. It is found by what only the browser
//! that began it holds, together with what the provider was given.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::db;
use super::judge::Person;
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{SessionId, UserId};
use crate::random_tokens;
use crate::sessions::Session;

/// How long somebody may stay at the provider, and how long he may take to say that he wants to link what he showed.
pub const JOURNEY_MINUTES: i64 = 10;
/// As long as those that are made here; others are somebody's own.
const TOKEN_CHARACTERS: usize = 43;
/// The longest path to go to afterwards, in characters.
const NEXT_CHARACTERS_MAX: usize = 2000;

/// Said when what came back does not belong to what was begun in this browser.
pub(super) const NOT_BEGUN_HERE: &str =
    "This login was not begun in this browser, was used before, or took too long. Begin again.";

/// What somebody goes to the provider for.
#[derive(Debug, Clone, Copy)]
pub enum Errand<'a> {
    /// To log in.
    LogIn,
    /// To link his account there with the one that he is logged in to here.
    Link(&'a Session),
    /// To prove once more, within a login, that it is still him.
    Confirm(&'a Session),
}

impl<'a> Errand<'a> {
    fn kind(self) -> Kind {
        match self {
            Self::LogIn => Kind::LogIn,
            Self::Link(_) => Kind::Link,
            Self::Confirm(_) => Kind::Confirm,
        }
    }

    fn session(self) -> Option<&'a Session> {
        match self {
            Self::LogIn => None,
            Self::Link(session) | Self::Confirm(session) => Some(session),
        }
    }

    /// Whether the provider must ask for a proof, even of somebody whom it knows already.
    pub(super) fn asks_again(self) -> bool {
        matches!(self, Self::Confirm(_))
    }
}

/// The same, as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    LogIn,
    Link,
    Confirm,
}

impl Kind {
    pub const fn name(self) -> &'static str {
        match self {
            Self::LogIn => "log in",
            Self::Link => "link",
            Self::Confirm => "confirm",
        }
    }

    pub fn parse(text: &str) -> Option<Self> {
        [Self::LogIn, Self::Link, Self::Confirm].into_iter().find(|kind| kind.name() == text)
    }
}

/// The way to the provider.
// No Debug: there is a secret in it.
pub struct Departure {
    /// Where the browser goes.
    pub url: String,
    /// What it keeps meanwhile, in a cookie.
    pub browser: SecretString,
}

/// A journey whose browser has come back.
#[derive(Debug)]
pub(super) struct Journey {
    pub kind: Kind,
    pub user: Option<UserId>,
    pub session: Option<SessionId>,
    pub next: String,
    pub created_at: DateTime<Utc>,
}

/// What ties a journey to its browser. All but the state follows from a token that only the browser holds.
pub(super) struct Secrets {
    pub browser: SecretString,
    pub state: String,
}

impl Secrets {
    /// Of a new journey.
    pub fn of(browser: Option<SecretString>) -> Self {
        let known = browser.filter(|token| token.expose_secret().len() == TOKEN_CHARACTERS);
        Self { browser: known.unwrap_or_else(|| random_tokens::make().into()), state: random_tokens::make() }
    }

    /// Of one that comes back.
    pub fn returned(browser: Option<SecretString>, state: &str) -> Result<Self> {
        let browser = browser.ok_or(Error::Unauthenticated(NOT_BEGUN_HERE))?;
        Ok(Self { browser, state: state.to_owned() })
    }

    /// Nobody who sees one of these, or the database, learns another: each is a hash of the browser's 256 random bits.
    fn derived(&self, of: &str) -> String {
        let mut hash = Sha256::new();
        for part in ["uni-manager oidc", of, self.browser.expose_secret(), &self.state] {
            hash.update(part.len().to_be_bytes());
            hash.update(part.as_bytes());
        }
        BASE64_URL_SAFE_NO_PAD.encode(hash.finalize())
    }

    /// What the provider must put into its word.
    pub fn nonce(&self) -> String {
        self.derived("nonce")
    }

    /// What proves to the provider that the code comes from who asked for it (PKCE).
    pub fn verifier(&self) -> String {
        self.derived("verifier")
    }

    fn browser_hash(&self) -> Vec<u8> {
        random_tokens::hash(self.browser.expose_secret())
    }
}

/// Keeps a journey that begins.
pub(super) async fn keep(
    app: &App,
    secrets: &Secrets,
    errand: Errand<'_>,
    next: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    let next = if (1..=NEXT_CHARACTERS_MAX).contains(&next.len()) { next } else { "/" };
    let session = errand.session();
    let new = db::NewJourney {
        id: Uuid::now_v7(),
        state_hash: Some(random_tokens::hash(&secrets.state)),
        browser_hash: secrets.browser_hash(),
        kind: errand.kind(),
        user: session.map(|session| session.user.id),
        session: session.map(|session| session.id),
        next,
        shown: None,
        created_at: now,
        expires_at: now + TimeDelta::minutes(JOURNEY_MINUTES),
    };
    db::insert_journey(&app.pool, &new).await
}

/// Keeps what somebody showed until he says that he wants to link it; what he showed before in this browser is forgotten.
pub(super) async fn keep_shown(
    app: &App,
    secrets: &Secrets,
    session: &Session,
    person: &Person,
    issuer: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    let browser_hash = secrets.browser_hash();
    db::delete_shown(&app.pool, &browser_hash).await?;
    let new = db::NewJourney {
        id: Uuid::now_v7(),
        state_hash: None,
        browser_hash,
        kind: Kind::Link,
        user: Some(session.user.id),
        session: Some(session.id),
        next: "/",
        shown: Some((issuer, &person.subject, person.email.as_deref())),
        created_at: now,
        expires_at: now + TimeDelta::minutes(JOURNEY_MINUTES),
    };
    db::insert_journey(&app.pool, &new).await
}

/// Uses a journey up. Of two who try at once, exactly one succeeds. Without the browser's token it stays as it is, so that who
/// sees a state cannot spoil it.
pub(super) async fn take(app: &App, secrets: &Secrets, now: DateTime<Utc>) -> Result<Journey> {
    let taken = db::take_journey(&app.pool, &random_tokens::hash(&secrets.state), &secrets.browser_hash(), now).await?;
    taken.ok_or(Error::Unauthenticated(NOT_BEGUN_HERE))
}

/// By what it is found what a browser showed.
pub(super) fn hash_of(browser: Option<&SecretString>) -> Vec<u8> {
    browser.map(|token| random_tokens::hash(token.expose_secret())).unwrap_or_default()
}

/// Removes journeys that were not finished, and says how many.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn purge(app: &App) -> Result<u64> {
    db::delete_expired(&app.pool, app.clock.machine_now()).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_secret_is_another_and_belongs_to_one_journey() {
        let one = Secrets::of(None);
        let other = Secrets::of(Some(one.browser.clone()));
        assert_eq!(one.browser.expose_secret(), other.browser.expose_secret(), "one browser, two windows");
        let all =
            [one.nonce(), one.verifier(), other.nonce(), other.verifier(), one.state.clone(), other.state.clone()];
        let different: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(different.len(), all.len());
        assert!(all.iter().all(|secret| secret.len() == TOKEN_CHARACTERS), "as long as a PKCE verifier must be");
        let back = Secrets::returned(Some(one.browser.clone()), &one.state).unwrap();
        assert_eq!((back.nonce(), back.verifier()), (one.nonce(), one.verifier()));
        assert_ne!(Secrets::of(Some("short".into())).browser.expose_secret(), "short");
    }
}
