//! Which account here belongs to whom at the provider. Linking takes two steps: coming back from there, and saying so in a form
//! here, so that no other site can link somebody's account with a stranger's.

use chrono::{DateTime, Utc};
use secrecy::SecretString;
use serde_json::json;
use sqlx::PgConnection;
use uuid::Uuid;
use validator::ValidateEmail;

use super::judge::Person;
use super::{Provider, db, journeys};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};
use crate::ids::{IdentityId, UserId};
use crate::mail::text::AccountMail;
use crate::mail::{self, NewMail, Recipient};
use crate::sessions::Session;
use crate::users::{self, NewUser, User};

/// How many accounts elsewhere one person may link.
const IDENTITIES_MAX: i64 = 10;

/// An account elsewhere that is linked with one here.
#[derive(Debug, Clone, serde::Serialize, utoipa::ToSchema)]
#[schema(as = LinkedIdentity)]
pub struct Identity {
    /// Its id.
    pub id: IdentityId,
    /// The provider, by the name with which it signs.
    pub issuer: String,
    /// The address that it had there when they were linked.
    pub email: Option<String>,
    /// When that was.
    pub created_at: DateTime<Utc>,
    /// When somebody last logged in with it.
    pub last_used_at: Option<DateTime<Utc>>,
}

/// An account elsewhere that somebody has shown and not linked yet.
#[derive(Debug)]
pub struct Shown {
    /// Its address there.
    pub email: Option<String>,
    pub(super) issuer: String,
    pub(super) subject: String,
}

/// The person here of somebody there; notes that he came.
pub(super) async fn owner(app: &App, provider: &Provider, subject: &str) -> Result<Option<User>> {
    let mut connection = app.pool.acquire().await?;
    let now = app.clock.machine_now();
    match db::update_used(&mut connection, provider.issuer(), subject, now).await? {
        Some(user) => users::find(&mut connection, user).await,
        None => Ok(None),
    }
}

/// The address of somebody, if the provider has made sure of it and it is one of those that may come in.
pub(super) fn vouched_email<'a>(provider: &Provider, person: &'a Person) -> Result<&'a str> {
    let Some(email) = person.email.as_deref().filter(|email| person.is_verified && email.validate_email()) else {
        return Err(Error::conflict(format!(
            "{} does not say that your e-mail address is verified, so no account can be made from it. Verify it there first.",
            provider.name
        )));
    };
    let domain = email.rsplit_once('@').map(|(_, domain)| domain.to_lowercase()).unwrap_or_default();
    if !provider.email_domains.is_empty() && !provider.email_domains.contains(&domain) {
        return Err(Error::conflict(
            "Addresses like yours may not log in here this way. Ask the operator for an account.",
        ));
    }
    Ok(email)
}

/// Where only some addresses may come in, others may not be linked either.
pub(super) fn may_link(provider: &Provider, person: &Person) -> Result<()> {
    if provider.email_domains.is_empty() {
        return Ok(());
    }
    vouched_email(provider, person).map(|_| ())
}

/// Makes an account for somebody whom the provider vouches for, and links the two.
pub(super) async fn register(
    app: &App,
    provider: &Provider,
    person: &Person,
    new: NewUser,
    actor: &Actor,
) -> Result<User> {
    let hashed = users::prepare(new).await?;
    let mut transaction = app.pool.begin().await?;
    let (user, _) = users::register_vouched(app, &mut transaction, hashed, actor).await?;
    let shown =
        Shown { email: person.email.clone(), issuer: provider.issuer().to_owned(), subject: person.subject.clone() };
    insert(app, &mut transaction, &user, &shown, &actor.clone().known_as(&user)).await?;
    transaction.commit().await?;
    Ok(user)
}

/// What this browser has shown and its person has not linked yet.
///
/// # Errors
/// `Conflict` when there is nothing, or it is too old.
pub async fn shown(app: &App, session: &Session, browser: Option<&SecretString>) -> Result<Shown> {
    let now = app.clock.machine_now();
    let shown = db::select_shown(&app.pool, &journeys::hash_of(browser), session.user.id, session.id, now).await?;
    shown.ok_or_else(too_late)
}

fn too_late() -> Error {
    Error::conflict("That took too long, or was done already. Begin again.")
}

/// Links what this browser has shown with the account that it is logged in to.
///
/// # Errors
/// `Conflict` when there is nothing or it is too old, when it is linked with an account already, or too many are.
pub async fn link(app: &App, session: &Session, browser: Option<&SecretString>, actor: &Actor) -> Result<()> {
    let (user, now) = (&session.user, app.clock.machine_now());
    let mut transaction = app.pool.begin().await?;
    let user = users::lock(&mut transaction, user.id).await?;
    let shown = db::take_shown(&mut transaction, &journeys::hash_of(browser), user.id, session.id, now).await?;
    let shown = shown.ok_or_else(too_late)?;
    insert(app, &mut transaction, &user, &shown, actor).await?;
    let what = format!(
        "An account at {} ({}) was linked with yours. Whoever logs in with it there comes in here.",
        shown.issuer,
        shown.email.as_deref().unwrap_or("without an address"),
    );
    tell(app, &mut transaction, &user, ("An account elsewhere opens your account now", &what), actor).await?;
    transaction.commit().await?;
    Ok(())
}

/// Tells a person by mail, so that he learns of it when it was not him.
async fn tell(
    app: &App,
    connection: &mut PgConnection,
    user: &User,
    (subject, what): (&str, &str),
    actor: &Actor,
) -> Result<()> {
    let from = actor.address.as_deref().map(|address| format!(" It was done from the address {address}."));
    let body = format!(
        "{what}{}\n\nIf it was not you, look at your account under Security, and set another password at once.",
        from.unwrap_or_default()
    );
    let text = AccountMail { name: &user.name, body: &body, link: None, portal: &app.settings.public_url };
    let new = NewMail {
        key: format!("account:told:{}", Uuid::now_v7()),
        kind: "account.told",
        to: Recipient { address: user.email.clone(), name: user.name.clone(), user: Some(user.id) },
        organisation: None,
        subject: subject.to_owned(),
        body: text.text(),
        secret: None,
    };
    mail::enqueue(connection, new, app.clock.now()).await?;
    Ok(())
}

async fn insert(app: &App, connection: &mut PgConnection, user: &User, shown: &Shown, actor: &Actor) -> Result<()> {
    if db::count(&mut *connection, user.id).await? >= IDENTITIES_MAX {
        return Err(Error::conflict(format!("You have linked {IDENTITIES_MAX} accounts already. Unlink one first.")));
    }
    db::insert(&mut *connection, IdentityId::new(), user.id, shown, app.clock.machine_now()).await?;
    let subject = Subject::new("user", user.id, &user.email);
    let detail = json!({ "issuer": shown.issuer, "address_there": shown.email });
    audit::record(connection, app.clock.now(), actor, None, Event::IdentityLinked, subject, detail).await
}

/// The accounts elsewhere that a person has linked, oldest first.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn list(app: &App, user: UserId) -> Result<Vec<Identity>> {
    db::select(&app.pool, user).await
}

/// Unlinks an account elsewhere. Another way in must be left: a password, or another account at the provider that is set.
///
/// # Errors
/// `NotFound` when it is not his, `Conflict` when he could not come in any more.
pub async fn unlink(app: &App, user: &User, id: IdentityId, actor: &Actor) -> Result<()> {
    let mut transaction = app.pool.begin().await?;
    let user = users::lock(&mut transaction, user.id).await?;
    let issuer = db::delete(&mut transaction, user.id, id).await?.ok_or(Error::NotFound("linked account"))?;
    let now_used = app.settings.oidc.as_ref().map_or("", Provider::issuer);
    if !db::may_come_in(&mut transaction, user.id, now_used).await? {
        return Err(Error::conflict("It is your only way in. Set a password first, under Password."));
    }
    let subject = Subject::new("user", user.id, &user.email);
    let what = format!("The account at {issuer} that was linked with yours opens it no more.");
    tell(app, &mut transaction, &user, ("An account elsewhere was unlinked from yours", &what), actor).await?;
    let detail = json!({ "issuer": issuer });
    audit::record(&mut transaction, app.clock.now(), actor, None, Event::IdentityUnlinked, subject, detail).await?;
    transaction.commit().await?;
    Ok(())
}

/// Unlinks all accounts elsewhere of a person, in somebody's transaction: whoever linked them has not been him.
///
/// # Errors
/// When PostgreSQL fails.
pub(crate) async fn forget_all(connection: &mut PgConnection, user: UserId) -> Result<()> {
    db::delete_all(connection, user).await
}
