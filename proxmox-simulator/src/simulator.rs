//! The simulator as its user holds it: start, address, token, fingerprint, snapshots, faults, and what happens behind
//! a client's back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

use crate::access::{GivenToken, Granted};
use crate::administration::Action;
use crate::clock::Clock;
use crate::cluster::build::build;
use crate::cluster::drive::new_uuid;
use crate::cluster::guest::Guest;
use crate::cluster::{ClusterState, Settings};
use crate::faults::Faults;
use crate::options::{Identity, Options};
use crate::qemu::agent_state::AgentState;
use crate::transport::{self, Order, Shared};

/// Threads that serve connections.
const THREADS: usize = 2;
/// How long to wait for the listener to close, and for its port when it comes back.
const PORT_WAIT: Duration = Duration::from_secs(2);
/// Pause between two attempts to get the port back.
const PORT_PAUSE: Duration = Duration::from_millis(10);
/// The token used when none is given.
const DEFAULT_TOKEN: &str = "root@pam!simulator";

/// A running simulated cluster. Dropping it ends it.
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    identity: Identity,
    fingerprint: String,
    token: String,
    orders: mpsc::UnboundedSender<Order>,
    runtime: Option<Runtime>,
    away: AtomicBool,
}

impl Simulator {
    /// Starts a cluster on threads of its own; it can be called from anywhere.
    ///
    /// # Errors
    /// When the address is taken, the identity does not fit, or the options contradict each other.
    pub fn start(options: Options) -> anyhow::Result<Self> {
        let clock = Clock::new();
        let listener =
            transport::bind(options.listen).with_context(|| format!("cannot listen on {}", options.listen))?;
        let address = listener.local_addr()?;
        let identity = match &options.identity {
            Some(identity) => identity.clone(),
            None => new_identity(address)?,
        };
        let fingerprint = fingerprint(&identity)?;
        let acceptor = transport::acceptor(&identity)?;
        let (id, secret) = options.token.clone().unwrap_or_else(|| (DEFAULT_TOKEN.to_owned(), new_uuid()));
        let token = format!("{id}={secret}");
        let mut tokens = vec![GivenToken { id, secret, granted: Granted::All }];
        tokens.extend(options.restricted_tokens.iter().map(|token| GivenToken {
            id: token.id.clone(),
            secret: token.secret.clone(),
            granted: Granted::Some(token.grants.iter().cloned().collect()),
        }));
        let settings = Settings {
            release: options.release,
            timing: options.timing.clone(),
            resources_lag: options.resources_lag,
            fingerprint: fingerprint.clone(),
            certificate: identity.certificate_pem.clone(),
            address: address.ip().to_string(),
        };
        let mut cluster = build(&options, settings, clock.now())?;
        Arc::make_mut(&mut cluster.access).prepare(options.release, options.root_password.clone(), tokens);
        cluster.draw(options.resources_lag, clock.now());
        let shared = Arc::new(Shared::new(cluster, clock, &options));
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(THREADS)
            .thread_name("proxmox-simulator")
            .enable_all()
            .build()?;
        let (orders, received) = mpsc::unbounded_channel();
        runtime.spawn(transport::listen(listener, acceptor, Arc::clone(&shared), received));
        Ok(Self {
            shared,
            address,
            identity,
            fingerprint,
            token,
            orders,
            runtime: Some(runtime),
            away: AtomicBool::new(false),
        })
    }

    /// `https://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("https://{}", self.address)
    }

    /// The address it listens on.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The administrator's token, `user@realm!id=secret`.
    pub fn token(&self) -> &str {
        &self.token
    }

    /// The password of `root@pam`.
    pub fn root_password(&self) -> String {
        self.inspect(|cluster| cluster.access.root_password().to_owned())
    }

    /// SHA-256 of the leaf certificate, `AA:BB:…`.
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }

    /// The leaf certificate.
    pub fn certificate_pem(&self) -> &str {
        &self.identity.certificate_pem
    }

    /// Certificate and key, to start again as the same.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// Faults for coming calls.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// How many calls of the API were made so far, whatever became of them.
    pub fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::Relaxed)
    }

    /// The whole state for [`Options::state`]. Tasks appear ended, with their effects.
    pub fn snapshot(&self) -> serde_json::Value {
        let now = self.shared.clock.now();
        let mut cluster = self.settled().clone();
        cluster.settle_all(now);
        serde_json::to_value(&cluster).expect("the state consists of maps with text keys, lists, texts and numbers")
    }

    /// Moves with every change of the state; equal values mean that nothing needs saving.
    pub fn changes(&self) -> u64 {
        self.settled().changes
    }

    /// Looks at the state as it is now.
    pub fn inspect<T>(&self, look: impl FnOnce(&ClusterState) -> T) -> T {
        look(&self.settled())
    }

    /// All guests.
    pub fn guests(&self) -> Vec<Guest> {
        self.inspect(|cluster| cluster.guests().values().cloned().collect())
    }

    /// The guest shuts itself down: its process ends without a task. False when it does not run.
    pub fn power_off_from_inside(&self, vmid: u32) -> bool {
        self.perform(Action::PowerOffVm { vmid })
    }

    /// Moves the simulator's clock forward: tasks end, tickets and tokens expire.
    pub fn advance(&self, by: Duration) {
        self.shared.clock.advance(by);
        drop(self.settled());
    }

    /// The simulator's time in seconds since the epoch.
    pub fn now_seconds(&self) -> u64 {
        crate::clock::seconds(self.shared.clock.now())
    }

    /// Makes every ticket made so far worthless, as a new signing key does.
    pub fn expire_tickets(&self) {
        self.perform(Action::ExpireTickets {});
    }

    /// Refuses all tokens as expired, or takes them again.
    pub fn expire_tokens(&self, expired: bool) {
        self.perform(Action::ExpireTokens { expired });
    }

    /// A node loses its power: calls to it answer 595, its guests are `unknown`, those under high availability start
    /// on another node after [`crate::Timing::ha_failover`]. False when there is no such node.
    pub fn kill_node(&self, node: &str) -> bool {
        self.perform(Action::KillNode { node: node.to_owned() })
    }

    /// A dead node boots again, and starts its guests with `onboot`. False when there is no such node.
    pub fn revive_node(&self, node: &str) -> bool {
        self.perform(Action::ReviveNode { node: node.to_owned() })
    }

    fn perform(&self, action: Action) -> bool {
        let now = self.shared.clock.now();
        let mut cluster = self.settled();
        let done = cluster.perform(action, now);
        cluster.settle(now);
        done
    }

    /// Somebody else removes the guest, with its volumes. False when there is none.
    pub fn remove_guest(&self, vmid: u32) -> bool {
        self.perform(Action::DeleteVm { vmid })
    }

    /// Somebody else migrates the guest, with its local volumes. False when guest or node do not exist.
    pub fn move_guest(&self, vmid: u32, node: &str) -> bool {
        self.perform(Action::MoveVm { vmid, node: node.to_owned() })
    }

    /// Sets or clears the config lock of a guest, as a backup or an administrator does. False when there is none.
    pub fn set_lock(&self, vmid: u32, lock: Option<&str>) -> bool {
        self.perform(Action::SetLock { vmid, lock: lock.map(str::to_owned) })
    }

    /// Says how the agent inside a guest behaves. False when there is no such guest.
    pub fn set_agent(&self, vmid: u32, state: AgentState) -> bool {
        self.perform(Action::SetAgent { vmid, agent: state })
    }

    /// Makes a guest ignore its power button (and its agent not answer), or obey again. False when there is none.
    pub fn ignore_power_button(&self, vmid: u32, ignores: bool) -> bool {
        self.perform(Action::IgnorePowerButton { vmid, ignores })
    }

    /// Takes the whole cluster away (connections are cut and refused), or brings it back at the same address.
    ///
    /// # Panics
    /// When the port was taken by somebody else meanwhile.
    pub fn set_away(&self, away: bool) {
        if self.away.swap(away, Ordering::SeqCst) == away {
            return;
        }
        if away {
            let (done, is_done) = std::sync::mpsc::sync_channel(1);
            if self.orders.send(Order::Leave(done)).is_ok() {
                // Running out of time only means that the listener closes a moment later.
                let _ = is_done.recv_timeout(PORT_WAIT);
            }
            return;
        }
        let attempts = PORT_WAIT.as_millis() / PORT_PAUSE.as_millis();
        for _ in 0..attempts {
            if let Ok(listener) = transport::bind(self.address) {
                // A simulator that was shut down does not come back.
                let _ = self.orders.send(Order::Return(listener));
                return;
            }
            std::thread::sleep(PORT_PAUSE);
        }
        panic!("the simulator's port {} is taken", self.address);
    }

    /// Ends it, as dropping does; the address is free again afterwards.
    pub fn shutdown(self) {
        drop(self);
    }

    pub(crate) fn now(&self) -> crate::clock::Micros {
        self.shared.clock.now()
    }

    pub(crate) fn settled(&self) -> std::sync::MutexGuard<'_, ClusterState> {
        let mut cluster = self.shared.cluster();
        cluster.settle(self.shared.clock.now());
        cluster
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // The port is free again when this returns.
        self.set_away(true);
        if let Some(runtime) = self.runtime.take() {
            // Dropping a runtime inside another one is not allowed; this is, and it ends all connections.
            runtime.shutdown_background();
        }
    }
}

fn new_identity(address: SocketAddr) -> anyhow::Result<Identity> {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), address.ip().to_string()];
    let pair = rcgen::generate_simple_self_signed(names)?;
    Ok(Identity { certificate_pem: pair.cert.pem(), key_pem: pair.signing_key.serialize_pem() })
}

fn fingerprint(identity: &Identity) -> anyhow::Result<String> {
    let leaf =
        CertificateDer::from_pem_slice(identity.certificate_pem.as_bytes()).context("the certificate is not PEM")?;
    let octets: Vec<String> = Sha256::digest(&leaf).iter().map(|byte| format!("{byte:02X}")).collect();
    Ok(octets.join(":"))
}
