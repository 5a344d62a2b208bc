//! Mails that are owed to somebody. One is written down in the transaction of what it tells of, and carried to the mail server
//! by a worker: tried again while the server is away, given to an operator when the server refuses it, sent once for each cause.
//! A crash between sending and writing that down repeats at most that one mail, under the same Message-ID.

mod db;
mod send;
pub mod text;
mod transport;

use std::collections::HashMap;
use std::fmt;

use chrono::{DateTime, Utc};
use secrecy::ExposeSecret;
use serde_json::json;
use sqlx::PgConnection;

pub use db::{Counts, Filter, SECRETS};
pub use send::{Delivery, next_due, send_due};
pub use transport::{Mailer, Server};

use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::{MailId, OrganisationId, UserId};
use crate::live;

/// The most mails one page shows.
pub const PAGE_MAX: i64 = 50;
/// The longest subject, in characters.
const SUBJECT_CHARACTERS_MAX: usize = 200;
/// The longest text, in characters. What is beyond is cut off.
const BODY_CHARACTERS_MAX: usize = 20_000;
/// The longest address, in characters.
const ADDRESS_CHARACTERS_MAX: usize = 320;
/// The longest name, in characters.
const NAME_CHARACTERS_MAX: usize = 100;
/// Stands in a text where something goes that only the recipient may read. Nothing that people type has it in it: it is no
/// part of a plain line.
pub const SECRET_PLACE: &str = "\u{1}";
/// What operators see there.
const SECRET_SHOWN: &str = "[a link that only the recipient of this mail gets]";
/// The topic that open pages of operators hear.
const TOPIC: &str = "mails";

/// Where a mail stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[schema(as = MailStatus)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// Waits for its first or next try.
    Pending,
    /// The mail server took it: delivered, as far as we can know.
    Sent,
    /// The mail server refused it, or put it off too often.
    Failed,
    /// There was no mail server to give it to.
    Unsent,
    /// What it tells was no longer true before it was sent.
    Withdrawn,
}

impl Status {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Sent, Self::Failed, Self::Unsent, Self::Withdrawn];

    /// The stored name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Sent => "sent",
            Self::Failed => "failed",
            Self::Unsent => "unsent",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Reads the stored name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == text)
    }
}

/// Who gets a mail.
#[derive(Debug, Clone)]
pub struct Recipient {
    /// The address.
    pub address: String,
    /// How the person is called; may be empty.
    pub name: String,
    /// The person, if it is one of ours.
    pub user: Option<UserId>,
}

/// A mail to write down.
#[derive(Debug, Clone)]
pub struct NewMail {
    /// Names the cause, such as `notice:<organisation>:<what>:<user>`. One mail is ever made of a key, also when that one was
    /// withdrawn: what may happen again puts into its key which time it is.
    pub key: String,
    /// What it is about, for operators: `notice`, `invoice`.
    pub kind: &'static str,
    /// Who gets it.
    pub to: Recipient,
    /// The organisation it is about.
    pub organisation: Option<OrganisationId>,
    /// The subject. What cannot stand on one line becomes a space.
    pub subject: String,
    /// The plain text.
    pub body: String,
    /// What goes where the text has [`SECRET_PLACE`], encrypted by the vault.
    pub secret: Option<String>,
}

/// A mail as operators see it.
#[derive(Clone, serde::Serialize, utoipa::ToSchema)]
pub struct Mail {
    /// Its id, which is also in its Message-ID.
    pub id: MailId,
    /// The cause.
    pub key: String,
    /// What it is about.
    pub kind: String,
    /// The organisation it is about.
    pub organisation_id: Option<OrganisationId>,
    /// The organisation's name.
    pub organisation_name: Option<String>,
    /// The address it goes to.
    pub to_address: String,
    /// The name it goes to.
    pub to_name: String,
    /// The subject.
    pub subject: String,
    /// The plain text.
    pub body: String,
    /// Where it stands.
    pub status: Status,
    /// How often it was tried.
    pub attempts: i32,
    /// When it is tried next, by the machine's time; none: at once, or never.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// Why it is where it is, in the mail server's own words where it spoke.
    pub error: Option<String>,
    /// When it was written down, by the books.
    pub created_at: DateTime<Utc>,
    /// When the mail server took it, by the books.
    pub sent_at: Option<DateTime<Utc>>,
    /// When it was withdrawn, by the books.
    pub withdrawn_at: Option<DateTime<Utc>>,
    /// What only the recipient may read.
    #[serde(skip)]
    secret: Option<String>,
}

impl fmt::Debug for Mail {
    /// Without the text: where mails are kept here there may be a link in it that only the recipient may follow.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, key, status, .. } = self;
        formatter.debug_struct("Mail").field("id", id).field("key", key).field("status", status).finish_non_exhaustive()
    }
}

impl Mail {
    /// Whether an operator may have it sent again.
    #[must_use]
    pub fn may_retry(&self) -> bool {
        matches!(self.status, Status::Failed | Status::Unsent)
    }

    fn shown(self) -> Self {
        Self { body: self.body.replace(SECRET_PLACE, SECRET_SHOWN), ..self }
    }
}

/// Writes a mail down in somebody's transaction; it leaves after the commit. Answers false when there has been one for this
/// key: then nothing is changed. No text makes it fail: what cannot be in a header is taken out, and an address that no mail
/// server would take becomes a failed mail for an operator to see.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn enqueue(connection: &mut PgConnection, new: NewMail, now: DateTime<Utc>) -> Result<bool> {
    let body: String = new.body.replace('\0', "\u{fffd}").chars().take(BODY_CHARACTERS_MAX).collect();
    let subject = text::line(&new.subject, SUBJECT_CHARACTERS_MAX);
    let new = NewMail {
        to: Recipient {
            address: text::line(&new.to.address, ADDRESS_CHARACTERS_MAX),
            name: text::line(&new.to.name, NAME_CHARACTERS_MAX),
            user: new.to.user,
        },
        subject: if subject.is_empty() { "Notice".to_owned() } else { subject },
        body,
        ..new
    };
    let is_new = db::insert(&mut *connection, MailId::new(), &new, now).await?;
    if is_new {
        live::wake_mails(&mut *connection).await?;
        live::announce(connection, None, TOPIC).await?;
    }
    Ok(is_new)
}

/// Withdraws the mails whose keys begin so and that were not sent, in somebody's transaction. Answers how many. One that is on
/// the wire at that moment may still arrive, and says so by its state. End a prefix with the separator of your keys: `a:1` is
/// also the beginning of `a:10`. An empty prefix withdraws nothing.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn withdraw(connection: &mut PgConnection, key_prefix: &str, now: DateTime<Utc>) -> Result<u64> {
    if key_prefix.is_empty() {
        return Ok(0);
    }
    let withdrawn = db::update_withdrawn(&mut *connection, key_prefix, now).await?;
    if withdrawn > 0 {
        live::announce_all(connection, [(None, TOPIC.to_owned()), (None, "exceptions".to_owned())], false).await?;
    }
    Ok(withdrawn)
}

/// When each of these mails was delivered, by the books: only those that the mail server took are in it.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn delivered(connection: &mut PgConnection, keys: &[String]) -> Result<HashMap<String, DateTime<Utc>>> {
    db::select_delivered(connection, keys).await
}

/// When the first mail of each stem was delivered to anybody, by the books: a stem is a key without its end `:<user>`. Only
/// those of which one was delivered are in it.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn first_delivered(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    stems: &[String],
) -> Result<HashMap<String, DateTime<Utc>>> {
    db::select_first_delivered(connection, organisation, stems).await
}

/// A mail by id, for staff. What only the recipient may read is in it only where mails are kept here instead of being sent.
///
/// # Errors
/// `NotFound` when there is none.
pub async fn find(app: &App, id: MailId) -> Result<Mail> {
    let filter = Filter { id: Some(id), ..Filter::default() };
    let mut mail = db::select(&app.pool, &filter, 1).await?.pop().ok_or(Error::NotFound("mail"))?;
    if matches!(app.settings.mailer, Mailer::Kept) {
        mail.body = whole(app, mail.body, mail.secret.as_deref())?;
    }
    Ok(mail.shown())
}

/// A text with what only the recipient may read.
fn whole(app: &App, body: String, secret: Option<&str>) -> Result<String> {
    let Some(secret) = secret else { return Ok(body) };
    let secret = app.settings.vault.decrypt(secret)?;
    Ok(body.replacen(SECRET_PLACE, secret.expose_secret(), 1))
}

/// Mails for staff, newest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list(app: &App, filter: &Filter, limit: i64) -> Result<Vec<Mail>> {
    let found = db::select(&app.pool, filter, limit.clamp(1, PAGE_MAX + 1)).await?;
    Ok(found.into_iter().map(Mail::shown).collect())
}

/// How many mails stand where.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn counts(app: &App) -> Result<Counts> {
    db::select_counts(&app.pool).await
}

/// What is in trouble, for who must look: how many, and the newest words.
#[derive(Debug, Clone, Default)]
pub struct Trouble {
    /// Refused by the mail server.
    pub failed: i64,
    /// Written while no mail server was set up.
    pub unsent: i64,
    /// Tried in vain; they are tried again by themselves.
    pub waiting: i64,
    /// Since when, by the books.
    pub since: Option<DateTime<Utc>>,
    /// What the mail server said to the newest of them.
    pub words: Option<String>,
}

impl Trouble {
    /// Whether there is any.
    #[must_use]
    pub fn is_any(&self) -> bool {
        self.failed > 0 || self.unsent > 0 || self.waiting > 0
    }
}

/// The mails that need a person, or will if it goes on like this.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn trouble(app: &App) -> Result<Trouble> {
    db::select_trouble(&app.pool).await
}

/// Has a mail sent again that the server refused, or for which there was no server.
///
/// # Errors
/// `NotFound`; `Conflict` when it waits, was sent or was withdrawn.
pub async fn retry(app: &App, id: MailId, actor: &Actor) -> Result<()> {
    let mail = find(app, id).await?;
    let mut transaction = app.pool.begin().await?;
    if !db::update_retried(&mut transaction, id).await? {
        return Err(Error::conflict("Only a mail that could not be sent can be sent again."));
    }
    let subject = Subject::new("mail", id, mail.subject);
    let detail = json!({ "to": mail.to_address });
    audit::record(&mut transaction, app.clock.now(), actor, mail.organisation_id, Event::MailRetried, subject, detail)
        .await?;
    live::wake_mails(&mut transaction).await?;
    live::announce_all(&mut transaction, [(None, TOPIC.to_owned()), (None, "exceptions".to_owned())], false).await?;
    transaction.commit().await?;
    Ok(())
}
