//! A typed async client of the Proxmox VE API for virtual machines, versions 8 and 9. It knows
//! Proxmox' notations, answers and ways to fail; it does not know what its caller sells, stores
//! or retries.
//!
//! Every call ends in one of three kinds of [`Error`]: never sent, maybe done, or refused. A
//! change that is maybe done must be looked for before it is repeated.
//!
#![doc = include_str!("../README.md")]

mod access;
mod address_sets;
mod agent;
mod agent_commands;
mod answer;
mod backups;
mod client;
mod cloud_init;
mod cloud_init_image;
mod cluster;
mod config_change;
mod console;
mod devices;
mod endpoints;
mod error;
mod fingerprint;
mod firewall;
mod ha_placement;
mod high_availability;
mod history;
mod lenient;
mod nodes;
mod pending_config;
mod pools;
mod property_string;
mod request;
mod settings;
mod snapshots;
mod storage;
mod storage_content;
mod tags;
mod task_lists;
mod tasks;
mod tls;
mod upid;
mod upload;
mod vm_config;
mod vm_creation;
mod vm_disks;
mod vm_lifecycle;
mod vm_migration;
mod vm_power;
mod words;

pub use access::{AclEntry, Holder, Permissions, Role};
pub use address_sets::{AddressSet, AddressSetEntry};
pub use agent::{GuestAddress, GuestFileSystem, GuestInterface, GuestSystem};
pub use agent_commands::{CommandStatus, GuestFile};
pub use backups::{BackUp, BackupMode, RestoreVm};
pub use client::Client;
pub use cloud_init::{IpConfig, IpConfigError, Ipv4Config, Ipv6Config, decode_ssh_keys, encode_ssh_keys};
pub use cloud_init_image::CloudInitFile;
pub use cluster::{ClusterEntry, ClusterEntryKind, Resource, ResourceFilter, ResourceKind, Version};
pub use config_change::ConfigChange;
pub use console::{ConsoleSocket, TermConsole, VncConsole};
pub use devices::{AgentOption, Disk, DiskSize, DiskSizeError, NetworkDevice, Smbios1};
pub use endpoints::EndpointState;
pub use error::{Error, MaybeDoneCause, NeverSentCause, Refusal};
pub use fingerprint::Fingerprint;
pub use firewall::{FirewallOptions, FirewallPolicy, FirewallRule};
pub use ha_placement::{HaAffinity, HaGroup, HaRule, HaRuleKind};
pub use high_availability::{HaResource, HaStatus, WantedState};
pub use history::{Consolidation, NodeSample, Sample, Timeframe};
pub use nodes::{Node, NodeDetails, NodeStatus, Space};
pub use pending_config::PendingOption;
pub use pools::Pool;
pub use property_string::{PropertyString, PropertyStringError};
pub use settings::{ApiToken, Endpoint, Settings, SettingsError, Trust};
pub use snapshots::{CreateSnapshot, Snapshot, Snapshots};
pub use storage::{ContentFilter, Storage, Volume};
pub use storage_content::{Download, PruneEntry, PruneMark};
pub use tags::Tags;
pub use task_lists::{TaskEntry, TaskFilter};
pub use tasks::{TaskEnd, TaskError, TaskLog, TaskLogLine, TaskStatus, TaskWait, WaitError};
pub use tls::fetch_fingerprint;
pub use upid::{Upid, UpidError};
pub use upload::UPLOAD_BYTES_MAX;
pub use vm_config::VmConfig;
pub use vm_creation::CreateVm;
pub use vm_disks::MoveDisk;
pub use vm_lifecycle::CloneVm;
pub use vm_migration::{LocalDisk, MigrateVm, MigrationCheck};
pub use vm_power::{HighAvailability, PowerState, VmStatus};
pub use words::Words;
