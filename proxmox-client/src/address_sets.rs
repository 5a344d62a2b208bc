//! Sets of addresses (ipsets) of a virtual machine's firewall. One named `ipfilter-netN` is the
//! addresses the network device may send from.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::client::Client;
use crate::error::Error;
use crate::lenient;
use crate::request::{Parameters, segment, vm_path};

/// A set of addresses.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AddressSet {
    /// Its name.
    pub name: String,
    /// A remark.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub comment: Option<String>,
}

/// An entry of a set.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct AddressSetEntry {
    /// An address or a network.
    pub cidr: String,
    /// Whether it is taken out of a network that is in the set.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub nomatch: bool,
    /// A remark.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub comment: Option<String>,
    /// The state of the set when it was read.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub digest: Option<String>,
}

fn set_path(node: &str, vmid: u32, set: &str) -> Result<String, Error> {
    vm_path(node, vmid, &format!("/firewall/ipset/{}", segment("set", set)?))
}

fn entry_path(node: &str, vmid: u32, set: &str, cidr: &str) -> Result<String, Error> {
    // The rest of this path is the entry, with the slash of a network.
    let parts: Result<Vec<String>, Error> = cidr.split('/').map(|part| segment("entry", part)).collect();
    Ok(format!("{}/{}", set_path(node, vmid, set)?, parts?.join("/")))
}

impl Client {
    /// `GET /nodes/{node}/qemu/{vmid}/firewall/ipset`. Needs VM.Audit.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn address_sets(&self, node: &str, vmid: u32) -> Result<Vec<AddressSet>, Error> {
        self.get(vm_path(node, vmid, "/firewall/ipset")?, Parameters::new()).await
    }

    /// `POST …/firewall/ipset`. Needs VM.Config.Network. A name that is taken is refused with
    /// `errors.name` (400).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create_address_set(&self, node: &str, vmid: u32, set: &str) -> Result<(), Error> {
        let parameters = Parameters::new().with("name", set);
        let _: IgnoredAny = self.post(vm_path(node, vmid, "/firewall/ipset")?, parameters).await?;
        Ok(())
    }

    /// `DELETE …/firewall/ipset/{set}`. Needs VM.Config.Network. One with entries is refused (500)
    /// unless `force`.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_address_set(&self, node: &str, vmid: u32, set: &str, force: bool) -> Result<(), Error> {
        let parameters = Parameters::new().flag("force", force.then_some(true));
        let _: IgnoredAny = self.delete(set_path(node, vmid, set)?, parameters).await?;
        Ok(())
    }

    /// `GET …/firewall/ipset/{set}`. Needs VM.Audit.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn address_set(&self, node: &str, vmid: u32, set: &str) -> Result<Vec<AddressSetEntry>, Error> {
        self.get(set_path(node, vmid, set)?, Parameters::new()).await
    }

    /// `POST …/firewall/ipset/{set}`. Needs VM.Config.Network. One that is there already is refused
    /// with `errors.cidr` (400), and so is a network of everything (`/0`).
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// client.create_address_set("pve1", 101, "ipfilter-net0").await?;
    /// client.add_address("pve1", 101, "ipfilter-net0", "192.0.2.7").await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn add_address(&self, node: &str, vmid: u32, set: &str, cidr: &str) -> Result<(), Error> {
        let _: IgnoredAny = self.post(set_path(node, vmid, set)?, Parameters::new().with("cidr", cidr)).await?;
        Ok(())
    }

    /// `PUT …/firewall/ipset/{set}/{cidr}`. Needs VM.Config.Network. Changes an entry's remark and
    /// whether it is taken out of a network that is in the set. An entry that is not there is refused
    /// (500); with a digest refused with [`crate::Refusal::is_changed_meanwhile`] if the set has changed.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn set_address(&self, node: &str, vmid: u32, set: &str, entry: &AddressSetEntry) -> Result<(), Error> {
        let parameters = Parameters::new()
            .flag("nomatch", Some(entry.nomatch))
            .maybe("comment", entry.comment.as_ref())
            .maybe("digest", entry.digest.as_ref());
        let _: IgnoredAny = self.put(entry_path(node, vmid, set, &entry.cidr)?, parameters).await?;
        Ok(())
    }

    /// `DELETE …/firewall/ipset/{set}/{cidr}`. Needs VM.Config.Network. With a digest refused with
    /// [`crate::Refusal::is_changed_meanwhile`] if the set has changed.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_address(
        &self,
        node: &str,
        vmid: u32,
        set: &str,
        cidr: &str,
        digest: Option<&str>,
    ) -> Result<(), Error> {
        let path = entry_path(node, vmid, set, cidr)?;
        let _: IgnoredAny = self.delete(path, Parameters::new().maybe("digest", digest)).await?;
        Ok(())
    }
}
