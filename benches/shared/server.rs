//! A private PostgreSQL that keeps what it commits, in a folder on disk that goes away with it.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;
use sqlx::{Connection, PgConnection, PgPool};
use uni_manager::database;
use uni_manager::database::private::{Options, PrivateServer};

/// Where temporary files survive a restart, so not in memory.
const ON_DISK: &str = "/var/tmp";
const CONNECTIONS_MAX: u32 = 60;
/// What PostgreSQL keeps in memory of its tables. Its own 128 MB are for the smallest of machines; its documentation advises a
/// quarter of the memory, and this is that of a machine with 4 GB.
const SHARED_BUFFERS: &str = "1GB";
/// How long a server may listen before it also answers.
const START: Duration = Duration::from_secs(30);
/// How often it is asked.
const PAUSE: Duration = Duration::from_millis(50);

/// A server and its folder.
pub struct Server {
    // Dropped in this order: the server stops before its folder goes.
    server: PrivateServer,
    _folder: Folder,
}

struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Server {
    /// Starts it and waits until it answers.
    ///
    /// # Errors
    /// When PostgreSQL is not installed or does not come up.
    pub async fn start() -> anyhow::Result<Self> {
        let parent = if Path::new(ON_DISK).is_dir() { PathBuf::from(ON_DISK) } else { std::env::temp_dir() };
        let folder = Folder(parent.join(format!("uni-manager-bench-{}", std::process::id())));
        let options = Options { directory: folder.0.clone(), durable: true, connections_max: CONNECTIONS_MAX };
        let server = Self { server: PrivateServer::start(&options)?, _folder: folder };
        server.answers().await?;
        server.administer(&format!("alter system set shared_buffers = '{SHARED_BUFFERS}'")).await?;
        // That is only read at a start.
        let Self { server, _folder } = server;
        drop(server);
        let server = Self { server: PrivateServer::start(&options)?, _folder };
        server.answers().await?;
        Ok(server)
    }

    /// Waits until it lets somebody in, which is a moment after it listens.
    async fn answers(&self) -> anyhow::Result<()> {
        let since = Instant::now();
        loop {
            match self.administer("select 1").await {
                Err(_) if since.elapsed() < START => tokio::time::sleep(PAUSE).await,
                outcome => return outcome,
            }
        }
    }

    /// The URL of a database.
    pub fn url(&self, database: &str) -> String {
        self.server.url(database)
    }

    /// Makes a database with all migrations, whose organisations may ask as often as they like, and opens it.
    ///
    /// # Errors
    /// When PostgreSQL fails.
    pub async fn database(&self, name: &str, connections_max: u32) -> anyhow::Result<PgPool> {
        self.administer(&format!("create database {name}")).await?;
        let pool = database::connect(&self.url(name), connections_max).await?;
        database::migrate(&pool).await?;
        sqlx::query("update default_quotas set api_requests_per_minute = 1000000").execute(&pool).await?;
        Ok(pool)
    }

    /// Runs a statement beside all databases.
    ///
    /// # Errors
    /// When PostgreSQL refuses it.
    pub async fn administer(&self, statement: &str) -> anyhow::Result<()> {
        let mut connection =
            PgConnection::connect(&self.url("postgres")).await.context("while connecting to the private PostgreSQL")?;
        sqlx::raw_sql(sqlx::AssertSqlSafe(statement.to_owned()))
            .execute(&mut connection)
            .await
            .with_context(|| statement.to_owned())?;
        connection.close().await?;
        Ok(())
    }
}
