//! The Proxmox calls that make a machine, one after the other, with nothing of the product around them.

use std::net::{IpAddr, Ipv4Addr};

use anyhow::{Context, bail, ensure};
use proxmox_client::{
    ApiToken, Client, CloneVm, ConfigChange, IpConfig, PowerState, Settings, TaskEnd, TaskStatus, Trust, Upid,
};
use proxmox_simulator::Simulator;

use crate::house::{BRIDGE, STORAGE, TEMPLATE};

/// The first VMID, far from the product's range.
const FIRST: u32 = 200_000;
/// The node of the templates, and another one to clone to.
const NODES: [&str; 2] = ["pve1", "pve2"];
/// The disk of the templates.
const DISK: &str = "scsi0";
const DISK_GIB: u64 = 40;
const MEMORY_MIB: u64 = 4096;

/// A connection to the cluster.
pub struct Direct(Client);

impl Direct {
    /// Connects with the same kind of token and pinned certificate as the product.
    ///
    /// # Errors
    /// When token or fingerprint are damaged.
    pub fn new(simulator: &Simulator) -> anyhow::Result<Self> {
        let (id, secret) = simulator.token().split_once('=').context("the simulator's token has no secret")?;
        let trust = Trust::Fingerprint(simulator.fingerprint().parse()?);
        Ok(Self(Client::new(Settings::new(simulator.url(), ApiToken::new(id, secret.to_owned())?, trust))?))
    }

    /// Makes a machine.
    ///
    /// # Errors
    /// When the cluster refuses.
    pub async fn make(&self, number: usize) -> anyhow::Result<()> {
        let client = &self.0;
        let offset = u32::try_from(number)?;
        let vmid = FIRST + offset;
        let (source, node) = (NODES[0], NODES[number % NODES.len()]);
        ensure!(client.vmid_is_free(vmid).await?, "VMID {vmid} is in use");
        let mut clone = CloneVm::new(vmid).name(&format!("direct-{number}")).full(true).storage(STORAGE);
        if node != source {
            clone = clone.target(node);
        }
        self.ended(client.clone_vm(source, TEMPLATE, &clone).await?).await?;
        let config = client.vm_config(node, vmid).await?;
        let address = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 20, 0, 10)) + offset);
        let mut change = ConfigChange::new()
            .sockets(1)
            .cores(2)
            .memory_mib(MEMORY_MIB)
            .ci_user("debian")
            .agent(true)
            .on_boot(false)
            .protection(false)
            .ip_config(0, &IpConfig::fixed(address, 20, Ipv4Addr::new(10, 20, 0, 1)))
            .name_servers(&[IpAddr::V4(Ipv4Addr::new(9, 9, 9, 9))]);
        if config.nets.get(&0).is_none_or(|net| net.bridge() != Some(BRIDGE)) {
            change = change.set("net0", format!("virtio,bridge={BRIDGE}"));
        }
        client.set_vm_config(node, vmid, &change).await?;
        if let Some(task) = client.resize_disk(node, vmid, DISK, DISK_GIB).await? {
            self.ended(task).await?;
        }
        self.ended(client.start(node, vmid).await?).await?;
        ensure!(client.vm_status(node, vmid).await?.status == PowerState::Running, "guest {vmid} does not run");
        client.agent_network_interfaces(node, vmid).await?;
        Ok(())
    }

    async fn ended(&self, task: Upid) -> anyhow::Result<()> {
        match self.0.task_status(&task).await? {
            TaskStatus::Ended(TaskEnd::Ok | TaskEnd::Warnings(_)) => Ok(()),
            other => bail!("{task} should have ended well, but is {other:?}"),
        }
    }
}
