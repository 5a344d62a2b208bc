//! Still being logged in: what a connection that outlives its request asks from time to time.

use std::fmt;

use uuid::Uuid;

use super::{Assurance, Caller, db, tokens};
use crate::api_keys::{self, KeyText};
use crate::app::App;
use crate::error::Result;
use crate::ids::{OrganisationId, UserId};
use crate::permissions::{Permission, Permissions};
use crate::random_tokens::hash;
use crate::users::{User, UserState};

/// What somebody proved to be with when a long connection began. Of a token it holds no more than the hash.
#[derive(Clone)]
pub struct Standing(Proof);

#[derive(Clone)]
enum Proof {
    Session(Vec<u8>),
    Tokens { user: UserId, family: Uuid },
    Key(Vec<u8>),
}

impl fmt::Debug for Standing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.0 {
            Proof::Session(_) => "Standing(session)",
            Proof::Tokens { .. } => "Standing(tokens)",
            Proof::Key(_) => "Standing(key)",
        })
    }
}

impl Standing {
    /// Of the token in a browser's session cookie.
    #[must_use]
    pub fn of_cookie(token: &str) -> Self {
        Self(Proof::Session(hash(token)))
    }

    /// Of what a program sent: an API key until it is revoked or ends; an access token until its family is ended, though the
    /// token itself expires sooner.
    ///
    /// # Errors
    /// `Unauthenticated` when it is wrong or has expired.
    pub async fn of_bearer(app: &App, token: &str) -> Result<Self> {
        if let Some(key) = KeyText::parse(token) {
            return Ok(Self(Proof::Key(key.hash())));
        }
        let claims = tokens::claims(app, token).await?;
        Ok(Self(Proof::Tokens { user: claims.sub, family: claims.fam }))
    }

    /// Whether it is still good for a console of an organisation: one of its own to who has the permission there, one of any
    /// to staff who have that.
    ///
    /// # Errors
    /// When PostgreSQL fails.
    pub async fn is_good_for_console(&self, app: &App, organisation: OrganisationId) -> Result<bool> {
        match &self.0 {
            Proof::Session(token_hash) => {
                let session = db::select_session(&app.pool, token_hash, app.clock.machine_now()).await?;
                Ok(session.is_some_and(|session| {
                    let own = (session.organisation.id == organisation).then_some(session.permissions);
                    may_open(&session.user, own, session.assurance)
                }))
            }
            Proof::Key(hash) => {
                let standing = api_keys::standing(app, hash).await?;
                // Never as staff: a key is of its organisation.
                Ok(standing.is_some_and(|(maker, place)| {
                    maker.state == UserState::Active
                        && place.organisation.id == organisation
                        && place.permissions.has(Permission::VmConsole)
                }))
            }
            Proof::Tokens { user, family } => {
                let caller = db::select_caller(&app.pool, *user, *family, Some(organisation)).await?;
                Ok(caller.is_some_and(|Caller { user, place, assurance, .. }| {
                    may_open(&user, place.map(|place| place.permissions), assurance)
                }))
            }
        }
    }
}

/// Whether somebody may have a console open, with what he may do in the organisation whose machine it is.
fn may_open(user: &User, own: Option<Permissions>, assurance: Assurance) -> bool {
    let of_own = own.is_some_and(|permissions| permissions.has(Permission::VmConsole));
    let as_staff = user.platform_permissions().has(Permission::PlatformVmConsole);
    let by_own = of_own && !assurance.missing_for_organisation;
    user.state == UserState::Active && (by_own || (as_staff && !assurance.missing_for_platform))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_proved_is_not_shown() {
        let shown = format!("{:?}", Standing::of_cookie("a secret"));
        assert_eq!(shown, "Standing(session)");
    }
}
