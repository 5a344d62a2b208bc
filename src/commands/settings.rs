//! The settings of production, from the environment or the command line.

use anyhow::{Context, bail};
use billing::Money;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use crate::config::{self, Settings, Vault};
use crate::mail::{Mailer, Server};

/// Settings that every process of one platform shares.
#[derive(Debug, Args)]
pub struct PlatformArguments {
    /// Where browsers reach the portal, such as https://panel.example.org
    #[arg(long, env = "UNI_MANAGER_PUBLIC_URL")]
    public_url: String,
    /// Fernet keys that encrypt cluster secrets, newest first, separated by commas
    #[arg(long, env = "UNI_MANAGER_SECRET_KEYS", hide_env_values = true)]
    secret_keys: SecretString,
    /// Key that signs access tokens, at least 32 characters
    #[arg(long, env = "UNI_MANAGER_TOKEN_KEY", hide_env_values = true)]
    token_key: String,
    /// ISO 4217 code of the one currency
    #[arg(long, env = "UNI_MANAGER_CURRENCY", default_value = "EUR")]
    currency: String,
    /// Time zone whose months are billing months
    #[arg(long, env = "UNI_MANAGER_TIME_ZONE", default_value = "UTC")]
    time_zone: String,
    /// Credit that every new organisation starts with
    #[arg(long, env = "UNI_MANAGER_SIGN_UP_CREDIT", default_value = "0")]
    sign_up_credit: String,
    /// Whether strangers may register: open or closed
    #[arg(long, env = "UNI_MANAGER_REGISTRATION", default_value = "open")]
    registration: String,
    /// A sentence that tells customers how to get credit
    #[arg(long, env = "UNI_MANAGER_CREDIT_CONTACT", default_value = "Ask the operator of this platform for credit.")]
    credit_contact: String,
    /// How many batches of wallets are charged side by side, at most 16; as many as there are cores unless set
    #[arg(long, env = "UNI_MANAGER_CHARGING_WORKERS")]
    charging_workers: Option<usize>,
    #[command(flatten)]
    mail: MailArguments,
}

/// Where mails go.
#[derive(Debug, Args)]
struct MailArguments {
    /// The mail server: smtps://host, starttls://host or smtp://host (only to one on this machine or a network you trust), each
    /// with :port if it is not the usual one. Without it no mail is sent, and operators are told
    #[arg(long, env = "UNI_MANAGER_SMTP_URL")]
    smtp_url: Option<String>,
    /// The login of the mail server, if it wants one
    #[arg(long, env = "UNI_MANAGER_SMTP_USER")]
    smtp_user: Option<String>,
    /// Its password
    #[arg(long, env = "UNI_MANAGER_SMTP_PASSWORD", hide_env_values = true)]
    smtp_password: Option<SecretString>,
    /// The sender of every mail, such as panel@example.org
    #[arg(long, env = "UNI_MANAGER_MAIL_FROM")]
    mail_from: Option<String>,
    /// How the sender is called
    #[arg(long, env = "UNI_MANAGER_MAIL_FROM_NAME", default_value = "Uni-Manager")]
    mail_from_name: String,
}

impl MailArguments {
    fn checked(self) -> anyhow::Result<Mailer> {
        let set = |text: &Option<String>| text.as_deref().is_some_and(|text| !text.is_empty());
        if !set(&self.smtp_url) {
            return Ok(Mailer::None);
        }
        let Some(from) = self.mail_from.filter(|from| !from.is_empty()) else {
            bail!(
                "UNI_MANAGER_MAIL_FROM must be set together with UNI_MANAGER_SMTP_URL: the address that mails come from"
            );
        };
        let login = match (self.smtp_user.filter(|user| !user.is_empty()), self.smtp_password) {
            (Some(user), Some(password)) => Some((user, password)),
            (None, None) => None,
            (None, Some(password)) if password.expose_secret().is_empty() => None,
            _ => bail!("UNI_MANAGER_SMTP_USER and UNI_MANAGER_SMTP_PASSWORD belong together: set both or neither"),
        };
        let url = self.smtp_url.unwrap_or_default();
        Ok(Mailer::Server(Server::new(&url, login, &from, &self.mail_from_name)?))
    }
}

impl PlatformArguments {
    /// Checks them all.
    ///
    /// # Errors
    /// Says which one is wrong and what it should be.
    pub fn checked(self) -> anyhow::Result<Settings> {
        let public_url = self.public_url.trim_end_matches('/').to_owned();
        if !public_url.starts_with("https://") && !public_url.starts_with("http://") {
            bail!("UNI_MANAGER_PUBLIC_URL must begin with https:// (or http:// to try things out)");
        }
        if self.currency.len() != 3 || !self.currency.bytes().all(|byte| byte.is_ascii_uppercase()) {
            bail!("UNI_MANAGER_CURRENCY must be an ISO 4217 code such as EUR");
        }
        let sign_up_credit: Money =
            self.sign_up_credit.parse().context("UNI_MANAGER_SIGN_UP_CREDIT must be an amount such as 5 or 2.50")?;
        if sign_up_credit.is_negative() {
            bail!("UNI_MANAGER_SIGN_UP_CREDIT must not be negative");
        }
        let registration_open = match self.registration.as_str() {
            "open" => true,
            "closed" => false,
            other => bail!("UNI_MANAGER_REGISTRATION must be open or closed, not {other}"),
        };
        Ok(Settings {
            public_url,
            currency: self.currency,
            time_zone: self
                .time_zone
                .parse()
                .ok()
                .context("UNI_MANAGER_TIME_ZONE must be a name such as Europe/Paris")?,
            sign_up_credit,
            registration_open,
            credit_contact: self.credit_contact,
            vault: Vault::from_keys(&self.secret_keys).context("UNI_MANAGER_SECRET_KEYS")?,
            token_key: config::token_key(self.token_key).context("UNI_MANAGER_TOKEN_KEY")?,
            mailer: self.mail.checked()?,
            demo: false,
            charging_workers: match self.charging_workers {
                None => config::charging_workers(),
                Some(workers @ 1..=config::CHARGING_WORKERS_MAX) => workers,
                Some(other) => {
                    bail!("UNI_MANAGER_CHARGING_WORKERS must be 1 to {}, not {other}", config::CHARGING_WORKERS_MAX)
                }
            },
        })
    }
}
