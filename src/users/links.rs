//! Links that are sent by mail. Who follows one proves that he reads the mailbox: to confirm an address, to change it, to set a
//! new password. Each works once and for a while; its token is nowhere but in the mail.

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::SecretString;
use sqlx::PgConnection;
use uuid::Uuid;

use super::db::links as db;
use super::{User, db as users_db};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::UserId;
use crate::mail::text::AccountMail;
use crate::mail::{self, NewMail, Recipient};
use crate::random_tokens;

/// How long a link that confirms an address is good.
const CONFIRM_HOURS: i64 = 24;
/// How long one that sets a password is good.
const RESET_MINUTES: i64 = 60;
/// How many links of one kind one person is sent within an hour.
const AN_HOUR_MAX: i64 = 3;

/// What is said of a link that is good for nothing, whatever the cause.
const USELESS: &str = "This link is wrong, too old or was used before. Have a new one sent to you.";

/// What a link is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To confirm the address of the account.
    VerifyEmail,
    /// To give the account this address.
    ChangeEmail,
    /// To set a new password.
    ResetPassword,
}

impl Purpose {
    /// The stored name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::VerifyEmail => "verify_email",
            Self::ChangeEmail => "change_email",
            Self::ResetPassword => "reset_password",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::VerifyEmail, Self::ChangeEmail, Self::ResetPassword].into_iter().find(|purpose| purpose.name() == text)
    }

    fn lifetime(self) -> TimeDelta {
        match self {
            Self::VerifyEmail | Self::ChangeEmail => TimeDelta::hours(CONFIRM_HOURS),
            Self::ResetPassword => TimeDelta::minutes(RESET_MINUTES),
        }
    }

    fn kind(self) -> &'static str {
        match self {
            Self::VerifyEmail => "account.verify_email",
            Self::ChangeEmail => "account.change_email",
            Self::ResetPassword => "account.reset_password",
        }
    }

    fn path(self) -> &'static str {
        match self {
            Self::VerifyEmail | Self::ChangeEmail => "/verify-email",
            Self::ResetPassword => "/reset-password",
        }
    }

    fn subject(self) -> &'static str {
        match self {
            Self::VerifyEmail => "Confirm your e-mail address",
            Self::ChangeEmail => "Confirm your new e-mail address",
            Self::ResetPassword => "Set a new password",
        }
    }

    fn body(self) -> &'static str {
        match self {
            Self::VerifyEmail => {
                "An account was opened with this address. Confirm that it is yours with the link below. It works once, within 24 hours.\n\nIf it was not you, do nothing: an account without a confirmed address can order nothing."
            }
            Self::ChangeEmail => {
                "This address is to become the one of your account. Confirm that it is yours with the link below. It works once, within 24 hours; until then you log in with the old one.\n\nIf it was not you, do nothing."
            }
            Self::ResetPassword => {
                "Somebody asked for a new password for the account with this address. If it was you, set one with the link below. It works once, within 60 minutes.\n\nIf it was not you, do nothing: your password stays as it is."
            }
        }
    }
}

/// A link that was followed.
#[derive(Debug)]
pub(crate) struct Followed {
    pub user: User,
    /// The address that it was sent to, which is now proved.
    pub email: String,
}

/// Writes a mail with a new link, in somebody's transaction. The address may be another than the person's own.
///
/// # Errors
/// When PostgreSQL fails.
pub(crate) async fn send(
    app: &App,
    connection: &mut PgConnection,
    user: &User,
    purpose: Purpose,
    email: &str,
    now: DateTime<Utc>,
) -> Result<()> {
    let machine_now = app.clock.machine_now();
    let token = random_tokens::make();
    let id = Uuid::now_v7();
    let new = db::NewLink {
        id,
        user: user.id,
        purpose: purpose.name(),
        email,
        token_hash: random_tokens::hash(&token),
        created_at: machine_now,
        expires_at: machine_now + purpose.lifetime(),
    };
    db::insert(&mut *connection, &new).await?;
    let portal = &app.settings.public_url;
    let link = SecretString::from(format!("{portal}{}?token={token}", purpose.path()));
    let text = AccountMail { name: &user.name, body: purpose.body(), link: Some(mail::SECRET_PLACE), portal };
    let to = Recipient { address: email.to_owned(), name: user.name.clone(), user: Some(user.id) };
    let new = NewMail {
        key: format!("account:{}:{id}", purpose.name()),
        kind: purpose.kind(),
        to,
        organisation: None,
        subject: purpose.subject().to_owned(),
        body: text.text(),
        secret: Some(app.settings.vault.encrypt(&link)),
    };
    mail::enqueue(connection, new, now).await?;
    Ok(())
}

/// Whether a person was sent as many links of one kind as anybody gets within an hour.
///
/// # Errors
/// When PostgreSQL fails.
pub(crate) async fn are_enough(
    app: &App,
    connection: &mut PgConnection,
    user: UserId,
    purpose: Purpose,
) -> Result<bool> {
    let since = app.clock.machine_now() - TimeDelta::hours(1);
    Ok(db::count_since(connection, user, purpose.name(), since).await? >= AN_HOUR_MAX)
}

/// Looks whether a link is still good, and leaves it as it is.
///
/// # Errors
/// `Conflict` when it is wrong, too old or was used before.
pub(crate) async fn check(app: &App, connection: &mut PgConnection, purposes: &[Purpose], token: &str) -> Result<()> {
    let names: Vec<String> = purposes.iter().map(|purpose| purpose.name().to_owned()).collect();
    let now = app.clock.machine_now();
    match db::is_open(connection, &random_tokens::hash(token), &names, now).await? {
        true => Ok(()),
        false => Err(Error::conflict(USELESS)),
    }
}

/// Uses a link, in somebody's transaction, and with it up all others of the same kind. Of two who try at once, exactly one
/// succeeds.
///
/// # Errors
/// `Conflict` when it is wrong, too old or was used before.
pub(crate) async fn follow(
    app: &App,
    connection: &mut PgConnection,
    purposes: &[Purpose],
    token: &str,
) -> Result<Followed> {
    let now = app.clock.machine_now();
    let names: Vec<String> = purposes.iter().map(|purpose| purpose.name().to_owned()).collect();
    let useless = || Error::conflict(USELESS);
    let token_hash = random_tokens::hash(token);
    let owner = db::select_owner(&mut *connection, &token_hash).await?.ok_or_else(useless)?;
    // First the person, then his links: everybody takes them in this order.
    let user = users_db::lock(&mut *connection, owner).await?.ok_or_else(useless)?;
    let found = db::use_up(&mut *connection, &token_hash, &names, now).await?.ok_or_else(useless)?;
    let purpose = Purpose::parse(&found.purpose).ok_or_else(useless)?;
    // A link to an address that is no longer the account's proves nothing of it.
    if purpose != Purpose::ChangeEmail && !user.email.eq_ignore_ascii_case(&found.email) {
        return Err(useless());
    }
    void(app, connection, user.id, &[purpose]).await?;
    Ok(Followed { user, email: found.email })
}

/// Makes a person's open links of these kinds useless.
///
/// # Errors
/// When PostgreSQL fails.
pub(crate) async fn void(app: &App, connection: &mut PgConnection, user: UserId, purposes: &[Purpose]) -> Result<()> {
    let names: Vec<String> = purposes.iter().map(|purpose| purpose.name().to_owned()).collect();
    db::void(connection, user, &names, app.clock.machine_now()).await
}

/// The address that a person wants and has not confirmed yet.
///
/// # Errors
/// When PostgreSQL fails.
pub(crate) async fn wanted_email(app: &App, connection: &mut PgConnection, user: UserId) -> Result<Option<String>> {
    db::select_open_address(connection, user, Purpose::ChangeEmail.name(), app.clock.machine_now()).await
}

/// Removes what is too old.
pub(super) async fn purge(app: &App) -> Result<u64> {
    db::delete_expired(&app.pool, app.clock.machine_now()).await
}
