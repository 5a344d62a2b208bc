//! Still being logged in: what a connection that outlives its request asks from time to time.

use std::fmt;

use uuid::Uuid;

use super::{db, hash, tokens};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{OrganisationId, UserId};
use crate::organisations;
use crate::users::PlatformRole;

/// What somebody proved to be with when a long connection began. It holds no token.
#[derive(Clone)]
pub struct Standing(Proof);

#[derive(Clone)]
enum Proof {
    Session(Vec<u8>),
    Tokens { user: UserId, family: Uuid },
}

impl fmt::Debug for Standing {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self.0 {
            Proof::Session(_) => "Standing(session)",
            Proof::Tokens { .. } => "Standing(tokens)",
        })
    }
}

impl Standing {
    /// Of the token in a browser's session cookie.
    #[must_use]
    pub fn of_cookie(token: &str) -> Self {
        Self(Proof::Session(hash(token)))
    }

    /// Of a program's access token: good until its family is ended, though the token itself expires sooner.
    ///
    /// # Errors
    /// `Unauthenticated` when the token is wrong or has expired.
    pub fn of_access_token(app: &App, token: &str) -> Result<Self> {
        let claims = tokens::claims(app, token)?;
        Ok(Self(Proof::Tokens { user: claims.sub, family: claims.fam }))
    }

    /// Whether it is still good for the things of an organisation. An operator of the platform may see those of any.
    ///
    /// # Errors
    /// When PostgreSQL fails.
    pub async fn is_good_for(&self, app: &App, organisation: OrganisationId) -> Result<bool> {
        match &self.0 {
            Proof::Session(token_hash) => {
                let session = db::select_session(&app.pool, token_hash, app.clock.machine_now()).await?;
                Ok(session.is_some_and(|session| {
                    session.organisation.id == organisation || session.user.platform_role == Some(PlatformRole::Admin)
                }))
            }
            Proof::Tokens { user, family } => {
                if db::select_user_of_family(&app.pool, *user, *family).await?.is_none() {
                    return Ok(false);
                }
                let mut connection = app.pool.acquire().await?;
                match organisations::of_member(&mut connection, *user, Some(organisation)).await {
                    Ok(_) => Ok(true),
                    Err(Error::Internal(error)) => Err(Error::Internal(error)),
                    Err(_) => Ok(false),
                }
            }
        }
    }
}
