//! Turning a browser to another organisation of its person.

use serde_json::json;

use super::{Session, db};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::Result;
use crate::ids::OrganisationId;
use crate::organisations;

/// Turns a session to another organisation. It stays there until it is turned again, or its person is no member any more.
///
/// # Errors
/// `NotFound` when he is no member of it.
pub async fn enter(app: &App, session: &Session, organisation: OrganisationId, actor: &Actor) -> Result<()> {
    let mut transaction = app.pool.begin().await?;
    let place = organisations::of_member(&mut transaction, session.user.id, Some(organisation)).await?.organisation;
    db::update_organisation(&mut transaction, session.id, organisation).await?;
    let subject = Subject::new("organisation", organisation, place.name);
    let event = Event::OrganisationEntered;
    audit::record(&mut transaction, app.clock.now(), actor, Some(organisation), event, subject, json!({})).await?;
    transaction.commit().await?;
    Ok(())
}
