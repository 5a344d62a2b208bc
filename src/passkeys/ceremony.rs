//! Asking a browser to make or use a passkey, and having the answer judged by webauthn-rs. What was asked is a row that is
//! answered once, within some minutes, in whichever process.

use std::time::Duration;

use anyhow::{Context, anyhow};
use chrono::TimeDelta;
use secrecy::SecretString;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use sqlx::PgConnection;
use uuid::Uuid;
use webauthn_rs::prelude::{
    AuthenticationResult, DiscoverableAuthentication, Passkey as Key, PasskeyAuthentication, PasskeyRegistration,
    PublicKeyCredential, RegisterPublicKeyCredential, Url, WebauthnError,
};
use webauthn_rs::{Webauthn, WebauthnBuilder};

use super::{NAME_CHARACTERS_MAX, PASSKEYS_MAX, Purpose, db};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, NOT_A_PLAIN_LINE, Result, is_plain_line};
use crate::ids::{PasskeyId, UserId};
use crate::second_factor::{self, Factor, Method};
use crate::sessions::{Login, Session};
use crate::users::{self, Place, User, UserState};

/// How long a browser may take to answer.
const CEREMONY_MINUTES: i64 = 5;
/// How many of one person may wait at once; the oldest go first.
const CEREMONIES_PER_PERSON_MAX: i64 = 20;
/// How many logins that begin with a passkey may wait at once.
const CEREMONIES_OF_STRANGERS_MAX: i64 = 10_000;
/// What a device shows as the name of this place.
const NAME: &str = "Uni-Manager";

/// The one answer to every proof that fails.
const REFUSED: &str = "This passkey was not accepted. Try again, or use another way.";

/// What a browser is asked, and by what it names the question when it answers.
#[derive(Debug, serde::Serialize)]
pub struct Asked {
    /// Comes back with the answer.
    pub ceremony: Uuid,
    /// For `navigator.credentials`.
    pub options: Value,
}

/// Whether this platform has a domain name, to which passkeys are bound.
#[must_use]
pub fn are_possible(app: &App) -> bool {
    origin(app).is_some()
}

/// What passkeys here belong to. A network address is no name, and browsers give passkeys to HTTPS only, except on the
/// machine itself.
fn origin(app: &App) -> Option<Url> {
    let url = Url::parse(&app.settings.public_url).ok()?;
    let domain = url.domain()?;
    (url.scheme() == "https" || domain == "localhost").then_some(url)
}

/// Who judges passkeys here.
fn judge(app: &App) -> Result<Webauthn> {
    let none = || Error::conflict("Passkeys need the platform to be reached by a domain name over HTTPS.");
    let origin = origin(app).ok_or_else(none)?;
    let domain = origin.domain().ok_or_else(none)?;
    let builder = WebauthnBuilder::new(domain, &origin).context("while setting up passkeys")?;
    let timeout = Duration::from_secs(CEREMONY_MINUTES.unsigned_abs() * 60);
    Ok(builder.rp_name(NAME).timeout(timeout).build().context("while setting up passkeys")?)
}

/// Begins to add a passkey.
///
/// # Errors
/// `Conflict` when the platform has no domain name, or the person has too many already.
pub async fn begin_adding(app: &App, user: &User) -> Result<Asked> {
    let judge = judge(app)?;
    let mut transaction = app.pool.begin().await?;
    let known = keys(&mut transaction, user.id).await?;
    if known.len() >= PASSKEYS_MAX {
        return Err(Error::conflict(format!("You have {PASSKEYS_MAX} passkeys already. Remove one first.")));
    }
    let known = known.iter().map(|(_, key)| key.cred_id().clone()).collect();
    let (question, state) = judge
        .start_passkey_registration(user.id.uuid(), &user.email, &user.name, Some(known))
        .context("while asking for a new passkey")?;
    let mut options = json(&question)?;
    // The library advises against it; but only a passkey that the device finds by itself is a login by itself.
    options["publicKey"]["authenticatorSelection"]["residentKey"] = json!("required");
    options["publicKey"]["authenticatorSelection"]["requireResidentKey"] = json!(true);
    let asked = keep(app, &mut transaction, Some(user.id), Purpose::Add, options, json(&state)?).await?;
    transaction.commit().await?;
    Ok(asked)
}

/// Adds the passkey that a browser made. With the first factor of a person his other logins end, and he gets recovery codes,
/// which are answered once.
///
/// # Errors
/// `Invalid` for a name that cannot be, `Conflict` when it was not accepted, `Unauthenticated` when all logins of the person were
/// ended meanwhile.
pub async fn add(
    app: &App,
    user: &User,
    (ceremony, answer): (Uuid, &str),
    name: &str,
    login: Login,
    actor: &Actor,
) -> Result<Option<Vec<String>>> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > NAME_CHARACTERS_MAX {
        return Err(Error::invalid("name", format!("Between 1 and {NAME_CHARACTERS_MAX} characters.")));
    }
    if !is_plain_line(name) {
        return Err(Error::invalid("name", NOT_A_PLAIN_LINE));
    }
    let refused = || Error::conflict(REFUSED);
    let answer: RegisterPublicKeyCredential = serde_json::from_str(answer).map_err(|_| refused())?;
    let state = take::<PasskeyRegistration>(app, ceremony, Purpose::Add, Some(user.id)).await?.ok_or_else(refused)?;
    let key = judge(app)?.finish_passkey_registration(&answer, &state).map_err(|why| {
        tracing::info!(%why, "a new passkey was not accepted");
        refused()
    })?;
    let mut transaction = app.pool.begin().await?;
    let before = second_factor::lock_unended(&mut transaction, user).await?;
    if before.passkeys >= i64::try_from(PASSKEYS_MAX).unwrap_or(i64::MAX) {
        return Err(Error::conflict(format!("You have {PASSKEYS_MAX} passkeys already. Remove one first.")));
    }
    let new = db::NewPasskey {
        id: PasskeyId::new(),
        user: user.id,
        name,
        credential_id: key.cred_id(),
        credential: json(&key)?,
        created_at: app.clock.machine_now(),
    };
    let subject = Subject::new("passkey", new.id, name);
    db::insert(&mut transaction, new).await?;
    let codes =
        second_factor::after_adding(app, &mut transaction, user, login, (Factor::Passkey(name), before.any()), actor)
            .await?;
    audit::record(&mut transaction, app.clock.now(), actor, None, Event::PasskeyAdded, subject, json!({})).await?;
    transaction.commit().await?;
    Ok(codes)
}

/// Asks a known person for one of his passkeys.
///
/// # Errors
/// `Conflict` when he has none, or the platform has no domain name.
pub async fn begin_proof(app: &App, user: UserId) -> Result<Asked> {
    let judge = judge(app)?;
    let mut transaction = app.pool.begin().await?;
    let known: Vec<Key> = keys(&mut transaction, user).await?.into_iter().map(|(_, key)| key).collect();
    if known.is_empty() {
        return Err(Error::conflict("You have no passkey. Use another way."));
    }
    let (question, state) =
        judge.start_passkey_authentication(&known).context("while asking for a passkey of a person")?;
    let asked = keep(app, &mut transaction, Some(user), Purpose::Prove, json(&question)?, json(&state)?).await?;
    transaction.commit().await?;
    Ok(asked)
}

/// Asks whoever it is for a passkey that says who he is.
///
/// # Errors
/// `Conflict` when the platform has no domain name, `TooManyTries` when it was asked too often from there.
pub async fn begin_login(app: &App, place: &Place) -> Result<Asked> {
    let judge = judge(app)?;
    users::asked::count_question(app, place).await?;
    let (question, state) = judge.start_discoverable_authentication().context("while asking for any passkey")?;
    let mut transaction = app.pool.begin().await?;
    let asked = keep(app, &mut transaction, None, Purpose::LogIn, json(&question)?, json(&state)?).await?;
    transaction.commit().await?;
    Ok(asked)
}

/// The second step of a login that waits. A passkey that fails leaves it waiting.
///
/// # Errors
/// `Unauthenticated` when none waits, `Conflict` when the passkey is not one of his.
pub async fn second_step(app: &App, pending: &SecretString, answered: (Uuid, &str), actor: &Actor) -> Result<User> {
    let whose = second_factor::find(app, pending).await?;
    let key = prove(app, &whose, answered, actor).await.map_err(only_this)?;
    let mut transaction = app.pool.begin().await?;
    let user = second_factor::take(app, &mut transaction, pending).await?;
    note_use(app, &mut transaction, user.id, &key).await.map_err(only_this)?;
    transaction.commit().await?;
    Ok(user)
}

/// Confirms a session with a passkey.
///
/// # Errors
/// `Conflict` when the passkey is not one of his.
pub async fn confirm(app: &App, session: &Session, answered: (Uuid, &str), actor: &Actor) -> Result<()> {
    let key = prove(app, &session.user, answered, actor).await.map_err(only_this)?;
    let mut transaction = app.pool.begin().await?;
    note_use(app, &mut transaction, session.user.id, &key).await.map_err(only_this)?;
    second_factor::note(app, &mut transaction, session, Method::Passkey, actor).await?;
    transaction.commit().await?;
    Ok(())
}

/// A login with nothing but a passkey: it names its owner, and his device has made sure that it is him.
///
/// # Errors
/// `Unauthenticated` when it is nobody's.
pub async fn log_in(app: &App, (ceremony, answer): (Uuid, &str), actor: &Actor) -> Result<User> {
    let refused = || Error::Unauthenticated(REFUSED);
    let judge = judge(app)?;
    let answer: PublicKeyCredential = serde_json::from_str(answer).map_err(|_| refused())?;
    let state = take::<DiscoverableAuthentication>(app, ceremony, Purpose::LogIn, None).await?.ok_or_else(refused)?;
    // The device says whose passkey it is; that it is so, the signature shows.
    let (whose, credential) = judge.identify_discoverable_authentication(&answer).map_err(|_| refused())?;
    let mut connection = app.pool.acquire().await?;
    let user = users::find(&mut connection, UserId::from(whose)).await?;
    let user = user.filter(|user| user.state != UserState::Banned).ok_or_else(refused)?;
    let known = keys(&mut connection, user.id).await?;
    drop(connection);
    let (_, key) = known.iter().find(|(_, key)| key.cred_id().as_slice() == credential).ok_or_else(refused)?;
    let judged = judge.finish_discoverable_authentication_v2(&answer, state, key);
    let key = match judged {
        Ok(result) => result,
        Err(why) => return Err(not_accepted(app, &user, &why, Event::LoginFailed, actor).await?),
    };
    let mut transaction = app.pool.begin().await?;
    note_use(app, &mut transaction, user.id, &key).await?;
    transaction.commit().await?;
    Ok(user)
}

/// Judges the answer of a known person.
async fn prove(
    app: &App,
    user: &User,
    (ceremony, answer): (Uuid, &str),
    actor: &Actor,
) -> Result<AuthenticationResult> {
    let refused = || Error::Unauthenticated(REFUSED);
    let judge = judge(app)?;
    let answer: PublicKeyCredential = serde_json::from_str(answer).map_err(|_| refused())?;
    let state = take::<PasskeyAuthentication>(app, ceremony, Purpose::Prove, Some(user.id)).await?;
    match judge.finish_passkey_authentication(&answer, &state.ok_or_else(refused)?) {
        Ok(result) => Ok(result),
        Err(why) => Err(not_accepted(app, user, &why, Event::SecondFactorFailed, actor).await?),
    }
}

/// For who is known already: it is only this proof that is refused.
fn only_this(refused: Error) -> Error {
    match refused {
        Error::Unauthenticated(sentence) => Error::conflict(sentence),
        other => other,
    }
}

/// Writes down that a passkey was tried that does not hold, and answers with what is said of it.
async fn not_accepted(app: &App, user: &User, why: &WebauthnError, event: Event, actor: &Actor) -> Result<Error> {
    tracing::info!(%why, user = %user.id, "a passkey was not accepted");
    let subject = Subject::new("user", user.id, &user.email);
    let detail = json!({ "by": Method::Passkey.name() });
    let mut connection = app.pool.acquire().await?;
    audit::record(&mut connection, app.clock.now(), actor, None, event, subject, detail).await?;
    Ok(Error::Unauthenticated(REFUSED))
}

/// Keeps that a passkey of a person was used. One that was removed meanwhile, or whose count has come as far by another answer,
/// proves nothing.
async fn note_use(app: &App, connection: &mut PgConnection, user: UserId, result: &AuthenticationResult) -> Result<()> {
    let refused = || Error::Unauthenticated(REFUSED);
    if !result.user_verified() {
        return Err(refused());
    }
    let known = keys(&mut *connection, user).await?;
    let used = known.into_iter().find(|(_, key)| key.cred_id() == result.cred_id());
    let (id, mut key) = used.ok_or_else(refused)?;
    let changed = key.update_credential(result).unwrap_or(false);
    // A device that counts has counted on since.
    if result.counter() > 0 && !changed {
        return Err(refused());
    }
    db::update_used(connection, id, json(&key)?, app.clock.machine_now()).await
}

/// Keeps what is asked until it is answered.
async fn keep(
    app: &App,
    connection: &mut PgConnection,
    user: Option<UserId>,
    purpose: Purpose,
    options: Value,
    state: Value,
) -> Result<Asked> {
    let (ceremony, now) = (Uuid::now_v7(), app.clock.machine_now());
    let expires_at = now + TimeDelta::minutes(CEREMONY_MINUTES);
    db::insert_ceremony(&mut *connection, ceremony, user, purpose, state, now, expires_at).await?;
    let most = if user.is_some() { CEREMONIES_PER_PERSON_MAX } else { CEREMONIES_OF_STRANGERS_MAX };
    db::trim_ceremonies(connection, user, most).await?;
    Ok(Asked { ceremony, options })
}

/// Takes what was asked of somebody, so that it is answered once, whatever the answer is worth.
async fn take<State: DeserializeOwned>(
    app: &App,
    ceremony: Uuid,
    purpose: Purpose,
    user: Option<UserId>,
) -> Result<Option<State>> {
    let mut connection = app.pool.acquire().await?;
    let taken = db::take_ceremony(&mut connection, ceremony, purpose, user, app.clock.machine_now()).await?;
    let read = |state| serde_json::from_value(state).context("what was asked of a browser is unreadable");
    Ok(taken.map(read).transpose()?)
}

/// A person's passkeys as the library keeps them.
async fn keys(connection: &mut PgConnection, user: UserId) -> Result<Vec<(PasskeyId, Key)>> {
    let stored = db::select_credentials(connection, user).await?;
    let read = |(id, stored)| {
        let key = serde_json::from_value(stored).context("what is stored of a passkey is unreadable")?;
        Ok((id, key))
    };
    stored.into_iter().map(read).collect()
}

fn json(value: &impl Serialize) -> Result<Value> {
    serde_json::to_value(value).map_err(|error| anyhow!(error).context("while writing a passkey down").into())
}
