//! The simulator by itself: reads its flags, prints where it is and how to get in, runs until Ctrl-C or SIGTERM, and
//! keeps its state in a file if asked.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, ValueEnum};
use proxmox_simulator::{Identity, Options, Release, Simulator, Timing};
use serde::{Deserialize, Serialize};

/// How often the state is looked at for changes to save.
const SAVE_INTERVAL: Duration = Duration::from_secs(2);
/// How long a real node holds a refused authentication back.
const AUTH_DELAY: Duration = Duration::from_secs(3);

/// A Proxmox VE cluster that runs in memory.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    /// Address to listen on.
    #[arg(long, default_value = "127.0.0.1:8006")]
    listen: SocketAddr,
    /// Number of nodes.
    #[arg(long, default_value_t = 3)]
    nodes: u16,
    /// Proxmox VE release to be.
    #[arg(long, value_enum, default_value = "9.2")]
    release: ReleaseName,
    /// How long tasks take.
    #[arg(long, value_enum, default_value = "realistic")]
    timing: TimingName,
    /// Factor for all task durations.
    #[arg(long, default_value_t = 1.0, value_parser = factor)]
    timing_factor: f64,
    /// API token as user@realm!id=secret; random when not given.
    #[arg(long, env = "PROXMOX_SIMULATOR_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Password of root@pam; kept from the state file, or random, when not given.
    #[arg(long, env = "PROXMOX_SIMULATOR_ROOT_PASSWORD", hide_env_values = true)]
    root_password: Option<String>,
    /// File that keeps state and certificate over restarts.
    #[arg(long)]
    state: Option<PathBuf>,
    /// File to write the certificate to, for clients to trust.
    #[arg(long)]
    certificate: Option<PathBuf>,
    /// Opens /simulator/faults to whoever sends this as bearer token.
    #[arg(long, env = "PROXMOX_SIMULATOR_ADMIN_TOKEN", hide_env_values = true)]
    admin_token: Option<String>,
    /// Answer refused authentications at once instead of after 3 s.
    #[arg(long)]
    no_auth_delay: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum ReleaseName {
    #[value(name = "8.4")]
    V8_4,
    #[value(name = "9.2")]
    V9_2,
}

#[derive(Clone, Copy, ValueEnum)]
enum TimingName {
    Instant,
    Realistic,
}

/// What the state file holds.
#[derive(Serialize, Deserialize)]
struct Saved {
    certificate_pem: String,
    key_pem: String,
    token: String,
    state: serde_json::Value,
}

fn factor(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(factor) if factor.is_finite() && (0.0..=1000.0).contains(&factor) => Ok(factor),
        _ => Err("a number from 0 to 1000".to_owned()),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let filter = tracing_subscriber::EnvFilter::from_default_env();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    let arguments = Arguments::parse();
    let saved = arguments.state.as_deref().map(load).transpose()?.flatten();
    let simulator = Simulator::start(options(&arguments, saved)?)?;
    if let Some(path) = &arguments.certificate {
        std::fs::write(path, simulator.certificate_pem())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    let mut out = std::io::stdout();
    writeln!(out, "url         {}", simulator.url())?;
    writeln!(out, "token       {}", simulator.token())?;
    writeln!(out, "root@pam    {}", simulator.root_password())?;
    writeln!(out, "fingerprint {}", simulator.fingerprint())?;
    out.flush()?;
    let mut saved_changes = None;
    let mut terminated = std::pin::pin!(terminated());
    loop {
        tokio::select! {
            result = tokio::signal::ctrl_c() => {
                result.context("cannot listen for Ctrl-C")?;
                break;
            }
            result = &mut terminated => {
                result.context("cannot listen for SIGTERM")?;
                break;
            }
            () = tokio::time::sleep(SAVE_INTERVAL) => save_if_changed(&simulator, arguments.state.as_deref(), &mut saved_changes)?,
        }
    }
    save_if_changed(&simulator, arguments.state.as_deref(), &mut saved_changes)
}

/// Whoever runs it in the background ends it so.
#[cfg(unix)]
async fn terminated() -> std::io::Result<()> {
    tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?.recv().await;
    Ok(())
}

#[cfg(not(unix))]
async fn terminated() -> std::io::Result<()> {
    std::future::pending().await
}

fn options(arguments: &Arguments, saved: Option<Saved>) -> anyhow::Result<Options> {
    let timing = match arguments.timing {
        TimingName::Instant => Timing::instant(),
        TimingName::Realistic => Timing::realistic().scaled(arguments.timing_factor),
    };
    let token = arguments.token.clone().or_else(|| saved.as_ref().map(|saved| saved.token.clone()));
    let split = |token: String| {
        let parts = token.split_once('=').filter(|(id, _)| id.contains('@') && id.contains('!'));
        parts.map(|(id, secret)| (id.to_owned(), secret.to_owned())).context("a token looks like user@realm!id=secret")
    };
    let token = token.map(split).transpose()?;
    let (identity, state) = saved
        .map(|saved| (Identity { certificate_pem: saved.certificate_pem, key_pem: saved.key_pem }, saved.state))
        .unzip();
    Ok(Options {
        listen: arguments.listen,
        nodes: arguments.nodes,
        release: match arguments.release {
            ReleaseName::V8_4 => Release::V8_4,
            ReleaseName::V9_2 => Release::V9_2,
        },
        timing,
        token,
        root_password: arguments.root_password.clone(),
        identity,
        state,
        auth_delay: if arguments.no_auth_delay { Duration::ZERO } else { AUTH_DELAY },
        admin_token: arguments.admin_token.clone(),
        ..Options::default()
    })
}

fn load(path: &Path) -> anyhow::Result<Option<Saved>> {
    match std::fs::read(path) {
        Ok(bytes) => {
            let saved = serde_json::from_slice(&bytes);
            saved.map(Some).with_context(|| format!("{} is not a state of this simulator", path.display()))
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).with_context(|| format!("cannot read {}", path.display())),
    }
}

/// Writes beside the file and renames, so that a crash leaves the old or the new state.
fn save_if_changed(simulator: &Simulator, path: Option<&Path>, last: &mut Option<u64>) -> anyhow::Result<()> {
    let Some(path) = path else { return Ok(()) };
    let changes = simulator.changes();
    if *last == Some(changes) {
        return Ok(());
    }
    let saved = Saved {
        certificate_pem: simulator.certificate_pem().to_owned(),
        key_pem: simulator.identity().key_pem.clone(),
        token: simulator.token().to_owned(),
        state: simulator.snapshot(),
    };
    let beside = path.with_extension("new");
    let mut file = private_file(&beside).with_context(|| format!("cannot write {}", beside.display()))?;
    file.write_all(&serde_json::to_vec(&saved)?)?;
    file.sync_all()?;
    std::fs::rename(&beside, path).with_context(|| format!("cannot write {}", path.display()))?;
    *last = Some(changes);
    Ok(())
}

/// The file holds a key and a token: only its owner may read it.
fn private_file(path: &Path) -> std::io::Result<std::fs::File> {
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}
