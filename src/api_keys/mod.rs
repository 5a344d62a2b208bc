//! Keys with which programs act for an organisation. A key may do no more than its maker may at that instant, only from the
//! networks it names, until the day it ends. It is shown once; only its hash is kept. What it may spend is in `spending`.

mod check;
mod db;
mod secret;
mod uses;

use billing::Money;
use chrono::{DateTime, TimeDelta, Utc};
use serde::Deserialize;
use serde_json::json;
use sqlx::PgConnection;

pub use check::{ByKey, check, standing};
pub use secret::{BEGINNING, CHARACTERS, KeyText, is_key_like};
pub use uses::Uses;

use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, NOT_A_PLAIN_LINE, Problem, Result, is_plain_line};
use crate::ids::{ApiKeyId, OrganisationId, UserId};
use crate::network::Network;
use crate::organisations::{self, Asker};
use crate::permissions::{Permission, Permissions};
use crate::users::{self, UserState};

/// The most keys of an organisation that are not revoked.
pub const KEYS_MAX: i64 = 100;
/// The most keys that a list shows, revoked ones too.
const LISTED_MAX: i64 = 500;
/// The longest name, in characters.
pub const NAME_CHARACTERS_MAX: usize = 64;
/// The most patterns of one key.
const PATTERNS_MAX: usize = 64;
/// The most networks of one key.
pub const NETWORKS_MAX: usize = 32;
/// The furthest day on which a key may end.
pub const EXPIRY_DAYS_MAX: i64 = 730;

/// What a key is asked to be.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
pub struct NewApiKey {
    /// How people call it.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 64, example = "deploy")]
    pub name: String,
    /// Patterns of permissions: a name, the beginning of names (`vm.*`), or `*` for everything that a key may ever do.
    #[serde(default)]
    #[schema(min_items = 1, max_items = 64, example = json!(["vm.view", "vm.power"]))]
    pub permissions: Vec<String>,
    /// When it ends; never, when nothing is said.
    #[serde(default)]
    pub expires_at: Option<DateTime<Utc>>,
    /// From where it may be used, in CIDR notation; from anywhere, when nothing is said.
    #[serde(default)]
    #[schema(max_items = 32, example = json!(["203.0.113.0/24"]))]
    pub networks: Vec<String>,
    /// The most that its machines may cost in a day; no limit of its own, when nothing is said.
    #[serde(default)]
    #[schema(value_type = Option<Money>)]
    pub daily_limit: Option<String>,
}

/// Why a key opens nothing, or that it does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
#[schema(as = ApiKeyState)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// It opens what it may.
    Active,
    /// Somebody took it back.
    Revoked,
    /// Its day has come.
    Expired,
    /// Its maker belongs to the organisation no more, or is banned.
    WithoutMaker,
    /// Its maker is suspended: it looks and changes nothing.
    MakerSuspended,
}

/// A key as its organisation sees it.
#[derive(Debug, Clone)]
pub struct ApiKey {
    /// Its id.
    pub id: ApiKeyId,
    /// How people call it.
    pub name: String,
    /// How it begins.
    pub prefix: String,
    /// Its patterns of permissions.
    pub patterns: Vec<String>,
    /// What it may do now: no more than its maker.
    pub permissions: Permissions,
    /// From where it may be used; empty: from anywhere.
    pub networks: Vec<String>,
    /// The most that its machines may cost in a day.
    pub daily_limit: Option<Money>,
    /// Who made it.
    pub made_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
    /// When it ends; none: never.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    pub last_used_at: Option<DateTime<Utc>>,
    /// From where.
    pub last_used_address: Option<String>,
    /// Whether it opens anything.
    pub standing: Standing,
}

/// What a key was, as the database has it.
struct Stored {
    revoked: bool,
    expired: bool,
    is_member: bool,
    maker: UserState,
}

impl Stored {
    fn standing(&self) -> Standing {
        match self {
            Self { revoked: true, .. } => Standing::Revoked,
            Self { expired: true, .. } => Standing::Expired,
            Self { is_member: false, .. } | Self { maker: UserState::Banned, .. } => Standing::WithoutMaker,
            Self { maker: UserState::Suspended, .. } => Standing::MakerSuspended,
            Self { maker: UserState::Active, .. } => Standing::Active,
        }
    }
}

/// A key that was just made, with the one copy of its text.
#[derive(Debug)]
pub struct Made {
    /// The key.
    pub key: ApiKey,
    /// What its program sends.
    pub text: KeyText,
}

/// The keys of an organisation: those that are not revoked first, newest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list(app: &App, organisation: OrganisationId) -> Result<Vec<ApiKey>> {
    db::select(&app.pool, organisation, None, app.clock.machine_now(), LISTED_MAX).await
}

/// One key of an organisation.
///
/// # Errors
/// `NotFound` when it has no such key.
pub async fn find(app: &App, organisation: OrganisationId, id: ApiKeyId) -> Result<ApiKey> {
    let found = db::select(&app.pool, organisation, Some(id), app.clock.machine_now(), 1).await?;
    found.into_iter().next().ok_or(Error::NotFound("API key"))
}

/// Makes a key of the asker's. Its text is in the answer and nowhere else.
///
/// # Errors
/// `Invalid` with a problem per field: also when it would be wider than its maker; `Conflict` when there are too many; `Forbidden` to who
/// has not confirmed his address, or is suspended; `NotFound` and `NotPermitted` when he has lost his place or the right meanwhile.
pub async fn create(app: &App, organisation: OrganisationId, new: &NewApiKey, asker: Asker<'_>) -> Result<Made> {
    let (now, machine_now) = (app.clock.now(), app.clock.machine_now());
    users::require_verified(app, asker.actor).await?;
    let text = KeyText::draw()?;
    let id = ApiKeyId::new();
    let mut transaction = app.pool.begin().await?;
    let (_, maker) = organisations::lock_for(&mut transaction, organisation, asker, Permission::ApiKeyManage).await?;
    // A ban waits for this key and revokes it with the others, or has come before.
    organisations::lock_active(&mut transaction, maker.user).await?;
    let checked = checked(new, maker.permissions, machine_now)?;
    // The organisation's row is the lock under which keys are counted.
    if db::count_for_update(&mut transaction, organisation).await? >= KEYS_MAX {
        return Err(Error::conflict(format!("There are {KEYS_MAX} keys already: revoke one that is not used first.")));
    }
    let row = db::NewRow {
        id,
        organisation,
        maker: maker.user,
        name: &checked.name,
        prefix: text.prefix(),
        hash: text.hash(),
        patterns: &checked.patterns,
        networks: &checked.networks,
        daily_limit: checked.daily_limit,
        created_at: machine_now,
        expires_at: new.expires_at,
    };
    db::insert(&mut transaction, &row).await?;
    let detail = json!({ "prefix": text.prefix(), "permissions": checked.patterns, "networks": checked.networks, "daily_limit": checked.daily_limit, "expires_at": new.expires_at });
    let subject = Subject::new("api_key", id, &checked.name);
    let event = Event::ApiKeyCreated;
    audit::record(&mut transaction, now, asker.actor, Some(organisation), event, subject, detail).await?;
    transaction.commit().await?;
    Ok(Made { key: find(app, organisation, id).await?, text })
}

/// Takes a key back: from now on it opens nothing.
///
/// # Errors
/// `NotFound` when the organisation has no such key, or it is revoked already.
pub async fn revoke(app: &App, organisation: OrganisationId, id: ApiKeyId, actor: &Actor) -> Result<()> {
    let mut transaction = app.pool.begin().await?;
    let revoked = db::revoke(&mut transaction, organisation, id, app.clock.machine_now()).await?;
    let (name, prefix) = revoked.ok_or(Error::NotFound("API key"))?;
    let subject = Subject::new("api_key", id, name);
    let detail = json!({ "prefix": prefix });
    audit::record(&mut transaction, app.clock.now(), actor, Some(organisation), Event::ApiKeyRevoked, subject, detail)
        .await?;
    transaction.commit().await?;
    Ok(())
}

/// Takes back every key that a person made, in one organisation or in all, as part of somebody's transaction: he is no member any
/// more, or banned, and they must not open anything again when he comes back.
///
/// # Errors
/// When PostgreSQL fails.
pub(crate) async fn revoke_all_of(
    app: &App,
    connection: &mut PgConnection,
    maker: UserId,
    organisation: Option<OrganisationId>,
    actor: &Actor,
) -> Result<()> {
    for key in db::revoke_all_of(&mut *connection, maker, organisation, app.clock.machine_now()).await? {
        let subject = Subject::new("api_key", key.id, key.name);
        let detail = json!({ "prefix": key.prefix, "because": "who made it is gone" });
        let (now, organisation, event) = (app.clock.now(), Some(key.organisation), Event::ApiKeyRevoked);
        audit::record(&mut *connection, now, actor, organisation, event, subject, detail).await?;
    }
    Ok(())
}

struct Checked {
    name: String,
    patterns: Vec<String>,
    networks: Vec<String>,
    daily_limit: Option<Money>,
}

/// Checks every field, so that all problems are told at once.
fn checked(new: &NewApiKey, own: Permissions, now: DateTime<Utc>) -> Result<Checked> {
    let mut problems = Vec::new();
    let name = new.name.trim();
    if name.is_empty() {
        problems.push(Problem::new("name", "Give the key a name, such as that of the program that uses it."));
    } else if name.chars().count() > NAME_CHARACTERS_MAX {
        problems.push(Problem::new("name", format!("At most {NAME_CHARACTERS_MAX} characters.")));
    } else if !is_plain_line(name) {
        problems.push(Problem::new("name", NOT_A_PLAIN_LINE));
    }
    let patterns = distinct(&new.permissions);
    if let Err(problem) = check_patterns(&patterns, own) {
        problems.push(Problem::new("permissions", problem));
    }
    let latest = now + TimeDelta::days(EXPIRY_DAYS_MAX);
    if new.expires_at.is_some_and(|at| at <= now || at > latest) {
        problems.push(Problem::new("expires_at", format!("A time to come, at most {EXPIRY_DAYS_MAX} days away.")));
    }
    let mut networks = Vec::new();
    for typed in distinct(&new.networks) {
        match typed.parse::<Network>() {
            Ok(network) => networks.push(network.to_string()),
            Err(error) => problems.push(Problem::new("networks", error.to_string())),
        }
    }
    if networks.len() > NETWORKS_MAX {
        problems.push(Problem::new("networks", format!("At most {NETWORKS_MAX} networks.")));
    }
    let typed = new.daily_limit.as_deref().map(str::trim).filter(|typed| !typed.is_empty());
    let daily_limit = typed.and_then(|typed| typed.parse::<Money>().ok()).filter(|limit| limit.is_positive());
    if typed.is_some() && daily_limit.is_none() {
        problems.push(Problem::new("daily_limit", "An amount above zero, such as 5 or 2.50, or nothing."));
    }
    if problems.is_empty() {
        Ok(Checked { name: name.to_owned(), patterns, networks, daily_limit })
    } else {
        Err(Error::Invalid(problems))
    }
}

/// What was typed, without blanks, empty lines and what stands there twice.
fn distinct(typed: &[String]) -> Vec<String> {
    let mut all = Vec::new();
    for text in typed.iter().map(|text| text.trim()).filter(|text| !text.is_empty()) {
        if !all.iter().any(|known| known == text) {
            all.push(text.to_owned());
        }
    }
    all
}

/// A key may do no more than its maker, and nothing that is for people only.
fn check_patterns(patterns: &[String], own: Permissions) -> Result<(), String> {
    if patterns.is_empty() {
        return Err("Choose what it may do.".into());
    }
    if patterns.len() > PATTERNS_MAX {
        return Err(format!("At most {PATTERNS_MAX} of them."));
    }
    for pattern in patterns {
        if !Permissions::is_known_pattern(pattern) {
            let shown: String = pattern.chars().take(50).collect();
            return Err(format!("“{shown}” is no permission, and no beginning of one such as vm.*"));
        }
        let wanted = Permissions::of_patterns([pattern.as_str()]).only(Permissions::for_keys());
        if wanted == Permissions::NONE {
            return Err(format!("“{pattern}” is for people: no key can do it."));
        }
        let beyond = wanted.list().into_iter().find(|permission: &Permission| !own.has(*permission));
        if let Some(beyond) = beyond {
            return Err(format!("You may not do “{beyond}” yourself, so no key of yours can."));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::permissions::Role;

    fn patterns(of: &[&str], own: Permissions) -> Result<(), String> {
        check_patterns(&of.iter().map(|&pattern| pattern.to_owned()).collect::<Vec<_>>(), own)
    }

    #[test]
    fn a_key_is_no_wider_than_its_maker() {
        let (owner, operator, viewer) =
            (Role::Owner.permissions(), Role::Operator.permissions(), Role::Viewer.permissions());
        assert!(patterns(&["*"], owner).is_ok() && patterns(&["vm.*", "ssh_key.view"], operator).is_ok());
        assert!(patterns(&["vm.view"], viewer).is_ok());
        assert!(patterns(&["*"], operator).unwrap_err().contains("yourself"));
        assert!(patterns(&["vm.*"], viewer).unwrap_err().contains("vm.create"));
        assert!(patterns(&["vm.view", "billing.view"], viewer).unwrap_err().contains("billing.view"));
    }

    #[test]
    fn what_is_for_people_is_for_no_key() {
        let owner = Role::Owner.permissions();
        for pattern in ["api_key.manage", "member.manage", "member.*", "role.*", "organisation.hand_over"] {
            assert!(patterns(&[pattern], owner).unwrap_err().contains("for people"), "{pattern}");
        }
        for pattern in ["platform.cluster.view", "platform.*", "vm", "", "**", "vm.nothing"] {
            assert!(patterns(&[pattern], owner).unwrap_err().contains("no permission"), "{pattern}");
        }
        assert!(patterns(&[], owner).is_err());
        assert!(patterns(&["organisation.*"], owner).is_ok(), "what of it keys can do, a key can do");
    }

    #[test]
    fn every_field_is_checked_and_all_problems_are_told() {
        let now = DateTime::UNIX_EPOCH;
        let new = NewApiKey {
            name: "\u{7}".into(),
            permissions: vec![],
            expires_at: Some(now),
            networks: vec!["nowhere".into()],
            daily_limit: Some("-1".into()),
        };
        let Err(Error::Invalid(problems)) = checked(&new, Role::Owner.permissions(), now) else { panic!("refused") };
        let fields: Vec<_> = problems.iter().map(|problem| problem.field.as_ref()).collect();
        assert_eq!(fields, ["name", "permissions", "expires_at", "networks", "daily_limit"]);
    }

    #[test]
    fn what_is_as_large_as_may_be_is_taken_and_no_more() {
        let now = DateTime::UNIX_EPOCH;
        let networks = |count: usize| (0..count).map(|number| format!("10.{number}.0.0/16")).collect();
        let most = || NewApiKey {
            name: "n".repeat(NAME_CHARACTERS_MAX),
            permissions: vec!["vm.view".into()],
            expires_at: Some(now + TimeDelta::days(EXPIRY_DAYS_MAX)),
            networks: networks(NETWORKS_MAX),
            daily_limit: Some("0.000001".into()),
        };
        let refused = |new: &NewApiKey| match checked(new, Role::Owner.permissions(), now) {
            Ok(_) => String::new(),
            Err(Error::Invalid(problems)) => problems.iter().map(|problem| problem.field.as_ref()).collect(),
            Err(other) => panic!("{other:?}"),
        };
        assert_eq!(refused(&most()), "");
        assert_eq!(refused(&NewApiKey { name: "n".repeat(NAME_CHARACTERS_MAX + 1), ..most() }), "name");
        assert_eq!(refused(&NewApiKey { networks: networks(NETWORKS_MAX + 1), ..most() }), "networks");
        let later = Some(now + TimeDelta::days(EXPIRY_DAYS_MAX) + TimeDelta::microseconds(1));
        assert_eq!(refused(&NewApiKey { expires_at: later, ..most() }), "expires_at");
        assert_eq!(refused(&NewApiKey { daily_limit: Some("0".into()), ..most() }), "daily_limit");
        let known = [PATTERNS_MAX, PATTERNS_MAX + 1].map(|count| vec!["vm.view"; count]);
        assert_eq!(known.map(|of| patterns(&of, Role::Owner.permissions()).is_ok()), [true, false]);
    }

    #[test]
    fn a_key_stands_as_its_maker_does() {
        let active = || Stored { revoked: false, expired: false, is_member: true, maker: UserState::Active };
        assert_eq!(active().standing(), Standing::Active);
        assert_eq!(Stored { maker: UserState::Banned, ..active() }.standing(), Standing::WithoutMaker);
        assert_eq!(Stored { is_member: false, ..active() }.standing(), Standing::WithoutMaker);
        assert_eq!(Stored { maker: UserState::Suspended, ..active() }.standing(), Standing::MakerSuspended);
        assert_eq!(Stored { expired: true, ..active() }.standing(), Standing::Expired);
        assert_eq!(Stored { revoked: true, expired: true, ..active() }.standing(), Standing::Revoked);
    }
}
