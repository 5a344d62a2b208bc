//! A new cluster from its options: nodes, storages with their files, templates.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, ensure};

use super::drive::{new_mac, new_uuid};
use super::guest::{Config, Guest};
use super::storage::{Storage, Volume, Volumes};
use super::{ClusterState, Node, SNAPSHOT_FORMAT, Settings, VMID_FIRST, sizes};
use crate::clock::{Micros, seconds};
use crate::console::Consoles;
use crate::options::{GIB, Options, Release, TemplateDefinition};
use crate::tasks::Tasks;

/// Nodes a Proxmox cluster can have at most, in practice.
const NODES_MAX: u16 = 64;
/// How long a node has been up when the cluster begins.
const NODE_UPTIME: Micros = 3 * 86_400 * 1_000_000;
/// Storage types there are.
const KINDS: &[&str] = &["dir", "nfs", "lvm", "lvmthin", "zfspool", "rbd", "pbs"];
/// Size of a cloud-init drive.
pub(crate) const CLOUD_INIT_SIZE: u64 = 4 << 20;

/// The state to start with: the given one, or a new cluster.
///
/// # Errors
/// When the options contradict each other or a saved state cannot be read.
pub(crate) fn build(options: &Options, settings: Settings, now: Micros) -> anyhow::Result<ClusterState> {
    if let Some(saved) = &options.state {
        let mut cluster: ClusterState =
            serde_json::from_value(saved.clone()).context("the saved state is not readable")?;
        ensure!(cluster.format == SNAPSHOT_FORMAT, "the saved state has another format: {}", cluster.format);
        cluster.settings = Arc::new(settings);
        return Ok(cluster);
    }
    let names = match &options.node_names {
        Some(names) => names.clone(),
        None => (1..=options.nodes).map(|index| format!("pve{index}")).collect(),
    };
    ensure!(!names.is_empty(), "a cluster needs a node");
    ensure!(names.len() <= usize::from(NODES_MAX), "a cluster has at most {NODES_MAX} nodes");
    let node = |name: String| Node {
        name,
        memory: options.node_memory,
        cores: options.node_cores,
        booted: now.saturating_sub(NODE_UPTIME),
        offline_since: None,
    };
    let mut cluster = ClusterState {
        format: SNAPSHOT_FORMAT,
        name: "simulated".to_owned(),
        nodes: names.into_iter().map(node).collect(),
        bridges: options.bridges.clone(),
        storages: Vec::new(),
        volumes: Volumes::default(),
        guests: BTreeMap::new(),
        tasks: Tasks::default(),
        access: Arc::default(),
        firewall: crate::firewall::Firewall::default(),
        ha: crate::ha::Ha::default(),
        backup_jobs: BTreeMap::new(),
        options: BTreeMap::new(),
        next_free: VMID_FIRST,
        changes: 0,
        received: BTreeMap::new(),
        picture: super::picture::Picture::default(),
        consoles: Consoles::default(),
        settings: Arc::new(settings),
    };
    add_storages(&mut cluster, options, now)?;
    for template in &options.templates {
        add_template(&mut cluster, template, now)?;
    }
    Ok(cluster)
}

fn add_storages(cluster: &mut ClusterState, options: &Options, now: Micros) -> anyhow::Result<()> {
    let node_names: Vec<String> = cluster.nodes.iter().map(|node| node.name.clone()).collect();
    for definition in &options.storages {
        ensure!(
            KINDS.contains(&definition.kind.as_str()),
            "storage {}: unknown type {}",
            definition.id,
            definition.kind
        );
        let storage = Storage {
            id: definition.id.clone(),
            kind: definition.kind.clone(),
            shared: definition.shared,
            content: definition.content.clone(),
            size: definition.size,
        };
        for (name, size) in &definition.files {
            let content = name.split('/').next().unwrap_or_default();
            for node in &node_names {
                let volume = Volume {
                    storage: storage.id.clone(),
                    name: name.clone(),
                    node: None,
                    content: if content == "template" { "vztmpl".to_owned() } else { content.to_owned() },
                    vmid: None,
                    format: name.rsplit('.').next().unwrap_or("raw").to_owned(),
                    size: *size,
                    used: *size,
                    created: seconds(now),
                    parent: None,
                    children: 0,
                    file: crate::cluster::archive::FileAttributes::default(),
                };
                cluster.volumes.insert(&storage, node, volume);
            }
        }
        cluster.storages.push(storage);
    }
    Ok(())
}

fn add_template(cluster: &mut ClusterState, template: &TemplateDefinition, now: Micros) -> anyhow::Result<()> {
    let TemplateDefinition { vmid, name, disk, node, storage } = template;
    let node = cluster.nodes.get(usize::from(*node)).context("a template's node does not exist")?.name.clone();
    let storage = cluster
        .storages
        .iter()
        .find(|known| known.id == *storage)
        .with_context(|| format!("template {vmid}: storage {storage} does not exist"))?
        .clone();
    let format = if storage.is_directory() { "qcow2" } else { "raw" };
    let volumes = [
        (storage.image_name(*vmid, "base", "disk-0", format), *disk, (disk / 2).min(2 * GIB)),
        (storage.image_name(*vmid, "vm", "cloudinit", format), CLOUD_INIT_SIZE, CLOUD_INIT_SIZE),
    ];
    let [disk_id, cloud_init_id] = volumes.map(|(name, size, used)| {
        let volume = Volume {
            storage: storage.id.clone(),
            name,
            node: None,
            content: "images".to_owned(),
            vmid: Some(*vmid),
            format: format.to_owned(),
            size,
            used,
            created: seconds(now),
            parent: None,
            children: 0,
            file: crate::cluster::archive::FileAttributes::default(),
        };
        let volid = volume.volid();
        cluster.volumes.insert(&storage, &node, volume);
        volid
    });
    let values = [
        ("agent", "1".to_owned()),
        ("boot", "order=scsi0".to_owned()),
        ("cores", "2".to_owned()),
        ("cpu", "x86-64-v2-AES".to_owned()),
        ("ide2", format!("{cloud_init_id},media=cdrom")),
        ("ipconfig0", "ip=dhcp".to_owned()),
        ("memory", "2048".to_owned()),
        ("meta", meta(cluster.settings.release, now)),
        ("name", name.clone()),
        ("net0", format!("virtio={},bridge=vmbr0", new_mac())),
        ("ostype", "l26".to_owned()),
        ("scsi0", format!("{disk_id},size={}", sizes::print(*disk))),
        ("scsihw", "virtio-scsi-single".to_owned()),
        ("serial0", "socket".to_owned()),
        ("smbios1", format!("uuid={}", new_uuid())),
        ("template", "1".to_owned()),
        ("vga", "serial0".to_owned()),
        ("vmgenid", new_uuid()),
    ];
    let values = values.into_iter().map(|(option, value)| (option.to_owned(), value)).collect();
    cluster.add_guest(Guest::new(*vmid, &node, Config { values, ..Config::default() }));
    Ok(())
}

/// The `meta` option of a guest created now.
pub(crate) fn meta(release: Release, now: Micros) -> String {
    let qemu = match release {
        Release::V8_4 => "9.2.0",
        Release::V9_2 => "10.2.1",
    };
    format!("creation-qemu={qemu},ctime={}", seconds(now))
}

/// Brings the local volumes of a guest to another node, as a migration with local disks does.
pub(crate) fn carry_volumes(cluster: &mut ClusterState, vmid: u32, node: &str) {
    let Some(from) = cluster.guest(vmid).map(|guest| guest.node.clone()).filter(|from| from != node) else { return };
    for storage in cluster.storages.clone().into_iter().filter(|storage| !storage.shared) {
        let owned = cluster.volumes.on(&storage, &from).filter(|volume| volume.vmid == Some(vmid));
        for name in owned.map(|volume| volume.name.clone()).collect::<Vec<_>>() {
            if let Some(volume) = cluster.volumes.remove(&storage, &from, &name) {
                cluster.volumes.insert(&storage, node, volume);
            }
        }
    }
}
