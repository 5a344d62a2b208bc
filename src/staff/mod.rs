//! What the operator's people do to people: suspending and banning them, taking a second factor that they lost, looking at the
//! portal as a customer sees it, and saying who of them is what. It all has a reason, and the customer reads it in his log.

mod db;
mod impersonate;
mod recover;
mod roles;
mod standing;

use chrono::{DateTime, Utc};
use sqlx::PgConnection;

pub use impersonate::{IMPERSONATION_MINUTES, NewImpersonation, end_over, impersonate, stop};
pub use recover::{NewRecovery, recover};
pub use roles::{NewRole, people, set_role, set_role_by_email};
pub use standing::{NewStanding, Stood, set_standing};

use crate::app::App;
use crate::audit::Actor;
use crate::error::{Error, NOT_A_PLAIN_LINE, Result, is_plain_line};
use crate::ids::{OrganisationId, UserId};
use crate::permissions::{Permission, Permissions, PlatformRole};
use crate::users::{self, UserState};

/// The longest reason, in characters.
pub const REASON_CHARACTERS_MAX: usize = 200;
/// The most people of one organisation, or of the operator, that are listed.
pub const PEOPLE_MAX: i64 = 500;

/// A person as the staff sees him.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct Person {
    /// The id.
    pub id: UserId,
    /// How to call him.
    pub name: String,
    /// Where to write to.
    pub email: String,
    /// His role in the organisation that was asked for; none where none was.
    pub role: Option<String>,
    /// Set for the operator's own people.
    pub platform_role: Option<PlatformRole>,
    /// Whether he may change things, or come in at all.
    pub state: UserState,
    /// Why, when he is not active.
    pub state_reason: Option<String>,
    /// Since when, when he is not active.
    pub state_since: Option<DateTime<Utc>>,
    /// Whether a login of his needs more than the password.
    pub has_second_factor: bool,
    /// Since when he has an account.
    pub created_at: DateTime<Utc>,
}

/// The people of an organisation, owners first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn people_of(app: &App, organisation: OrganisationId) -> Result<Vec<Person>> {
    db::select_people(&mut *app.pool.acquire().await?, Some(organisation), None, PEOPLE_MAX).await
}

/// A person by id.
///
/// # Errors
/// `NotFound` when there is none.
pub async fn person(app: &App, id: UserId) -> Result<Person> {
    db::select_people(&mut *app.pool.acquire().await?, None, Some(id), 1).await?.pop().ok_or(Error::NotFound("person"))
}

/// Makes every other change of who works for the platform and of who may come in wait, and answers with what the actor may do
/// there now: he may have lost since what let him in.
///
/// # Errors
/// `Forbidden` to who is suspended or banned, `NotPermitted` to who may not do what is needed.
async fn lock_for(connection: &mut PgConnection, actor: &Actor, needed: Permission) -> Result<Permissions> {
    db::lock_staff(&mut *connection).await?;
    // The platform itself, by a command of the operator's.
    let Some(id) = actor.user() else { return Ok(PlatformRole::Admin.permissions()) };
    let user = users::find(connection, id).await?.ok_or(Error::NotFound("account"))?;
    if user.state != UserState::Active {
        return Err(Error::Forbidden(users::SUSPENDED));
    }
    let may = user.platform_permissions();
    if may.has(needed) { Ok(may) } else { Err(Error::NotPermitted(needed)) }
}

/// A reason, without the spaces around it.
fn checked_reason(reason: &str) -> Result<&str> {
    let reason = reason.trim();
    if reason.is_empty() {
        return Err(Error::invalid("reason", "Say why."));
    }
    if reason.chars().count() > REASON_CHARACTERS_MAX {
        return Err(Error::invalid("reason", format!("At most {REASON_CHARACTERS_MAX} characters.")));
    }
    if !is_plain_line(reason) {
        return Err(Error::invalid("reason", NOT_A_PLAIN_LINE));
    }
    Ok(reason)
}
