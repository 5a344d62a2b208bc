//! Config options as they come in: who may set them, and what Proxmox makes of the values before it stores them.

use std::collections::BTreeMap;

use rand::RngExt as _;
use sha2::{Digest, Sha256};

use crate::call::Call;
use crate::cluster::drive::{is_drive_key, is_network_key, new_mac};
use crate::failure::Failure;
use crate::parameters::Given;
use crate::schema::{Format, Schema, parse_property_string, print_property_string};

/// Options no token may set, not even one of root.
const ROOT_ONLY: &[&str] = &[
    "affinity",
    "amd-sev",
    "arch",
    "args",
    "hookscript",
    "hugepages",
    "intel-tdx",
    "ivshmem",
    "keephugepages",
    "lock",
    "migrate_downtime",
    "migrate_speed",
];
/// Privilege for each option; those not listed need `VM.Config.Options`.
const PRIVILEGES: &[(&str, &[&str])] = &[
    ("VM.Config.CPU", &["cores", "sockets", "cpu", "cpulimit", "cpuunits", "numa", "vcpus", "smp"]),
    ("VM.Config.Memory", &["memory", "balloon", "shares", "allow-ksm"]),
    (
        "VM.Config.HWType",
        &[
            "acpi", "hotplug", "kvm", "machine", "scsihw", "smbios1", "tablet", "vga", "watchdog", "audio0", "rng0",
            "vmgenid",
        ],
    ),
    ("VM.Config.Disk", &["boot", "bootdisk", "vmstatestorage"]),
    ("VM.Config.Cloudinit", CLOUD_INIT),
];
/// Cloud-init options besides `ipconfigN`.
pub(crate) const CLOUD_INIT: &[&str] =
    &["cicustom", "cipassword", "citype", "ciupgrade", "ciuser", "nameserver", "searchdomain", "sshkeys"];
/// Salt characters of a stored password hash.
const SALT_CHARACTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789./";

/// Reads the config options of a create or update call; `other` names the parameters that are no options.
///
/// # Errors
/// When one may not be set by this caller.
pub(crate) fn read(call: &Call<'_>, other: &[&str]) -> Result<BTreeMap<String, String>, Failure> {
    let schema = call.cluster.schema();
    let mut options = BTreeMap::new();
    for (name, given) in call.parameters.iter() {
        if other.contains(&name.as_str()) {
            continue;
        }
        let Given::Text(value) = given else { continue };
        check_rights(call, name, Some(value))?;
        options.insert(name.clone(), stored(schema, name, value)?);
    }
    Ok(options)
}

/// May the caller change this option?
///
/// # Errors
/// 403 for a missing privilege, 500 for what only root may do.
pub(crate) fn check_rights(call: &Call<'_>, name: &str, value: Option<&str>) -> Result<(), Failure> {
    if call.caller.is_root() {
        return Ok(());
    }
    let family = name.trim_end_matches(|last: char| last.is_ascii_digit());
    if ROOT_ONLY.contains(&name) || matches!(family, "parallel" | "hostpci") {
        return Err(Failure::died(format!("only root can set '{name}' config")));
    }
    let real_device = match (family, value) {
        ("serial", Some(value)) => value != "socket",
        ("usb", Some(value)) => !value.to_ascii_lowercase().contains("spice") && !value.contains("mapping="),
        _ => false,
    };
    if real_device {
        return Err(Failure::died(format!("only root can set '{name}' config for real devices")));
    }
    let listed = PRIVILEGES.iter().find(|(_, options)| options.contains(&name)).map(|(privilege, _)| *privilege);
    let is_cdrom = value.is_some_and(|value| value.contains("media=cdrom"));
    let privileges: &[&str] = match (listed, family) {
        (Some("VM.Config.Cloudinit"), _) | (None, "ipconfig") => &["VM.Config.Cloudinit", "VM.Config.Network"],
        (Some(privilege), _) => &[privilege],
        (None, "net") => &["VM.Config.Network"],
        (None, "unused") => &["VM.Config.Disk"],
        (None, _) if is_drive_key(name) && is_cdrom => &["VM.Config.CDROM"],
        (None, _) if is_drive_key(name) => &["VM.Config.Disk"],
        (None, _) => &["VM.Config.Options"],
    };
    if privileges.len() > 1 && privileges.iter().any(|privilege| call.caller.may(&vm_path(call), privilege)) {
        return Ok(());
    }
    call.caller.require(&vm_path(call), &privileges[..1])
}

fn vm_path(call: &Call<'_>) -> String {
    format!("/vms/{}", call.vmid())
}

/// The form in which a value is stored.
fn stored(schema: &Schema, name: &str, value: &str) -> Result<String, Failure> {
    if is_network_key(name) || is_drive_key(name) {
        return reprint(schema, name, value);
    }
    Ok(match name {
        "tags" => tags(value),
        "cipassword" => hash_password(value),
        "sshkeys" => {
            check_ssh_keys(value)?;
            value.trim_end().to_owned()
        }
        "vmgenid" if value == "1" => crate::cluster::drive::new_uuid(),
        _ => value.to_owned(),
    })
}

/// Prints a network card or drive the way Proxmox does; a card gets its address.
fn reprint(schema: &Schema, name: &str, value: &str) -> Result<String, Failure> {
    let Some(Format::Object(properties)) = schema.config_option(name).map(|property| &property.format) else {
        return Ok(value.to_owned());
    };
    let mut values = parse_property_string(properties, value, name).map_err(Failure::died)?;
    if is_network_key(name) {
        let mac = values.get("macaddr").map_or_else(new_mac, |mac| mac.to_ascii_uppercase());
        values.insert("macaddr".to_owned(), mac);
    }
    Ok(print_property_string(properties, &values))
}

/// Lower case, sorted, without doubles, joined with `;`.
fn tags(value: &str) -> String {
    let mut tags: Vec<String> =
        value.split([',', ';', ' ']).filter(|tag| !tag.is_empty()).map(str::to_ascii_lowercase).collect();
    tags.sort();
    tags.dedup();
    tags.join(";")
}

/// Something that looks like a SHA-256 crypt hash, unless one was given. Nobody ever checks it.
fn hash_password(value: &str) -> String {
    if ["$1$", "$5$", "$6$", "$2a$", "$2y$"].iter().any(|prefix| value.starts_with(prefix)) {
        return value.to_owned();
    }
    let character = |number: u8| char::from(SALT_CHARACTERS[usize::from(number) % SALT_CHARACTERS.len()]);
    let salt: [u8; 8] = rand::rng().random();
    let salt: String = salt.into_iter().map(character).collect();
    let digest = Sha256::digest(format!("{salt}{value}"));
    let hash: String = digest.iter().map(|byte| character(*byte)).collect();
    format!("$5${salt}${hash}")
}

/// Every line, once decoded, must look like an OpenSSH public key.
fn check_ssh_keys(value: &str) -> Result<(), Failure> {
    let decoded = percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned();
    for line in decoded.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let kind = ["ssh-", "ecdsa-", "sk-ssh-", "sk-ecdsa-"];
        let mut words = line.split_whitespace();
        let known = words.any(|word| kind.iter().any(|prefix| word.starts_with(prefix)));
        let has_body = words.next().is_some_and(|body| body.starts_with("AAAA"));
        if !known || !has_body {
            return Err(Failure::died("SSH public key validation error"));
        }
    }
    Ok(())
}
