//! Who is asking: API tokens, their secrets and their privileges. Tickets, cookies and second factors are not
//! simulated; a request with a cookie is refused as one with a stale ticket is.

use std::collections::BTreeMap;

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::failure::Failure;
use crate::options::Release;
use crate::parameters::Parameters;

/// Privileges of every release.
const PRIVILEGES: &[&str] = &[
    "Datastore.Allocate",
    "Datastore.AllocateSpace",
    "Datastore.AllocateTemplate",
    "Datastore.Audit",
    "Group.Allocate",
    "Mapping.Audit",
    "Mapping.Modify",
    "Mapping.Use",
    "Permissions.Modify",
    "Pool.Allocate",
    "Pool.Audit",
    "Realm.Allocate",
    "Realm.AllocateUser",
    "SDN.Allocate",
    "SDN.Audit",
    "SDN.Use",
    "Sys.AccessNetwork",
    "Sys.Audit",
    "Sys.Console",
    "Sys.Incoming",
    "Sys.Modify",
    "Sys.PowerMgmt",
    "Sys.Syslog",
    "User.Modify",
    "VM.Allocate",
    "VM.Audit",
    "VM.Backup",
    "VM.Clone",
    "VM.Config.CDROM",
    "VM.Config.CPU",
    "VM.Config.Cloudinit",
    "VM.Config.Disk",
    "VM.Config.HWType",
    "VM.Config.Memory",
    "VM.Config.Network",
    "VM.Config.Options",
    "VM.Console",
    "VM.Migrate",
    "VM.PowerMgmt",
    "VM.Snapshot",
    "VM.Snapshot.Rollback",
];
/// Privileges since 9.0.
const PRIVILEGES_9: &[&str] = &[
    "VM.GuestAgent.Audit",
    "VM.GuestAgent.FileRead",
    "VM.GuestAgent.FileSystemMgmt",
    "VM.GuestAgent.FileWrite",
    "VM.GuestAgent.Unrestricted",
    "VM.Replicate",
];
/// Privileges until 8.4.
const PRIVILEGES_8: &[&str] = &["VM.Monitor"];
/// Paths GET /access/permissions lists for an administrator.
const PERMISSION_PATHS: &[&str] =
    &["/", "/access", "/access/groups", "/access/realm", "/mapping", "/nodes", "/pool", "/sdn", "/storage", "/vms"];

/// One known token.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) id: String,
    pub(crate) secret: String,
    pub(crate) rights: Rights,
}

/// What a token may do.
#[derive(Clone)]
pub(crate) enum Rights {
    /// Everything but what is root's alone.
    All(Release),
    /// Privileges by path.
    Some(BTreeMap<String, Vec<String>>),
}

/// Why nobody was recognised: the reason phrase of the 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// Nothing usable was sent.
    NoTicket,
    /// What was sent is wrong.
    Failed,
}

/// The token behind a request.
#[derive(Clone)]
pub(crate) struct Caller {
    token: Token,
}

/// Finds the token of a request.
///
/// # Errors
/// With the reason for a 401.
pub(crate) fn authenticate(
    tokens: &[Token],
    authorization: Option<&str>,
    cookie: Option<&str>,
) -> Result<Caller, Unknown> {
    // A ticket goes before a token, and no ticket is valid here.
    if cookie.is_some_and(|cookie| cookie.split(';').any(|part| part.trim().starts_with("PVEAuthCookie="))) {
        return Err(Unknown::Failed);
    }
    let header = authorization.unwrap_or_default();
    let credentials = header.strip_prefix("PVEAPIToken").and_then(|rest| rest.strip_prefix(['=', ' ']));
    let credentials = credentials.ok_or(Unknown::NoTicket)?;
    let decoded = percent_decode_str(credentials).decode_utf8_lossy();
    let (id, secret) = decoded.split_once('=').ok_or(Unknown::Failed)?;
    let token = tokens.iter().find(|token| token.id == id).ok_or(Unknown::Failed)?;
    if same_secret(&token.secret, secret) { Ok(Caller { token: token.clone() }) } else { Err(Unknown::Failed) }
}

/// Compares in a time that does not tell where the first difference is.
pub(crate) fn same_secret(known: &str, given: &str) -> bool {
    let differences = known.bytes().zip(given.bytes()).fold(0, |sum, (left, right)| sum | (left ^ right));
    known.len() == given.len() && differences == 0
}

impl Caller {
    /// `user@realm!token`, as tasks carry it.
    pub(crate) fn id(&self) -> &str {
        &self.token.id
    }

    /// Has the caller `privilege` on `path`?
    pub(crate) fn may(&self, path: &str, privilege: &str) -> bool {
        match &self.token.rights {
            Rights::All(_) => true,
            Rights::Some(grants) => effective(grants, path).is_some_and(|held| held.iter().any(|one| one == privilege)),
        }
    }

    /// Insists on one of `privileges` on `path`.
    ///
    /// # Errors
    /// 403 `Permission check failed (path, A|B)`.
    pub(crate) fn require(&self, path: &str, privileges: &[&str]) -> Result<(), Failure> {
        if privileges.iter().any(|privilege| self.may(path, privilege)) {
            return Ok(());
        }
        Err(Failure::forbidden(format!("Permission check failed ({path}, {})", privileges.join("|"))))
    }

    /// Checks the `permissions` entry of a route.
    ///
    /// # Errors
    /// 403 in Proxmox's words.
    pub(crate) fn check(&self, permission: &Value, parameters: &Parameters) -> Result<(), Failure> {
        if permission.get("user").is_some() {
            return Ok(());
        }
        match permission.get("check") {
            Some(expression) => self.evaluate(expression, parameters),
            None => Err(Failure::forbidden("Permission check failed (user != root@pam)")),
        }
    }

    fn evaluate(&self, expression: &Value, parameters: &Parameters) -> Result<(), Failure> {
        let parts = expression.as_array().map(Vec::as_slice).unwrap_or_default();
        let Some((operator, operands)) = parts.split_first() else { return Ok(()) };
        match operator.as_str() {
            Some("and") => operands.iter().try_for_each(|operand| self.evaluate(operand, parameters)),
            Some("or") => {
                let mut refusal = None;
                for operand in operands {
                    match self.evaluate(operand, parameters) {
                        Ok(()) => return Ok(()),
                        Err(failure) => refusal = refusal.or(Some(failure)),
                    }
                }
                refusal.map_or(Ok(()), Err)
            }
            Some("perm") => self.evaluate_perm(operands, parameters),
            _ => Ok(()),
        }
    }

    fn evaluate_perm(&self, operands: &[Value], parameters: &Parameters) -> Result<(), Failure> {
        let [Value::String(template), Value::Array(privileges), options @ ..] = operands else { return Ok(()) };
        let option = |name: &str| {
            let position = options.iter().position(|option| option.as_str() == Some(name));
            position.and_then(|position| options.get(position + 1))
        };
        if let Some(Value::String(required)) = option("require_param")
            && parameters.get(required).is_none()
        {
            return Err(Failure::forbidden("Permission check failed"));
        }
        let path = fill(template, parameters);
        let privileges: Vec<&str> = privileges.iter().filter_map(Value::as_str).collect();
        if option("any").is_some() {
            return self.require(&path, &privileges);
        }
        privileges.iter().try_for_each(|privilege| self.require(&path, &[privilege]))
    }

    /// The answer of GET /access/permissions.
    pub(crate) fn permissions(&self, only: Option<&str>) -> Value {
        let flags = |privileges: &[String]| -> Value {
            Value::Object(privileges.iter().map(|privilege| (privilege.clone(), json!(1))).collect())
        };
        match &self.token.rights {
            Rights::All(release) => {
                let more = if *release == Release::V9_2 { PRIVILEGES_9 } else { PRIVILEGES_8 };
                let all: Vec<String> = PRIVILEGES.iter().chain(more).map(|one| (*one).to_owned()).collect();
                let paths: Vec<&str> = only.map_or_else(|| PERMISSION_PATHS.to_vec(), |path| vec![path]);
                Value::Object(paths.into_iter().map(|path| (path.to_owned(), flags(&all))).collect())
            }
            Rights::Some(grants) => {
                let mut shown = Map::new();
                match only {
                    Some(path) => {
                        shown.insert(path.to_owned(), flags(effective(grants, path).unwrap_or_default()));
                    }
                    None => {
                        shown.extend(grants.iter().map(|(path, privileges)| (path.clone(), flags(privileges))));
                    }
                }
                Value::Object(shown)
            }
        }
    }
}

/// The privileges of the most specific path that has any.
fn effective<'a>(grants: &'a BTreeMap<String, Vec<String>>, path: &str) -> Option<&'a [String]> {
    let mut path = path;
    loop {
        if let Some(privileges) = grants.get(if path.is_empty() { "/" } else { path }) {
            return Some(privileges);
        }
        if path.is_empty() || path == "/" {
            return None;
        }
        path = &path[..path.rfind('/')?];
    }
}

fn fill(template: &str, parameters: &Parameters) -> String {
    let parts = template.split('/').map(|part| match part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some(name) => parameters.text(name).unwrap_or_default(),
        None => part,
    });
    parts.collect::<Vec<_>>().join("/")
}
