//! The pool and the migrations.

mod encrypted_column;
pub mod private;

use std::time::Duration;

use anyhow::{Context, bail};
use sqlx::PgPool;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};

pub use encrypted_column::EncryptedColumn;

/// The migrations, embedded in the binary.
pub static MIGRATOR: Migrator = sqlx::migrate!();

/// How long a request waits for a free connection before it is answered with 503.
const ACQUIRE_SECONDS_MAX: u64 = 10;

/// Our queries touch few rows, or many by plain joins. PostgreSQL takes those of the second kind for worth compiling, which
/// costs it seconds of a core for what runs in milliseconds, in each connection anew.
const JUST_IN_TIME: (&str, &str) = ("jit", "off");

/// Opens a pool of at most `connections_max` connections.
///
/// # Errors
/// When PostgreSQL cannot be reached.
pub async fn connect(url: &str, connections_max: u32) -> anyhow::Result<PgPool> {
    let options: PgConnectOptions = url.parse().context("DATABASE_URL is not a PostgreSQL URL")?;
    PgPoolOptions::new()
        .max_connections(connections_max)
        .acquire_timeout(Duration::from_secs(ACQUIRE_SECONDS_MAX))
        .connect_with(options.application_name("uni-manager").options([JUST_IN_TIME]))
        .await
        .context("while connecting to PostgreSQL")
}

/// Applies what is missing, and says how many migrations that were.
///
/// # Errors
/// When a migration fails, or the database has one that this binary does not know or knows otherwise.
pub async fn migrate(pool: &PgPool) -> anyhow::Result<usize> {
    let before = applied(pool).await?.len();
    MIGRATOR.run(pool).await.context("while applying migrations")?;
    Ok(applied(pool).await?.len() - before)
}

/// Checks that the database has exactly the migrations of this binary.
///
/// # Errors
/// Says what to run when it has fewer, and that the binary is older when it has more.
pub async fn check_migrations(pool: &PgPool) -> anyhow::Result<()> {
    let applied = applied(pool).await?;
    let known: Vec<_> = MIGRATOR.iter().map(|migration| migration.version).collect();
    if let Some(unknown) = applied.iter().find(|version| !known.contains(version)) {
        bail!("the database has migration {unknown}, which this binary does not know: it belongs to a newer version");
    }
    let missing = known.iter().filter(|version| !applied.contains(version)).count();
    if missing > 0 {
        bail!("the database lacks {missing} of {} migrations: run `uni-manager migrate` first", known.len());
    }
    Ok(())
}

/// The migrations that were applied; none when there is no table of them yet.
async fn applied(pool: &PgPool) -> anyhow::Result<Vec<i64>> {
    const UNDEFINED_TABLE: &str = "42P01";
    match sqlx::query_scalar("select version from _sqlx_migrations where success order by version")
        .fetch_all(pool)
        .await
    {
        Ok(versions) => Ok(versions),
        Err(sqlx::Error::Database(error)) if error.code().as_deref() == Some(UNDEFINED_TABLE) => Ok(Vec::new()),
        Err(error) => Err(error).context("while looking for applied migrations"),
    }
}
