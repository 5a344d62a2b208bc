//! What an organisation should know: a notice in its portal, and a mail to each of its members. A notice is told once for each
//! key, in the transaction of what it tells of, and withdrawn when that is no longer true. What there is to tell, and when, is
//! the business of whoever tells it.

mod db;

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;

use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::{NotificationId, OrganisationId};
use crate::mail::text::{NoticeMail, line};
use crate::mail::{self, NewMail, Recipient};
use crate::permissions::Permission;
use crate::{live, organisations};

/// The most notices one page shows.
pub const PAGE_MAX: i64 = 50;
/// The most urgent notices that stand above a page.
pub const BANNERS_MAX: i64 = 3;
/// The longest title, in characters.
const TITLE_CHARACTERS_MAX: usize = 200;
/// The longest text, in characters. What is beyond is cut off.
const BODY_CHARACTERS_MAX: usize = 10_000;
/// The topic that open pages hear.
const TOPIC: &str = "notifications";

/// How much a notice matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Good to know.
    Info,
    /// Something will happen unless something is done.
    Warning,
    /// It happens now or very soon: shown above the machines until it is read.
    Urgent,
}

impl Severity {
    /// The stored name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Urgent => "urgent",
        }
    }

    /// Reads the stored name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Info, Self::Warning, Self::Urgent].into_iter().find(|severity| severity.name() == text)
    }
}

/// What there is to tell.
#[derive(Debug, Clone)]
pub struct Notice {
    /// Names the cause within the organisation, such as `runs_out:7:24h`. It is told once, also when it was withdrawn since: what
    /// may happen again puts into its key which time it is. End each part with a separator, for withdrawing by a prefix.
    pub key: String,
    /// What it is about, for programs: `wallet.runs_out`.
    pub kind: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// One line, also the subject of the mail.
    pub title: String,
    /// Plain text in paragraphs; an empty line lies between two. Dates say which zone they are in.
    pub body: String,
    /// A path of the portal that leads on, such as `/wallet`.
    pub link: Option<String>,
}

/// A notice as it is read back.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct Notification {
    /// Its id.
    pub id: NotificationId,
    /// What it is about.
    pub kind: String,
    /// How much it matters.
    pub severity: Severity,
    /// One line.
    pub title: String,
    /// Plain text in paragraphs.
    pub body: String,
    /// A path of the portal that leads on.
    pub link: Option<String>,
    /// When it was told, by the books.
    pub created_at: DateTime<Utc>,
    /// When somebody of the organisation marked it as read, by the books.
    pub read_at: Option<DateTime<Utc>>,
}

/// Tells an organisation: a notice in the portal and a mail to each member, in somebody's transaction. Answers false when it has
/// been told of this key before: then nothing is changed.
///
/// # Errors
/// `NotFound` when there is no such organisation, or when PostgreSQL fails.
pub async fn tell_organisation(
    app: &App,
    connection: &mut PgConnection,
    organisation: OrganisationId,
    notice: Notice,
    now: DateTime<Utc>,
) -> Result<bool> {
    if !notify(&mut *connection, organisation, &notice, now).await? {
        return Ok(false);
    }
    let letter = Letter {
        key: &stem(organisation, &notice.key),
        kind: notice.kind,
        subject: notice.title.clone(),
        body: notice.body.clone(),
        link: path(&notice),
        readers: None,
    };
    write_to_members(app, connection, organisation, &letter, now).await?;
    Ok(true)
}

/// A mail to members of an organisation. By itself it stands in no list of notices: what it tells of is to be seen elsewhere.
#[derive(Debug, Clone)]
pub struct Letter<'a> {
    /// Names the cause: each member is written to once for it.
    pub key: &'a str,
    /// What it is about, for operators.
    pub kind: &'static str,
    /// One line.
    pub subject: String,
    /// Plain text in paragraphs.
    pub body: String,
    /// A path of the portal that leads on, such as `/wallet`.
    pub link: Option<&'a str>,
    /// What a member must be allowed to do to be written to; none: every member is.
    pub readers: Option<Permission>,
}

/// Writes to members of an organisation, in somebody's transaction.
///
/// # Errors
/// `NotFound` when there is no such organisation, or when PostgreSQL fails.
pub async fn write_to_members(
    app: &App,
    connection: &mut PgConnection,
    organisation: OrganisationId,
    letter: &Letter<'_>,
    now: DateTime<Utc>,
) -> Result<()> {
    let portal = &app.settings.public_url;
    let name = organisations::name_of(&mut *connection, organisation).await?;
    for member in organisations::members(&mut *connection, organisation).await? {
        if letter.readers.is_some_and(|readers| !member.permissions.has(readers)) {
            continue;
        }
        let text = NoticeMail {
            name: &member.name,
            body: &letter.body,
            link: letter.link.map(|path| format!("{portal}{path}")),
            organisation: &name,
            portal,
        };
        let new = NewMail {
            key: format!("{}:{}", letter.key, member.user),
            kind: letter.kind,
            body: text.text(),
            secret: None,
            to: Recipient { address: member.email, name: member.name, user: Some(member.user) },
            organisation: Some(organisation),
            subject: letter.subject.clone(),
        };
        mail::enqueue(&mut *connection, new, now).await?;
    }
    Ok(())
}

/// Takes back what was told under keys that begin so, in somebody's transaction: the notices vanish from the portal, and mails
/// that have not left never do. Answers how many notices. `runs_out:1` is also the beginning of `runs_out:10`; an empty prefix
/// takes nothing back.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn withdraw_from(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    key_prefix: &str,
    now: DateTime<Utc>,
) -> Result<u64> {
    if key_prefix.is_empty() {
        return Ok(0);
    }
    mail::withdraw(&mut *connection, &stem(organisation, key_prefix), now).await?;
    withdraw(connection, organisation, key_prefix, now).await
}

/// When each of these notices was delivered by mail to the first member, by the books. Only those that the mail server took for
/// at least one member are in it: what was only shown in the portal, or waits for the mail server, was not delivered.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn delivered(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    keys: &[String],
) -> Result<HashMap<String, DateTime<Utc>>> {
    let stems: Vec<String> = keys.iter().map(|key| stem(organisation, key)).collect();
    let delivered = mail::first_delivered(connection, organisation, &stems).await?;
    Ok(keys.iter().zip(&stems).filter_map(|(key, stem)| Some((key.clone(), *delivered.get(stem)?))).collect())
}

/// Shows a notice in the portal only, in somebody's transaction. Answers false when there has been one of this key: then nothing
/// is changed. No text makes it fail: what cannot stand on a line is taken out of the title, and a link that is no path of the
/// portal is left out.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn notify(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    notice: &Notice,
    now: DateTime<Utc>,
) -> Result<bool> {
    let title = line(&notice.title, TITLE_CHARACTERS_MAX);
    let body: String = notice.body.replace('\0', "\u{fffd}").chars().take(BODY_CHARACTERS_MAX).collect();
    let notice = Notice {
        title: if title.is_empty() { "Notice".to_owned() } else { title },
        body,
        link: path(notice).map(str::to_owned),
        ..notice.clone()
    };
    let is_new = db::insert(&mut *connection, NotificationId::new(), organisation, &notice, now).await?;
    if is_new {
        live::announce(connection, Some(organisation), TOPIC).await?;
    }
    Ok(is_new)
}

/// Takes notices out of the portal whose keys begin so, in somebody's transaction. Answers how many.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn withdraw(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    key_prefix: &str,
    now: DateTime<Utc>,
) -> Result<u64> {
    if key_prefix.is_empty() {
        return Ok(0);
    }
    let withdrawn = db::update_withdrawn(&mut *connection, organisation, key_prefix, now).await?;
    if withdrawn > 0 {
        live::announce(connection, Some(organisation), TOPIC).await?;
    }
    Ok(withdrawn)
}

/// The notices of an organisation that were not withdrawn, newest first, before `after`.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list(
    app: &App,
    organisation: OrganisationId,
    after: Option<NotificationId>,
    limit: i64,
) -> Result<Vec<Notification>> {
    db::select(&app.pool, organisation, after, limit.clamp(1, PAGE_MAX + 1)).await
}

/// How many notices nobody of the organisation has read.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn count_unread(app: &App, organisation: OrganisationId) -> Result<i64> {
    db::count_unread(&app.pool, organisation).await
}

/// The newest urgent notices that nobody has read, newest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn urgent(app: &App, organisation: OrganisationId) -> Result<Vec<Notification>> {
    db::select_urgent(&app.pool, organisation, BANNERS_MAX).await
}

/// Marks a notice as read; one that is read already stays as it is.
///
/// # Errors
/// `NotFound` when there is none, it is somebody else's, or it was withdrawn.
pub async fn read(app: &App, organisation: OrganisationId, id: NotificationId, actor: &Actor) -> Result<()> {
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    let found = db::lock(&mut transaction, organisation, id).await?.ok_or(Error::NotFound("notice"))?;
    if found.is_read {
        return Ok(());
    }
    db::update_read(&mut transaction, organisation, Some(id), now).await?;
    let subject = Subject::new("notice", id, found.title);
    audit::record(&mut transaction, now, actor, Some(organisation), Event::NoticeRead, subject, json!({})).await?;
    live::announce(&mut transaction, Some(organisation), TOPIC).await?;
    transaction.commit().await?;
    Ok(())
}

/// Marks all notices of an organisation as read. Answers how many were not.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn read_all(app: &App, organisation: OrganisationId, actor: &Actor) -> Result<u64> {
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    let read = db::update_read(&mut transaction, organisation, None, now).await?;
    if read > 0 {
        let name = organisations::name_of(&mut transaction, organisation).await?;
        let subject = Subject::new("organisation", organisation, name);
        let detail = json!({ "notices": read });
        audit::record(&mut transaction, now, actor, Some(organisation), Event::NoticesRead, subject, detail).await?;
        live::announce(&mut transaction, Some(organisation), TOPIC).await?;
    }
    transaction.commit().await?;
    Ok(read)
}

/// What the keys of all mails of a notice begin with; the person follows.
fn stem(organisation: OrganisationId, key: &str) -> String {
    format!("notice:{organisation}:{key}")
}

/// Where a notice leads, if it is a path of the portal.
fn path(notice: &Notice) -> Option<&str> {
    notice.link.as_deref().filter(|link| link.starts_with('/') && !link.starts_with("//"))
}
