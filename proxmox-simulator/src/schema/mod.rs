//! Proxmox's own description of the implemented calls (`fixtures/*.json`, cut from the 9.2 API schema): routes,
//! parameters, permissions, and the directories of the API tree. Reading it happens once per process; checking values
//! against it is in `check`, what 8.4 has not in `releases`.

mod check;
mod formats;
mod property_string;
mod releases;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, OnceLock};

use regex_lite::Regex;
use serde_json::{Map, Value};

pub(crate) use property_string::{parse as parse_property_string, print as print_property_string};

use crate::options::Release;

/// The parts of the description. A part may use the definitions of those before it.
const PARTS: &[&str] = &[
    include_str!("../../fixtures/schema.json"),
    include_str!("../../fixtures/life.json"),
    include_str!("../../fixtures/console.json"),
    include_str!("../../fixtures/administration.json"),
    include_str!("../../fixtures/programs.json"),
];
/// The path parameters that take the rest of the path, slashes and all.
const REST: &[&str] = &["cidr", "volume"];
/// What 8.4 does not know yet; computed from the two official schemas.
const NEW_IN_9: &[&str] = &["allow-ksm", "intel-tdx", "ha-managed", "nets-host-mtu", "with-conntrack-state"];
/// Sub-keys of property strings that 8.4 does not know yet.
const NEW_SUB_KEYS_IN_9: &[&str] = &["aw-bits", "freeze-fs", "guest-fsfreeze", "ms-cert"];
/// Highest index of each `name[n]` family.
const FAMILIES: &[(&str, u16)] = &[
    ("ide", 3),
    ("sata", 5),
    ("scsi", 30),
    ("virtio", 15),
    ("net", 31),
    ("ipconfig", 31),
    ("unused", 255),
    ("usb", 13),
    ("hostpci", 15),
    ("serial", 3),
    ("parallel", 2),
    ("numa", 7),
    ("virtiofs", 9),
];

/// Parameters or sub-keys by name.
pub(crate) type Properties = BTreeMap<String, Arc<Property>>;

/// All implemented routes of one release.
pub(crate) struct Schema {
    routes: Vec<Route>,
    by_shape: HashMap<(String, usize), Vec<usize>>,
    /// Routes whose last parameter takes the rest of the path.
    open_ended: Vec<usize>,
    directories: BTreeMap<String, Directory>,
}

/// A directory of the API tree, which answers GET with the names in it.
pub(crate) struct Directory {
    /// The key each name is under, mostly `subdir` or `name`.
    pub(crate) key: String,
    /// The names.
    pub(crate) children: Vec<String>,
}

/// One method of one path.
pub(crate) struct Route {
    /// `GET`, `POST`, `PUT` or `DELETE`.
    pub(crate) method: String,
    /// For example `/nodes/{node}/qemu/{vmid}/config`.
    pub(crate) template: String,
    segments: Vec<Segment>,
    /// Everything the call accepts.
    pub(crate) parameters: Properties,
    /// Proxmox's `permissions` entry.
    pub(crate) permission: Value,
    /// May an API token call it?
    pub(crate) allows_token: bool,
}

enum Segment {
    Literal(String),
    Parameter(String),
}

/// JSON-schema type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Text,
    Integer,
    Number,
    Boolean,
    Array,
}

/// What a `format` asks for.
pub(crate) enum Format {
    None,
    Named(String),
    /// A property string with these sub-keys.
    Object(Properties),
}

/// The rules of one parameter.
pub(crate) struct Property {
    pub(crate) kind: Kind,
    pub(crate) optional: bool,
    pub(crate) format: Format,
    enumeration: Vec<String>,
    minimum: Option<f64>,
    maximum: Option<f64>,
    minimum_text: String,
    maximum_text: String,
    max_length: Option<usize>,
    min_length: Option<usize>,
    pattern: Option<Regex>,
    requires: Option<String>,
    pub(crate) default_key: bool,
    pub(crate) alias: Option<String>,
    pub(crate) key_alias: Option<String>,
}

impl Schema {
    /// The schema of a release, read at first use.
    pub(crate) fn of(release: Release) -> &'static Self {
        static V8: OnceLock<Schema> = OnceLock::new();
        static V9: OnceLock<Schema> = OnceLock::new();
        match release {
            Release::V8_4 => V8.get_or_init(|| Self::read(release)),
            Release::V9_2 => V9.get_or_init(|| Self::read(release)),
        }
    }

    fn read(release: Release) -> Self {
        let mut definitions = Map::new();
        let mut schema =
            Self { routes: Vec::new(), by_shape: HashMap::new(), open_ended: Vec::new(), directories: BTreeMap::new() };
        for part in PARTS {
            let mut part: Value =
                serde_json::from_str(part).expect("the schema is compiled into this crate and read by every test");
            if let Value::Object(own) = part["defs"].take() {
                definitions.extend(own);
            }
            let paths = part["paths"].as_object().expect("the schema has paths");
            schema.add(paths, &Reader { definitions: &definitions, release });
            schema.add_directories(&part["indexes"], release);
        }
        for indexes in schema.by_shape.values_mut() {
            // A literal segment goes before a parameter: `{` sorts after every letter.
            indexes.sort_by(|one, other| schema.routes[*one].template.cmp(&schema.routes[*other].template));
        }
        schema
    }

    fn add(&mut self, paths: &Map<String, Value>, reader: &Reader<'_>) {
        for (template, methods) in paths {
            if !releases::has_path(reader.release, template) {
                continue;
            }
            for (method, description) in methods.as_object().expect("a path has methods") {
                let segments: Vec<Segment> = split(template)
                    .map(|part| match part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                        Some(name) => Segment::Parameter(name.to_owned()),
                        None => Segment::Literal(part.to_owned()),
                    })
                    .collect();
                if matches!(segments.last(), Some(Segment::Parameter(name)) if REST.contains(&name.as_str())) {
                    self.open_ended.push(self.routes.len());
                } else {
                    let shape = (method.clone(), segments.len());
                    self.by_shape.entry(shape).or_default().push(self.routes.len());
                }
                let mut parameters = reader.properties(&description["params"]);
                if reader.release == Release::V8_4 {
                    parameters.extend(reader.properties(&description["only_in_8"]));
                }
                parameters.retain(|name, _| releases::has_parameter(reader.release, template, name));
                self.routes.push(Route {
                    method: method.clone(),
                    template: template.clone(),
                    segments,
                    parameters,
                    permission: reader.permission(template, &description["perm"]),
                    allows_token: description["allowtoken"] != 0,
                });
            }
        }
    }

    fn add_directories(&mut self, indexes: &Value, release: Release) {
        for (template, description) in indexes.as_object().into_iter().flatten() {
            let names = description["children"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let base = template.trim_end_matches('/');
            let known = names.filter(|name| releases::has_path(release, &format!("{base}/{name}")));
            let key = description["key"].as_str().unwrap_or("subdir").to_owned();
            self.directories.insert(template.clone(), Directory { key, children: known.map(str::to_owned).collect() });
        }
    }

    /// The directory `template`, if it is one that answers its index and nothing else.
    pub(crate) fn directory(&self, template: &str) -> Option<&Directory> {
        self.directories.get(template)
    }

    /// The rules of one call.
    pub(crate) fn route(&self, method: &str, template: &str) -> Option<&Route> {
        self.routes.iter().find(|route| route.method == method && route.template == template)
    }

    /// The route for a decoded path, with the values of its path parameters.
    pub(crate) fn find(&self, method: &str, path: &[String]) -> Option<(&Route, Vec<(String, String)>)> {
        let candidates = self.by_shape.get(&(method.to_owned(), path.len())).into_iter().flatten();
        let closed = candidates.map(|index| &self.routes[*index]);
        let open = self.open_ended.iter().map(|index| &self.routes[*index]);
        let mut fitting =
            closed.chain(open.filter(|route| route.method == method && path.len() >= route.segments.len()));
        fitting.find_map(|route| Some((route, route.values(path)?)))
    }

    /// Every implemented method and path.
    #[cfg(test)]
    pub(crate) fn routes(&self) -> impl Iterator<Item = &Route> {
        self.routes.iter()
    }

    /// The rules of a VM config option, such as `net0`.
    pub(crate) fn config_option(&self, name: &str) -> Option<&Arc<Property>> {
        static TEMPLATE: &str = "/nodes/{node}/qemu/{vmid}/config";
        let shape = ("PUT".to_owned(), split(TEMPLATE).count());
        let candidates = self.by_shape.get(&shape)?;
        candidates
            .iter()
            .map(|index| &self.routes[*index])
            .find(|route| route.template == TEMPLATE)
            .and_then(|route| route.parameters.get(name))
    }
}

impl Route {
    /// The values of the path parameters, if the path fits.
    fn values(&self, path: &[String]) -> Option<Vec<(String, String)>> {
        let mut values = Vec::new();
        for (position, (segment, given)) in self.segments.iter().zip(path).enumerate() {
            match segment {
                Segment::Literal(literal) if literal == given => {}
                Segment::Literal(_) => return None,
                Segment::Parameter(name) if REST.contains(&name.as_str()) => {
                    values.push((name.clone(), path[position..].join("/")));
                }
                Segment::Parameter(name) => values.push((name.clone(), given.clone())),
            }
        }
        Some(values)
    }
}

fn split(template: &str) -> impl Iterator<Item = &str> {
    template.split('/').filter(|part| !part.is_empty())
}

struct Reader<'a> {
    definitions: &'a Map<String, Value>,
    release: Release,
}

impl<'a> Reader<'a> {
    fn resolve(&self, value: &'a Value) -> &'a Value {
        match value.get("$ref").and_then(Value::as_str) {
            Some(name) => self.resolve(&self.definitions[name]),
            None => value,
        }
    }

    /// Who may call it; the monitor had a privilege of its own before 9.
    fn permission(&self, template: &str, value: &'a Value) -> Value {
        if self.release == Release::V8_4 && template.ends_with("/monitor") {
            return serde_json::json!({ "check": ["perm", "/vms/{vmid}", ["VM.Monitor"]] });
        }
        releases::permission(self.release, template, self.resolve(value))
    }

    fn properties(&self, value: &'a Value) -> Properties {
        let Some(object) = self.resolve(value).as_object() else { return Properties::new() };
        let mut properties = Properties::new();
        for (name, description) in object {
            let known = self.release == Release::V9_2
                || !(NEW_IN_9.contains(&name.as_str()) || NEW_SUB_KEYS_IN_9.contains(&name.as_str()));
            if !known {
                continue;
            }
            let property = Arc::new(self.property(description));
            match name.strip_suffix("[n]") {
                None => {
                    properties.insert(name.clone(), property);
                }
                Some(family) => {
                    let last = FAMILIES.iter().find(|(known, _)| *known == family).map_or(0, |(_, last)| *last);
                    for index in 0..=last {
                        properties.insert(format!("{family}{index}"), Arc::clone(&property));
                    }
                }
            }
        }
        properties
    }

    fn property(&self, value: &'a Value) -> Property {
        let base = self.resolve(value);
        let field = |name: &str| value.get(name).or_else(|| base.get(name));
        let flag = |name: &str| field(name).is_some_and(|value| value.as_i64() == Some(1));
        let text = |name: &str| field(name).and_then(Value::as_str).map(str::to_owned);
        let number =
            |name: &str| field(name).map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned));
        let minimum_text = number("minimum").unwrap_or_default();
        let maximum_text = number("maximum").unwrap_or_default();
        Property {
            kind: match field("type").and_then(Value::as_str) {
                Some("integer") => Kind::Integer,
                Some("number") => Kind::Number,
                Some("boolean") => Kind::Boolean,
                Some("array") => Kind::Array,
                _ => Kind::Text,
            },
            optional: flag("optional"),
            format: match field("format") {
                Some(Value::String(name)) => Format::Named(name.clone()),
                Some(object @ Value::Object(_)) => Format::Object(self.properties(object)),
                _ => Format::None,
            },
            enumeration: field("enum")
                .and_then(Value::as_array)
                .map(|values| values.iter().filter_map(Value::as_str).map(str::to_owned).collect())
                .unwrap_or_default(),
            minimum: minimum_text.parse().ok(),
            maximum: maximum_text.parse().ok(),
            minimum_text,
            maximum_text,
            max_length: number("maxLength").and_then(|length| length.parse().ok()),
            min_length: number("minLength").and_then(|length| length.parse().ok()),
            pattern: text("pattern").map(|pattern| compile(&pattern)),
            requires: text("requires"),
            default_key: flag("default_key"),
            alias: text("alias"),
            key_alias: text("keyAlias"),
        }
    }
}

/// Perl's `m/^pattern$/`, with the two spellings only Perl knows translated.
fn compile(pattern: &str) -> Regex {
    let translated = pattern.replace("(?^:", "(?:").replace("(?^i:", "(?i:").replace("{,", "{0,");
    Regex::new(&format!("^(?:{translated})\n?$")).expect("the patterns of the schema are known and compiled by tests")
}
