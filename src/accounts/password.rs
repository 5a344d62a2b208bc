//! Changing a password, and setting a new one with a link when the old one is forgotten. Either logs out everything else.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use sqlx::PgConnection;

use super::email::tell;
use super::{LinkToken, db};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject, Who};
use crate::error::Result;
use crate::ids::SessionId;
use crate::users::links::{self, Purpose};
use crate::users::{self, Place, User, UserState, asked};
use crate::{live, oidc, second_factor, sessions};

/// How many requests for a new password are answered before mails are sent.
const ANSWERED_MAX: usize = 200;
/// The longest address that is written down, in characters.
const EMAIL_CHARACTERS_MAX: usize = 254;

/// A new password, with the one before.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub struct NewPassword {
    /// The one before.
    #[serde(default)]
    #[schema(value_type = String, format = Password)]
    pub current_password: SecretString,
    /// The new one.
    #[serde(default)]
    #[schema(value_type = String, format = Password, min_length = 10, max_length = 256)]
    pub new_password: SecretString,
}

/// Changes the password of who knows it, logs out everything but the login that is kept, and tells by mail.
///
/// # Errors
/// `Invalid` when the one before is wrong or the new one is too short; `TooManyTries` after wrong ones.
pub async fn change_password(
    app: &App,
    user: &User,
    keep: Option<SessionId>,
    new: NewPassword,
    actor: &Actor,
) -> Result<()> {
    users::confirm_password(app, user, "current_password", new.current_password).await?;
    let hash = users::hash_new_password("new_password", new.new_password).await?;
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    let user = users::lock(&mut transaction, user.id).await?;
    users::set_password(&mut transaction, user.id, &hash).await?;
    let ended = sessions::end_all_in(app, &mut transaction, user.id, keep).await?;
    // Whoever was in the mailbox or the account may have asked for these.
    links::void(app, &mut transaction, user.id, &[Purpose::ResetPassword, Purpose::ChangeEmail]).await?;
    let body = body("The password of your account was changed by somebody who knew the old one.", actor);
    tell(app, &mut transaction, &user, &user.email, ("Your password was changed", &body), now).await?;
    let subject = Subject::new("user", user.id, &user.email);
    let detail = json!({ "logged_out": ended });
    audit::record(&mut transaction, now, actor, None, Event::PasswordChanged, subject, detail).await?;
    transaction.commit().await?;
    Ok(())
}

/// Writes down that somebody forgot his password. Nothing tells whether there is such an account: known and unknown addresses
/// are written down alike, and a worker sends the mail.
///
/// # Errors
/// `TooManyTries` when it was asked too often from there.
pub async fn request_reset(app: &App, email: &str, place: &Place, actor: &Actor) -> Result<()> {
    let email: String = email.trim().chars().take(EMAIL_CHARACTERS_MAX).collect();
    asked::count_mail(app, &email, place).await?;
    let mut transaction = app.pool.begin().await?;
    db::insert_reset_request(&mut transaction, &email, actor, app.clock.machine_now()).await?;
    live::wake_mails(&mut transaction).await?;
    transaction.commit().await?;
    Ok(())
}

/// Writes the mails that were asked for, and says how many people were written to.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn answer_reset_requests(app: &App) -> Result<u64> {
    let mut written = 0;
    for _ in 0..ANSWERED_MAX {
        let now = app.clock.now();
        let mut transaction = app.pool.begin().await?;
        let Some(request) = db::take_reset_request(&mut transaction).await? else { break };
        if let Some(found) = users::find_by_email(&mut transaction, &request.email).await? {
            let user = users::lock(&mut transaction, found.id).await?;
            if answer(app, &mut transaction, &user, request, now).await? {
                written += 1;
            }
        }
        transaction.commit().await?;
    }
    Ok(written)
}

/// Writes to a person who asked for a new password, unless he may not come in or was written to often enough.
async fn answer(
    app: &App,
    connection: &mut PgConnection,
    user: &User,
    request: db::ResetRequest,
    now: DateTime<Utc>,
) -> Result<bool> {
    if user.state == UserState::Banned
        || links::are_enough(app, &mut *connection, user.id, Purpose::ResetPassword).await?
    {
        return Ok(false);
    }
    links::send(app, &mut *connection, user, Purpose::ResetPassword, &user.email, now).await?;
    let (address, request_id) = (request.address, request.request_id);
    let actor = Actor { who: Who::Stranger, address, user_agent: None, request_id };
    let subject = Subject::new("user", user.id, &user.email);
    audit::record(connection, now, &actor, None, Event::PasswordResetRequested, subject, json!({})).await?;
    Ok(true)
}

/// Looks whether a link that sets a new password is still good, and leaves it as it is.
///
/// # Errors
/// `Conflict` when it is wrong, too old or was used before.
pub async fn check_reset_link(app: &App, token: &LinkToken) -> Result<()> {
    let mut connection = app.pool.acquire().await?;
    links::check(app, &mut connection, &[Purpose::ResetPassword], token.text()).await
}

/// Sets a new password with a link that was sent, logs out everything, and tells by mail. The mailbox is proved by it as well.
///
/// # Errors
/// `Invalid` when the password is too short, `Conflict` when the link is wrong, too old or was used before.
pub async fn reset_password(app: &App, token: &LinkToken, new: SecretString, actor: Actor) -> Result<User> {
    users::check_new_password("password", &new)?;
    // Before any work: a link that is good for nothing costs nothing.
    check_reset_link(app, token).await?;
    let hash = users::hash_new_password("password", new).await?;
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    let followed = links::follow(app, &mut transaction, &[Purpose::ResetPassword], token.text()).await?;
    let user = followed.user;
    users::set_password(&mut transaction, user.id, &hash).await?;
    if !user.is_verified {
        users::set_email(&mut transaction, user.id, &user.email, now).await?;
        // Whoever opened the account has not shown until now that the address is his: his factors do not bind its owner.
        second_factor::forget_all(&mut transaction, user.id).await?;
        oidc::forget_all(&mut transaction, user.id).await?;
    }
    let ended = sessions::end_all_in(app, &mut transaction, user.id, None).await?;
    links::void(app, &mut transaction, user.id, &[Purpose::ChangeEmail]).await?;
    let body = body("A new password was set for your account with a link that we had sent to this address.", &actor);
    tell(app, &mut transaction, &user, &user.email, ("Your password was changed", &body), now).await?;
    let actor = actor.known_as(&user);
    let subject = Subject::new("user", user.id, &user.email);
    let detail = json!({ "logged_out": ended });
    audit::record(&mut transaction, now, &actor, None, Event::PasswordReset, subject, detail).await?;
    transaction.commit().await?;
    Ok(user)
}

fn body(what: &str, actor: &Actor) -> String {
    let from =
        actor.address.as_deref().map(|address| format!(" It was done from the address {address}.")).unwrap_or_default();
    format!(
        "{what}{from} Every other browser and program was logged out.\n\nIf it was not you, have a new password sent to you on the login page at once."
    )
}
