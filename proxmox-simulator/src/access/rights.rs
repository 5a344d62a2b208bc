//! How the access control list becomes privileges: the most specific path wins, on one path users go before groups,
//! NoAccess before every other role; a pool gives its members its roles; a token with privilege separation has what
//! both it and its user have.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use super::{Access, Granted, ROOT, Roles, roles};
use crate::cluster::ClusterState;

/// Paths GET /access/permissions always looks at.
const WELL_KNOWN: &[&str] =
    &["/", "/access", "/access/groups", "/access/realm", "/mapping", "/nodes", "/pool", "/sdn", "/storage", "/vms"];

/// Privileges with their propagate flags.
pub(crate) type Privileges = BTreeMap<String, bool>;

/// `/`, `/a`, `/a/b` of `/a/b`.
fn prefixes(path: &str) -> impl Iterator<Item = &str> {
    let inner = path.char_indices().filter(|(index, letter)| *letter == '/' && *index > 0).map(|(index, _)| index);
    let whole = (path != "/").then_some(path);
    std::iter::once("/").chain(inner.map(move |index| &path[..index])).chain(whole)
}

impl Access {
    /// May `id` (a user or a token) use `privilege` on `path`?
    pub(crate) fn holds(&self, id: &str, path: &str, privilege: &str) -> bool {
        if id == ROOT {
            return roles::privileges(self.release).contains(privilege);
        }
        let Some((user, _)) = id.split_once('!') else { return self.list_holds(id, path, privilege) };
        match self.granted.get(id) {
            Some(Granted::All) => roles::privileges(self.release).contains(privilege),
            Some(Granted::Some(_)) => self.given_holds(id, path, privilege),
            None => match self.token(id) {
                None => false,
                Some(token) if !token.privsep => self.holds(user, path, privilege),
                Some(_) => self.holds(user, path, privilege) && self.list_holds(id, path, privilege),
            },
        }
    }

    fn list_holds(&self, id: &str, path: &str, privilege: &str) -> bool {
        self.roles_on(id, path).keys().any(|role| self.role_holds(role, privilege))
    }

    /// A token of the options: of its grants and its ACL entries those of the most specific path count.
    fn given_holds(&self, id: &str, path: &str, privilege: &str) -> bool {
        let Some(Granted::Some(grants)) = self.granted.get(id) else { return false };
        let mut all: Vec<&str> = prefixes(path).collect();
        all.reverse();
        for prefix in all {
            if let Some(privileges) = grants.get(prefix) {
                return privileges.iter().any(|held| held == privilege);
            }
            let entries = self.acl.get(prefix).and_then(|entries| entries.tokens.get(id));
            let mut counting = entries.into_iter().flatten().filter(|(_, propagate)| **propagate || prefix == path);
            if let Some(first) = counting.next() {
                return std::iter::once(first).chain(counting).any(|(role, _)| self.role_holds(role, privilege));
            }
        }
        false
    }

    /// The roles of a user or token on a path, those of pools included.
    fn roles_on(&self, id: &str, path: &str) -> Roles {
        let mut found = self.roles_by_list(id, path);
        if found.contains_key("NoAccess") {
            return Roles::from([("NoAccess".to_owned(), false)]);
        }
        let pool = match path.split('/').collect::<Vec<_>>()[..] {
            ["", "vms", vmid] => vmid.parse().ok().and_then(|vmid| self.pool_of(vmid)).map(str::to_owned),
            ["", "storage", storage] => {
                let pools = self.pools.iter().filter(|(_, pool)| pool.storage.contains(storage));
                for (pool, _) in pools {
                    found.extend(self.roles_by_list(id, &format!("/pool/{pool}")));
                }
                None
            }
            _ => None,
        };
        if let Some(pool) = pool {
            found.extend(self.roles_by_list(id, &format!("/pool/{pool}")));
        }
        found.remove("NoAccess");
        found
    }

    fn roles_by_list(&self, id: &str, path: &str) -> Roles {
        let mut found = Roles::new();
        let is_token = id.contains('!');
        for prefix in prefixes(path) {
            let Some(entries) = self.acl.get(prefix) else { continue };
            let counting = |roles: &Roles| -> Roles {
                let kept = roles.iter().filter(|(_, propagate)| **propagate || prefix == path);
                kept.map(|(role, propagate)| (role.clone(), *propagate)).collect()
            };
            let own = if is_token { entries.tokens.get(id) } else { entries.users.get(id) };
            let own = own.map(counting).unwrap_or_default();
            if !own.is_empty() {
                found = own;
                continue;
            }
            if is_token {
                continue;
            }
            let mut of_groups = Roles::new();
            for (group, roles) in &entries.groups {
                if self.groups.get(group).is_some_and(|group| group.users.contains(id)) {
                    of_groups.extend(counting(roles));
                }
            }
            if !of_groups.is_empty() {
                found = of_groups;
            }
        }
        found
    }

    /// All privileges on one path.
    pub(crate) fn privileges_on(&self, id: &str, path: &str) -> Privileges {
        let all = || roles::privileges(self.release).iter().map(|one| ((*one).to_owned(), true)).collect();
        if id == ROOT {
            return all();
        }
        let by_list = |id: &str| -> Privileges {
            let mut found = Privileges::new();
            for (role, propagate) in self.roles_on(id, path) {
                for privilege in self.privileges_of_role(&role) {
                    *found.entry(privilege.to_owned()).or_default() |= propagate;
                }
            }
            found
        };
        let Some((user, _)) = id.split_once('!') else { return by_list(id) };
        match self.granted.get(id) {
            Some(Granted::All) => all(),
            Some(Granted::Some(_)) => {
                let known = roles::privileges(self.release).iter();
                known.filter(|one| self.given_holds(id, path, one)).map(|one| ((*one).to_owned(), true)).collect()
            }
            None => match self.token(id) {
                None => Privileges::new(),
                Some(token) if !token.privsep => self.privileges_on(user, path),
                Some(_) => {
                    let of_user = self.privileges_on(user, path);
                    by_list(id).into_iter().filter(|(privilege, _)| of_user.contains_key(privilege)).collect()
                }
            },
        }
    }

    /// Paths somebody said something about.
    fn mentioned(&self, id: &str) -> BTreeSet<String> {
        let mut paths: BTreeSet<String> = WELL_KNOWN.iter().map(|path| (*path).to_owned()).collect();
        paths.extend(self.acl.keys().cloned());
        for (name, pool) in &self.pools {
            paths.insert(format!("/pool/{name}"));
            paths.extend(pool.vms.iter().map(|vmid| format!("/vms/{vmid}")));
            paths.extend(pool.storage.iter().map(|storage| format!("/storage/{storage}")));
        }
        if let Some(Granted::Some(grants)) = self.granted.get(id) {
            paths.extend(grants.keys().cloned());
        }
        paths
    }

    /// The answer of GET /access/permissions: one path, or all where there is a privilege.
    pub(crate) fn permissions(&self, id: &str, only: Option<&str>) -> Value {
        let flags = |path: &str| -> Map<String, Value> {
            let held = self.privileges_on(id, path);
            held.into_iter().map(|(privilege, propagate)| (privilege, json!(i32::from(propagate)))).collect()
        };
        if let Some(path) = only {
            return json!({ path: flags(path) });
        }
        let paths = self.mentioned(id).into_iter().map(|path| (flags(&path), path));
        let shown = paths.filter(|(privileges, _)| !privileges.is_empty());
        Value::Object(shown.map(|(privileges, path)| (path, Value::Object(privileges))).collect())
    }

    /// `cap` of a login: what the web interface enables, by area.
    pub(crate) fn capabilities(&self, id: &str) -> Value {
        let areas: [(&str, &[&str]); 7] = [
            ("access", &["User.", "Group.", "Permissions.Modify"]),
            ("dc", &["Sys.Audit", "Sys.Modify", "SDN."]),
            ("mapping", &["Mapping.", "Permissions.Modify"]),
            ("nodes", &["Sys.", "Permissions.Modify"]),
            ("sdn", &["SDN.", "Permissions.Modify"]),
            ("storage", &["Datastore.", "Permissions.Modify"]),
            ("vms", &["VM.", "Permissions.Modify"]),
        ];
        let mut found: BTreeMap<&str, Map<String, Value>> = areas.iter().map(|(area, _)| (*area, Map::new())).collect();
        for path in self.mentioned(id) {
            let top = path.split('/').nth(1).filter(|top| !top.is_empty()).unwrap_or("dc");
            for privilege in self.privileges_on(id, &path).into_keys() {
                let targets: Vec<&str> = match top {
                    "pool" if privilege.starts_with("VM.") => vec!["vms"],
                    "pool" if privilege.starts_with("Datastore.") => vec!["storage"],
                    "pool" if privilege == "Permissions.Modify" => vec!["storage", "vms"],
                    "pool" => Vec::new(),
                    _ => areas
                        .iter()
                        .filter(|(area, starts)| {
                            *area == top && starts.iter().any(|start| privilege.starts_with(start))
                        })
                        .map(|(area, _)| *area)
                        .collect(),
                };
                for target in targets {
                    if let Some(area) = found.get_mut(target) {
                        area.insert(privilege.clone(), json!(1));
                    }
                }
            }
        }
        json!(found)
    }
}

impl ClusterState {
    /// Forgets the ACL entries, the pool and the firewall file of a guest that is destroyed.
    pub(crate) fn forget_rights_of(&mut self, vmid: u32) {
        self.firewall.forget_guest(vmid);
        let known = self.access.acl.contains_key(&format!("/vms/{vmid}")) || self.access.pool_of(vmid).is_some();
        if known {
            std::sync::Arc::make_mut(&mut self.access).forget_guest(vmid);
        }
    }

    /// Puts a new guest into a pool that still exists.
    pub(crate) fn join_pool(&mut self, pool: &str, vmid: u32) {
        if let Some(pool) = std::sync::Arc::make_mut(&mut self.access).pools.get_mut(pool) {
            pool.vms.insert(vmid);
        }
    }
}
