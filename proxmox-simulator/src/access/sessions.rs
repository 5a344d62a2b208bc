//! Logging in: `/access/ticket`, `/access/password`, `/access/domains`, `/access/permissions`, `/access/tfa`. Second
//! factors are not simulated; nobody has one.

use serde_json::{Map, Value, json};

use super::{REALMS, Secret, split_list};
use crate::auth::same_secret;
use crate::call::Call;
use crate::clock::seconds;
use crate::failure::{Failure, Outcome, Reply};

fn refused() -> Failure {
    Failure::with_status(401, "authentication failure")
}

/// GET /access/ticket: there for the web interface, says nothing.
pub(crate) fn look(_call: &mut Call<'_>) -> Outcome {
    Ok(Reply::null())
}

/// POST /access/ticket: a login, a renewal, or with `path` and `privs` a question about a ticket.
pub(crate) fn login(call: &mut Call<'_>) -> Outcome {
    let access = &call.cluster.access;
    let mut user = call.text("username").to_owned();
    if let Some(realm) = call.parameters.text("realm") {
        user = format!("{user}@{realm}");
    }
    let password = call.text("password");
    let known = access.users.get(&user).filter(|known| known.is_valid(seconds(call.now))).ok_or_else(refused)?;
    let by_ticket = access.user_of_ticket(password, call.now).is_some_and(|owner| owner == user);
    let by_password = known.password.as_ref().is_some_and(|known| same_secret(&known.0, password));
    if let Some(path) = call.parameters.text("path") {
        if !by_ticket {
            return Err(refused());
        }
        for privilege in split_list(call.text("privs")) {
            if !access.holds(&user, path, privilege) {
                return Err(Failure::forbidden(format!("Permission check failed ({path}, {privilege})")));
            }
        }
        return Ok(Reply::data(json!({ "username": user, "cap": access.capabilities(&user) })));
    }
    if !by_ticket && !by_password {
        return Err(refused());
    }
    let mut answer = json!({
        "username": user, "ticket": access.ticket(&user, call.now),
        "CSRFPreventionToken": access.csrf_token(&user, call.now), "cap": access.capabilities(&user),
    });
    if access.holds(&user, "/", "Sys.Audit") && call.cluster.nodes.len() > 1 {
        answer["clustername"] = json!(call.cluster.name);
    }
    Ok(Reply::data(answer))
}

/// PUT /access/password
pub(crate) fn password(call: &mut Call<'_>) -> Outcome {
    let user = call.text("userid").to_owned();
    let realm = user.rsplit_once('@').map(|(_, realm)| realm).unwrap_or_default();
    if realm == "pam" && !call.caller.is_root() {
        return Err(Failure::forbidden("Permission check failed"));
    }
    if !call.caller.is_root() {
        // Who acts confirms it with the own password.
        let own = call.cluster.access.users.get(call.caller.id()).and_then(|own| own.password.as_ref());
        let confirmation = call.text("confirmation-password");
        if !own.is_some_and(|own| same_secret(&own.0, confirmation)) {
            return Err(refused());
        }
    }
    call.cluster.access.user(&user)?;
    let password = Secret(call.text("password").to_owned());
    if let Some(known) = call.access_mut().users.get_mut(&user) {
        known.password = Some(password);
    }
    Ok(Reply::null())
}

/// GET /access/domains
pub(crate) fn realms(_call: &mut Call<'_>) -> Outcome {
    let realms = REALMS.iter().map(|(realm, comment)| json!({ "realm": realm, "type": realm, "comment": comment }));
    Ok(Reply::data(realms.collect::<Vec<_>>()))
}

/// GET /access/domains/{realm}
pub(crate) fn realm(call: &mut Call<'_>) -> Outcome {
    let realm = call.text("realm");
    let found = REALMS.iter().find(|(known, _)| *known == realm);
    let (realm, comment) = found.ok_or_else(|| Failure::died(format!("domain '{realm}' does not exist")))?;
    let digest = "da39a3ee5e6b4b0d3255bfef95601890afd80709";
    Ok(Reply::data(json!({ "type": realm, "comment": comment, "digest": digest })))
}

/// GET /access/permissions: own ones, or with Sys.Audit on /access those of anybody.
pub(crate) fn permissions(call: &mut Call<'_>) -> Outcome {
    let id = match call.parameters.text("userid") {
        Some(other) if other != call.caller.id() => {
            let own_token = other.split_once('!').is_some_and(|(user, _)| user == call.caller.id());
            if !own_token {
                call.caller.require("/access", &["Sys.Audit"])?;
            }
            if other.contains('!') && call.cluster.access.token(other).is_none() {
                return Err(Failure::died(format!("no such token '{}'", other.split_once('!').unwrap_or_default().1)));
            }
            call.cluster.access.user(other.split('!').next().unwrap_or_default())?;
            other
        }
        _ => call.caller.id(),
    };
    Ok(Reply::data(call.cluster.access.permissions(id, call.parameters.text("path"))))
}

/// GET /access/tfa
pub(crate) fn factors(call: &mut Call<'_>) -> Outcome {
    let caller = call.caller;
    let sees_all = caller.may("/access/groups", "User.Modify") || caller.may("/access/groups", "Sys.Audit");
    let users = call.cluster.access.users.keys().filter(|user| sees_all || *user == caller.user());
    let none: [Value; 0] = [];
    Ok(Reply::data(users.map(|user| json!({ "userid": user, "entries": none })).collect::<Vec<_>>()))
}

/// GET /access/tfa/{userid}
pub(crate) fn factors_of(call: &mut Call<'_>) -> Outcome {
    call.cluster.access.user(call.text("userid"))?;
    Ok(Reply::data(Vec::<Value>::new()))
}

/// GET /access/users/{userid}/tfa
pub(crate) fn kinds_of_factors(call: &mut Call<'_>) -> Outcome {
    call.cluster.access.user(call.text("userid"))?;
    let mut answer = Map::new();
    if call.parameters.flag("multiple") == Some(true) {
        answer.insert("types".to_owned(), json!([]));
    }
    Ok(Reply::data(answer))
}

/// PUT /access/users/{userid}/unlock-tfa: was a factor locked?
pub(crate) fn unlock_factors(call: &mut Call<'_>) -> Outcome {
    call.cluster.access.user(call.text("userid"))?;
    Ok(Reply::data(json!(0)))
}
