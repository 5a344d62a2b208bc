//! Public SSH keys that new machines let in. A key is checked for its form and told apart by its fingerprint; private keys
//! are refused before they are stored anywhere.

mod db;
mod public_key;

use chrono::{DateTime, Utc};
use serde_json::json;
use sqlx::PgConnection;

pub use public_key::{PublicKey, PublicKeyError};

use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, NOT_A_PLAIN_LINE, Problem, Result, is_plain_line};
use crate::ids::{OrganisationId, SshKeyId};

/// The most keys an organisation may have.
const KEYS_MAX: i64 = 100;
/// The longest name, in characters.
const NAME_CHARACTERS_MAX: usize = 64;

/// A key.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
pub struct SshKey {
    /// Its id.
    pub id: SshKeyId,
    /// Its name.
    pub name: String,
    /// As `authorized_keys` has it.
    pub public_key: String,
    /// `SHA256:…`, as ssh-keygen shows it.
    pub fingerprint: String,
    /// When it was added.
    pub created_at: DateTime<Utc>,
}

/// The keys of an organisation, newest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list(app: &App, organisation: OrganisationId) -> Result<Vec<SshKey>> {
    db::select(&app.pool, organisation).await
}

/// The keys with these ids, in somebody's transaction.
///
/// # Errors
/// `Invalid` when one is not the organisation's.
pub async fn pick(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    ids: &[SshKeyId],
) -> Result<Vec<SshKey>> {
    let keys = db::select_by_ids(connection, organisation, ids).await?;
    if ids.iter().all(|id| keys.iter().any(|key| key.id == *id)) {
        Ok(keys)
    } else {
        Err(Error::invalid("ssh_keys", "One of these keys is not there any more."))
    }
}

/// Adds a key. The fields are named so that their problems stand where they were typed.
///
/// # Errors
/// `Invalid` with a problem per field.
pub async fn add(
    app: &App,
    organisation: OrganisationId,
    name: (&'static str, &str),
    public_key: (&'static str, &str),
    actor: &Actor,
) -> Result<SshKey> {
    let mut transaction = app.pool.begin().await?;
    let key = insert(app, &mut transaction, organisation, name, public_key, actor).await?;
    transaction.commit().await?;
    Ok(key)
}

/// Adds a key in somebody's transaction, as [`add`] does.
///
/// # Errors
/// `Invalid` with a problem per field.
pub async fn insert(
    app: &App,
    connection: &mut PgConnection,
    organisation: OrganisationId,
    (name_field, name): (&'static str, &str),
    (key_field, public_key): (&'static str, &str),
    actor: &Actor,
) -> Result<SshKey> {
    let mut problems = Vec::new();
    let parsed = public_key.parse::<PublicKey>();
    if let Err(error) = &parsed {
        problems.push(Problem::new(key_field, error.to_string()));
    }
    let comment = parsed.as_ref().map(|key| key.comment().to_owned()).unwrap_or_default();
    let name = if name.trim().is_empty() { comment.as_str() } else { name.trim() };
    if name.is_empty() {
        problems.push(Problem::new(name_field, "Give the key a name."));
    } else if name.chars().count() > NAME_CHARACTERS_MAX {
        problems.push(Problem::new(name_field, format!("At most {NAME_CHARACTERS_MAX} characters.")));
    } else if !is_plain_line(name) {
        problems.push(Problem::new(name_field, NOT_A_PLAIN_LINE));
    }
    let (Ok(parsed), true) = (parsed, problems.is_empty()) else { return Err(Error::Invalid(problems)) };
    if db::count_for_update(&mut *connection, organisation).await? >= KEYS_MAX {
        return Err(Error::invalid(key_field, format!("There are {KEYS_MAX} keys already: remove one first.")));
    }
    let now = app.clock.now();
    let key = SshKey {
        id: SshKeyId::new(),
        name: name.to_owned(),
        public_key: parsed.to_string(),
        fingerprint: parsed.fingerprint(),
        created_at: now,
    };
    db::insert(&mut *connection, organisation, &key, key_field).await?;
    let subject = Subject::new("ssh_key", key.id, &key.name);
    audit::record(
        connection,
        now,
        actor,
        Some(organisation),
        Event::SshKeyAdded,
        subject,
        json!({ "fingerprint": key.fingerprint }),
    )
    .await?;
    Ok(key)
}

/// Removes a key. Machines that were made with it keep letting it in.
///
/// # Errors
/// `NotFound` when the organisation has no such key.
pub async fn remove(app: &App, organisation: OrganisationId, id: SshKeyId, actor: &Actor) -> Result<()> {
    let mut transaction = app.pool.begin().await?;
    let key = db::delete(&mut transaction, organisation, id).await?.ok_or(Error::NotFound("SSH key"))?;
    let subject = Subject::new("ssh_key", id, key.name);
    audit::record(
        &mut transaction,
        app.clock.now(),
        actor,
        Some(organisation),
        Event::SshKeyRemoved,
        subject,
        json!({ "fingerprint": key.fingerprint }),
    )
    .await?;
    transaction.commit().await?;
    Ok(())
}
