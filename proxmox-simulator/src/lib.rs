//! A Proxmox VE cluster that runs in memory and answers over TLS the way a real one does: for tests, benchmarks and
//! demos. What it does not implement it refuses with Proxmox's own 501.
//!
//! ```
//! use proxmox_simulator::{Options, Simulator};
//! let simulator = Simulator::start(Options { nodes: 3, ..Options::default() })?;
//! assert!(simulator.url().starts_with("https://127.0.0.1:"));
//! # anyhow::Ok(())
//! ```
//!
//! The rooms: `transport` is the wire, `auth` who asks, `access` who there is and what they may do, `routes` and
//! `schema` which call it is and whether its parameters are right, `qemu`, `backups`, `storage_files` and the `*_calls`
//! files what calls do, `tasks` what takes time, `console` what is on a guest's screen and serial line, `cluster` the
//! state, `firewall`, `ha` and `history` what is around the guests, `administration` what happens behind a client's back,
//! `faults` what goes wrong.

mod access;
mod administration;
mod auth;
mod backups;
mod call;
mod clock;
mod cluster;
mod cluster_calls;
mod cluster_pages;
mod console;
mod directories;
mod failure;
mod faults;
mod firewall;
mod ha;
mod history;
mod load;
mod node_calls;
mod node_pages;
mod options;
mod parameters;
mod pools;
mod qemu;
mod routes;
mod schema;
mod simulator;
mod storage_calls;
mod storage_files;
mod tasks;
mod transport;

pub use cluster::archive::{Archive, ArchivedDisk, FileAttributes};
pub use cluster::guest::{Config, Guest, Process};
pub use cluster::snapshot::Snapshot;
pub use cluster::storage::{Storage, Volume};
pub use cluster::{ClusterState, Node};
pub use faults::{Fault, FaultKind, Faults};
pub use options::{Identity, Options, Release, StorageDefinition, TemplateDefinition, Timing, TokenGrant};
pub use qemu::agent_state::AgentState;
pub use simulator::Simulator;
