//! What is around the machines: who may do what, pools, high availability, firewall, guest agent, history, and faults.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod agent;
mod backup_jobs;
#[path = "../client/mod.rs"]
mod client;
mod firewall;
mod outages;
mod pages;
mod pools;

use client::{Answer, Client};
use proxmox_simulator::{Options, Simulator};

/// A cluster of two nodes and its administrator.
fn start(options: Options) -> (Simulator, Client) {
    let simulator = Simulator::start(options).unwrap();
    let client = Client::new(&simulator);
    (simulator, client)
}

/// A new machine 100 on the first node.
async fn machine(client: &Client) {
    let upid = client.post("/nodes/pve1/qemu/9000/clone", &[("newid", "100"), ("name", "web")]).await.upid();
    assert_eq!(client.exit(&upid).await, "OK");
}

/// It must be refused so.
fn refused(answer: &Answer, status: u16, reason: &str) {
    assert_eq!((answer.status, answer.reason.as_str()), (status, reason), "{}", answer.text);
}
