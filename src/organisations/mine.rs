//! The organisations of a person: which he belongs to, making another, giving it another name.

use serde_json::json;

use super::role_choice::RoleChoice;
use super::{Asker, Organisation, db, members};
use crate::app::App;
use crate::audit::{self, Actor, Changes, Event, Subject};
use crate::error::{Error, NOT_A_PLAIN_LINE, Result, is_plain_line};
use crate::ids::{OrganisationId, UserId};
use crate::permissions::Permission;

/// The longest name of an organisation, in characters.
pub const NAME_CHARACTERS_MAX: usize = 80;
/// How many organisations one person may own before he asks the operator.
pub const OWNED_MAX: i64 = 10;
/// The most organisations that a menu offers.
const OFFERED_MAX: i64 = 12;
/// The most organisations of a person that are listed.
const LISTED_MAX: i64 = 200;

/// An organisation that somebody belongs to.
#[derive(Debug, Clone)]
pub struct Mine {
    /// Which.
    pub organisation: Organisation,
    /// His role there.
    pub role: RoleChoice,
    /// How that is called.
    pub role_name: String,
    /// How many people belong to it.
    pub members: i64,
}

/// The organisations that somebody belongs to, the oldest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn mine(app: &App, user: UserId) -> Result<Vec<Mine>> {
    db::members::select_mine(&app.pool, user, LISTED_MAX).await
}

/// The ids and names of as many of somebody's organisations as a menu offers, the oldest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn brief_of(app: &App, user: UserId) -> Result<Vec<(OrganisationId, String)>> {
    db::members::select_brief(&app.pool, user, OFFERED_MAX).await
}

fn checked(name: &str) -> Result<&str> {
    let name = name.trim();
    match name.chars().count() {
        0 => Err(Error::invalid("name", "Give it a name.")),
        characters if characters > NAME_CHARACTERS_MAX => {
            Err(Error::invalid("name", format!("At most {NAME_CHARACTERS_MAX} characters.")))
        }
        _ if !is_plain_line(name) => Err(Error::invalid("name", NOT_A_PLAIN_LINE)),
        _ => Ok(name),
    }
}

/// Makes another organisation of a person, with a wallet of its own. It starts without credit.
///
/// # Errors
/// `Invalid` for its name, `Conflict` when he owns many already.
pub async fn create_another(app: &App, name: &str, user: UserId, actor: &Actor) -> Result<OrganisationId> {
    let name = checked(name)?;
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    // Two at once are counted one after the other.
    members::lock_active(&mut transaction, user).await?;
    if db::members::count_mine(&mut transaction, user).await?.1 >= OWNED_MAX {
        return Err(Error::conflict(format!("You own {OWNED_MAX} organisations, which is the most.")));
    }
    let id = super::create(&mut transaction, name, user, now).await?;
    let subject = Subject::new("organisation", id, name);
    audit::record(&mut transaction, now, actor, Some(id), Event::OrganisationCreated, subject, json!({})).await?;
    transaction.commit().await?;
    Ok(id)
}

/// Gives an organisation another name.
///
/// # Errors
/// `Invalid` for the name, `NotPermitted` when the asker may not.
pub async fn rename(app: &App, organisation: OrganisationId, name: &str, asker: Asker<'_>) -> Result<()> {
    let name = checked(name)?;
    let mut transaction = app.pool.begin().await?;
    let (before, _) =
        members::lock_for(&mut transaction, organisation, asker, Permission::OrganisationConfigure).await?;
    if before == name {
        return Ok(());
    }
    db::members::update_name(&mut transaction, organisation, name).await?;
    let subject = Subject::new("organisation", organisation, name);
    let changes = Changes::of("name", &before.as_str(), &name)?;
    let event = Event::OrganisationRenamed;
    audit::record(&mut transaction, app.clock.now(), asker.actor, Some(organisation), event, subject, changes).await?;
    transaction.commit().await?;
    Ok(())
}
