//! What a person is told by mail when something changes about his second factors, so that he learns of it when it was not him.
//! The mail is written in the transaction of the change.

use sqlx::PgConnection;
use uuid::Uuid;

use crate::app::App;
use crate::audit::Actor;
use crate::error::Result;
use crate::mail::text::AccountMail;
use crate::mail::{self, NewMail, Recipient};
use crate::users::User;

/// A second factor of a person.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Factor<'a> {
    /// An authenticator app.
    App,
    /// A passkey, by its name.
    Passkey(&'a str),
}

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change<'a> {
    /// A factor more.
    Added { factor: Factor<'a>, is_first: bool },
    /// A factor less.
    Removed { factor: Factor<'a>, was_last: bool },
    /// New recovery codes instead of the old ones.
    NewCodes,
    /// A recovery code was used; so many are left.
    CodeUsed { left: i64 },
}

impl Change<'_> {
    fn subject(self) -> &'static str {
        match self {
            Self::Added { factor: Factor::App, .. } => "An authenticator app was set up for your account",
            Self::Added { factor: Factor::Passkey(_), .. } => "A passkey was added to your account",
            Self::Removed { factor: Factor::App, .. } => "The authenticator app of your account was removed",
            Self::Removed { factor: Factor::Passkey(_), .. } => "A passkey of your account was removed",
            Self::NewCodes => "New recovery codes were made for your account",
            Self::CodeUsed { .. } => "A recovery code of your account was used",
        }
    }

    fn sentences(self) -> String {
        let first = "With it you got recovery codes, and your other logins have ended.";
        let last = "It was your last second factor: your recovery codes went with it, and your password alone opens your account.";
        match self {
            Self::Added { factor, is_first } => {
                let what = match factor {
                    Factor::App => {
                        "Logging in to your account asks for a code of an authenticator app from now on.".into()
                    }
                    Factor::Passkey(name) => format!("The passkey “{name}” opens your account from now on."),
                };
                if is_first { format!("{what} {first}") } else { what }
            }
            Self::Removed { factor, was_last } => {
                let what = match factor {
                    Factor::App => "Codes of your authenticator app open nothing any more.".into(),
                    Factor::Passkey(name) => format!("The passkey “{name}” opens nothing any more."),
                };
                if was_last { format!("{what} {last}") } else { what }
            }
            Self::NewCodes => "Your recovery codes of before open nothing any more; only the new ones do.".into(),
            Self::CodeUsed { left: 0 } => {
                "A recovery code was used, by somebody who has your password. It was the last one: make new ones."
                    .into()
            }
            Self::CodeUsed { left } => {
                format!("A recovery code was used, by somebody who has your password. {left} are left.")
            }
        }
    }

    /// The whole text of the mail.
    fn text(self, name: &str, address: Option<&str>, portal: &str) -> String {
        let place = address.map(|address| format!(" It was done from {address}.")).unwrap_or_default();
        let body = format!(
            "{}{place}\n\nIf this was you, there is nothing to do. If not, change your password at once, and look here at what opens your account:",
            self.sentences()
        );
        let link = format!("{portal}/account/security");
        AccountMail { name, body: &body, link: Some(&link), portal }.text()
    }
}

/// Writes the mail about a change that a person made himself, in somebody's transaction.
pub(super) async fn tell(
    app: &App,
    connection: &mut PgConnection,
    user: &User,
    change: Change<'_>,
    actor: &Actor,
) -> Result<()> {
    let text = change.text(&user.name, actor.address.as_deref(), &app.settings.public_url);
    write(app, connection, user, change.subject(), text).await
}

/// Writes the mail about what the operator took, in somebody's transaction.
pub(super) async fn of_reset(app: &App, connection: &mut PgConnection, user: &User, reason: &str) -> Result<()> {
    let text = reset_text(&user.name, reason, &app.settings.public_url);
    write(app, connection, user, "The operator took the second factor of your account", text).await
}

fn reset_text(name: &str, reason: &str, portal: &str) -> String {
    let body = format!(
        "The operator has taken your second factors and recovery codes from your account, and you are logged out everywhere. Your password alone opens it until you set up a new second factor.\n\nThe operator’s reason: {reason}\n\nIf you did not ask for this, set a new password at once, and write to the operator. Set up a new second factor here:"
    );
    let link = format!("{portal}/account/security");
    AccountMail { name, body: &body, link: Some(&link), portal }.text()
}

async fn write(
    app: &App,
    connection: &mut PgConnection,
    user: &User,
    subject: &'static str,
    body: String,
) -> Result<()> {
    let new = NewMail {
        // Each change is told once, and may be made again.
        key: format!("second-factor:{}:{}", user.id, Uuid::now_v7()),
        kind: "account",
        to: Recipient { address: user.email.clone(), name: user.name.clone(), user: Some(user.id) },
        organisation: None,
        subject: subject.to_owned(),
        body,
        secret: None,
    };
    mail::enqueue(connection, new, app.clock.now()).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mail_says_what_changed_from_where_and_what_to_do_if_it_was_not_him() {
        let change = Change::Added { factor: Factor::Passkey("laptop"), is_first: true };
        let text = change.text("Ann", Some("203.0.113.7"), "https://panel.example.org");
        assert_eq!(
            text,
            "Hello Ann,

The passkey “laptop” opens your account from now on. With it you got
recovery codes, and your other logins have ended. It was done from
203.0.113.7.

If this was you, there is nothing to do. If not, change your password at
once, and look here at what opens your account:

https://panel.example.org/account/security

-- 
You get this mail because of an account at https://panel.example.org. It was
written by a program that reads no answers.
"
        );
    }

    #[test]
    fn the_mail_about_what_the_operator_took_says_why_and_what_to_do() {
        let text = reset_text("Ann", "Her phone was stolen", "https://panel.example.org");
        assert_eq!(
            text,
            "Hello Ann,

The operator has taken your second factors and recovery codes from your
account, and you are logged out everywhere. Your password alone opens it
until you set up a new second factor.

The operator’s reason: Her phone was stolen

If you did not ask for this, set a new password at once, and write to the
operator. Set up a new second factor here:

https://panel.example.org/account/security

-- 
You get this mail because of an account at https://panel.example.org. It was
written by a program that reads no answers.
"
        );
    }

    #[test]
    fn each_change_has_its_own_words() {
        let passkey = Factor::Passkey("laptop");
        let said: Vec<String> = [
            Change::Added { factor: Factor::App, is_first: false },
            Change::Added { factor: passkey, is_first: false },
            Change::Removed { factor: Factor::App, was_last: true },
            Change::Removed { factor: passkey, was_last: false },
            Change::NewCodes,
            Change::CodeUsed { left: 9 },
            Change::CodeUsed { left: 0 },
        ]
        .into_iter()
        .map(|change| format!("{}: {}", change.subject(), change.sentences()))
        .collect();
        assert_eq!(
            said,
            [
                "An authenticator app was set up for your account: Logging in to your account asks for a code of an authenticator app from now on.",
                "A passkey was added to your account: The passkey “laptop” opens your account from now on.",
                "The authenticator app of your account was removed: Codes of your authenticator app open nothing any more. It was your last second factor: your recovery codes went with it, and your password alone opens your account.",
                "A passkey of your account was removed: The passkey “laptop” opens nothing any more.",
                "New recovery codes were made for your account: Your recovery codes of before open nothing any more; only the new ones do.",
                "A recovery code of your account was used: A recovery code was used, by somebody who has your password. 9 are left.",
                "A recovery code of your account was used: A recovery code was used, by somebody who has your password. It was the last one: make new ones.",
            ]
        );
    }
}
