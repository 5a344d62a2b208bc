//! The settings of production, from the environment or the command line.

use std::path::PathBuf;

use anyhow::{Context, bail};
use billing::Money;
use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use crate::config::{self, Guards, Patience, Settings, Vault};
use crate::mail::{Mailer, Server};
use crate::network::Network;
use crate::oidc::{NewProvider, Provider};
use crate::web::is_origin;

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
    token_key: SecretString,
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
    #[command(flatten)]
    oidc: ProviderArguments,
    #[command(flatten)]
    guards: GuardArguments,
}

/// Who is let in, from where, and how often.
#[derive(Debug, Args)]
struct GuardArguments {
    /// Hosts that are answered besides that of the public URL, separated by commas, with :port if it is not the usual one
    #[arg(long, env = "UNI_MANAGER_HOSTS", default_value = "")]
    hosts: String,
    /// Networks of the proxies in front that are believed when they say where a request comes from (X-Forwarded-For),
    /// separated by commas
    #[arg(long, env = "UNI_MANAGER_TRUSTED_PROXIES", default_value = "127.0.0.0/8,::1")]
    trusted_proxies: String,
    /// Origins of other sites whose pages may use the API, such as https://app.example.org, separated by commas
    #[arg(long, env = "UNI_MANAGER_CORS_ORIGINS", default_value = "")]
    cors_origins: String,
    /// How many requests a minute one API key may make
    #[arg(long, env = "UNI_MANAGER_REQUESTS_PER_KEY", default_value_t = 300)]
    requests_per_key: u32,
    /// How many requests a minute may come from one network by those who are not logged in
    #[arg(long, env = "UNI_MANAGER_REQUESTS_PER_NETWORK", default_value_t = 300)]
    requests_per_network: u32,
    /// How many requests a minute one person may make who is logged in with a browser, or works for the platform
    #[arg(long, env = "UNI_MANAGER_REQUESTS_PER_PERSON", default_value_t = 600)]
    requests_per_person: u32,
}

impl GuardArguments {
    fn checked(self) -> anyhow::Result<Guards> {
        let trusted_proxies: Result<Vec<Network>, _> = listed(&self.trusted_proxies).map(str::parse).collect();
        let cors_origins: Vec<String> = listed(&self.cors_origins).map(str::to_owned).collect();
        if let Some(wrong) = cors_origins.iter().find(|origin| !is_origin(origin)) {
            bail!(
                "UNI_MANAGER_CORS_ORIGINS: {wrong} is no origin; write scheme and host as browsers send them, such as https://app.example.org"
            );
        }
        let hosts: Vec<String> = listed(&self.hosts).map(str::to_owned).collect();
        if let Some(wrong) = hosts.iter().find(|host| host.contains(['/', '*', '@']) || !host.is_ascii()) {
            bail!("UNI_MANAGER_HOSTS: {wrong} is no host; write it as browsers send it, such as panel.example.org");
        }
        if [self.requests_per_key, self.requests_per_network, self.requests_per_person].contains(&0) {
            bail!("UNI_MANAGER_REQUESTS_PER_KEY, …_NETWORK and …_PERSON must be at least 1");
        }
        Ok(Guards {
            hosts,
            trusted_proxies: trusted_proxies.context("UNI_MANAGER_TRUSTED_PROXIES")?,
            cors_origins,
            requests_per_key: self.requests_per_key,
            requests_per_network: self.requests_per_network,
            requests_per_person: self.requests_per_person,
            patience: Patience::default(),
        })
    }
}

/// What is separated by commas.
fn listed(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty())
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

/// The identity provider whose accounts open this platform as well.
#[derive(Debug, Args)]
struct ProviderArguments {
    /// The identity provider (OpenID Connect) with whose accounts people may log in: its issuer, exactly as it calls itself,
    /// such as https://login.example.org/realms/staff. Without it there is none
    #[arg(long, env = "UNI_MANAGER_OIDC_ISSUER")]
    oidc_issuer: Option<String>,
    /// What this platform is called there
    #[arg(long, env = "UNI_MANAGER_OIDC_CLIENT_ID", default_value = "")]
    oidc_client_id: String,
    /// What proves there that it is this platform
    #[arg(long, env = "UNI_MANAGER_OIDC_CLIENT_SECRET", hide_env_values = true)]
    oidc_client_secret: Option<SecretString>,
    /// A file that holds the same
    #[arg(long, env = "UNI_MANAGER_OIDC_CLIENT_SECRET_FILE")]
    oidc_client_secret_file: Option<PathBuf>,
    /// How it is called on the button "Log in with …"
    #[arg(long, env = "UNI_MANAGER_OIDC_NAME", default_value = "single sign-on")]
    oidc_name: String,
    /// What is asked for besides openid, separated by commas
    #[arg(long, env = "UNI_MANAGER_OIDC_SCOPES", default_value = "email,profile")]
    oidc_scopes: String,
    /// Domains of mail addresses that may register or be linked through it, separated by commas; all unless set
    #[arg(long, env = "UNI_MANAGER_OIDC_EMAIL_DOMAINS", default_value = "")]
    oidc_email_domains: String,
    /// Whether people may register through it, where registration is open: open or closed
    #[arg(long, env = "UNI_MANAGER_OIDC_REGISTRATION", default_value = "open")]
    oidc_registration: String,
    /// What it says (amr or acr) of somebody who has shown a second factor there, separated by commas, such as mfa: then none
    /// of this platform is asked for. Unless set it is always asked for
    #[arg(long, env = "UNI_MANAGER_OIDC_SECOND_FACTOR", default_value = "")]
    oidc_second_factor: String,
}

impl ProviderArguments {
    fn checked(self) -> anyhow::Result<Option<Provider>> {
        let Some(issuer) = self.oidc_issuer.filter(|issuer| !issuer.is_empty()) else { return Ok(None) };
        let written = self.oidc_client_secret.filter(|secret| !secret.expose_secret().is_empty());
        let file = self.oidc_client_secret_file.filter(|file| !file.as_os_str().is_empty());
        let client_secret = match (written, file) {
            (Some(secret), None) => secret,
            (None, Some(file)) => {
                let read = std::fs::read_to_string(&file);
                read.with_context(|| format!("UNI_MANAGER_OIDC_CLIENT_SECRET_FILE: {}", file.display()))?.into()
            }
            _ => bail!("set either UNI_MANAGER_OIDC_CLIENT_SECRET or UNI_MANAGER_OIDC_CLIENT_SECRET_FILE"),
        };
        let owned = |text: &str| listed(text).map(str::to_owned).collect();
        let new = NewProvider {
            name: self.oidc_name,
            issuer,
            client_id: self.oidc_client_id,
            client_secret,
            scopes: owned(&self.oidc_scopes),
            email_domains: owned(&self.oidc_email_domains),
            may_register: match self.oidc_registration.as_str() {
                "open" => true,
                "closed" => false,
                other => bail!("UNI_MANAGER_OIDC_REGISTRATION must be open or closed, not {other}"),
            },
            factor_proofs: owned(&self.oidc_second_factor),
        };
        Provider::new(new).context("the identity provider (UNI_MANAGER_OIDC_…)").map(Some)
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
        let oidc = self.oidc.checked()?;
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
            token_key: config::token_key(self.token_key.expose_secret().to_owned()).context("UNI_MANAGER_TOKEN_KEY")?,
            mailer: self.mail.checked()?,
            oidc,
            guards: self.guards.checked()?,
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
