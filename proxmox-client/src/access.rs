//! What the own token may do, and giving roles on paths. Users, tokens and roles are not made here.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::client::Client;
use crate::error::Error;
use crate::lenient::{self, as_bool};
use crate::request::Parameters;

/// The privileges of a token: by path, then by privilege, whether it holds for paths below.
pub type Permissions = BTreeMap<String, BTreeMap<String, bool>>;

/// One line of who has which role where.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AclEntry {
    /// Where, such as `/vms/100`.
    pub path: String,
    /// `user`, `group` or `token`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The name of the user, group or token.
    #[serde(rename = "ugid")]
    pub holder: String,
    /// The role.
    #[serde(rename = "roleid")]
    pub role: String,
    /// Whether it holds for paths below.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub propagate: bool,
}

/// A role.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Role {
    /// Its name.
    #[serde(rename = "roleid")]
    pub role: String,
    /// Its privileges, separated by commas; they differ between versions.
    #[serde(rename = "privs", default, deserialize_with = "lenient::optional_text")]
    pub privileges: Option<String>,
    /// Whether it is one of Proxmox' own, which cannot be changed.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub special: bool,
}

/// Who is given roles.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder<'a> {
    /// A user, `name@realm`.
    User(&'a str),
    /// A group.
    Group(&'a str),
    /// A token, `name@realm!token`.
    Token(&'a str),
}

impl Client {
    /// `GET /access/permissions?path=`. Any token, about itself. With a path such as `/vms/100`
    /// the effective privileges there; without one, all paths that have any. A new token with
    /// privilege separation has none.
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// let own = client.permissions(Some("/vms/101")).await?;
    /// let may_start = own.values().any(|privileges| privileges.contains_key("VM.PowerMgmt"));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn permissions(&self, path: Option<&str>) -> Result<Permissions, Error> {
        let parameters = Parameters::new().maybe("path", path);
        let answer: BTreeMap<String, BTreeMap<String, Value>> =
            self.get(String::from("/access/permissions"), parameters).await?;
        let propagates = |(name, value): (String, Value)| (name, as_bool(&value).unwrap_or(false));
        Ok(answer
            .into_iter()
            .map(|(path, privileges)| (path, privileges.into_iter().map(propagates).collect()))
            .collect())
    }

    /// `GET /access/acl`. Any token; only entries of paths on which it has Permissions.Modify.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn acl(&self) -> Result<Vec<AclEntry>, Error> {
        self.get(String::from("/access/acl"), Parameters::new()).await
    }

    /// `GET /access/roles`. Any token.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn roles(&self) -> Result<Vec<Role>, Error> {
        self.get(String::from("/access/roles"), Parameters::new()).await
    }

    /// `PUT /access/acl`. Needs Permissions.Modify on the path. Gives the holder these roles there
    /// and, with `propagate`, below; again is fine. An unknown role or holder is refused.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn grant(&self, path: &str, holder: Holder<'_>, roles: &[&str], propagate: bool) -> Result<(), Error> {
        let parameters = acl(path, holder, roles).flag("propagate", Some(propagate));
        let _: IgnoredAny = self.put(String::from("/access/acl"), parameters).await?;
        Ok(())
    }

    /// `PUT /access/acl` with `delete`. Needs Permissions.Modify on the path. Takes these roles away
    /// there; those given on other paths stay.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn revoke(&self, path: &str, holder: Holder<'_>, roles: &[&str]) -> Result<(), Error> {
        let parameters = acl(path, holder, roles).flag("delete", Some(true));
        let _: IgnoredAny = self.put(String::from("/access/acl"), parameters).await?;
        Ok(())
    }
}

fn acl(path: &str, holder: Holder<'_>, roles: &[&str]) -> Parameters {
    let (key, name) = match holder {
        Holder::User(name) => ("users", name),
        Holder::Group(name) => ("groups", name),
        Holder::Token(name) => ("tokens", name),
    };
    Parameters::new().with("path", path).with("roles", roles.join(",")).with(key, name)
}
