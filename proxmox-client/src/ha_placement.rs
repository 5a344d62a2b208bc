//! Where high availability may run a guest: groups up to version 8, rules from version 9 on. A cluster
//! knows one of the two; the other is refused. Which guests are looked after is in
//! `high_availability.rs`.

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::client::Client;
use crate::error::Error;
use crate::lenient::{self, text_enum};
use crate::request::{Parameters, segment};

/// A group of nodes, up to version 8.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HaGroup {
    /// Its name.
    pub group: String,
    /// Its nodes, separated by commas, each with a priority if it has one: `pve1:2,pve2`.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub nodes: Option<String>,
    /// Whether its guests run on no other nodes, and rather not at all.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub restricted: bool,
    /// Whether its guests stay where they are when a node of higher priority returns.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub nofailback: bool,
    /// A remark.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub comment: Option<String>,
}

text_enum! {
    /// What a rule is about.
    HaRuleKind {
        /// On which nodes guests run.
        NodeAffinity = "node-affinity",
        /// Whether guests run on one node together or apart.
        ResourceAffinity = "resource-affinity",
    }
}

text_enum! {
    /// Whether guests are to be together.
    HaAffinity {
        /// On one node.
        Positive = "positive",
        /// On different nodes.
        Negative = "negative",
    }
}

/// A rule, from version 9 on; as it is read and as it is made.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct HaRule {
    /// Its name.
    pub rule: String,
    /// What it is about.
    #[serde(rename = "type")]
    pub kind: HaRuleKind,
    /// The guests, separated by commas: `vm:100,vm:101`.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub resources: Option<String>,
    /// Of a rule about nodes: the nodes, each with a priority if it has one: `pve1:2,pve2`.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub nodes: Option<String>,
    /// Of a rule about nodes: whether the guests run on no other nodes, and rather not at all.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub strict: bool,
    /// Of a rule about guests: together or apart.
    #[serde(default)]
    pub affinity: Option<HaAffinity>,
    /// Whether it is switched off.
    #[serde(default, deserialize_with = "lenient::flag")]
    pub disable: bool,
    /// A remark.
    #[serde(default, deserialize_with = "lenient::optional_text")]
    pub comment: Option<String>,
}

impl HaRule {
    /// A rule that keeps guests on nodes; with `strict`, on no others.
    #[must_use]
    pub fn on_nodes(rule: &str, vmids: &[u32], nodes: &[&str], strict: bool) -> Self {
        let nodes = Some(nodes.join(","));
        Self { nodes, strict, ..Self::empty(rule, HaRuleKind::NodeAffinity, vmids) }
    }

    /// A rule that keeps guests together or apart.
    #[must_use]
    pub fn of_guests(rule: &str, vmids: &[u32], affinity: HaAffinity) -> Self {
        Self { affinity: Some(affinity), ..Self::empty(rule, HaRuleKind::ResourceAffinity, vmids) }
    }

    fn empty(rule: &str, kind: HaRuleKind, vmids: &[u32]) -> Self {
        let resources: Vec<String> = vmids.iter().map(|vmid| format!("vm:{vmid}")).collect();
        Self {
            rule: String::from(rule),
            kind,
            resources: Some(resources.join(",")),
            nodes: None,
            strict: false,
            affinity: None,
            disable: false,
            comment: None,
        }
    }
}

const GROUPS: &str = "/cluster/ha/groups";
const RULES: &str = "/cluster/ha/rules";

impl Client {
    /// `GET /cluster/ha/groups`. Needs Sys.Audit on `/`. From version 9 on refused (500) once the groups
    /// have become rules.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ha_groups(&self) -> Result<Vec<HaGroup>, Error> {
        self.get(String::from(GROUPS), Parameters::new()).await
    }

    /// `POST /cluster/ha/groups`. Needs Sys.Console on `/`. Makes a group of these nodes, each with a
    /// priority if wanted (`pve1:2`). A name that is taken is refused (500), and from version 9 on every
    /// group.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create_ha_group(&self, group: &str, nodes: &[&str], restricted: bool) -> Result<(), Error> {
        let parameters = Parameters::new()
            .with("group", group)
            .with("nodes", nodes.join(","))
            .flag("restricted", restricted.then_some(true));
        let _: IgnoredAny = self.post(String::from(GROUPS), parameters).await?;
        Ok(())
    }

    /// `DELETE /cluster/ha/groups/{group}`. Needs Sys.Console on `/`. One that is used or unknown is
    /// refused (500).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_ha_group(&self, group: &str) -> Result<(), Error> {
        let path = format!("{GROUPS}/{}", segment("group", group)?);
        let _: IgnoredAny = self.delete(path, Parameters::new()).await?;
        Ok(())
    }

    /// `GET /cluster/ha/rules?resource=`. Needs Sys.Audit on `/`. All rules, or those of one machine.
    /// Before version 9 refused (501).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn ha_rules(&self, vmid: Option<u32>) -> Result<Vec<HaRule>, Error> {
        let parameters = Parameters::new().maybe("resource", vmid.map(|vmid| format!("vm:{vmid}")));
        self.get(String::from(RULES), parameters).await
    }

    /// `POST /cluster/ha/rules`. Needs Sys.Console on `/`. A name that is taken, a machine nobody looks
    /// after, and a rule against another one are refused (400 or 500). Before version 9 refused (501).
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// use proxmox_client::{HaAffinity, HaRule};
    /// client.create_ha_rule(&HaRule::of_guests("apart", &[101, 102], HaAffinity::Negative)).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create_ha_rule(&self, rule: &HaRule) -> Result<(), Error> {
        let parameters = Parameters::new()
            .with("rule", &rule.rule)
            .with("type", &rule.kind)
            .maybe("resources", rule.resources.as_ref())
            .maybe("nodes", rule.nodes.as_ref())
            .flag("strict", rule.strict.then_some(true))
            .maybe("affinity", rule.affinity.as_ref())
            .flag("disable", rule.disable.then_some(true))
            .maybe("comment", rule.comment.as_ref());
        let _: IgnoredAny = self.post(String::from(RULES), parameters).await?;
        Ok(())
    }

    /// `DELETE /cluster/ha/rules/{rule}`. Needs Sys.Console on `/`. An unknown one is refused (500).
    /// Before version 9 refused (501).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_ha_rule(&self, rule: &str) -> Result<(), Error> {
        let path = format!("{RULES}/{}", segment("rule", rule)?);
        let _: IgnoredAny = self.delete(path, Parameters::new()).await?;
        Ok(())
    }

    /// `POST /cluster/ha/resources/{sid}/migrate`. Needs Sys.Console on `/`. Asks for a machine that is
    /// looked after to be moved while it runs. Only asked: where it is, [`Client::resources`] tells.
    /// One nobody looks after is refused (500).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn migrate_ha_resource(&self, vmid: u32, node: &str) -> Result<(), Error> {
        let path = format!("/cluster/ha/resources/vm:{vmid}/migrate");
        let _: IgnoredAny = self.post(path, Parameters::new().with("node", node)).await?;
        Ok(())
    }

    /// `POST /cluster/ha/resources/{sid}/relocate`. Needs Sys.Console on `/`. As
    /// [`Client::migrate_ha_resource`], but stops the machine and starts it on the other node.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn relocate_ha_resource(&self, vmid: u32, node: &str) -> Result<(), Error> {
        let path = format!("/cluster/ha/resources/vm:{vmid}/relocate");
        let _: IgnoredAny = self.post(path, Parameters::new().with("node", node)).await?;
        Ok(())
    }
}
