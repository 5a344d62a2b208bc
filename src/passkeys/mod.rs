//! Passkeys: a key pair whose private half stays on a person's device, which asks for his finger, face or PIN before it signs.
//! One is a second factor after the password, a proof before dangerous acts, and by itself a login.

mod ceremony;
mod db;

use chrono::{DateTime, Utc};
use serde_json::json;

pub use ceremony::{Asked, add, are_possible, begin_adding, begin_login, begin_proof, confirm, log_in, second_step};

use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::{PasskeyId, UserId};
use crate::second_factor::{self, Factor, Factors};
use crate::users::User;

/// How many passkeys a person may have.
pub const PASSKEYS_MAX: usize = 20;
/// The longest name of one, in characters.
pub const NAME_CHARACTERS_MAX: usize = 60;

/// A passkey of a person.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct Passkey {
    /// Its id.
    pub id: PasskeyId,
    /// What its owner calls it.
    pub name: String,
    /// When it was added.
    pub created_at: DateTime<Utc>,
    /// When it was last used, if it was.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// What a browser is asked to sign for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To add a passkey.
    Add,
    /// To prove who one is, known by a password or a login.
    Prove,
    /// To log in with nothing but the passkey.
    LogIn,
}

impl Purpose {
    const fn name(self) -> &'static str {
        match self {
            Self::Add => "add",
            Self::Prove => "prove",
            Self::LogIn => "log in",
        }
    }
}

/// The passkeys of a person, oldest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list(app: &App, user: UserId) -> Result<Vec<Passkey>> {
    db::select(&app.pool, user).await
}

/// Removes a passkey.
///
/// # Errors
/// `NotFound` when it is not his; `Conflict` when it is his last factor and one is demanded of him.
pub async fn remove(app: &App, user: &User, id: PasskeyId, actor: &Actor) -> Result<()> {
    let mut transaction = app.pool.begin().await?;
    let before = second_factor::lock_factors(&mut transaction, user.id).await?;
    let name = db::delete(&mut transaction, user.id, id).await?.ok_or(Error::NotFound("passkey"))?;
    let left = Factors { passkeys: before.passkeys - 1, ..before };
    second_factor::after_removing(app, &mut transaction, user, (Factor::Passkey(&name), left), actor).await?;
    let subject = Subject::new("passkey", id, name);
    audit::record(&mut transaction, app.clock.now(), actor, None, Event::PasskeyRemoved, subject, json!({})).await?;
    transaction.commit().await?;
    Ok(())
}
