//! The privileges that our token needs on Proxmox: where, for what, and what does not work without each. The role of
//! `docs/proxmox-setup.md` is this list; a test compares them.

use proxmox_client::Permissions;

/// The name of the role that operators are told to make.
pub const ROLE: &str = "UniManager";
/// Before this release of Proxmox VE, `VM.Monitor` stands for all `VM.GuestAgent.…`.
const GUEST_AGENT_RELEASE: u32 = 9;

/// Where a privilege is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On all guests: `/vms`.
    Guests,
    /// On the storage where disks are made.
    DiskStorage,
    /// On the storage with CD images; not looked for while a cluster has none.
    IsoStorage,
    /// On the zones of bridges: `/sdn/zones`.
    Zones,
    /// On all nodes: `/nodes`.
    Nodes,
    /// On all pools: `/pool`.
    Pools,
    /// On the whole cluster: `/`.
    Cluster,
}

/// A privilege and what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Privilege {
    /// Its name since Proxmox VE 9.
    pub name: &'static str,
    /// Where.
    pub place: Place,
    /// What does not work without it, as the end of “without it …”.
    pub without: &'static str,
}

const fn needs(name: &'static str, place: Place, without: &'static str) -> Privilege {
    Privilege { name, place, without }
}

/// Every privilege that our calls need, by name within each place.
pub const NEEDED: [Privilege; 27] = [
    needs("VM.Allocate", Place::Guests, "no VM is created or deleted"),
    needs("VM.Audit", Place::Guests, "no VM is seen, so all look lost"),
    needs("VM.Backup", Place::Guests, "no backup is made or restored"),
    needs("VM.Clone", Place::Guests, "no image is copied, so no VM is made"),
    needs("VM.Config.CDROM", Place::Guests, "no CD image is put into a VM, and there is no rescue system"),
    needs("VM.Config.CPU", Place::Guests, "no VM gets the processors of its plan"),
    needs("VM.Config.Cloudinit", Place::Guests, "no VM gets its SSH keys and address"),
    needs("VM.Config.Disk", Place::Guests, "no disk grows, and disks are not listed"),
    needs("VM.Config.HWType", Place::Guests, "no guest is marked as ours, so none may be deleted"),
    needs("VM.Config.Memory", Place::Guests, "no VM gets the memory of its plan"),
    needs("VM.Config.Network", Place::Guests, "no VM is connected to the bridge, and there is no firewall"),
    needs("VM.Config.Options", Place::Guests, "no VM gets its name, tags and boot order"),
    needs("VM.Console", Place::Guests, "no console opens"),
    needs("VM.GuestAgent.Audit", Place::Guests, "no VM is asked for its address, so orders wait until it is granted"),
    needs("VM.Migrate", Place::Guests, "no VM moves to another node"),
    needs("VM.PowerMgmt", Place::Guests, "no VM starts or stops"),
    needs("VM.Snapshot", Place::Guests, "no snapshot is taken or deleted"),
    needs("VM.Snapshot.Rollback", Place::Guests, "no VM goes back to a snapshot"),
    needs("Datastore.AllocateSpace", Place::DiskStorage, "no disk is made"),
    needs("Datastore.Audit", Place::DiskStorage, "the storage is not seen, so nothing can be sold"),
    needs("Datastore.Allocate", Place::IsoStorage, "the user data of a VM stays on the storage when the VM is deleted"),
    needs("Datastore.AllocateTemplate", Place::IsoStorage, "no CD image is uploaded, so no VM is made with user data"),
    needs("Datastore.Audit", Place::IsoStorage, "no CD image is listed"),
    needs("SDN.Use", Place::Zones, "no VM is connected to the bridge"),
    needs("Sys.Audit", Place::Nodes, "nodes, their load and the tasks on them are not seen"),
    needs("Pool.Audit", Place::Pools, "the pools of guests are not seen"),
    needs("Sys.Audit", Place::Cluster, "the health of the cluster is not seen"),
];

/// A privilege that our token lacks.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, utoipa::ToSchema)]
pub struct MissingPrivilege {
    /// The privilege, as the release of the cluster calls it.
    pub privilege: String,
    /// Where.
    pub path: String,
    /// What does not work without it.
    pub without: String,
    /// The command that grants it.
    pub grant: String,
}

impl Privilege {
    /// What a release calls it, or every name that will do; the first is the one to grant.
    fn names(&self, release: &str) -> Vec<&'static str> {
        let major =
            release.split('.').next().and_then(|major| major.parse::<u32>().ok()).unwrap_or(GUEST_AGENT_RELEASE);
        match self.name {
            "VM.GuestAgent.Audit" if major < GUEST_AGENT_RELEASE => vec!["VM.Monitor"],
            "VM.GuestAgent.Audit" => vec![self.name, "VM.GuestAgent.Unrestricted"],
            "VM.Snapshot.Rollback" => vec![self.name, "VM.Snapshot"],
            name => vec![name],
        }
    }
}

/// The privileges of the role, each once and in order, as a release of Proxmox VE calls them.
#[must_use]
pub fn role(release: &str) -> Vec<&'static str> {
    let mut names: Vec<_> = NEEDED.iter().filter_map(|needed| needed.names(release).first().copied()).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What is needed and not granted. A privilege on a path holds below it when it propagates.
pub(super) fn missing(
    granted: &Permissions,
    release: &str,
    token_id: &str,
    storage: &str,
    iso_storage: Option<&str>,
) -> Vec<MissingPrivilege> {
    let mut missing: Vec<MissingPrivilege> = Vec::new();
    for needed in &NEEDED {
        let path = match (needed.place, iso_storage) {
            (Place::Guests, _) => "/vms".to_owned(),
            (Place::DiskStorage, _) => format!("/storage/{storage}"),
            (Place::IsoStorage, Some(iso_storage)) => format!("/storage/{iso_storage}"),
            (Place::IsoStorage, None) => continue,
            (Place::Zones, _) => "/sdn/zones".to_owned(),
            (Place::Nodes, _) => "/nodes".to_owned(),
            (Place::Pools, _) => "/pool".to_owned(),
            (Place::Cluster, _) => "/".to_owned(),
        };
        let names = needed.names(release);
        let Some(privilege) = names.first().copied() else { continue };
        if names.iter().any(|name| is_granted(granted, &path, name)) {
            continue;
        }
        // Disks and CD images may share a storage.
        match missing.iter_mut().find(|known| known.privilege == privilege && known.path == path) {
            Some(known) => known.without = format!("{}; {}", known.without, needed.without),
            None => missing.push(MissingPrivilege {
                privilege: privilege.to_owned(),
                grant: grant(privilege, &path, token_id),
                path,
                without: needed.without.to_owned(),
            }),
        }
    }
    missing
}

fn is_granted(granted: &Permissions, path: &str, privilege: &str) -> bool {
    granted.iter().any(|(granted_at, privileges)| {
        let above = granted_at == "/" || path == granted_at || path.starts_with(&format!("{granted_at}/"));
        // Below: granted on every zone or pool by itself is enough to use it.
        let below = path != "/" && granted_at.starts_with(&format!("{path}/"));
        (above && privileges.get(privilege).is_some_and(|propagates| *propagates || granted_at == path))
            || (below && privileges.contains_key(privilege))
    })
}

/// A token may do what its user may, and with privilege separation only what both may: so both are granted it.
fn grant(privilege: &str, path: &str, token_id: &str) -> String {
    let user = token_id.split_once('!').map_or(token_id, |(user, _)| user);
    let role = format!("{ROLE}-{}", privilege.replace('.', ""));
    format!(
        "pveum role add {role} --privs {privilege}; pveum acl modify {path} --users '{user}' --tokens '{token_id}' --roles {role}"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn all_at(path: &str, propagate: bool) -> Permissions {
        let privileges = NEEDED.iter().map(|needed| (needed.name.to_owned(), propagate)).collect();
        BTreeMap::from([(path.to_owned(), privileges)])
    }

    fn lacks(granted: &Permissions, release: &str) -> Vec<MissingPrivilege> {
        missing(granted, release, "a@pve!b", "fast", Some("cds"))
    }

    #[test]
    fn everything_granted_at_the_root_is_enough() {
        assert_eq!(lacks(&all_at("/", true), "9.2.11"), []);
    }

    #[test]
    fn what_does_not_propagate_holds_only_where_it_is() {
        let missing = lacks(&all_at("/", false), "9.2.11");

        assert_eq!(missing.len(), NEEDED.len() - 1, "only Sys.Audit on / is granted");
        assert!(missing[0].grant.contains("'a@pve!b'"));
    }

    #[test]
    fn a_missing_privilege_is_named_with_its_path_and_what_fails_without_it() {
        let mut granted = all_at("/", true);
        granted.get_mut("/").unwrap().remove("Datastore.AllocateSpace");

        let missing = lacks(&granted, "9.2.11");

        assert_eq!(missing.len(), 1);
        let lack = &missing[0];
        assert_eq!((lack.path.as_str(), lack.privilege.as_str()), ("/storage/fast", "Datastore.AllocateSpace"));
        assert_eq!(lack.without, "no disk is made");
    }

    #[test]
    fn on_8_the_agent_is_asked_with_vm_monitor() {
        let mut granted = all_at("/", true);
        assert_eq!(lacks(&granted, "8.4.21")[0].privilege, "VM.Monitor");
        granted.get_mut("/").unwrap().insert("VM.Monitor".into(), true);
        assert_eq!(lacks(&granted, "8.4.21"), []);
        granted.get_mut("/").unwrap().remove("VM.GuestAgent.Audit");
        assert_eq!(lacks(&granted, "9.2.11").len(), 1, "9 knows no VM.Monitor");
    }

    #[test]
    fn cd_images_need_nothing_while_there_are_none() {
        let mut granted = all_at("/", true);
        granted.get_mut("/").unwrap().remove("Datastore.AllocateTemplate");

        assert_eq!(missing(&granted, "9.2.11", "a@pve!b", "fast", None), []);
        assert_eq!(lacks(&granted, "9.2.11")[0].path, "/storage/cds");
    }

    #[test]
    fn the_role_names_each_privilege_once_as_the_release_knows_it() {
        assert!(role("9.2.11").contains(&"VM.GuestAgent.Audit") && !role("9.2.11").contains(&"VM.Monitor"));
        assert!(
            role("8.4.21").contains(&"VM.Monitor") && !role("8.4.21").iter().any(|name| name.contains("GuestAgent"))
        );
    }
}
