//! A PostgreSQL of our own for demo and tests: found on the machine, started on a Unix socket in a directory of ours,
//! and gone when we are gone, however we end. Production brings its own server.

use std::ffi::OsStr;
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, geteuid, kill_process};
use sha2::{Digest, Sha256};

/// How long a start may take; recovery after a crash is part of it.
const START_SECONDS_MAX: u64 = 60;
/// How long a clean stop may take before it is forced.
const STOP_SECONDS_MAX: u64 = 20;
/// A socket's whole path must fit into `sockaddr_un`: 107 bytes and the final zero.
const SOCKET_PATH_BYTES_MAX: usize = 107;
/// The role that owns everything in a private server.
const ROLE: &str = "uni_manager";

/// What to start.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it lives. Made when missing.
    pub directory: PathBuf,
    /// Whether what is committed must survive a power cut. Tests do without.
    pub durable: bool,
    /// How many may connect at once.
    pub connections_max: u32,
}

/// A running private server. Dropping it stops the server.
#[derive(Debug)]
pub struct PrivateServer {
    socket_directory: PathBuf,
    stop: Option<mpsc::Sender<()>>,
    keeper: Option<JoinHandle<()>>,
}

impl PrivateServer {
    /// Starts the server in the directory, making the data the first time, and waits until it answers.
    ///
    /// # Errors
    /// When PostgreSQL is not installed, the directory cannot be used, or the server does not come up; the message
    /// holds the server's own last words.
    pub fn start(options: &Options) -> anyhow::Result<Self> {
        let programs = find_programs()?;
        let runner = Runner::find()?;
        let home = home(&options.directory, runner.as_ref())?;
        let data = home.join("data");
        let socket = home.join(".s.PGSQL.5432");
        if socket.as_os_str().len() > SOCKET_PATH_BYTES_MAX {
            bail!("the path {} is too long for a Unix socket: choose a shorter data directory", socket.display());
        }
        if !data.join("PG_VERSION").exists() {
            initialise(&programs, runner.as_ref(), &data)?;
        }
        let (ready_sender, ready) = mpsc::channel();
        let (stop, stopped) = mpsc::channel::<()>();
        let mut command = server_command(&programs, runner.as_ref(), &data, &home, options);
        let log = home.join("log");
        // The signal that ends the server when we die is tied to the thread that spawned it, so that thread stays.
        let keeper = std::thread::Builder::new()
            .name("private-postgresql".into())
            .spawn(move || keep(&mut command, &socket, &log, &ready_sender, &stopped))
            .context("while starting the thread that keeps PostgreSQL")?;
        ready.recv().context("the thread that keeps PostgreSQL ended early")??;
        Ok(Self { socket_directory: home, stop: Some(stop), keeper: Some(keeper) })
    }

    /// The URL of a database on this server.
    #[must_use]
    pub fn url(&self, database: &str) -> String {
        let directory: String = self.socket_directory.to_string_lossy().bytes().map(percent_encoded).collect();
        format!("postgres://{ROLE}@localhost/{database}?host={directory}")
    }
}

impl Drop for PrivateServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(keeper) = self.keeper.take() {
            let _ = keeper.join();
        }
    }
}

/// Spawns the server, says when it is ready, waits to be told to stop, and stops it.
fn keep(
    command: &mut Command,
    socket: &Path,
    log: &Path,
    ready: &mpsc::Sender<anyhow::Result<()>>,
    stopped: &mpsc::Receiver<()>,
) {
    let deadline = Instant::now() + Duration::from_secs(START_SECONDS_MAX);
    let mut child = loop {
        match spawn_and_wait(command, socket, log, deadline) {
            Ok(child) => break child,
            // The server of a run that was killed may still be on its way out and hold the lock file.
            Err(error) if error.to_string().contains("postmaster.pid") && Instant::now() < deadline => {
                std::thread::sleep(Duration::from_millis(200));
            }
            Err(error) => {
                let _ = ready.send(Err(error));
                return;
            }
        }
    };
    let _ = ready.send(Ok(()));
    // Ends when the sender is dropped.
    let _ = stopped.recv();
    end(&mut child);
}

fn spawn_and_wait(command: &mut Command, socket: &Path, log: &Path, deadline: Instant) -> anyhow::Result<Child> {
    let output = std::fs::File::create(log).with_context(|| format!("while creating {}", log.display()))?;
    command.stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);
    let mut child = command.spawn().context("while starting PostgreSQL (setpriv of util-linux is needed)")?;
    loop {
        if let Some(status) = child.try_wait()? {
            let mut words = String::new();
            std::fs::File::open(log)?.read_to_string(&mut words)?;
            bail!("PostgreSQL ended at once ({status}): {}", words.trim());
        }
        if is_ready(socket) {
            return Ok(child);
        }
        if Instant::now() > deadline {
            end(&mut child);
            bail!("PostgreSQL did not come up within {START_SECONDS_MAX} s");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether the server takes queries. It listens earlier, and answers then that it is starting up; its lock file says in the
/// eighth line how far it is, and the file of a run that was killed is still there when nobody listens.
fn is_ready(socket: &Path) -> bool {
    let lock = std::fs::read_to_string(socket.with_file_name("data").join("postmaster.pid")).unwrap_or_default();
    lock.lines().nth(7).is_some_and(|status| status.trim() == "ready")
        && std::os::unix::net::UnixStream::connect(socket).is_ok()
}

/// Asks for a fast shutdown, and insists when that takes too long.
fn end(child: &mut Child) {
    let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) else { return };
    let _ = kill_process(pid, Signal::INT);
    let deadline = Instant::now() + Duration::from_secs(STOP_SECONDS_MAX);
    while Instant::now() < deadline {
        if !matches!(child.try_wait(), Ok(None)) {
            return;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = kill_process(pid, Signal::QUIT);
    let _ = child.wait();
}

/// `initdb` and `postgres`.
#[derive(Debug)]
struct Programs {
    initdb: PathBuf,
    postgres: PathBuf,
}

fn find_programs() -> anyhow::Result<Programs> {
    let mut versions: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .map(|entries| entries.filter_map(|entry| Some(entry.ok()?.path().join("bin"))).collect())
        .unwrap_or_default();
    // The newest first; the folders are named by number.
    versions.sort_by_key(|path| {
        std::cmp::Reverse(
            path.parent().and_then(Path::file_name).and_then(OsStr::to_str).and_then(|name| name.parse::<u32>().ok()),
        )
    });
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(versions)
        .map(|folder| Programs { initdb: folder.join("initdb"), postgres: folder.join("postgres") })
        .find(|programs| programs.initdb.exists() && programs.postgres.exists())
        .context("PostgreSQL is not installed: `apt-get install postgresql` brings it (initdb and postgres are looked for on PATH and under /usr/lib/postgresql)")
}

/// The unprivileged user that PostgreSQL runs as when we are root, which it refuses.
#[derive(Debug)]
struct Runner {
    uid: u32,
    gid: u32,
}

impl Runner {
    fn find() -> anyhow::Result<Option<Self>> {
        if !geteuid().is_root() {
            return Ok(None);
        }
        let passwd = std::fs::read_to_string("/etc/passwd").context("while reading /etc/passwd")?;
        ["postgres", "nobody"]
            .iter()
            .find_map(|wanted| {
                passwd.lines().find_map(|line| {
                    let fields: Vec<_> = line.split(':').collect();
                    (fields.first() == Some(wanted)).then(|| Some(Self { uid: fields.get(2)?.parse().ok()?, gid: fields.get(3)?.parse().ok()? }))?
                })
            })
            .map(Some)
            .context("PostgreSQL refuses to run as root, and there is neither a user postgres nor a user nobody to run it as")
    }

    /// Whether this user may walk through a folder.
    fn passes(&self, folder: &Path) -> bool {
        use std::os::unix::fs::MetadataExt;
        folder.metadata().is_ok_and(|metadata| {
            let mode = metadata.mode();
            mode & 0o001 != 0
                || (metadata.uid() == self.uid && mode & 0o100 != 0)
                || (metadata.gid() == self.gid && mode & 0o010 != 0)
        })
    }
}

/// The folder of the server: `postgres` in the data directory. Where the unprivileged user cannot get there (below root's
/// home, say), the folder is a link to one that it can reach.
fn home(directory: &Path, runner: Option<&Runner>) -> anyhow::Result<PathBuf> {
    std::fs::create_dir_all(directory).with_context(|| format!("while making {}", directory.display()))?;
    let directory = directory.canonicalize().with_context(|| format!("while looking for {}", directory.display()))?;
    let home = directory.join("postgres");
    let Some(runner) = runner else {
        std::fs::create_dir_all(&home)?;
        std::fs::set_permissions(&home, PermissionsExt::from_mode(0o700))?;
        return Ok(home);
    };
    if home.is_symlink() {
        return home
            .canonicalize()
            .with_context(|| format!("{} points nowhere: remove it to begin anew", home.display()));
    }
    if !home.exists()
        && !runner.passes(&directory)
        && directory.parent().is_none_or(|parent| parent.ancestors().all(|folder| runner.passes(folder)))
    {
        // Ours and only too private: what is secret in it has permissions of its own.
        let mode = std::fs::metadata(&directory)?.permissions().mode();
        std::fs::set_permissions(&directory, PermissionsExt::from_mode(mode | 0o011))?;
    }
    if directory.ancestors().all(|folder| runner.passes(folder)) {
        std::fs::create_dir_all(&home)?;
        give(&home, runner)?;
        return Ok(home);
    }
    let digest = Sha256::digest(directory.as_os_str().as_encoded_bytes());
    let name: String = digest.iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    let elsewhere = Path::new("/var/lib/uni-manager-demo").join(name);
    std::fs::create_dir_all(&elsewhere).with_context(|| {
        format!("while making {}, as PostgreSQL's user cannot reach {}", elsewhere.display(), directory.display())
    })?;
    give(&elsewhere, runner)?;
    std::os::unix::fs::symlink(&elsewhere, &home)?;
    Ok(elsewhere)
}

fn give(folder: &Path, runner: &Runner) -> anyhow::Result<()> {
    chown(folder, Some(runner.uid), Some(runner.gid))
        .with_context(|| format!("while giving {} to PostgreSQL's user", folder.display()))?;
    std::fs::set_permissions(folder, PermissionsExt::from_mode(0o700))?;
    Ok(())
}

fn initialise(programs: &Programs, runner: Option<&Runner>, data: &Path) -> anyhow::Result<()> {
    let mut command = Command::new(&programs.initdb);
    command.arg("--pgdata").arg(data).args([
        "--username",
        ROLE,
        "--auth=trust",
        "--encoding=UTF8",
        "--locale=C",
        "--no-sync",
        "--no-instructions",
    ]);
    if let Some(runner) = runner {
        command.uid(runner.uid).gid(runner.gid);
    }
    command.current_dir("/");
    let output = command.output().context("while running initdb")?;
    if !output.status.success() {
        let _ = std::fs::remove_dir_all(data);
        bail!("initdb failed: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

fn server_command(
    programs: &Programs,
    runner: Option<&Runner>,
    data: &Path,
    socket_directory: &Path,
    options: &Options,
) -> Command {
    let mut command = Command::new("setpriv");
    command.arg("--pdeathsig=INT");
    if let Some(runner) = runner {
        command.arg(format!("--reuid={}", runner.uid)).arg(format!("--regid={}", runner.gid)).arg("--clear-groups");
    }
    command.arg(&programs.postgres).arg("-D").arg(data);
    let durable = if options.durable { "on" } else { "off" };
    for setting in [
        "listen_addresses=".to_owned(),
        format!("unix_socket_directories={}", socket_directory.display()),
        "unix_socket_permissions=0700".to_owned(),
        format!("max_connections={}", options.connections_max),
        format!("fsync={durable}"),
        format!("synchronous_commit={durable}"),
        format!("full_page_writes={durable}"),
        "timezone=UTC".to_owned(),
        "log_timezone=UTC".to_owned(),
    ] {
        command.arg("-c").arg(setting);
    }
    // A process group of its own, so that Ctrl-C reaches us first and we stop it in order.
    command.current_dir("/").process_group(0);
    command
}

fn percent_encoded(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() || b"/-_.~".contains(&byte) {
        char::from(byte).to_string()
    } else {
        format!("%{byte:02X}")
    }
}
