//! The calls about virtual machines, one file per verb, and what their tasks do.

pub(crate) mod agent;
pub(crate) mod agent_exec;
pub(crate) mod agent_facts;
pub(crate) mod agent_files;
pub mod agent_state;
pub(crate) mod clone;
pub(crate) mod cloud_init;
pub(crate) mod config;
pub(crate) mod console;
pub(crate) mod create;
pub(crate) mod delete;
pub(crate) mod features;
pub(crate) mod hibernate;
pub(crate) mod migrate;
pub(crate) mod monitor;
pub(crate) mod move_disk;
pub(crate) mod options;
pub(crate) mod power;
pub(crate) mod process;
pub(crate) mod reassign_disk;
pub(crate) mod resize;
pub(crate) mod snapshots;
pub(crate) mod status;
pub(crate) mod template;
pub(crate) mod update;
pub(crate) mod volumes;
