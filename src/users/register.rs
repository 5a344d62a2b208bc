//! Registering: a person, his organisation, its wallet and the credit it starts with, in one transaction.

use billing::Money;
use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;
use sqlx::PgConnection;
use validator::Validate;

use super::links::{self, Purpose};
use super::{PlatformRole, User, UserState, asked, db, password, password_problem};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, NOT_A_PLAIN_LINE, Problem, Result, is_plain_line};
use crate::ids::{OrganisationId, UserId};
use crate::{ledger, organisations};

/// What somebody types to register.
#[derive(Debug, Clone, Deserialize, Validate, utoipa::ToSchema)]
pub struct NewUser {
    /// The e-mail address, which is also the login.
    #[validate(
        email(message = "This is not an e-mail address."),
        length(max = 254, message = "At most 254 characters.")
    )]
    #[schema(format = Email, max_length = 254, example = "ann@example.org")]
    pub email: String,
    /// The person's name.
    #[validate(length(min = 1, max = 80, message = "Between 1 and 80 characters."))]
    #[schema(min_length = 1, max_length = 80, example = "Ann Example")]
    pub name: String,
    /// The name of the organisation; the person's own name when left empty.
    #[serde(default)]
    #[validate(length(max = 80, message = "At most 80 characters."))]
    #[schema(max_length = 80)]
    pub organisation: String,
    /// The password.
    #[schema(value_type = String, format = Password, min_length = 10, max_length = 256)]
    pub password: SecretString,
}

impl NewUser {
    fn checked(mut self) -> Result<Self> {
        self.email = self.email.trim().to_owned();
        self.name = self.name.trim().to_owned();
        self.organisation = self.organisation.trim().to_owned();
        if self.organisation.is_empty() {
            self.organisation.clone_from(&self.name);
        }
        let mut problems = problems(self.validate().err());
        for (field, text) in [("name", &self.name), ("organisation", &self.organisation)] {
            if !is_plain_line(text) && !problems.iter().any(|problem| problem.field == field) {
                problems.push(Problem::new(field, NOT_A_PLAIN_LINE));
            }
        }
        problems.extend(password_problem("password", &self.password));
        if problems.is_empty() { Ok(self) } else { Err(Error::Invalid(problems)) }
    }
}

/// The validator's findings as problems of fields.
fn problems(errors: Option<validator::ValidationErrors>) -> Vec<Problem> {
    const FIELDS: [&str; 3] = ["email", "name", "organisation"];
    let Some(errors) = errors else { return Vec::new() };
    let errors = errors.field_errors();
    FIELDS
        .into_iter()
        .filter_map(|field| {
            let first = errors.get(field)?.first()?;
            Some(Problem::new(field, first.message.clone().unwrap_or_else(|| "This cannot be accepted.".into())))
        })
        .collect()
}

/// Registers a customer, and writes to him to have his address confirmed. Whom the platform itself makes is trusted.
///
/// # Errors
/// `Forbidden` when registration is closed, `Invalid` with a problem per field, `TooManyTries` when many were opened from this
/// network, `Unavailable` when too many passwords wait to be hashed.
pub async fn register(app: &App, new: NewUser, actor: Actor) -> Result<(User, OrganisationId)> {
    if !app.settings.registration_open {
        return Err(Error::Forbidden("Registration is closed. Ask the operator for an account."));
    }
    let new = new.checked()?;
    if actor.is_stranger() {
        asked::count_registration(app, actor.address.as_deref()).await?;
    }
    let prepared = prepare(new).await?;
    let mut transaction = app.pool.begin().await?;
    let registered = insert(app, &mut transaction, prepared, Kind::Customer, &actor).await?;
    transaction.commit().await?;
    Ok(registered)
}

/// Registers a customer for whose address an identity provider vouches, in somebody's transaction. The password is nobody's: he
/// has none until he sets one.
///
/// # Errors
/// `Invalid` at `email` when there is an account with the address already.
pub(crate) async fn register_vouched(
    app: &App,
    connection: &mut PgConnection,
    prepared: Prepared,
    actor: &Actor,
) -> Result<(User, OrganisationId)> {
    insert(app, connection, prepared, Kind::Vouched, actor).await
}

/// Somebody whose fields were checked, and whose password was hashed.
pub(crate) struct Prepared {
    new: NewUser,
    hash: String,
}

/// Checks somebody's fields and hashes his password, before any transaction.
///
/// # Errors
/// `Invalid` with a problem per field; `Unavailable` when too many are being hashed.
pub(crate) async fn prepare(new: NewUser) -> Result<Prepared> {
    let new = new.checked()?;
    let hash = password::hash(new.password.clone()).await?;
    Ok(Prepared { new, hash })
}

/// Who registers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A customer with a password.
    Customer,
    /// A customer who comes from an identity provider.
    Vouched,
    /// An admin, made by the operator.
    Admin,
}

/// Makes an account with the admin role, from the command line or the demo.
///
/// # Errors
/// `Invalid` with a problem per field.
pub async fn create_admin(app: &App, new: NewUser) -> Result<(User, OrganisationId)> {
    let prepared = prepare(new).await?;
    let mut transaction = app.pool.begin().await?;
    let made = insert(app, &mut transaction, prepared, Kind::Admin, &Actor::system()).await?;
    transaction.commit().await?;
    Ok(made)
}

async fn insert(
    app: &App,
    connection: &mut PgConnection,
    Prepared { new, hash }: Prepared,
    kind: Kind,
    actor: &Actor,
) -> Result<(User, OrganisationId)> {
    let now = app.clock.now();
    let (platform_role, credit) = match kind {
        Kind::Customer | Kind::Vouched => (None, app.settings.sign_up_credit),
        Kind::Admin => (Some(PlatformRole::Admin), Money::ZERO),
    };
    let user = User {
        id: UserId::new(),
        number: 0,
        email: new.email,
        name: new.name,
        platform_role,
        state: UserState::Active,
        is_verified: !actor.is_stranger() || kind != Kind::Customer,
        epoch: 0,
    };
    db::insert(&mut *connection, &user, &hash, kind != Kind::Vouched, now).await?;
    let organisation = organisations::create(&mut *connection, &new.organisation, user.id, now).await?;
    if !user.is_verified {
        links::send(app, &mut *connection, &user, Purpose::VerifyEmail, &user.email, now).await?;
    }
    let actor = if actor.is_stranger() { actor.clone().known_as(&user) } else { actor.clone() };
    let subject = Subject::new("user", user.id, &user.email);
    audit::record(
        &mut *connection,
        now,
        &actor,
        Some(organisation),
        Event::UserRegistered,
        subject,
        json!({ "organisation": new.organisation }),
    )
    .await?;
    if credit > Money::ZERO {
        ledger::sign_up_credit(&mut *connection, organisation, credit, now).await?;
    }
    let user = db::select(connection, user.id).await?.ok_or(Error::NotFound("user"))?;
    Ok((user, organisation))
}
