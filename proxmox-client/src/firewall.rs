//! The firewall of a virtual machine: its switches and rules. Sets of addresses are in
//! `address_sets.rs`. Rules do nothing unless the cluster's firewall, the machine's and the network
//! device's (`firewall=1`) are all on; changes are in force after about 10 s.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::client::Client;
use crate::error::Error;
use crate::lenient::{self, text_enum};
use crate::request::{Parameters, vm_path};

text_enum! {
    /// What happens to a packet no rule is about.
    FirewallPolicy {
        /// It passes.
        Accept = "ACCEPT",
        /// It is dropped in silence.
        Drop = "DROP",
        /// It is refused.
        Reject = "REJECT",
    }
}

/// The switches of a machine's firewall; what is missing has its default.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct FirewallOptions {
    /// Whether it is on; off by default.
    #[serde(default, deserialize_with = "lenient::optional_flag")]
    pub enable: Option<bool>,
    /// Packets to the guest; dropped by default.
    #[serde(default)]
    pub policy_in: Option<FirewallPolicy>,
    /// Packets from the guest; accepted by default.
    #[serde(default)]
    pub policy_out: Option<FirewallPolicy>,
    /// Whether only the device's own MAC address may send; on by default.
    #[serde(default, deserialize_with = "lenient::optional_flag")]
    pub macfilter: Option<bool>,
    /// Whether only addresses of the set `ipfilter-netN` may send, none if there is no such set; off
    /// by default. A set of that name filters without it too.
    #[serde(default, deserialize_with = "lenient::optional_flag")]
    pub ipfilter: Option<bool>,
    /// Whether DHCP passes.
    #[serde(default, deserialize_with = "lenient::optional_flag")]
    pub dhcp: Option<bool>,
    /// Whether IPv6 neighbour discovery passes; on by default.
    #[serde(default, deserialize_with = "lenient::optional_flag")]
    pub ndp: Option<bool>,
    /// Whether the guest may send router advertisements; off by default.
    #[serde(default, deserialize_with = "lenient::optional_flag")]
    pub radv: Option<bool>,
    /// The state of the file, to be sent with a change that depends on it.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub digest: Option<String>,
}

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct FirewallRule {
    /// `in`, `out` or `group`.
    #[serde(rename = "type")]
    pub direction: String,
    /// `ACCEPT`, `DROP`, `REJECT` or the name of a group.
    pub action: String,
    /// Whether it is on.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub enable: bool,
    /// Its place, from 0; the first that fits counts. It moves when others come and go.
    #[serde(default, deserialize_with = "lenient::optional_u32")]
    pub pos: Option<u32>,
    /// The protocol, such as `tcp`.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub proto: Option<String>,
    /// The ports it goes to: `22`, `80,443`, `1000:2000`.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub dport: Option<String>,
    /// The ports it comes from.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub sport: Option<String>,
    /// Where it comes from: addresses, networks, ranges, `+set`, an alias.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub source: Option<String>,
    /// Where it goes to.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub dest: Option<String>,
    /// A macro of Proxmox, such as `SSH`.
    #[serde(rename = "macro", default, deserialize_with = "lenient::optional_text")]
    pub macro_name: Option<String>,
    /// The network device, such as `net0`.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub iface: Option<String>,
    /// The kind of ICMP message.
    #[serde(rename = "icmp-type", default, deserialize_with = "lenient::optional_text")]
    pub icmp_type: Option<String>,
    /// The log level, such as `nolog`.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub log: Option<String>,
    /// A remark.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub comment: Option<String>,
    /// The state of the whole list when it was read.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub digest: Option<String>,
}

impl FirewallRule {
    /// A rule for everything in this direction, switched on.
    #[must_use]
    pub fn new(direction: &str, action: &str) -> Self {
        Self {
            direction: String::from(direction),
            action: String::from(action),
            enable: true,
            pos: None,
            proto: None,
            dport: None,
            sport: None,
            source: None,
            dest: None,
            macro_name: None,
            iface: None,
            icmp_type: None,
            log: None,
            comment: None,
            digest: None,
        }
    }

    fn options(&self) -> [(&'static str, Option<&str>); 10] {
        [
            ("proto", self.proto.as_deref()),
            ("dport", self.dport.as_deref()),
            ("sport", self.sport.as_deref()),
            ("source", self.source.as_deref()),
            ("dest", self.dest.as_deref()),
            ("macro", self.macro_name.as_deref()),
            ("iface", self.iface.as_deref()),
            ("icmp-type", self.icmp_type.as_deref()),
            ("log", self.log.as_deref()),
            ("comment", self.comment.as_deref()),
        ]
    }

    fn parameters(&self) -> Parameters {
        // Proxmox' default is a rule that is off.
        let parameters = Parameters::new()
            .with("type", &self.direction)
            .with("action", &self.action)
            .flag("enable", Some(self.enable));
        self.options().into_iter().fold(parameters, |parameters, (key, value)| parameters.maybe(key, value))
    }
}

impl Client {
    /// `GET /nodes/{node}/qemu/{vmid}/firewall/options`. Needs VM.Audit.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn firewall_options(&self, node: &str, vmid: u32) -> Result<FirewallOptions, Error> {
        self.get(vm_path(node, vmid, "/firewall/options")?, Parameters::new()).await
    }

    /// `PUT …/firewall/options`. Needs VM.Config.Network. Only what is not `None` is changed, and
    /// with a digest only if the file is as it was read ([`crate::Refusal::is_changed_meanwhile`]).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn set_firewall_options(&self, node: &str, vmid: u32, options: &FirewallOptions) -> Result<(), Error> {
        let parameters = Parameters::new()
            .flag("enable", options.enable)
            .maybe("policy_in", options.policy_in.as_ref())
            .maybe("policy_out", options.policy_out.as_ref())
            .flag("macfilter", options.macfilter)
            .flag("ipfilter", options.ipfilter)
            .flag("dhcp", options.dhcp)
            .flag("ndp", options.ndp)
            .flag("radv", options.radv)
            .maybe("digest", options.digest.as_deref());
        let _: IgnoredAny = self.put(vm_path(node, vmid, "/firewall/options")?, parameters).await?;
        Ok(())
    }

    /// `GET …/firewall/rules`. Needs VM.Audit. In their order.
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// for rule in client.firewall_rules("pve1", 101).await? {
    ///     println!("{rule:?}");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn firewall_rules(&self, node: &str, vmid: u32) -> Result<Vec<FirewallRule>, Error> {
        self.get(vm_path(node, vmid, "/firewall/rules")?, Parameters::new()).await
    }

    /// `POST …/firewall/rules`. Needs VM.Config.Network. Puts the rule at `rule.pos`, without one at
    /// the top; those from there on move down. Rules have no name: a repeated call makes a second
    /// one. With `rule.digest` refused with [`crate::Refusal::is_changed_meanwhile`] if the list has
    /// changed; a wrong value is refused with its name in `errors` (400).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn add_firewall_rule(&self, node: &str, vmid: u32, rule: &FirewallRule) -> Result<(), Error> {
        let parameters = rule.parameters().maybe("pos", rule.pos).maybe("digest", rule.digest.as_deref());
        let _: IgnoredAny = self.post(vm_path(node, vmid, "/firewall/rules")?, parameters).await?;
        Ok(())
    }

    /// `PUT …/firewall/rules/{pos}`. Needs VM.Config.Network. Makes the rule at this place the given
    /// one: what is `None` is taken away. Refused as [`Client::add_firewall_rule`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn set_firewall_rule(
        &self,
        node: &str,
        vmid: u32,
        pos: u32,
        rule: &FirewallRule,
        digest: &str,
    ) -> Result<(), Error> {
        let gone: Vec<&str> =
            rule.options().into_iter().filter(|(_, value)| value.is_none()).map(|(key, _)| key).collect();
        let gone = (!gone.is_empty()).then(|| gone.join(","));
        let parameters = rule.parameters().maybe("delete", gone).with("digest", digest);
        let path = vm_path(node, vmid, &format!("/firewall/rules/{pos}"))?;
        let _: IgnoredAny = self.put(path, parameters).await?;
        Ok(())
    }

    /// `DELETE …/firewall/rules/{pos}`. Needs VM.Config.Network. Without the digest of the list the
    /// place was read from, another rule may go. Refused with
    /// [`crate::Refusal::is_changed_meanwhile`].
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_firewall_rule(
        &self,
        node: &str,
        vmid: u32,
        pos: u32,
        digest: Option<&str>,
    ) -> Result<(), Error> {
        let path = vm_path(node, vmid, &format!("/firewall/rules/{pos}"))?;
        let _: IgnoredAny = self.delete(path, Parameters::new().maybe("digest", digest)).await?;
        Ok(())
    }
}
