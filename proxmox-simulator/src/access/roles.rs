//! Privileges and roles: those each release is born with, and `/access/roles`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::OnceLock;

use serde_json::{Map, Value, json};

use super::{Access, split_list};
use crate::call::Call;
use crate::failure::{Failure, Outcome, Reply};
use crate::options::Release;

/// Privileges of one kind, by who is meant to have them.
struct Kind {
    name: &'static str,
    root: &'static [&'static str],
    admin: &'static [&'static str],
    user: &'static [&'static str],
    audit: &'static [&'static str],
}

const KINDS: &[Kind] = &[
    Kind {
        name: "VM",
        root: &[],
        admin: &[
            "VM.Allocate",
            "VM.Clone",
            "VM.Config.CPU",
            "VM.Config.Disk",
            "VM.Config.HWType",
            "VM.Config.Memory",
            "VM.Config.Network",
            "VM.Config.Options",
            "VM.Migrate",
            "VM.Snapshot",
            "VM.Snapshot.Rollback",
        ],
        user: &["VM.Backup", "VM.Config.CDROM", "VM.Config.Cloudinit", "VM.Console", "VM.PowerMgmt"],
        audit: &["VM.Audit"],
    },
    Kind {
        name: "Sys",
        root: &["Sys.AccessNetwork", "Sys.Incoming", "Sys.Modify", "Sys.PowerMgmt"],
        admin: &["Sys.Console", "Sys.Syslog"],
        user: &[],
        audit: &["Sys.Audit"],
    },
    Kind {
        name: "Datastore",
        root: &[],
        admin: &["Datastore.Allocate", "Datastore.AllocateTemplate"],
        user: &["Datastore.AllocateSpace"],
        audit: &["Datastore.Audit"],
    },
    Kind { name: "SDN", root: &[], admin: &["SDN.Allocate"], user: &["SDN.Use"], audit: &["SDN.Audit"] },
    Kind {
        name: "User",
        root: &["Realm.Allocate"],
        admin: &["Group.Allocate", "Realm.AllocateUser", "User.Modify"],
        user: &[],
        audit: &[],
    },
    Kind { name: "Pool", root: &[], admin: &["Pool.Allocate"], user: &["Pool.Audit"], audit: &["Pool.Audit"] },
    Kind { name: "Mapping", root: &[], admin: &["Mapping.Modify"], user: &["Mapping.Use"], audit: &["Mapping.Audit"] },
];
/// What 8.4 adds to the administrators of guests.
const VM_ADMIN_8: &[&str] = &["VM.Monitor"];
/// What 9 adds to the administrators of guests.
const VM_ADMIN_9: &[&str] = &[
    "VM.GuestAgent.FileRead",
    "VM.GuestAgent.FileSystemMgmt",
    "VM.GuestAgent.FileWrite",
    "VM.GuestAgent.Unrestricted",
    "VM.Replicate",
];
/// What 9 adds to who may look at guests.
const VM_AUDIT_9: &[&str] = &["VM.GuestAgent.Audit"];

type BuiltIn = BTreeMap<&'static str, BTreeSet<&'static str>>;

/// The roles a release is born with.
fn built_in(release: Release) -> &'static BuiltIn {
    static V8: OnceLock<BuiltIn> = OnceLock::new();
    static V9: OnceLock<BuiltIn> = OnceLock::new();
    match release {
        Release::V8_4 => V8.get_or_init(|| make(release)),
        Release::V9_2 => V9.get_or_init(|| make(release)),
    }
}

fn make(release: Release) -> BuiltIn {
    let names = [
        ("VM", "PVEVMAdmin", "PVEVMUser"),
        ("Sys", "PVESysAdmin", ""),
        ("Datastore", "PVEDatastoreAdmin", "PVEDatastoreUser"),
        ("SDN", "PVESDNAdmin", "PVESDNUser"),
        ("User", "PVEUserAdmin", ""),
        ("Pool", "PVEPoolAdmin", "PVEPoolUser"),
        ("Mapping", "PVEMappingAdmin", "PVEMappingUser"),
    ];
    let mut roles = BuiltIn::from([
        ("Administrator", BTreeSet::from(["Permissions.Modify"])),
        ("NoAccess", BTreeSet::new()),
        ("PVETemplateUser", BTreeSet::from(["VM.Audit", "VM.Clone"])),
    ]);
    for kind in KINDS {
        let (more_admin, more_audit): (&[&str], &[&str]) = match (kind.name, release) {
            ("VM", Release::V8_4) => (VM_ADMIN_8, &[]),
            ("VM", Release::V9_2) => (VM_ADMIN_9, VM_AUDIT_9),
            _ => (&[], &[]),
        };
        let admin = kind.admin.iter().chain(more_admin);
        let audit = kind.audit.iter().chain(more_audit);
        let mut add = |role: &'static str, privileges: &mut dyn Iterator<Item = &&'static str>| {
            roles.entry(role).or_default().extend(privileges.copied());
        };
        let Some((_, admin_role, user_role)) = names.iter().find(|(name, _, _)| *name == kind.name) else { continue };
        add("Administrator", &mut kind.root.iter().chain(admin.clone()).chain(kind.user).chain(audit.clone()));
        for role in [*admin_role, "PVEAdmin"] {
            add(role, &mut admin.clone().chain(kind.user).chain(audit.clone()));
        }
        if !user_role.is_empty() {
            add(user_role, &mut kind.user.iter().chain(audit.clone()));
        }
        add("PVEAuditor", &mut audit.clone());
    }
    if let Some(admin) = roles.get_mut("PVEAdmin") {
        admin.remove("Mapping.Modify");
    }
    roles
}

/// Every privilege of a release.
pub(crate) fn privileges(release: Release) -> &'static BTreeSet<&'static str> {
    &built_in(release)["Administrator"]
}

impl Access {
    pub(crate) fn role_exists(&self, role: &str) -> bool {
        built_in(self.release).contains_key(role) || self.roles.contains_key(role)
    }

    /// The privileges of a role; none when there is no such role.
    pub(crate) fn privileges_of_role<'a>(&'a self, role: &str) -> Vec<&'a str> {
        match (built_in(self.release).get(role), self.roles.get(role)) {
            (Some(known), _) => known.iter().copied().collect(),
            (None, Some(own)) => own.iter().map(String::as_str).collect(),
            (None, None) => Vec::new(),
        }
    }

    /// Does a role hold a privilege?
    pub(crate) fn role_holds(&self, role: &str, privilege: &str) -> bool {
        match built_in(self.release).get(role) {
            Some(known) => known.contains(privilege),
            None => self.roles.get(role).is_some_and(|own| own.contains(privilege)),
        }
    }
}

/// GET /access/roles
pub(crate) fn list(call: &mut Call<'_>) -> Outcome {
    let access = &call.cluster.access;
    let known = built_in(access.release).iter().map(|(role, privileges)| {
        let privileges: Vec<&str> = privileges.iter().copied().collect();
        json!({ "roleid": role, "privs": privileges.join(","), "special": 1 })
    });
    let own = access.roles.iter().map(|(role, privileges)| {
        let privileges: Vec<&str> = privileges.iter().map(String::as_str).collect();
        json!({ "roleid": role, "privs": privileges.join(","), "special": 0 })
    });
    Ok(Reply::data(known.chain(own).collect::<Vec<_>>()))
}

/// GET /access/roles/{roleid}
pub(crate) fn read(call: &mut Call<'_>) -> Outcome {
    let role = call.text("roleid");
    if !call.cluster.access.role_exists(role) {
        return Err(Failure::died(format!("role '{role}' does not exist")));
    }
    let privileges = call.cluster.access.privileges_of_role(role);
    Ok(Reply::data(Value::Object(privileges.iter().map(|one| ((*one).to_owned(), json!(1))).collect::<Map<_, _>>())))
}

/// The privileges a call names, all known to this release.
fn given(call: &Call<'_>) -> Result<BTreeSet<String>, Failure> {
    let known = privileges(call.cluster.access.release);
    let mut given = BTreeSet::new();
    for privilege in split_list(call.text("privs")) {
        if !known.contains(privilege) {
            return Err(Failure::parameter("privs", format!("invalid format - invalid privilege '{privilege}'\n")));
        }
        given.insert(privilege.to_owned());
    }
    Ok(given)
}

fn refuse_built_in(call: &Call<'_>, what: &str) -> Result<(), Failure> {
    let role = call.text("roleid");
    if built_in(call.cluster.access.release).contains_key(role) {
        return Err(Failure::died(format!("{what} role failed: auto-generated role '{role}' cannot be modified")));
    }
    Ok(())
}

/// POST /access/roles
pub(crate) fn create(call: &mut Call<'_>) -> Outcome {
    let privileges = given(call)?;
    let role = call.text("roleid").to_owned();
    if call.cluster.access.role_exists(&role) {
        return Err(Failure::died(format!("create role failed: role '{role}' already exists")));
    }
    if role.to_ascii_lowercase().starts_with("pve") {
        let text = "role ID may not start with 'PVE' (namespace is reserved, see built-in roles)";
        return Err(Failure::parameter("roleid", text));
    }
    call.access_mut().roles.insert(role, privileges);
    Ok(Reply::null())
}

/// PUT /access/roles/{roleid}
pub(crate) fn update(call: &mut Call<'_>) -> Outcome {
    let privileges = given(call)?;
    refuse_built_in(call, "update")?;
    let (role, append) = (call.text("roleid").to_owned(), call.parameters.flag("append") == Some(true));
    let Some(own) = call.access_mut().roles.get_mut(&role) else {
        return Err(Failure::died(format!("update role failed: role '{role}' does not exist")));
    };
    if !append {
        own.clear();
    }
    own.extend(privileges);
    Ok(Reply::null())
}

/// DELETE /access/roles/{roleid}
pub(crate) fn delete(call: &mut Call<'_>) -> Outcome {
    refuse_built_in(call, "delete")?;
    let role = call.text("roleid").to_owned();
    if call.access_mut().roles.remove(&role).is_none() {
        return Err(Failure::died(format!("delete role failed: role '{role}' does not exist")));
    }
    for entries in call.access_mut().acl.values_mut() {
        for kind in ["user", "group", "token"] {
            for roles in entries.kind_mut(kind).values_mut() {
                roles.remove(&role);
            }
        }
    }
    Ok(Reply::null())
}
