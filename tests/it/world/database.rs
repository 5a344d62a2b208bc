//! One private PostgreSQL for the whole run, a template with all migrations, and a copy of it for each test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use sqlx::{Connection, PgConnection};
use tokio::sync::{Mutex, OnceCell};
use uni_manager::database::private::{Options, PrivateServer};

/// Enough for all tests of a run at once, and the processes they start.
const CONNECTIONS_MAX: u32 = 300;
/// A smaller memory file system (a container's, say) is left alone.
const MEMORY_KIB_MIN: u64 = 2 << 20;
const PREFIX: &str = "uni-manager-it-";

static SERVER: OnceLock<PrivateServer> = OnceLock::new();
static TEMPLATE: OnceCell<()> = OnceCell::const_new();
/// A database is copied only while nobody is connected to it.
static COPYING: Mutex<()> = Mutex::const_new(());
static NEXT: AtomicU32 = AtomicU32::new(0);

/// The server of this run. It ends with the process: its own thread spawned it, and the kernel tells it when that is gone.
pub fn server() -> &'static PrivateServer {
    SERVER.get_or_init(|| {
        let folder = folder();
        clear_earlier(&folder);
        let directory = folder.join(format!("{PREFIX}{}", std::process::id()));
        PrivateServer::start(&Options { directory, durable: false, connections_max: CONNECTIONS_MAX }).unwrap()
    })
}

/// Memory where there is enough of it, else the disk.
fn folder() -> PathBuf {
    let output = Command::new("df").args(["--output=avail", "-k", "/dev/shm"]).output();
    let available = output
        .ok()
        .and_then(|output| String::from_utf8(output.stdout).ok()?.lines().last()?.trim().parse::<u64>().ok());
    if available.is_some_and(|kib| kib >= MEMORY_KIB_MIN) { "/dev/shm".into() } else { std::env::temp_dir() }
}

/// What runs left behind whose process is gone.
fn clear_earlier(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if let Some(process) = name.strip_prefix(PREFIX)
            && !Path::new("/proc").join(process).exists()
        {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// A database of one test.
pub struct Database {
    name: String,
    pub url: String,
}

impl Database {
    /// A copy of the template.
    pub async fn new() -> Self {
        TEMPLATE.get_or_init(make_template).await;
        let database = Self::named();
        let _turn = COPYING.lock().await;
        run(&format!("create database {} template template_it", database.name)).await;
        database
    }

    /// One without any table.
    pub async fn empty() -> Self {
        let database = Self::named();
        run(&format!("create database {}", database.name)).await;
        database
    }

    /// One whose owner is no superuser and has made all tables himself.
    pub async fn of_plain_owner() -> Self {
        let mut database = Self::empty().await;
        let name = &database.name;
        run(&format!("create role {name}")).await;
        run(&format!("alter database {name} owner to {name}")).await;
        database.url = format!("{}&options=-c%20role%3D{name}", database.url);
        let pool = uni_manager::database::connect(&database.url, 1).await.unwrap();
        uni_manager::database::migrate(&pool).await.unwrap();
        pool.close().await;
        database
    }

    fn named() -> Self {
        let name = format!("it_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let url = server().url(&name);
        Self { name, url }
    }

    /// Drops it, with whoever is still connected.
    pub async fn drop_it(&self) {
        run(&format!("drop database {} with (force)", self.name)).await;
    }
}

async fn make_template() {
    let started = tokio::task::spawn_blocking(server).await.unwrap();
    run("create database template_it").await;
    let pool = uni_manager::database::connect(&started.url("template_it"), 1).await.unwrap();
    uni_manager::database::migrate(&pool).await.unwrap();
    // While the clock stands no allowance comes back.
    sqlx::query("update default_quotas set api_requests_per_minute = 1000000").execute(&pool).await.unwrap();
    pool.close().await;
}

async fn run(sql: &str) {
    let mut connection = PgConnection::connect(&server().url("postgres")).await.unwrap();
    sqlx::query(sqlx::AssertSqlSafe(sql.to_owned())).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}
