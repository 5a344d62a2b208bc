//! Who is asking: tickets and API tokens of requests, and the checks a call makes of its caller. What users and tokens
//! there are and what they may do is in `access`.

use std::sync::Arc;

use percent_encoding::percent_decode_str;
use serde_json::Value;

use crate::access::acl::normalized;
use crate::access::{Access, ROOT, split_list};
use crate::clock::{Micros, seconds};
use crate::failure::Failure;
use crate::parameters::Parameters;

/// Why nobody was recognised: the reason phrase of the 401.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unknown {
    /// Nothing usable was sent.
    NoTicket,
    /// What was sent is wrong.
    Failed,
    /// A writing request with a ticket, without the token that goes with it.
    Csrf,
}

impl Unknown {
    /// Proxmox's words.
    pub(crate) fn reason(self) -> &'static str {
        match self {
            Self::NoTicket => "No ticket",
            Self::Failed => "Authentication failed!",
            Self::Csrf => "Permission denied - invalid csrf token",
        }
    }
}

/// What a request says about who sends it.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Credentials<'a> {
    pub(crate) authorization: Option<&'a str>,
    pub(crate) cookie: Option<&'a str>,
    pub(crate) csrf: Option<&'a str>,
    /// Does the method change something?
    pub(crate) writes: bool,
}

/// Who is behind a request.
#[derive(Clone)]
pub(crate) struct Caller {
    id: String,
    access: Arc<Access>,
}

/// Calls that need no login.
pub(crate) fn is_open(method: &str, path: &[String]) -> bool {
    match path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["access", "domains"] => method == "GET",
        ["access", "ticket"] => matches!(method, "GET" | "POST"),
        _ => false,
    }
}

/// Finds out who sends a request: a cookie goes before the header, also when it is stale.
///
/// # Errors
/// With the reason for a 401.
pub(crate) fn authenticate(access: &Arc<Access>, given: Credentials<'_>, now: Micros) -> Result<Caller, Unknown> {
    let of_cookie = given.cookie.and_then(|cookie| {
        cookie.split(';').find_map(|part| part.trim().strip_prefix("PVEAuthCookie=")).filter(|text| !text.is_empty())
    });
    let header = given.authorization.unwrap_or_default();
    let of_header = header.strip_prefix("PVEAuthCookie").and_then(|rest| rest.strip_prefix(['=', ' ']));
    let caller = |id: String| Caller { id, access: Arc::clone(access) };
    if let Some(ticket) = of_cookie.or(of_header) {
        let ticket = percent_decode_str(ticket).decode_utf8_lossy();
        let user = access.user_of_ticket(&ticket, now).ok_or(Unknown::Failed)?;
        access.users.get(&user).filter(|known| known.is_valid(seconds(now))).ok_or(Unknown::Failed)?;
        if given.writes && !given.csrf.is_some_and(|csrf| access.is_csrf_token(&user, csrf, now)) {
            return Err(Unknown::Csrf);
        }
        return Ok(caller(user));
    }
    let credentials = header.strip_prefix("PVEAPIToken").and_then(|rest| rest.strip_prefix(['=', ' ']));
    let credentials = credentials.ok_or(Unknown::NoTicket)?;
    let decoded = percent_decode_str(credentials).decode_utf8_lossy();
    let (id, secret) = decoded.split_once('=').ok_or(Unknown::Failed)?;
    let user = id.split_once('!').and_then(|(user, _)| access.users.get(user)).ok_or(Unknown::Failed)?;
    let token = access.token(id).ok_or(Unknown::Failed)?;
    let expired = access.tokens_expired || (token.expire != 0 && token.expire <= seconds(now));
    if same_secret(&token.secret.0, secret) && user.is_valid(seconds(now)) && !expired {
        Ok(caller(id.to_owned()))
    } else {
        Err(Unknown::Failed)
    }
}

/// Compares in a time that does not tell where the first difference is.
pub(crate) fn same_secret(known: &str, given: &str) -> bool {
    let differences = known.bytes().zip(given.bytes()).fold(0, |sum, (left, right)| sum | (left ^ right));
    known.len() == given.len() && differences == 0
}

impl Caller {
    /// The caller of a call that needs no login: nobody, who may do nothing else.
    pub(crate) fn nobody(access: &Arc<Access>) -> Self {
        Self { id: String::new(), access: Arc::clone(access) }
    }

    /// `user@realm!token`, as tasks carry it.
    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// `user@realm`
    pub(crate) fn user(&self) -> &str {
        self.id.split('!').next().unwrap_or_default()
    }

    /// Is it root itself? No token is.
    pub(crate) fn is_root(&self) -> bool {
        self.id == ROOT
    }

    /// Is it a token?
    pub(crate) fn is_token(&self) -> bool {
        self.id.contains('!')
    }

    /// Has the caller `privilege` on `path`?
    pub(crate) fn may(&self, path: &str, privilege: &str) -> bool {
        self.access.holds(&self.id, path, privilege)
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

    /// Insists on the right to change permissions on `path`.
    ///
    /// # Errors
    /// 403 in Proxmox's words.
    pub(crate) fn require_modify(&self, path: &str) -> Result<(), Failure> {
        let privileges: &[&str] = match path.split('/').collect::<Vec<_>>()[..] {
            ["", "storage", _, ..] => &["Permissions.Modify", "Datastore.Allocate"],
            ["", "vms", _, ..] => &["Permissions.Modify", "VM.Allocate"],
            ["", "pool", _, ..] => &["Permissions.Modify", "Pool.Allocate"],
            _ => &["Permissions.Modify"],
        };
        self.require(path, privileges)
    }

    /// May the caller see this user in lists?
    pub(crate) fn may_see_user(&self, user: &str) -> bool {
        user == self.user() || self.reaches_user(user, &["User.Modify", "Sys.Audit"])
    }

    /// Has the caller one of `privileges` on all groups, or on one the user is in?
    fn reaches_user(&self, user: &str, privileges: &[&str]) -> bool {
        let holds = |path: &str| privileges.iter().any(|privilege| self.may(path, privilege));
        let groups = self.access.groups.iter().filter(|(_, group)| group.users.contains(user));
        holds("/access/groups") || groups.into_iter().any(|(id, _)| holds(&format!("/access/groups/{id}")))
    }

    /// Checks the `permissions` entry of a route.
    ///
    /// # Errors
    /// 403 in Proxmox's words.
    pub(crate) fn check(&self, permission: &Value, parameters: &Parameters) -> Result<(), Failure> {
        if permission.get("user").is_some() || self.is_root() {
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
            Some("perm-modify") => {
                let template = operands.first().and_then(Value::as_str).unwrap_or_default();
                let given = template.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
                let path = given.map_or(template, |name| parameters.text(name).unwrap_or_default());
                // A path that cannot be one is the call's own 400.
                normalized(path).map_or(Ok(()), |path| self.require_modify(&path))
            }
            Some("userid-param") => self.evaluate_user(operands, parameters),
            Some("userid-group") => self.evaluate_groups(operands, parameters),
            _ => Ok(()),
        }
    }

    fn evaluate_user(&self, operands: &[Value], parameters: &Parameters) -> Result<(), Failure> {
        let user = parameters.text("userid").unwrap_or_default();
        if operands.first().and_then(Value::as_str) == Some("self") {
            let own = user == self.id && self.access.users.contains_key(user);
            return if own { Ok(()) } else { Err(Failure::forbidden("Permission check failed")) };
        }
        let realm = user.rsplit_once('@').map(|(_, realm)| realm).unwrap_or_default();
        self.require(&format!("/access/realm/{realm}"), &["Realm.AllocateUser"])
    }

    fn evaluate_groups(&self, operands: &[Value], parameters: &Parameters) -> Result<(), Failure> {
        let [Value::Array(privileges), options @ ..] = operands else { return Ok(()) };
        let privileges: Vec<&str> = privileges.iter().filter_map(Value::as_str).collect();
        let user = parameters.text("userid").unwrap_or_default();
        let of_groups = options.iter().position(|option| option.as_str() == Some("groups_param"));
        let groups_param = of_groups.and_then(|position| options.get(position + 1)).and_then(Value::as_str);
        if groups_param != Some("create") {
            self.access.user(user)?;
        }
        if privileges.iter().any(|privilege| self.may("/access/groups", privilege)) {
            return Ok(());
        }
        if groups_param.is_some() {
            let groups: Vec<&str> = split_list(parameters.text("groups").unwrap_or_default()).collect();
            if groups.is_empty() {
                return self.require("/access/groups", &privileges);
            }
            for group in groups {
                self.require(&format!("/access/groups/{group}"), &privileges)?;
            }
        }
        if groups_param == Some("create") || self.reaches_user(user, &privileges) {
            return Ok(());
        }
        Err(Failure::forbidden("Permission check failed"))
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
}

fn fill(template: &str, parameters: &Parameters) -> String {
    let parts = template.split('/').map(|part| match part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
        Some(name) => parameters.text(name).unwrap_or_default(),
        None => part,
    });
    parts.collect::<Vec<_>>().join("/")
}
