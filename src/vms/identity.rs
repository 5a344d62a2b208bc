//! Whose a guest is. Each guest of ours carries its machine's id as SMBIOS uuid and as a tag (an adopted one keeps its own
//! uuid, which the machine remembers); from the clone until they are
//! set, the description names it. Nothing is destroyed unless it names our machine.

use proxmox_client::VmConfig;
use uuid::Uuid;

use crate::ids::VmId;

/// Every guest of ours has it, so that an operator can find them.
pub(super) const TAG: &str = "uni-manager";

/// The tag that names one machine.
pub(super) fn tag(vm: VmId) -> String {
    format!("vm-{vm}")
}

/// All tags of a guest: ours, and those of its owner.
pub(super) fn tags(vm: VmId, own: &[String]) -> Vec<String> {
    let mut tags = vec![TAG.to_owned(), tag(vm)];
    tags.extend(own.iter().cloned());
    tags
}

/// Whether a tag says whose a guest is: nobody but us may give it.
pub(super) fn is_reserved(tag: &str) -> bool {
    tag == TAG || tag.starts_with("vm-")
}

/// The machine of ours that a tag names, if it names one.
pub(super) fn named_by(tag: &str) -> Option<VmId> {
    tag.strip_prefix("vm-").and_then(|id| id.parse().ok())
}

/// The description that the clone itself sets, until uuid and tags are set too. A copy of a configured machine has another.
pub(super) fn description_of_clone(vm: VmId) -> String {
    format!("Uni-Manager VM {vm}. Being made: leave it alone.")
}

/// The description of a configured machine. It is for people and proves nothing: every copy of the guest has it.
pub(super) fn description(vm: VmId) -> String {
    format!("Uni-Manager VM {vm}. Managed: changes made here are seen and may be set back.")
}

/// Whether a guest has this SMBIOS uuid.
pub(super) fn has_uuid(config: &VmConfig, guest_uuid: Uuid) -> bool {
    let uuid = config.smbios1.as_ref().and_then(|smbios| smbios.uuid());
    uuid.is_some_and(|uuid| uuid.eq_ignore_ascii_case(&guest_uuid.to_string()))
}

/// Whether a guest is the machine's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Identity {
    /// Uuid and tag, or the clone's description before they were set, name it.
    Ours,
    /// Being cloned: it cannot say yet.
    BeingMade,
    /// It is something else.
    Foreign,
}

/// Reads the identity of a guest.
pub(super) fn of(config: &VmConfig, vm: VmId, guest_uuid: Uuid) -> Identity {
    if has_uuid(config, guest_uuid) && config.tags.contains(&tag(vm)) {
        return Identity::Ours;
    }
    if config.lock.as_deref() == Some("clone") {
        return Identity::BeingMade;
    }
    // Cloned, not configured yet: the uuid is random and the tags are the template's.
    let described = config.description.as_deref().is_some_and(|text| text.trim() == description_of_clone(vm));
    // Tags and uuid are set together, so a tag without the uuid is no clone of ours on its way.
    let named = config.tags.iter().any(|tag| tag.starts_with("vm-"));
    if described && !named { Identity::Ours } else { Identity::Foreign }
}
