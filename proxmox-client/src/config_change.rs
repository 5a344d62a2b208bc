//! Changing a virtual machine's configuration: only what is named is sent. Growing a disk is
//! `resize_disk`, never a rewritten disk option.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::IpAddr;

use secrecy::{ExposeSecret, SecretString};

use crate::client::Client;
use crate::cloud_init::{IpConfig, encode_ssh_keys};
use crate::error::{Error, NeverSentCause};
use crate::property_string::PropertyString;
use crate::request::{Parameters, vm_path};
use crate::tags::Tags;

/// Options whose values are not shown by `Debug`.
const SECRET_OPTIONS: [&str; 1] = ["cipassword"];

/// A change of a configuration: options to set and options to take away. The last word on an
/// option counts.
#[derive(Clone, Default)]
pub struct ConfigChange {
    set: BTreeMap<String, String>,
    delete: BTreeSet<String>,
    digest: Option<String>,
}

impl ConfigChange {
    /// Nothing yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether nothing would be changed. Proxmox refuses such a request.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.set.is_empty() && self.delete.is_empty()
    }

    /// Sets any option to a text. Booleans are `1` and `0`.
    #[must_use]
    pub fn set(mut self, key: &str, value: impl fmt::Display) -> Self {
        self.delete.remove(key);
        self.set.insert(String::from(key), value.to_string());
        self
    }

    /// Takes an option away, so that its default holds. A disk is detached, not destroyed.
    #[must_use]
    pub fn delete(mut self, key: &str) -> Self {
        self.set.remove(key);
        self.delete.insert(String::from(key));
        self
    }

    /// Only if the configuration still has this digest; else the change is refused with
    /// [`crate::Refusal::is_changed_meanwhile`].
    #[must_use]
    pub fn digest(mut self, digest: &str) -> Self {
        self.digest = Some(String::from(digest));
        self
    }

    /// The name, a DNS name. VM.Config.Options.
    #[must_use]
    pub fn name(self, name: &str) -> Self {
        self.set("name", name)
    }

    /// Cores per socket. VM.Config.CPU.
    #[must_use]
    pub fn cores(self, cores: u32) -> Self {
        self.set("cores", cores)
    }

    /// Sockets. VM.Config.CPU.
    #[must_use]
    pub fn sockets(self, sockets: u32) -> Self {
        self.set("sockets", sockets)
    }

    /// Memory in MiB. VM.Config.Memory.
    #[must_use]
    pub fn memory_mib(self, mib: u64) -> Self {
        self.set("memory", mib)
    }

    /// The tags, instead of those there are; none takes the option away. VM.Config.Options.
    #[must_use]
    pub fn tags<T: AsRef<str>>(self, tags: impl IntoIterator<Item = T>) -> Self {
        let tags: Tags = tags.into_iter().collect();
        self.set_or_delete("tags", tags.to_string())
    }

    /// The description, up to 8 KiB; anybody with VM.Audit can read it. VM.Config.Options.
    #[must_use]
    pub fn description(self, text: &str) -> Self {
        self.set_or_delete("description", String::from(text))
    }

    /// Whether it starts with the node. VM.Config.Options.
    #[must_use]
    pub fn on_boot(self, on: bool) -> Self {
        self.set("onboot", u8::from(on))
    }

    /// Whether it is protected against removal. VM.Config.Options.
    #[must_use]
    pub fn protection(self, on: bool) -> Self {
        self.set("protection", u8::from(on))
    }

    /// Whether it has an agent device; in force after a stop and start. VM.Config.Options.
    #[must_use]
    pub fn agent(self, on: bool) -> Self {
        self.set("agent", u8::from(on))
    }

    /// The SMBIOS UUID, without any other SMBIOS value. VM.Config.HWType.
    #[must_use]
    pub fn smbios_uuid(self, uuid: &str) -> Self {
        self.set("smbios1", format_args!("uuid={uuid}"))
    }

    /// The network device `netN`. Without its MAC address the guest gets a new one: change what was
    /// read. VM.Config.Network.
    #[must_use]
    pub fn net(self, number: u8, device: &PropertyString) -> Self {
        self.set(&format!("net{number}"), device)
    }

    /// cloud-init: addresses of the network device `netN`; an empty one takes the option away.
    /// VM.Config.Cloudinit.
    #[must_use]
    pub fn ip_config(self, number: u8, addresses: &IpConfig) -> Self {
        self.set_or_delete(&format!("ipconfig{number}"), addresses.to_string())
    }

    /// cloud-init: the user. VM.Config.Cloudinit.
    #[must_use]
    pub fn ci_user(self, name: &str) -> Self {
        self.set("ciuser", name)
    }

    /// cloud-init: the password, or its crypt hash. Proxmox hashes what is not a hash and never
    /// shows it again. VM.Config.Cloudinit.
    #[must_use]
    pub fn ci_password(self, password: &SecretString) -> Self {
        self.set("cipassword", password.expose_secret())
    }

    /// cloud-init: the SSH keys, one text per key; none takes the option away.
    /// VM.Config.Cloudinit.
    #[must_use]
    pub fn ssh_keys<T: AsRef<str>>(self, keys: &[T]) -> Self {
        self.set_or_delete("sshkeys", encode_ssh_keys(keys))
    }

    /// cloud-init: name servers; none takes the option away. VM.Config.Cloudinit.
    #[must_use]
    pub fn name_servers(self, servers: &[IpAddr]) -> Self {
        let servers: Vec<String> = servers.iter().map(IpAddr::to_string).collect();
        self.set_or_delete("nameserver", servers.join(" "))
    }

    /// cloud-init: the search domain. VM.Config.Cloudinit.
    #[must_use]
    pub fn search_domain(self, domain: &str) -> Self {
        self.set_or_delete("searchdomain", String::from(domain))
    }

    fn set_or_delete(self, key: &str, value: String) -> Self {
        if value.is_empty() { self.delete(key) } else { self.set(key, value) }
    }

    /// Adds only what is set, for a machine that does not exist yet.
    pub(crate) fn options(&self, parameters: Parameters) -> Parameters {
        self.set.iter().fold(parameters, |parameters, (key, value)| parameters.with(key.clone(), value))
    }

    pub(crate) fn parameters(&self) -> Parameters {
        let mut parameters = self.options(Parameters::new());
        if !self.delete.is_empty() {
            let names: Vec<&str> = self.delete.iter().map(String::as_str).collect();
            parameters = parameters.with("delete", names.join(","));
        }
        parameters.maybe("digest", self.digest.as_deref())
    }
}

impl fmt::Debug for ConfigChange {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_map();
        for (key, value) in &self.set {
            let is_secret = SECRET_OPTIONS.contains(&key.as_str());
            shown.entry(key, if is_secret { &"…" } else { value });
        }
        shown.entry(&"delete", &self.delete).finish()
    }
}

impl Client {
    /// `PUT /nodes/{node}/qemu/{vmid}/config`. Needs VM.Config.* per option (see the setters);
    /// options outside those groups are for `root@pam` only. On a running machine a change the
    /// hot-plug settings do not allow waits for the next stop and start. Refused with
    /// [`crate::Refusal::is_locked`], [`crate::Refusal::is_changed_meanwhile`],
    /// [`crate::Refusal::is_missing_guest`], [`crate::Refusal::is_busy`], or 400 with the option in
    /// `errors`. Sending the same change twice ends the same.
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// use proxmox_client::ConfigChange;
    /// let change = ConfigChange::new().cores(2).memory_mib(4096).tags(["web", "customer-7"]);
    /// client.set_vm_config("pve1", 101, &change).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`]; an empty change is not sent.
    pub async fn set_vm_config(&self, node: &str, vmid: u32, change: &ConfigChange) -> Result<(), Error> {
        let path = vm_path(node, vmid, "/config")?;
        if change.is_empty() {
            let detail = "there is nothing to change";
            return Err(Error::never_sent(format_args!("PUT {path}"), NeverSentCause::Argument, detail));
        }
        // Answers null; whatever else it is, the change was made.
        let _: serde_json::Value = self.put(path, change.parameters()).await?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use secrecy::SecretString;

    use super::ConfigChange;

    #[test]
    fn the_last_word_on_an_option_counts() {
        let change = ConfigChange::new()
            .cores(2)
            .delete("cores")
            .delete("memory")
            .memory_mib(512)
            .tags(Vec::<String>::new())
            .on_boot(false)
            .digest("abc");
        assert_eq!(change.parameters().encoded(), "memory=512&onboot=0&delete=cores%2Ctags&digest=abc");
        assert!(ConfigChange::new().digest("abc").is_empty());
    }

    #[test]
    fn the_password_is_not_shown() {
        let change = ConfigChange::new().ci_user("debian").ci_password(&SecretString::from("topsecret"));
        let shown = format!("{change:?}");
        assert!(shown.contains("debian") && !shown.contains("topsecret"), "{shown}");
    }
}
