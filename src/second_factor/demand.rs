//! What an organisation demands of its members. The platform's demand of its staff is one of the platform's settings.

use serde_json::json;

use super::{db, factors};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::OrganisationId;
use crate::users::User;

/// Whether an organisation demands a second factor of its members.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn is_demanded(app: &App, organisation: OrganisationId) -> Result<bool> {
    db::select_demand(&app.pool, organisation).await
}

/// Sets whether an organisation demands a second factor of its members. From then on who has none still comes in, and gets
/// no further than to setting one up.
///
/// # Errors
/// `Conflict` when who demands it has none himself.
pub async fn demand(app: &App, organisation: OrganisationId, required: bool, user: &User, actor: &Actor) -> Result<()> {
    if required && !factors(app, user.id).await?.any() {
        return Err(Error::conflict("Set up a second factor for yourself before you require it of everybody."));
    }
    let mut transaction = app.pool.begin().await?;
    if let Some(name) = db::set_demand(&mut transaction, organisation, required).await? {
        let event = if required { Event::SecondFactorDemanded } else { Event::SecondFactorWaived };
        let subject = Subject::new("organisation", organisation, name);
        audit::record(&mut transaction, app.clock.now(), actor, Some(organisation), event, subject, json!({})).await?;
    }
    transaction.commit().await?;
    Ok(())
}
