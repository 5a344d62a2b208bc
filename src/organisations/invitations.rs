//! Invitations by mail: sent with a token of which only the hash is kept, good for a week, redeemed once by who has the address
//! they went to. Whoever has the token reads that address's mails, so redeeming proves the address.

use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;
use sqlx::PgConnection;
use validator::ValidateEmail;

use super::db::invitations::{By, New};
use super::members::{self, Asker, MEMBERS_MAX, check_gives, lock_for};
use super::role_choice::RoleChoice;
use super::{db, roles};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::{InvitationId, OrganisationId, UserId};
use crate::mail::text::InvitationMail;
use crate::mail::{self, NewMail, Recipient};
use crate::permissions::Permission;
use crate::{random_tokens, users};

/// How long an invitation is good from when it was last sent.
pub const GOOD_DAYS: i64 = 7;
/// The most invitations of an organisation that are open at once.
pub const OPEN_MAX: i64 = 50;
/// The most invitations that an organisation makes within [`RECENT_HOURS`].
pub const RECENT_MAX: i64 = 50;
/// The span within which [`RECENT_MAX`] counts.
const RECENT_HOURS: i64 = 24;
/// How often one invitation is sent at most.
pub const SENDS_MAX: i32 = 5;
/// How long to wait before it is sent again.
const SEND_PAUSE_MINUTES: i64 = 5;
/// The longest e-mail address, in characters.
const EMAIL_CHARACTERS_MAX: usize = 254;
/// How many open and expired invitations are listed.
const LISTED_MAX: i64 = 200;

const USED: &str = "This invitation has been used.";
const EXPIRED: &str = "This invitation has expired. Ask for it to be sent again.";
const NOT_HIS_TO_PROMISE: &str =
    "Who invited you may not do so any more. Ask the organisation for an invitation from somebody else.";
const OTHER_ADDRESS: &str = "This invitation went to another e-mail address. Log in with the account of that address.";

/// An invitation that waits, as the organisation sees it.
#[derive(Debug, Clone)]
pub struct Invitation {
    /// Its id.
    pub id: InvitationId,
    /// Where it was sent to.
    pub email: String,
    /// The role that is promised.
    pub role: RoleChoice,
    /// How that is called.
    pub role_name: String,
    /// The e-mail address of who invited.
    pub invited_by: String,
    /// When it was last sent.
    pub sent_at: DateTime<Utc>,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
    /// How often it was sent.
    pub sends: i32,
}

/// An invitation as it stands, for who acts on it.
#[derive(Debug, Clone)]
pub(super) struct Found {
    pub id: InvitationId,
    pub organisation: OrganisationId,
    pub organisation_name: String,
    pub email: String,
    pub role: RoleChoice,
    pub role_name: String,
    pub inviter: UserId,
    pub invited_by: String,
    pub sent_at: DateTime<Utc>,
    pub expires_at: DateTime<Utc>,
    pub sends: i32,
    pub accepted: bool,
    pub withdrawn: bool,
}

impl Found {
    fn subject(&self) -> Subject {
        Subject::new("invitation", self.id, &self.email)
    }

    /// Whether it can be redeemed at an instant of the machine's time.
    fn check_open(&self, machine_now: DateTime<Utc>) -> Result<()> {
        if self.withdrawn {
            // As if it had never been.
            return Err(Error::NotFound("invitation"));
        }
        if self.accepted {
            return Err(Error::conflict(USED));
        }
        if self.expires_at <= machine_now {
            return Err(Error::conflict(EXPIRED));
        }
        Ok(())
    }
}

/// What an invitation offers to who holds its token.
#[derive(Debug, Clone)]
pub struct Offer {
    /// Into which organisation.
    pub organisation_name: String,
    /// The role that is promised.
    pub role_name: String,
    /// Who invites.
    pub invited_by: String,
    /// Where it was sent to.
    pub email: String,
    /// Until when it is good.
    pub expires_at: DateTime<Utc>,
}

/// The token of an invitation; it is in the mail and nowhere else.
pub struct Token(SecretString);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    /// As it was sent.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(SecretString::from(text.trim()))
    }

    fn random() -> Self {
        Self(SecretString::from(random_tokens::make()))
    }

    fn hash(&self) -> Vec<u8> {
        random_tokens::hash(self.0.expose_secret())
    }
}

/// What the keys of all mails of an invitation begin with.
pub(super) fn mail_stem(id: InvitationId) -> String {
    format!("invitation:{id}:")
}

/// The invitations of an organisation that wait, newest first, and those that have expired.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list_invitations(app: &App, organisation: OrganisationId) -> Result<Vec<Invitation>> {
    db::invitations::select_open(&app.pool, organisation, LISTED_MAX).await
}

fn checked_email(email: &str) -> Result<&str> {
    let email = email.trim();
    if email.chars().count() > EMAIL_CHARACTERS_MAX || !email.validate_email() {
        return Err(Error::invalid("email", "This is not an e-mail address."));
    }
    Ok(email)
}

/// Invites somebody by mail.
///
/// # Errors
/// `Invalid` for the address or the role, `Forbidden` when the role may do more than the asker or he has not confirmed his own
/// address, `Conflict` and `TooManyTries` when there are too many.
pub async fn invite(
    app: &App,
    organisation: OrganisationId,
    email: &str,
    role: RoleChoice,
    asker: Asker<'_>,
) -> Result<InvitationId> {
    let email = checked_email(email)?;
    users::require_verified(app, asker.actor).await?;
    let (now, machine_now) = (app.clock.now(), app.clock.machine_now());
    let mut transaction = app.pool.begin().await?;
    let (name, by) = lock_for(&mut transaction, organisation, asker, Permission::MemberManage).await?;
    let chosen = roles::choose(&mut transaction, organisation, role).await?;
    check_gives(&by, &chosen)?;
    if db::invitations::is_member(&mut transaction, organisation, email).await? {
        return Err(Error::invalid("email", "This person is a member already."));
    }
    if let Some(known) = db::invitations::select(&mut transaction, By::OpenTo(organisation, email)).await? {
        if known.expires_at > machine_now {
            return Err(Error::invalid("email", "This address is invited already. You can send the invitation again."));
        }
        db::invitations::update_withdrawn(&mut transaction, known.id, now).await?;
    }
    check_count(&mut transaction, organisation, now, machine_now).await?;
    let (id, token) = (InvitationId::new(), Token::random());
    let expires_at = machine_now + TimeDelta::days(GOOD_DAYS);
    let new = New {
        id,
        organisation,
        email,
        role: chosen.choice,
        token_hash: &token.hash(),
        invited_by: by.user,
        created_at: now,
        sent_at: machine_now,
        expires_at,
    };
    db::invitations::insert(&mut transaction, new).await?;
    let letter =
        Letter { id, sends: 1, email, organisation, name: &name, by: &by.name, role: &chosen.name, expires_at };
    letter.post(app, &mut transaction, &token).await?;
    let subject = Subject::new("invitation", id, email);
    let detail = json!({ "role": chosen.name });
    let event = Event::MemberInvited;
    audit::record(&mut transaction, now, asker.actor, Some(organisation), event, subject, detail).await?;
    transaction.commit().await?;
    Ok(id)
}

async fn check_count(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    now: DateTime<Utc>,
    machine_now: DateTime<Utc>,
) -> Result<()> {
    let since = now - TimeDelta::hours(RECENT_HOURS);
    let (open, recent) = db::invitations::count(&mut *connection, organisation, machine_now, since).await?;
    if open >= OPEN_MAX {
        return Err(Error::conflict(format!(
            "{OPEN_MAX} invitations are open already: withdraw some, or wait until they are accepted."
        )));
    }
    if recent >= RECENT_MAX {
        let sentence = "Your organisation has invited many people today. Try again tomorrow.";
        return Err(Error::TooManyTries { sentence, retry_after_seconds: RECENT_HOURS * 3_600 });
    }
    let members = db::members::count(connection, organisation).await?.0;
    if members + open >= MEMBERS_MAX {
        return Err(Error::conflict(format!("An organisation has at most {MEMBERS_MAX} members.")));
    }
    Ok(())
}

/// What is written to who is invited.
struct Letter<'a> {
    id: InvitationId,
    sends: i32,
    email: &'a str,
    organisation: OrganisationId,
    name: &'a str,
    by: &'a str,
    role: &'a str,
    expires_at: DateTime<Utc>,
}

impl Letter<'_> {
    async fn post(&self, app: &App, connection: &mut PgConnection, token: &Token) -> Result<()> {
        let portal = &app.settings.public_url;
        // Who reads it can join, so operators, who read mails, must not have it.
        let link = SecretString::from(format!("{portal}/invitation?token={}", token.0.expose_secret()));
        let text = InvitationMail {
            invited_by: self.by,
            organisation: self.name,
            role: self.role,
            link: mail::SECRET_PLACE,
            until: self.expires_at.format("%-d %B %Y, %H:%M UTC").to_string(),
            email: self.email,
            portal,
        };
        let new = NewMail {
            key: format!("{}{}", mail_stem(self.id), self.sends),
            kind: "invitation",
            to: Recipient { address: self.email.to_owned(), name: String::new(), user: None },
            organisation: Some(self.organisation),
            // Nobody writes a subject of his own to strangers, in the operator's name.
            subject: "You are invited to an organisation".to_owned(),
            body: text.text(),
            secret: Some(app.settings.vault.encrypt(&link)),
        };
        mail::enqueue(connection, new, app.clock.now()).await?;
        Ok(())
    }
}

/// Sends an invitation again, with a new token and a week from now; the one before opens nothing any more. It is the asker's from
/// then on, who answers for what it promises.
///
/// # Errors
/// `Conflict` when it was accepted or sent often enough, `TooManyTries` when it was sent just now, `Forbidden` when its role may
/// do more than the asker, `NotFound`.
pub async fn send_again(app: &App, organisation: OrganisationId, id: InvitationId, asker: Asker<'_>) -> Result<()> {
    users::require_verified(app, asker.actor).await?;
    let (now, machine_now) = (app.clock.now(), app.clock.machine_now());
    let mut transaction = app.pool.begin().await?;
    let (name, by) = lock_for(&mut transaction, organisation, asker, Permission::MemberManage).await?;
    let found = find_waiting(&mut transaction, organisation, id).await?;
    let chosen = roles::choose(&mut transaction, organisation, found.role).await?;
    check_gives(&by, &chosen)?;
    if found.sends >= SENDS_MAX {
        return Err(Error::conflict(format!(
            "It was sent {SENDS_MAX} times. Withdraw it, and invite again if the address is right."
        )));
    }
    let free_again = found.sent_at + TimeDelta::minutes(SEND_PAUSE_MINUTES);
    if free_again > machine_now {
        let retry_after_seconds = (free_again - machine_now).num_seconds() + 1;
        let sentence = "It was sent a moment ago. Wait five minutes, then send it again.";
        return Err(Error::TooManyTries { sentence, retry_after_seconds });
    }
    let token = Token::random();
    let expires_at = machine_now + TimeDelta::days(GOOD_DAYS);
    db::invitations::update_sent(&mut transaction, id, &token.hash(), by.user, machine_now, expires_at).await?;
    mail::withdraw(&mut transaction, &mail_stem(id), now).await?;
    let (email, role, sends) = (found.email.as_str(), found.role_name.as_str(), found.sends + 1);
    let letter = Letter { id, sends, email, organisation, name: &name, by: &by.name, role, expires_at };
    letter.post(app, &mut transaction, &token).await?;
    let detail = json!({ "role": found.role_name, "sends": sends });
    let event = Event::InvitationSentAgain;
    audit::record(&mut transaction, now, asker.actor, Some(organisation), event, found.subject(), detail).await?;
    transaction.commit().await?;
    Ok(())
}

/// Withdraws an invitation: its token opens nothing any more.
///
/// # Errors
/// `Conflict` when it was accepted, `NotFound` when there is none or it was withdrawn.
pub async fn withdraw(app: &App, organisation: OrganisationId, id: InvitationId, asker: Asker<'_>) -> Result<()> {
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    lock_for(&mut transaction, organisation, asker, Permission::MemberManage).await?;
    let found = find_waiting(&mut transaction, organisation, id).await?;
    db::invitations::update_withdrawn(&mut transaction, id, now).await?;
    mail::withdraw(&mut transaction, &mail_stem(id), now).await?;
    let detail = json!({ "role": found.role_name });
    let event = Event::InvitationWithdrawn;
    audit::record(&mut transaction, now, asker.actor, Some(organisation), event, found.subject(), detail).await?;
    transaction.commit().await?;
    Ok(())
}

async fn find_waiting(connection: &mut PgConnection, organisation: OrganisationId, id: InvitationId) -> Result<Found> {
    let found = db::invitations::select(connection, By::Id(organisation, id)).await?;
    let found = found.filter(|found| !found.withdrawn).ok_or(Error::NotFound("invitation"))?;
    if found.accepted { Err(Error::conflict(USED)) } else { Ok(found) }
}

/// What an invitation offers.
///
/// # Errors
/// `NotFound` for a token that was never given or is good no more, `Conflict` when it was used or has expired.
pub async fn offer(app: &App, token: &Token) -> Result<Offer> {
    let mut connection = app.pool.acquire().await?;
    let found = db::invitations::select(&mut connection, By::Token(&token.hash())).await?;
    let found = found.ok_or(Error::NotFound("invitation"))?;
    found.check_open(app.clock.machine_now())?;
    Ok(Offer {
        organisation_name: found.organisation_name,
        role_name: found.role_name,
        invited_by: found.invited_by,
        email: found.email,
        expires_at: found.expires_at,
    })
}

/// Checks that who invited could promise the same today: he is still an active member who may, and the role is still no wider
/// than what he may do.
async fn check_promise(connection: &mut PgConnection, found: &Found) -> Result<()> {
    let inviter = db::members::select_place(&mut *connection, found.organisation, found.inviter).await?;
    let chosen = roles::choose(connection, found.organisation, found.role).await?;
    let holds = inviter.is_some_and(|by| {
        by.is_active && by.permissions.has(Permission::MemberManage) && check_gives(&by, &chosen).is_ok()
    });
    if holds { Ok(()) } else { Err(Error::conflict(NOT_HIS_TO_PROMISE)) }
}

/// Accepts an invitation: its holder becomes a member. Of two who try at once, exactly one does.
///
/// # Errors
/// As [`offer`]; `Forbidden` for a person of another address, `Conflict` when the organisation is full, and when who invited
/// may not promise this any more.
pub async fn accept(app: &App, token: &Token, user: UserId, email: &str, actor: &Actor) -> Result<OrganisationId> {
    let (now, machine_now) = (app.clock.now(), app.clock.machine_now());
    let hash = token.hash();
    let mut transaction = app.pool.begin().await?;
    let known = db::invitations::select(&mut transaction, By::Token(&hash)).await?;
    let organisation = known.ok_or(Error::NotFound("invitation"))?.organisation;
    members::lock(&mut transaction, organisation).await?;
    // As it stands now that nobody else changes it.
    let found = db::invitations::select(&mut transaction, By::Token(&hash)).await?;
    let found = found.ok_or(Error::NotFound("invitation"))?;
    found.check_open(machine_now)?;
    if found.email.to_lowercase() != email.to_lowercase() {
        return Err(Error::Forbidden(OTHER_ADDRESS));
    }
    check_promise(&mut transaction, &found).await?;
    members::lock_active(&mut transaction, user).await?;
    if found.role.is_owner() {
        members::lock_receiver(&mut transaction, user).await?;
    }
    // Only who reads the mails of the address has the token, which is all that confirming it would show.
    users::confirm_email(&mut transaction, user, now).await?;
    db::invitations::update_accepted(&mut transaction, found.id, user, now).await?;
    if members::find_place(&mut transaction, organisation, user).await.is_err() {
        if db::members::count(&mut transaction, organisation).await?.0 >= MEMBERS_MAX {
            return Err(Error::conflict(format!("An organisation has at most {MEMBERS_MAX} members.")));
        }
        db::members::insert(&mut transaction, organisation, user, found.role, now).await?;
    }
    let detail = json!({ "role": found.role_name });
    let subject = Subject::new("invitation", found.id, &found.organisation_name);
    let event = Event::InvitationAccepted;
    audit::record(&mut transaction, now, actor, Some(organisation), event, subject, detail).await?;
    transaction.commit().await?;
    Ok(organisation)
}
