//! Handing an organisation over: another member becomes its owner, who had it stays as an admin. Both are told by mail.

use sqlx::PgConnection;

use super::members::{Asker, Place, find_place, lock_for};
use super::role_choice::RoleChoice;
use super::{db, members};
use crate::app::App;
use crate::audit::{self, Changes, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::{OrganisationId, UserId};
use crate::live;
use crate::mail::text::NoticeMail;
use crate::mail::{self, NewMail, Recipient};
use crate::permissions::{Permission, Role};

/// Makes another member the owner, and the owner who asks an admin.
///
/// # Errors
/// `Forbidden` when the asker is no owner, `NotFound` when there is no such member, `Conflict` when that is himself or somebody
/// who is suspended or banned, or owns as many as one may.
pub async fn hand_over(app: &App, organisation: OrganisationId, to: UserId, asker: Asker<'_>) -> Result<()> {
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    let (name, by) = lock_for(&mut transaction, organisation, asker, Permission::OrganisationHandOver).await?;
    let target = find_place(&mut transaction, organisation, to).await?;
    // A role of the organisation's own may allow everything; only an owner has something to hand over.
    if !by.role.is_owner() {
        return Err(Error::Forbidden("Only an owner hands an organisation over."));
    }
    if target.user == by.user {
        return Err(Error::conflict("You own it already."));
    }
    if !target.is_active {
        return Err(Error::conflict("This person’s account is suspended, so it cannot own an organisation."));
    }
    members::lock_receiver(&mut transaction, target.user).await?;
    db::members::update_role(&mut transaction, organisation, target.user, RoleChoice::Standard(Role::Owner)).await?;
    db::members::update_role(&mut transaction, organisation, by.user, RoleChoice::Standard(Role::Admin)).await?;
    let subject = Subject::new("organisation", organisation, &name);
    let changes = Changes::of("owner", &by.email, &target.email)?;
    let event = Event::OrganisationHandedOver;
    audit::record(&mut transaction, now, asker.actor, Some(organisation), event, subject, changes).await?;
    for person in [target.user, by.user] {
        live::announce(&mut transaction, None, live::of_person(person)).await?;
    }
    let told = Told { app, organisation, name: &name, key: uuid::Uuid::now_v7().to_string() };
    let body = format!(
        "{} has handed “{name}” over to you: you are its owner now, with everything that it has and owes.",
        by.name
    );
    told.post(&mut transaction, &target, &format!("{name} is yours now"), &body).await?;
    let body = format!(
        "You have handed “{name}” over to {} ({}), and are one of its admins now.\n\nIf this was not you, ask the operator at once.",
        target.name, target.email
    );
    told.post(&mut transaction, &by, &format!("You have handed over {name}"), &body).await?;
    transaction.commit().await?;
    Ok(())
}

struct Told<'a> {
    app: &'a App,
    organisation: OrganisationId,
    name: &'a str,
    key: String,
}

impl Told<'_> {
    async fn post(&self, connection: &mut PgConnection, to: &Place, subject: &str, body: &str) -> Result<()> {
        let portal = &self.app.settings.public_url;
        let link = Some(format!("{portal}/organisation"));
        let text = NoticeMail { name: &to.name, body, link, organisation: self.name, portal };
        let new = NewMail {
            key: format!("handed-over:{}:{}:{}", self.organisation, self.key, to.user),
            kind: "handed_over",
            to: Recipient { address: to.email.clone(), name: to.name.clone(), user: Some(to.user) },
            organisation: Some(self.organisation),
            subject: subject.to_owned(),
            body: text.text(),
            secret: None,
        };
        mail::enqueue(connection, new, self.app.clock.now()).await?;
        Ok(())
    }
}
