//! The life of a VM after its making: snapshots, backups, restores, moves, files on storages, and tasks that go wrong.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod backups;
#[path = "../client/mod.rs"]
mod client;
mod disks;
mod migrate;
mod snapshots;
mod storage;
mod tasks;
mod typed_client;

use client::Client;
use proxmox_simulator::{Options, Simulator, StorageDefinition, Timing};

/// Three nodes with the usual storages, a shared one for backups, a thick one and one with a folder of raw files.
fn start(timing: Timing) -> (Simulator, Client) {
    let simulator = Simulator::start(options(timing)).unwrap();
    let client = Client::new(&simulator);
    (simulator, client)
}

fn options(timing: Timing) -> Options {
    let storage = |id: &str, kind: &str, shared, content: &[&str], size: u64| StorageDefinition {
        id: id.to_owned(),
        kind: kind.to_owned(),
        shared,
        content: content.iter().map(|one| (*one).to_owned()).collect(),
        size,
        files: Vec::new(),
    };
    let mut storages = StorageDefinition::defaults();
    storages.push(storage("vault", "nfs", true, &["backup"], 500 << 30));
    storages.push(storage("thick", "lvm", false, &["images"], 20 << 30));
    storages.push(storage("files", "dir", false, &["images"], 100 << 30));
    Options { nodes: 3, storages, timing, ..Options::default() }
}

/// A VM with one disk, on pve1; made at once.
async fn make(client: &Client, vmid: &str, disk: &str) {
    let form = [
        ("vmid", vmid),
        ("name", "life"),
        ("cores", "1"),
        ("memory", "1024"),
        ("scsi0", disk),
        ("net0", "virtio,bridge=vmbr0"),
        ("ide2", "local-lvm:cloudinit"),
        ("ciuser", "debian"),
    ];
    let upid = client.post("/nodes/pve1/qemu", &form).await.upid();
    assert_eq!(client.wait(&upid).await, "OK");
}

/// Sends a call that starts a task; returns the exit text of the task, which must have ended.
async fn run(client: &Client, method: &str, path: &str, form: &[(&str, &str)]) -> String {
    let upid = client.send(method, path, form).await.upid();
    client.exit(&upid).await
}

/// All lines of a task's log.
async fn log(client: &Client, upid: &str) -> Vec<String> {
    let node = upid.split(':').nth(1).unwrap();
    let answer = client.get(&format!("/nodes/{node}/tasks/{upid}/log?limit=0")).await;
    answer.data().as_array().unwrap().iter().map(|line| line["t"].as_str().unwrap().to_owned()).collect()
}

/// The `data` of a GET.
async fn get(client: &Client, path: &str) -> serde_json::Value {
    client.get(path).await.data().clone()
}
