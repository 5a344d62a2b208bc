//! Roles of an organisation: those that every one has, and its own, made of patterns of permissions. Nobody makes one that may
//! do more than he may himself. What a role may do is read with every request, so a change holds at once.

use chrono::{DateTime, Utc};
use serde::Deserialize;
use serde_json::json;
use sqlx::PgConnection;

use super::members::{Asker, Place, check_gives, lock_for, lock_receiver};
use super::role_choice::RoleChoice;
use super::{db, own_role};
use crate::app::App;
use crate::audit::{self, Changes, Event, Subject};
use crate::error::{Error, NOT_A_PLAIN_LINE, Problem, Result, is_plain_line};
use crate::ids::{OrganisationId, RoleId};
use crate::permissions::{Permission, Permissions, Role};

/// The longest name of a role, in characters.
pub const NAME_CHARACTERS_MAX: usize = 40;
/// The most roles of its own that an organisation has.
pub const ROLES_MAX: i64 = 50;
/// The most patterns that one role is made of.
pub const PATTERNS_MAX: usize = 64;

const TOO_WIDE: &str = "You may not do this yourself, so a role of yours cannot allow it";

/// A role that an organisation made.
#[derive(Debug, Clone)]
pub struct OwnRole {
    /// Its id.
    pub id: RoleId,
    /// Its name.
    pub name: String,
    /// What it is made of.
    pub patterns: Vec<String>,
    /// How many people have it.
    pub members: i64,
    /// When it was made.
    pub created_at: DateTime<Utc>,
    /// When it was last changed.
    pub changed_at: DateTime<Utc>,
}

impl OwnRole {
    /// What it may do.
    #[must_use]
    pub fn permissions(&self) -> Permissions {
        own_role(&self.patterns)
    }

    fn subject(&self) -> Subject {
        Subject::new("role", self.id, &self.name)
    }
}

/// A role that can be given.
#[derive(Debug, Clone)]
pub struct Listed {
    /// Which.
    pub choice: RoleChoice,
    /// Its name.
    pub name: String,
    /// What one of those that every organisation has is for.
    pub purpose: Option<&'static str>,
    /// What it is made of.
    pub patterns: Vec<String>,
    /// What it may do.
    pub permissions: Permissions,
    /// How many people have it.
    pub members: i64,
}

/// A role that was chosen for somebody.
#[derive(Debug, Clone)]
pub(super) struct Chosen {
    pub choice: RoleChoice,
    pub name: String,
    pub permissions: Permissions,
}

/// What somebody typed to make or change a role.
#[derive(Debug, Clone, Default, Deserialize, utoipa::ToSchema)]
pub struct NewRole {
    /// Its name.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 40)]
    pub name: String,
    /// What it is made of: names of permissions, beginnings of such (`vm.*`), or `*`.
    #[serde(default)]
    #[schema(min_items = 1, max_items = 64)]
    pub permissions: Vec<String>,
}

/// Every role of an organisation: first those that every one has, then its own by name.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list_roles(app: &App, organisation: OrganisationId) -> Result<Vec<Listed>> {
    let counts = db::roles::count_standard(&app.pool, organisation).await?;
    let count = |role: Role| counts.iter().find(|(name, _)| name == role.name()).map_or(0, |(_, members)| *members);
    let standard = Role::ALL.iter().map(|role| Listed {
        choice: RoleChoice::Standard(*role),
        name: role.name().to_owned(),
        purpose: Some(role.purpose()),
        patterns: role.patterns().iter().map(|pattern| (*pattern).to_owned()).collect(),
        permissions: role.permissions(),
        members: count(*role),
    });
    let own = db::roles::select(&app.pool, organisation, ROLES_MAX).await?;
    let own = own.into_iter().map(|role| Listed {
        choice: RoleChoice::Own(role.id),
        purpose: None,
        permissions: role.permissions(),
        name: role.name,
        patterns: role.patterns,
        members: role.members,
    });
    Ok(standard.chain(own).collect())
}

/// One of an organisation's own roles.
///
/// # Errors
/// `NotFound` when it has no such role.
pub async fn find_role(app: &App, organisation: OrganisationId, id: RoleId) -> Result<OwnRole> {
    find(&mut *app.pool.acquire().await?, organisation, id).await
}

async fn find(connection: &mut PgConnection, organisation: OrganisationId, id: RoleId) -> Result<OwnRole> {
    db::roles::select_one(connection, organisation, id).await?.ok_or(Error::NotFound("role"))
}

/// The role that was chosen, if the organisation has it.
pub(super) async fn choose(
    connection: &mut PgConnection,
    organisation: OrganisationId,
    choice: RoleChoice,
) -> Result<Chosen> {
    let found = match choice {
        RoleChoice::Standard(role) => {
            Some(Chosen { choice, name: role.name().to_owned(), permissions: role.permissions() })
        }
        RoleChoice::Own(id) => db::roles::select_one(connection, organisation, id).await?.map(|role| Chosen {
            choice,
            permissions: role.permissions(),
            name: role.name,
        }),
        RoleChoice::Unknown => None,
    };
    found.ok_or_else(|| Error::invalid("role", "Choose one of the roles."))
}

/// Makes a role.
///
/// # Errors
/// `Invalid` with a problem per field, `Conflict` when there are many already.
pub async fn create_role(app: &App, organisation: OrganisationId, new: &NewRole, asker: Asker<'_>) -> Result<OwnRole> {
    let mut transaction = app.pool.begin().await?;
    let (_, by) = lock_for(&mut transaction, organisation, asker, Permission::RoleManage).await?;
    let (name, patterns) = checked(new, &by)?;
    if db::roles::count(&mut transaction, organisation).await? >= ROLES_MAX {
        return Err(Error::conflict(format!("There are {ROLES_MAX} roles already: delete one first.")));
    }
    let (id, now) = (RoleId::new(), app.clock.now());
    db::roles::insert(&mut transaction, organisation, id, &name, &patterns, now).await?;
    let role = find(&mut transaction, organisation, id).await?;
    let detail = json!({ "permissions": patterns });
    let event = Event::RoleCreated;
    audit::record(&mut transaction, now, asker.actor, Some(organisation), event, role.subject(), detail).await?;
    transaction.commit().await?;
    Ok(role)
}

/// Changes a role, for everybody who has it, at once.
///
/// # Errors
/// `Invalid` with a problem per field, `Forbidden` when it may do more than the asker, `NotFound`.
pub async fn change_role(
    app: &App,
    organisation: OrganisationId,
    id: RoleId,
    new: &NewRole,
    asker: Asker<'_>,
) -> Result<OwnRole> {
    let mut transaction = app.pool.begin().await?;
    let (_, by) = lock_for(&mut transaction, organisation, asker, Permission::RoleManage).await?;
    let before = find(&mut transaction, organisation, id).await?;
    check_within(&before, &by)?;
    let (name, patterns) = checked(new, &by)?;
    if name == before.name && patterns == before.patterns {
        return Ok(before);
    }
    let now = app.clock.now();
    db::roles::update(&mut transaction, id, &name, &patterns, now).await?;
    let role = find(&mut transaction, organisation, id).await?;
    let changes = Changes::of("name", &before.name, &name)?.and("permissions", &before.patterns, &patterns)?;
    let event = Event::RoleChanged;
    audit::record(&mut transaction, now, asker.actor, Some(organisation), event, role.subject(), changes).await?;
    transaction.commit().await?;
    Ok(role)
}

/// Deletes a role. Who has it gets another one in the same moment, if one is named; else it must not be in use.
///
/// # Errors
/// `Conflict` while it is used and no other is named, and when somebody would own more organisations than one may; `Forbidden`
/// when either may do more than the asker, `NotFound`.
pub async fn delete_role(
    app: &App,
    organisation: OrganisationId,
    id: RoleId,
    move_to: Option<RoleChoice>,
    asker: Asker<'_>,
) -> Result<()> {
    let mut transaction = app.pool.begin().await?;
    let (_, by) = lock_for(&mut transaction, organisation, asker, Permission::RoleManage).await?;
    let role = find(&mut transaction, organisation, id).await?;
    check_within(&role, &by)?;
    let mut detail = json!({ "permissions": role.patterns });
    if db::roles::is_used(&mut transaction, id, app.clock.machine_now()).await? {
        let Some(to) = move_to.filter(|to| *to != RoleChoice::Own(id)) else {
            return Err(Error::conflict(
                "People have this role, or are invited with it. Say which one they get instead.",
            ));
        };
        if !by.permissions.has(Permission::MemberManage) {
            return Err(Error::NotPermitted(Permission::MemberManage));
        }
        let to = choose(&mut transaction, organisation, to).await?;
        check_gives(&by, &to)?;
        if to.choice.is_owner() {
            for member in db::roles::select_users(&mut transaction, organisation, id).await? {
                lock_receiver(&mut transaction, member).await?;
            }
        }
        let moved = db::roles::update_users(&mut transaction, organisation, id, to.choice).await?;
        detail["members"] = json!(moved);
        detail["moved_to"] = json!(to.name);
    }
    db::roles::delete(&mut transaction, organisation, id).await?;
    let event = Event::RoleDeleted;
    audit::record(&mut transaction, app.clock.now(), asker.actor, Some(organisation), event, role.subject(), detail)
        .await?;
    transaction.commit().await?;
    Ok(())
}

fn check_within(role: &OwnRole, by: &Place) -> Result<()> {
    if role.permissions().is_within(by.permissions) {
        return Ok(());
    }
    Err(Error::Forbidden("This role may do more than you, so you cannot change it."))
}

/// Name and patterns as they are stored: each pattern once.
fn checked(new: &NewRole, by: &Place) -> Result<(String, Vec<String>)> {
    let mut problems = Vec::new();
    let name = new.name.trim();
    if name.is_empty() {
        problems.push(Problem::new("name", "Give it a name."));
    } else if name.chars().count() > NAME_CHARACTERS_MAX {
        problems.push(Problem::new("name", format!("At most {NAME_CHARACTERS_MAX} characters.")));
    } else if !is_plain_line(name) {
        problems.push(Problem::new("name", NOT_A_PLAIN_LINE));
    } else if Role::parse(&name.to_lowercase()).is_some() {
        problems.push(Problem::new("name", "Every organisation has a role of this name. Choose another."));
    }
    match patterns(&new.permissions, by.permissions) {
        Ok(patterns) if problems.is_empty() => return Ok((name.to_owned(), patterns)),
        Ok(_) => {}
        Err(problem) => problems.push(Problem::new("permissions", problem)),
    }
    Err(Error::Invalid(problems))
}

fn patterns(typed: &[String], may: Permissions) -> Result<Vec<String>, String> {
    let mut patterns: Vec<String> = Vec::new();
    for pattern in typed.iter().map(|pattern| pattern.trim()).filter(|pattern| !pattern.is_empty()) {
        if !Permissions::is_known_pattern(pattern) {
            return Err(format!("“{}” is no permission.", pattern.chars().take(60).collect::<String>()));
        }
        let beyond = Permissions::of_patterns([pattern]).list().into_iter().find(|permission| !may.has(*permission));
        if let Some(beyond) = beyond {
            return Err(format!("{TOO_WIDE}: {beyond}."));
        }
        if !patterns.iter().any(|known| known == pattern) {
            patterns.push(pattern.to_owned());
        }
    }
    match patterns.len() {
        0 => Err("Choose at least one permission.".to_owned()),
        count if count > PATTERNS_MAX => Err(format!("At most {PATTERNS_MAX} permissions.")),
        _ => Ok(patterns),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(patterns: &[&str]) -> Vec<String> {
        patterns.iter().map(|pattern| (*pattern).to_owned()).collect()
    }

    #[test]
    fn a_pattern_is_no_wider_than_its_maker() {
        let admin = Role::Admin.permissions();
        assert_eq!(patterns(&typed(&[" vm.* ", "vm.*", "billing.view"]), admin), Ok(typed(&["vm.*", "billing.view"])));
        // An admin cannot hand the organisation over, so neither can a role of his.
        for wide in ["*", "organisation.*", "organisation.hand_over"] {
            assert!(patterns(&typed(&[wide]), admin).unwrap_err().contains("organisation.hand_over"), "{wide}");
        }
        assert_eq!(patterns(&typed(&["*"]), Role::Owner.permissions()), Ok(typed(&["*"])));
    }

    #[test]
    fn what_is_no_permission_makes_no_role() {
        let owner = Role::Owner.permissions();
        for wrong in [&["platform.*"][..], &["vm"], &["**"], &["", "  "], &[]] {
            assert!(patterns(&typed(wrong), owner).is_err(), "{wrong:?}");
        }
    }
}
