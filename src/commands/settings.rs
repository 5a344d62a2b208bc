//! The settings of production, from the environment or the command line.

use anyhow::{Context, bail};
use billing::Money;
use clap::Args;
use secrecy::SecretString;

use crate::config::{self, Settings, Vault};

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
            demo: false,
        })
    }
}
