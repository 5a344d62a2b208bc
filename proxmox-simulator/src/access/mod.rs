//! Who there is and what they may do: users, their tokens, groups, roles, the access control list, pools. The rules by
//! which these become privileges are in `rights`, tickets in `tickets`, the calls in the files named after them.

pub(crate) mod acl;
pub(crate) mod groups;
pub(crate) mod rights;
pub(crate) mod roles;
pub(crate) mod sessions;
pub(crate) mod tickets;
pub(crate) mod tokens;
pub(crate) mod users;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::cluster::drive::new_uuid;
use crate::failure::Failure;
use crate::options::Release;

/// The user who may do everything.
pub(crate) const ROOT: &str = "root@pam";
/// The realms there are: id, type, what Proxmox says about it.
pub(crate) const REALMS: &[(&str, &str)] =
    &[("pam", "Linux PAM standard authentication"), ("pve", "Proxmox VE authentication server")];

/// A password, token secret or key: it does not show itself.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Secret(pub(crate) String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Secret(…)")
    }
}

/// Everything about access.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Access {
    pub(crate) users: BTreeMap<String, User>,
    pub(crate) groups: BTreeMap<String, Group>,
    /// Roles somebody added: privileges by role.
    pub(crate) roles: BTreeMap<String, BTreeSet<String>>,
    /// The access control list by path.
    pub(crate) acl: BTreeMap<String, Entries>,
    pub(crate) pools: BTreeMap<String, Pool>,
    /// What tickets are signed with.
    key: Secret,
    /// Tokens are refused as expired until an administrator of the simulator renews them.
    pub(crate) tokens_expired: bool,
    #[serde(skip)]
    pub(crate) release: Release,
    /// Tokens from the options, with the rights those gave them.
    #[serde(skip)]
    granted: BTreeMap<String, Granted>,
}

/// One user.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct User {
    pub(crate) enable: bool,
    /// Seconds since the epoch; 0 for never.
    pub(crate) expire: u64,
    /// `firstname`, `lastname`, `email`, `comment`, `keys`.
    pub(crate) particulars: BTreeMap<String, String>,
    pub(crate) password: Option<Secret>,
    pub(crate) tokens: BTreeMap<String, Token>,
}

/// One API token.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Token {
    pub(crate) secret: Secret,
    pub(crate) privsep: bool,
    /// Seconds since the epoch; 0 for never.
    pub(crate) expire: u64,
    pub(crate) comment: Option<String>,
}

/// One group.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Group {
    pub(crate) comment: Option<String>,
    pub(crate) users: BTreeSet<String>,
}

/// One pool.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Pool {
    pub(crate) comment: Option<String>,
    pub(crate) vms: BTreeSet<u32>,
    pub(crate) storage: BTreeSet<String>,
}

/// Roles by name, each with its propagate flag.
pub(crate) type Roles = BTreeMap<String, bool>;

/// What the access control list says about one path: roles by user, group and token.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Entries {
    pub(crate) users: BTreeMap<String, Roles>,
    pub(crate) groups: BTreeMap<String, Roles>,
    pub(crate) tokens: BTreeMap<String, Roles>,
}

impl Entries {
    pub(crate) fn kinds(&self) -> [(&'static str, &BTreeMap<String, Roles>); 3] {
        [("user", &self.users), ("group", &self.groups), ("token", &self.tokens)]
    }

    pub(crate) fn kind_mut(&mut self, kind: &str) -> &mut BTreeMap<String, Roles> {
        match kind {
            "user" => &mut self.users,
            "group" => &mut self.groups,
            _ => &mut self.tokens,
        }
    }

    fn is_empty(&self) -> bool {
        self.kinds().iter().all(|(_, entries)| entries.is_empty())
    }
}

/// What a token from the options may do.
#[derive(Clone, Debug)]
pub(crate) enum Granted {
    /// Everything but what is root's alone.
    All,
    /// Privileges by path.
    Some(BTreeMap<String, Vec<String>>),
}

/// A token as the options name it.
pub(crate) struct GivenToken {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) granted: Granted,
}

impl Access {
    /// Brings the state in line with the options: root, the given tokens with their users, the signing key.
    pub(crate) fn prepare(&mut self, release: Release, root_password: Option<String>, given: Vec<GivenToken>) {
        self.release = release;
        if self.key.0.is_empty() {
            self.renew_key();
        }
        let root = self.users.entry(ROOT.to_owned()).or_insert_with(User::enabled);
        match root_password {
            Some(password) => root.password = Some(Secret(password)),
            None => drop(root.password.get_or_insert_with(|| Secret(new_uuid())).clone()),
        }
        for GivenToken { id, secret, granted } in given {
            let Some((user, token)) = id.split_once('!') else { continue };
            let privsep = matches!(granted, Granted::Some(_));
            let user = self.users.entry(user.to_owned()).or_insert_with(User::enabled);
            let known = user.tokens.entry(token.to_owned()).or_insert_with(|| Token { privsep, ..Token::default() });
            known.secret = Secret(secret);
            self.granted.insert(id, granted);
        }
    }

    /// The password of root.
    pub(crate) fn root_password(&self) -> &str {
        let password = self.users.get(ROOT).and_then(|root| root.password.as_ref());
        password.map(|password| password.0.as_str()).unwrap_or_default()
    }

    /// The token `user@realm!id`.
    pub(crate) fn token(&self, id: &str) -> Option<&Token> {
        let (user, token) = id.split_once('!')?;
        self.users.get(user)?.tokens.get(token)
    }

    /// The user, or Proxmox's words for his absence.
    pub(crate) fn user(&self, id: &str) -> Result<&User, Failure> {
        self.users.get(id).ok_or_else(|| Failure::died(format!("no such user ('{id}')")))
    }

    /// The pool a guest is in.
    pub(crate) fn pool_of(&self, vmid: u32) -> Option<&str> {
        self.pools.iter().find(|(_, pool)| pool.vms.contains(&vmid)).map(|(id, _)| id.as_str())
    }

    /// Forgets a guest that is gone: its ACL entries and its pool.
    pub(crate) fn forget_guest(&mut self, vmid: u32) {
        self.acl.remove(&format!("/vms/{vmid}"));
        for pool in self.pools.values_mut() {
            pool.vms.remove(&vmid);
        }
    }

    /// Takes a user, group or token out of the access control list.
    pub(crate) fn forget_in_acl(&mut self, kind: &str, id: &str) {
        for entries in self.acl.values_mut() {
            entries.kind_mut(kind).remove(id);
        }
        self.acl.retain(|_, entries| !entries.is_empty());
    }
}

impl User {
    pub(crate) fn enabled() -> Self {
        Self { enable: true, ..Self::default() }
    }

    /// Is the account in force?
    pub(crate) fn is_valid(&self, now_seconds: u64) -> bool {
        self.enable && (self.expire == 0 || self.expire > now_seconds)
    }
}

/// The state shares what callers hold; saved, it is the plain value.
pub(crate) fn serialize<S: Serializer>(access: &Arc<Access>, serializer: S) -> Result<S::Ok, S::Error> {
    access.as_ref().serialize(serializer)
}

/// As `serialize`, the other way.
pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<Access>, D::Error> {
    Access::deserialize(deserializer).map(Arc::new)
}

/// Splits a list as Proxmox does.
pub(crate) fn split_list(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ';', ' ', '\t', '\n', '\0']).filter(|part| !part.is_empty())
}
