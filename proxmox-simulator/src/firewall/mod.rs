//! Firewall files of cluster, nodes and guests: stored, checked and shown, not enforced. One engine answers for all of
//! them; which file a call means stands in its path. Rules are in `rules`, IP sets and aliases in `sets`.

pub(crate) mod rules;
pub(crate) mod sets;
pub(crate) mod verify;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use crate::access::split_list;
use crate::call::Call;
use crate::failure::{Failure, Outcome, Reply};

/// The digest of an empty file.
const DIGEST_OF_NOTHING: &str = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
/// Bytes of a digest.
const DIGEST_BYTES: usize = 20;

/// One rule: its fields as they are stored.
pub(crate) type Rule = BTreeMap<String, String>;

/// All firewall files.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Firewall {
    cluster: File,
    nodes: BTreeMap<String, File>,
    guests: BTreeMap<u32, File>,
    groups: BTreeMap<String, Group>,
}

/// A security group.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Group {
    comment: Option<String>,
    rules: Vec<Rule>,
}

/// One firewall file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct File {
    options: BTreeMap<String, String>,
    rules: Vec<Rule>,
    sets: BTreeMap<String, Set>,
    aliases: BTreeMap<String, Alias>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Set {
    comment: Option<String>,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Entry {
    cidr: String,
    comment: Option<String>,
    nomatch: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Alias {
    name: String,
    cidr: String,
    comment: Option<String>,
}

impl Firewall {
    /// A clone has the firewall file of its source.
    pub(crate) fn copy_guest(&mut self, from: u32, to: u32) {
        if let Some(file) = self.guests.get(&from).cloned() {
            self.guests.insert(to, file);
        }
    }

    /// A destroyed guest takes its file with it.
    pub(crate) fn forget_guest(&mut self, vmid: u32) {
        self.guests.remove(&vmid);
    }

    /// The file a call means.
    fn file_mut(&mut self, scope: &Scope) -> &mut File {
        match scope {
            Scope::Cluster => &mut self.cluster,
            Scope::Node(node) => self.nodes.entry(node.clone()).or_default(),
            Scope::Guest(vmid) => self.guests.entry(*vmid).or_default(),
        }
    }
}

/// Whose file it is.
enum Scope {
    Cluster,
    Node(String),
    Guest(u32),
}

fn scope(call: &Call<'_>) -> Scope {
    if call.template.starts_with("/cluster") {
        Scope::Cluster
    } else if call.template.contains("/qemu/") {
        Scope::Guest(call.vmid())
    } else {
        Scope::Node(call.node().to_owned())
    }
}

/// A copy of the file a call means, to read from; reading makes no file.
fn file(call: &Call<'_>) -> File {
    let firewall = &call.cluster.firewall;
    match scope(call) {
        Scope::Cluster => firewall.cluster.clone(),
        Scope::Node(node) => firewall.nodes.get(&node).cloned().unwrap_or_default(),
        Scope::Guest(vmid) => firewall.guests.get(&vmid).cloned().unwrap_or_default(),
    }
}

/// The file a call means, to change it.
fn change<'a>(call: &'a mut Call<'_>) -> &'a mut File {
    let scope = scope(call);
    call.cluster.touch();
    call.cluster.firewall.file_mut(&scope)
}

/// What changes when `value` does; the digest of nothing is the one everybody knows.
fn digest<T: Serialize + Default>(value: &T) -> String {
    let text = serde_json::to_string(value).unwrap_or_default();
    if text == serde_json::to_string(&T::default()).unwrap_or_default() {
        return DIGEST_OF_NOTHING.to_owned();
    }
    Sha256::digest(text).iter().take(DIGEST_BYTES).fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Refuses when somebody else was faster.
fn check_digest(call: &Call<'_>, current: &str) -> Result<(), Failure> {
    match call.parameters.text("digest") {
        Some(given) if given != current => {
            Err(Failure::died("detected modified configuration - file changed by other user? Try again."))
        }
        _ => Ok(()),
    }
}

fn comment(call: &Call<'_>) -> Option<String> {
    call.parameters.text("comment").map(|text| text.trim_end().to_owned()).filter(|text| !text.is_empty())
}

/// GET …/firewall/options
pub(crate) fn options(call: &mut Call<'_>) -> Outcome {
    let options = file(call).options;
    let number = |value: &str| value.parse::<i64>().map_or_else(|_| json!(value), |number| json!(number));
    let mut shown: Map<String, Value> = options.iter().map(|(option, value)| (option.clone(), number(value))).collect();
    shown.insert("digest".to_owned(), json!(digest(&options)));
    Ok(Reply::data(shown))
}

/// PUT …/firewall/options
pub(crate) fn set_options(call: &mut Call<'_>) -> Outcome {
    check_digest(call, &digest(&file(call).options))?;
    let parameters = call.parameters.clone();
    let rules = call.cluster.schema().route("PUT", call.template).map(|route| &route.parameters);
    let known = |option: &str| rules.is_some_and(|rules| rules.contains_key(option));
    for option in split_list(parameters.text("delete").unwrap_or_default()) {
        if !known(option) {
            return Err(Failure::parameter("delete", format!("no such option '{option}'")));
        }
    }
    let options = &mut change(call).options;
    for option in split_list(parameters.text("delete").unwrap_or_default()) {
        options.remove(option);
    }
    for (option, _) in parameters.iter() {
        if !matches!(option.as_str(), "node" | "vmid" | "digest" | "delete")
            && let Some(value) = parameters.text(option)
        {
            options.insert(option.clone(), value.to_owned());
        }
    }
    Ok(Reply::null())
}

/// GET …/firewall/log: nothing is enforced, so nothing is logged.
pub(crate) fn log(_call: &mut Call<'_>) -> Outcome {
    Ok(Reply { total: Some(1), ..Reply::data(vec![json!({ "n": 1, "t": "no content" })]) })
}

/// GET …/firewall/refs: what rules may name.
pub(crate) fn refs(call: &mut Call<'_>) -> Outcome {
    let only = call.parameters.text("type").map(str::to_owned);
    let mut entries = Vec::new();
    let mut add = |file: &File, scope: &str| {
        let aliases = file.aliases.values().map(|alias| ("alias", alias.name.as_str(), "", &alias.comment));
        let sets = file.sets.iter().map(|(name, set)| ("ipset", name.as_str(), "+", &set.comment));
        for (kind, name, mark, comment) in aliases.chain(sets) {
            if only.as_deref().is_some_and(|only| only != kind) {
                continue;
            }
            let mut entry =
                json!({ "type": kind, "name": name, "ref": format!("{mark}{scope}/{name}"), "scope": scope });
            if let Some(comment) = comment {
                entry["comment"] = json!(comment);
            }
            entries.push(entry);
        }
    };
    add(&call.cluster.firewall.cluster, "dc");
    if !matches!(scope(call), Scope::Cluster) {
        add(&file(call), "guest");
    }
    Ok(Reply::data(entries))
}

/// GET /cluster/firewall/macros
pub(crate) fn macros(_call: &mut Call<'_>) -> Outcome {
    let macros = verify::MACROS.iter().map(|(name, what)| json!({ "macro": name, "descr": what }));
    Ok(Reply::data(macros.collect::<Vec<_>>()))
}
