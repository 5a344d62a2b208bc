//! What a simulated cluster is made of and how fast it works. Every field has a default, so that a test names only
//! what it cares about.

use std::net::SocketAddr;
use std::time::Duration;

/// How to start a [`crate::Simulator`].
#[derive(Clone)]
pub struct Options {
    /// Address to listen on; port 0 chooses a free one.
    pub listen: SocketAddr,
    /// Number of nodes, named `pve1`, `pve2`, …; ignored when `node_names` is set.
    pub nodes: u16,
    /// Names of the nodes, instead of the generated ones.
    pub node_names: Option<Vec<String>>,
    /// Memory of each node in bytes.
    pub node_memory: u64,
    /// Processor threads of each node.
    pub node_cores: u32,
    /// Bridges that exist on every node; a VM on another bridge does not start.
    pub bridges: Vec<String>,
    /// Storages of the cluster.
    pub storages: Vec<StorageDefinition>,
    /// Templates present at the start.
    pub templates: Vec<TemplateDefinition>,
    /// How long things take.
    pub timing: Timing,
    /// The administrator's token as (`user@realm!id`, secret); a random secret is made when there is none.
    pub token: Option<(String, String)>,
    /// The password of `root@pam`; kept from the state, or random, when there is none.
    pub root_password: Option<String>,
    /// Further tokens with fewer rights.
    pub restricted_tokens: Vec<TokenGrant>,
    /// The Proxmox VE release to be.
    pub release: Release,
    /// TLS certificate and key to serve with; a new self-signed pair is made when there is none.
    pub identity: Option<Identity>,
    /// A [`crate::Simulator::snapshot`] to continue from; it replaces nodes, storages and templates.
    pub state: Option<serde_json::Value>,
    /// How long a refused authentication is held back; real nodes take 3 s.
    pub auth_delay: Duration,
    /// How long an idle connection is kept; real nodes close after 5 s.
    pub keep_alive: Duration,
    /// How old the picture that `/cluster/resources` answers from may be: a real node's is up to 10 s old, and a new
    /// guest is `unknown` and without a name until the next picture. Zero looks at each call.
    pub resources_lag: Duration,
    /// Opens `/simulator/faults` and the other paths below `/simulator/` to whoever sends this as bearer token.
    pub admin_token: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 0)),
            nodes: 1,
            node_names: None,
            node_memory: 128 * GIB,
            node_cores: 32,
            bridges: vec!["vmbr0".to_owned(), "vmbr1".to_owned()],
            storages: StorageDefinition::defaults(),
            templates: TemplateDefinition::defaults(),
            timing: Timing::instant(),
            token: None,
            root_password: None,
            restricted_tokens: Vec::new(),
            release: Release::V9_2,
            identity: None,
            state: None,
            auth_delay: Duration::ZERO,
            keep_alive: Duration::from_secs(5),
            resources_lag: Duration::ZERO,
            admin_token: None,
        }
    }
}

/// How long a console waits for its WebSocket on real nodes.
const CONSOLE_WAIT: Duration = Duration::from_secs(10);
/// How long a console's ticket is good on real nodes.
const CONSOLE_TICKET: Duration = Duration::from_secs(40);

/// Bytes in a gibibyte.
pub(crate) const GIB: u64 = 1 << 30;

/// A release of Proxmox VE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Release {
    /// 8.4.21.
    V8_4,
    /// 9.2.11.
    #[default]
    V9_2,
}

/// A certificate with its key, to keep a fingerprint over restarts.
#[derive(Clone)]
pub struct Identity {
    /// The leaf certificate.
    pub certificate_pem: String,
    /// Its private key, PKCS#8.
    pub key_pem: String,
}

/// A token that may do only what its grants say.
#[derive(Clone)]
pub struct TokenGrant {
    /// `user@realm!id`.
    pub id: String,
    /// The secret.
    pub secret: String,
    /// Privileges by ACL path, for example `("/vms", ["VM.Audit"])`; the most specific path wins.
    pub grants: Vec<(String, Vec<String>)>,
}

/// One storage of the cluster.
#[derive(Clone, Debug)]
pub struct StorageDefinition {
    /// The storage id.
    pub id: String,
    /// Plugin type: `dir`, `nfs`, `lvm`, `lvmthin`, `zfspool`, `rbd` or `pbs`.
    pub kind: String,
    /// One storage for all nodes instead of one on each.
    pub shared: bool,
    /// Content types, such as `images` or `iso`.
    pub content: Vec<String>,
    /// Bytes it holds, on each node when it is not shared.
    pub size: u64,
    /// Files present at the start on every node, as name within the storage and bytes: `("iso/debian-12.iso", …)`.
    pub files: Vec<(String, u64)>,
}

impl StorageDefinition {
    /// `local` (dir: ISO images, backups, imports), `local-lvm` (thin images) and `shared` (Ceph-like images).
    pub fn defaults() -> Vec<Self> {
        let storage = |id: &str, kind: &str, shared, content: &[&str], size, files| Self {
            id: id.to_owned(),
            kind: kind.to_owned(),
            shared,
            content: content.iter().map(|part| (*part).to_owned()).collect(),
            size,
            files,
        };
        let iso = vec![("iso/debian-12.11.0-amd64-netinst.iso".to_owned(), 702_545_920)];
        vec![
            storage("local", "dir", false, &["backup", "import", "iso", "snippets", "vztmpl"], 200 * GIB, iso),
            storage("local-lvm", "lvmthin", false, &["images", "rootdir"], 4096 * GIB, Vec::new()),
            storage("shared", "rbd", true, &["images", "rootdir"], 65_536 * GIB, Vec::new()),
        ]
    }
}

/// A template VM present at the start.
#[derive(Clone, Debug)]
pub struct TemplateDefinition {
    /// Its VMID.
    pub vmid: u32,
    /// Its name.
    pub name: String,
    /// Size of its disk in bytes.
    pub disk: u64,
    /// Index of the node that has it, from 0.
    pub node: u16,
    /// The storage of its disk.
    pub storage: String,
}

impl TemplateDefinition {
    /// Debian 12, Ubuntu 24.04 and Rocky 9 on the first node and the `shared` storage, from where a clone may go
    /// to any node.
    pub fn defaults() -> Vec<Self> {
        [(9000, "debian-12", 3 * GIB), (9001, "ubuntu-24.04", 4 * GIB), (9002, "rocky-9", 10 * GIB)]
            .into_iter()
            .map(|(vmid, name, disk)| Self { vmid, name: name.to_owned(), disk, node: 0, storage: "shared".to_owned() })
            .collect()
    }
}

/// How long each kind of task takes from its start to its effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timing {
    /// `qmcreate`.
    pub create: Duration,
    /// `qmclone`.
    pub clone: Duration,
    /// `qmconfig`, and how long a synchronous config change takes to answer.
    pub configure: Duration,
    /// `resize`.
    pub resize: Duration,
    /// `qmtemplate`.
    pub template: Duration,
    /// `qmstart`.
    pub start: Duration,
    /// `qmshutdown` and `qmreboot` of a guest that obeys.
    pub shutdown: Duration,
    /// `qmstop`.
    pub stop: Duration,
    /// `qmreset`, `qmpause`, `qmresume`.
    pub control: Duration,
    /// `qmdestroy`.
    pub delete: Duration,
    /// `qmsnapshot` and `qmdelsnapshot`.
    pub snapshot: Duration,
    /// `qmrollback`.
    pub rollback: Duration,
    /// `vzdump` for each guest and each GiB of its disks in use, at least one.
    pub backup_per_gib: Duration,
    /// `qmrestore` for each GiB of the disks in use, at least one.
    pub restore_per_gib: Duration,
    /// `qmigrate` without local disks.
    pub migrate: Duration,
    /// `qmmove` and a migration of local disks for each GiB in use, at least one.
    pub copy_per_gib: Duration,
    /// `qmsuspend`, which writes the memory.
    pub hibernate: Duration,
    /// `imgdel` and `prunebackups`.
    pub free_volume: Duration,
    /// `download` and `imgcopy`.
    pub fetch: Duration,
    /// From the start of the process until the guest agent answers.
    pub guest_boot: Duration,
    /// Until the high availability manager acts on what is wanted.
    pub ha_reaction: Duration,
    /// Until it takes the guests of a dead node to another.
    pub ha_failover: Duration,
    /// What a shutdown's `timeout` of one second takes.
    pub second: Duration,
    /// How long an opened console waits for its WebSocket.
    pub console_wait: Duration,
    /// How long a console's ticket is good.
    pub console_ticket: Duration,
    /// How long a WebSocket to a console that waits no more is left without any answer.
    pub console_silence: Duration,
    /// Each task takes up to this many percent more or less, fixed by its UPID.
    pub spread_percent: u32,
}

impl Timing {
    /// Everything at once: a task has ended, and its effect is there, when the request is answered.
    pub fn instant() -> Self {
        let zero = Duration::ZERO;
        Self {
            create: zero,
            clone: zero,
            configure: zero,
            resize: zero,
            template: zero,
            start: zero,
            shutdown: zero,
            stop: zero,
            control: zero,
            delete: zero,
            snapshot: zero,
            rollback: zero,
            backup_per_gib: zero,
            restore_per_gib: zero,
            migrate: zero,
            copy_per_gib: zero,
            hibernate: zero,
            free_volume: zero,
            fetch: zero,
            guest_boot: zero,
            ha_reaction: zero,
            ha_failover: zero,
            second: zero,
            console_wait: CONSOLE_WAIT,
            console_ticket: CONSOLE_TICKET,
            console_silence: zero,
            spread_percent: 0,
        }
    }

    /// A quick but real cluster: clones take 2 to 3 s, a start 1.5 s, a shutdown 2 s, booting 3 s.
    pub fn realistic() -> Self {
        let milliseconds = Duration::from_millis;
        Self {
            create: milliseconds(1000),
            clone: milliseconds(2500),
            configure: milliseconds(300),
            resize: milliseconds(600),
            template: milliseconds(1000),
            start: milliseconds(1500),
            shutdown: milliseconds(2000),
            stop: milliseconds(1000),
            control: milliseconds(200),
            delete: milliseconds(1200),
            snapshot: milliseconds(800),
            rollback: milliseconds(1200),
            backup_per_gib: milliseconds(1500),
            restore_per_gib: milliseconds(1500),
            migrate: milliseconds(3000),
            copy_per_gib: milliseconds(800),
            hibernate: milliseconds(1500),
            free_volume: milliseconds(300),
            fetch: milliseconds(1000),
            guest_boot: milliseconds(3000),
            ha_reaction: milliseconds(5000),
            ha_failover: milliseconds(60_000),
            second: milliseconds(1000),
            console_wait: CONSOLE_WAIT,
            console_ticket: CONSOLE_TICKET,
            console_silence: milliseconds(8000),
            spread_percent: 20,
        }
    }

    /// The same, every duration multiplied by `factor`.
    ///
    /// # Panics
    /// When `factor` is negative or not finite.
    #[must_use]
    pub fn scaled(&self, factor: f64) -> Self {
        let scale = |duration: Duration| duration.mul_f64(factor);
        Self {
            create: scale(self.create),
            clone: scale(self.clone),
            configure: scale(self.configure),
            resize: scale(self.resize),
            template: scale(self.template),
            start: scale(self.start),
            shutdown: scale(self.shutdown),
            stop: scale(self.stop),
            control: scale(self.control),
            delete: scale(self.delete),
            snapshot: scale(self.snapshot),
            rollback: scale(self.rollback),
            backup_per_gib: scale(self.backup_per_gib),
            restore_per_gib: scale(self.restore_per_gib),
            migrate: scale(self.migrate),
            copy_per_gib: scale(self.copy_per_gib),
            hibernate: scale(self.hibernate),
            free_volume: scale(self.free_volume),
            fetch: scale(self.fetch),
            guest_boot: scale(self.guest_boot),
            ha_reaction: scale(self.ha_reaction),
            ha_failover: scale(self.ha_failover),
            second: scale(self.second),
            // These bound a person and a network, not a machine: they do not get quicker with it.
            console_wait: self.console_wait,
            console_ticket: self.console_ticket,
            console_silence: self.console_silence,
            spread_percent: self.spread_percent,
        }
    }
}
