//! Makes an account with the admin role. The password comes from the environment or is made up and shown once; never from
//! the command line, where others could read it.

use clap::Args;
use rand::RngExt;
use secrecy::{ExposeSecret, SecretString};

use super::settings::PlatformArguments;
use crate::app::App;
use crate::clock::Clock;
use crate::database;
use crate::error::Error;
use crate::users::{self, NewUser};

/// Arguments of `create-admin`.
#[derive(Debug, Args)]
pub struct CreateAdmin {
    /// The database
    #[arg(long, env = "DATABASE_URL", hide_env_values = true)]
    database_url: SecretString,
    /// The e-mail address to log in with
    #[arg(long)]
    email: String,
    /// The person's name
    #[arg(long, default_value = "Administrator")]
    name: String,
    /// The password, from the environment only; one is made up when it is not set
    #[arg(skip)]
    password: Option<SecretString>,
    #[command(flatten)]
    platform: PlatformArguments,
}

/// Names the environment variable with the password.
const PASSWORD_VARIABLE: &str = "UNI_MANAGER_ADMIN_PASSWORD";

impl CreateAdmin {
    /// Makes the account.
    ///
    /// # Errors
    /// When there is such an account, or the password is too short.
    #[expect(clippy::print_stdout, reason = "it answers a person at a terminal")]
    pub async fn run(self) -> anyhow::Result<()> {
        let settings = self.platform.checked()?;
        let pool = database::connect(self.database_url.expose_secret(), 2).await?;
        database::check_migrations(&pool).await?;
        let app = App::new(pool, Clock::System, settings);
        let given = self.password.or_else(|| std::env::var(PASSWORD_VARIABLE).ok().map(SecretString::from));
        let made_up = given.is_none();
        let password = given.unwrap_or_else(generate_password);
        let new = NewUser {
            email: self.email,
            name: self.name,
            organisation: "Operators".into(),
            password: password.clone(),
        };
        match users::create_admin(&app, new).await {
            Ok((user, _)) => {
                println!("Made the admin {}.", user.email);
                if made_up {
                    println!("Password (shown once): {}", password.expose_secret());
                }
                Ok(())
            }
            Err(Error::Invalid(problems)) => {
                let problems: Vec<_> =
                    problems.iter().map(|problem| format!("{}: {}", problem.field, problem.problem)).collect();
                anyhow::bail!("{}", problems.join("; "))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Letters and digits that are not mistaken for one another when read aloud or copied from a screen.
const ALPHABET: &[u8; 31] = b"abcdefghjkmnpqrstuvwxyz23456789";
/// How many groups of four a password has: 16 letters of 31 are 79 bits.
const GROUPS: usize = 4;

/// A password such as `k7wq-m2xr-9hpd-tz4c`.
pub(super) fn generate_password() -> SecretString {
    let groups: Vec<String> = (0..GROUPS).map(|_| (0..4).map(|_| letter()).collect()).collect();
    SecretString::from(groups.join("-"))
}

/// Each letter is as likely as any other.
fn letter() -> char {
    char::from(ALPHABET[rand::rng().random_range(0..ALPHABET.len())])
}
