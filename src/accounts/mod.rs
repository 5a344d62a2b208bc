//! What a person changes of his own account: name, address, password, and what he does with a link that was sent to him. What
//! proves who he is lies in `users`, where he is logged in in `sessions`.

mod db;
mod email;
mod password;

use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

pub use email::{Confirmed, NewEmail, confirm, request_email, send_verification, wanted_email};
pub use password::{
    NewPassword, answer_reset_requests, change_password, check_reset_link, request_reset, reset_password,
};

use crate::app::App;
use crate::audit::{self, Actor, Changes, Event, Subject};
use crate::error::Result;
use crate::users::{self, User};

/// The token of a link that was sent by mail, as a form or a program sends it back.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub struct LinkToken {
    /// The token.
    #[serde(default)]
    #[schema(value_type = String, format = Password)]
    pub token: SecretString,
}

impl LinkToken {
    fn text(&self) -> &str {
        self.token.expose_secret().trim()
    }
}

/// Changes how a person is called.
///
/// # Errors
/// `Invalid` when it is not a name.
pub async fn rename(app: &App, user: &User, name: &str, actor: &Actor) -> Result<()> {
    let name = name.trim();
    if name == user.name {
        return Ok(());
    }
    let mut transaction = app.pool.begin().await?;
    users::set_name(&mut transaction, user.id, name).await?;
    let subject = Subject::new("user", user.id, &user.email);
    let detail = Changes::of("name", &user.name.as_str(), &name)?;
    audit::record(&mut transaction, app.clock.now(), actor, None, Event::NameChanged, subject, detail).await?;
    transaction.commit().await?;
    Ok(())
}
