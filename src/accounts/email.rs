//! The address of an account: confirming it, and changing it. The new one is proved by a link before it counts, and the old one
//! is told, before and after.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;
use validator::ValidateEmail;

use super::LinkToken;
use crate::app::App;
use crate::audit::{self, Actor, Changes, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::UserId;
use crate::mail::text::AccountMail;
use crate::mail::{self, NewMail, Recipient};
use crate::users::links::{self, Purpose};
use crate::users::{self, User};

/// The longest address, in characters.
const EMAIL_CHARACTERS_MAX: usize = 254;
/// Seconds until somebody who had enough mails may ask for another.
const ENOUGH_SECONDS: i64 = 60 * 60;
/// Said to who had enough mails.
const ENOUGH: &str =
    "Several mails are on their way to you already. Look for them, also among the spam, or try again in an hour.";

/// The address that an account is to have, with the password as it is.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub struct NewEmail {
    /// The address.
    #[serde(default)]
    #[schema(format = Email, max_length = 254, example = "ann@example.org")]
    pub email: String,
    /// The password.
    #[serde(default)]
    #[schema(value_type = String, format = Password)]
    pub password: SecretString,
}

/// What a link has confirmed.
#[derive(Debug)]
pub struct Confirmed {
    /// The address.
    pub email: String,
    /// Whether the account had another one before.
    pub is_new: bool,
}

/// Sends the mail again that confirms the address of an account.
///
/// # Errors
/// `Conflict` when it is confirmed, `TooManyTries` when several were sent within an hour.
pub async fn send_verification(app: &App, user: &User, actor: &Actor) -> Result<()> {
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    let user = users::lock(&mut transaction, user.id).await?;
    if user.is_verified {
        return Err(Error::conflict("Your e-mail address is confirmed already."));
    }
    if links::are_enough(app, &mut transaction, user.id, Purpose::VerifyEmail).await? {
        return Err(Error::TooManyTries { sentence: ENOUGH, retry_after_seconds: ENOUGH_SECONDS });
    }
    links::send(app, &mut transaction, &user, Purpose::VerifyEmail, &user.email, now).await?;
    let subject = Subject::new("user", user.id, &user.email);
    audit::record(&mut transaction, now, actor, None, Event::VerificationSent, subject, json!({})).await?;
    transaction.commit().await?;
    Ok(())
}

/// Asks for another address: a link goes to the new one, and the old one is told. Whether another account has the new one
/// already is not said; whoever reads it would find out when he confirms it.
///
/// # Errors
/// `Invalid` when it is none, or the password is wrong; `TooManyTries` after wrong passwords, or several mails within an hour.
pub async fn request_email(app: &App, user: &User, new: NewEmail, actor: &Actor) -> Result<()> {
    let email = new.email.trim();
    if email.chars().count() > EMAIL_CHARACTERS_MAX || !email.validate_email() {
        return Err(Error::invalid("email", "This is not an e-mail address."));
    }
    if email.eq_ignore_ascii_case(&user.email) && user.is_verified {
        return Err(Error::invalid("email", "This is your address already."));
    }
    users::confirm_password(app, user, "password", new.password).await?;
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    let user = users::lock(&mut transaction, user.id).await?;
    if links::are_enough(app, &mut transaction, user.id, Purpose::ChangeEmail).await? {
        return Err(Error::TooManyTries { sentence: ENOUGH, retry_after_seconds: ENOUGH_SECONDS });
    }
    links::void(app, &mut transaction, user.id, &[Purpose::ChangeEmail]).await?;
    links::send(app, &mut transaction, &user, Purpose::ChangeEmail, email, now).await?;
    let body = format!(
        "Somebody who is logged in asked to change the address of your account from this one to {email}. It changes when the link that we sent there is followed.\n\nIf it was not you, set another password now: that logs out everybody else and makes the link useless."
    );
    tell(app, &mut transaction, &user, &user.email, ("Your e-mail address is about to change", &body), now).await?;
    let subject = Subject::new("user", user.id, &user.email);
    let detail = json!({ "from": user.email, "to": email });
    audit::record(&mut transaction, now, actor, None, Event::EmailChangeRequested, subject, detail).await?;
    transaction.commit().await?;
    Ok(())
}

/// The address that was asked for and is not confirmed yet.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn wanted_email(app: &App, user: UserId) -> Result<Option<String>> {
    links::wanted_email(app, &mut *app.pool.acquire().await?, user).await
}

/// Follows a link that was sent to an address: from now on it is the confirmed one of its account.
///
/// # Errors
/// `Conflict` when the link is wrong, too old or was used before, or another account has the address by now.
pub async fn confirm(app: &App, token: &LinkToken, actor: Actor) -> Result<Confirmed> {
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    let purposes = [Purpose::VerifyEmail, Purpose::ChangeEmail];
    let followed = links::follow(app, &mut transaction, &purposes, token.text()).await?;
    let (user, email) = (followed.user, followed.email);
    let is_new = !user.email.eq_ignore_ascii_case(&email);
    users::set_email(&mut transaction, user.id, &email, now).await?;
    let actor = if actor.is_stranger() { actor.known_as(&user) } else { actor };
    let subject = Subject::new("user", user.id, &email);
    if is_new {
        // What was sent to the old address proves nothing any more.
        let all = [Purpose::VerifyEmail, Purpose::ChangeEmail, Purpose::ResetPassword];
        links::void(app, &mut transaction, user.id, &all).await?;
        let body = format!(
            "The address of your account is {email} now. You log in with that one, and mails go there.\n\nIf it was not you, ask the operator of the platform for help at once."
        );
        tell(app, &mut transaction, &user, &user.email, ("Your e-mail address was changed", &body), now).await?;
        let detail = Changes::of("email", &user.email, &email)?;
        audit::record(&mut transaction, now, &actor, None, Event::EmailChanged, subject, detail).await?;
    } else {
        audit::record(&mut transaction, now, &actor, None, Event::EmailVerified, subject, json!({})).await?;
    }
    transaction.commit().await?;
    Ok(Confirmed { email, is_new })
}

/// Writes a mail without a link to a person, in somebody's transaction.
pub(super) async fn tell(
    app: &App,
    connection: &mut PgConnection,
    user: &User,
    address: &str,
    (subject, body): (&str, &str),
    now: DateTime<Utc>,
) -> Result<()> {
    let text = AccountMail { name: &user.name, body, link: None, portal: &app.settings.public_url };
    let new = NewMail {
        key: format!("account:told:{}", Uuid::now_v7()),
        kind: "account.told",
        to: Recipient { address: address.to_owned(), name: user.name.clone(), user: Some(user.id) },
        organisation: None,
        subject: subject.to_owned(),
        body: text.text(),
        secret: None,
    };
    mail::enqueue(connection, new, now).await?;
    Ok(())
}
