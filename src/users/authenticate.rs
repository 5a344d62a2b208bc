//! Proving who one is by password. Unknown address and wrong password get the same answer after the same work.

use secrecy::SecretString;

use super::{User, UserState, db, password};
use crate::app::App;
use crate::audit::{self, Actor, Event, Subject};
use crate::error::{Error, Result};

/// The one answer to every failed login.
const REFUSED: &str = "The e-mail address or the password is wrong.";

/// Said to who has the right password and may not come in.
const BANNED: &str = "This account has been closed by the operator.";

/// The person with this address and password.
///
/// # Errors
/// `Unauthenticated` when there is none.
pub async fn authenticate(app: &App, email: &str, password: SecretString, actor: Actor) -> Result<User> {
    let mut connection = app.pool.acquire().await?;
    let known = db::select_by_email(&mut connection, email.trim()).await?;
    // Nothing is held while the hash is computed.
    drop(connection);
    let stored = known.as_ref().map(|known| known.password_hash.clone());
    if password::verify(password, stored).await? {
        let user = known.map(|known| known.user).ok_or(Error::Unauthenticated(REFUSED))?;
        // Only who knows the password learns this.
        return if user.state == UserState::Banned { Err(Error::Unauthenticated(BANNED)) } else { Ok(user) };
    }
    if let Some(known) = known {
        let subject = Subject::new("user", known.user.id, known.user.email);
        let mut connection = app.pool.acquire().await?;
        audit::record(
            &mut connection,
            app.clock.now(),
            &actor,
            None,
            Event::LoginFailed,
            subject,
            serde_json::json!({}),
        )
        .await?;
    }
    Err(Error::Unauthenticated(REFUSED))
}
