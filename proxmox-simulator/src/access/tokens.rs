//! `/access/users/{userid}/token`: API tokens. A secret is told once.

use serde_json::{Map, Value, json};

use super::{Secret, Token, split_list};
use crate::call::Call;
use crate::cluster::drive::new_uuid;
use crate::failure::{Failure, Outcome, Reply};

/// What is shown of a token: never its secret.
pub(super) fn shown(token: &Token) -> Map<String, Value> {
    let mut entry = Map::from_iter([
        ("expire".to_owned(), json!(token.expire)),
        ("privsep".to_owned(), json!(i32::from(token.privsep))),
    ]);
    if let Some(comment) = &token.comment {
        entry.insert("comment".to_owned(), json!(comment));
    }
    entry
}

fn full_id(call: &Call<'_>) -> String {
    format!("{}!{}", call.text("userid"), call.text("tokenid"))
}

fn found<'a>(call: &'a Call<'_>) -> Result<&'a Token, Failure> {
    call.cluster.access.user(call.text("userid"))?;
    let missing =
        || Failure::died(format!("no such token '{}' for user '{}'", call.text("tokenid"), call.text("userid")));
    call.cluster.access.token(&full_id(call)).ok_or_else(missing)
}

/// GET /access/users/{userid}/token
pub(crate) fn list(call: &mut Call<'_>) -> Outcome {
    let user = call.cluster.access.user(call.text("userid"))?;
    let tokens = user.tokens.iter().map(|(name, token)| {
        let mut entry = shown(token);
        entry.insert("tokenid".to_owned(), json!(name));
        Value::Object(entry)
    });
    Ok(Reply::data(tokens.collect::<Vec<_>>()))
}

/// GET /access/users/{userid}/token/{tokenid}
pub(crate) fn read(call: &mut Call<'_>) -> Outcome {
    Ok(Reply::data(shown(found(call)?)))
}

/// POST /access/users/{userid}/token/{tokenid}: `info` repeats what was sent, as text.
pub(crate) fn create(call: &mut Call<'_>) -> Outcome {
    let id = full_id(call);
    let (user, name) = (call.text("userid").to_owned(), call.text("tokenid").to_owned());
    let expire_of_user = call.cluster.access.user(&user)?.expire;
    if call.cluster.access.token(&id).is_some() {
        return Err(Failure::parameter("tokenid", "Token already exists."));
    }
    let privsep = call.parameters.flag("privsep").unwrap_or(true);
    let expire = call.parameters.number::<u64>("expire");
    let comment = call.parameters.text("comment").map(str::to_owned);
    let mut info = Map::from_iter([("privsep".to_owned(), json!(i32::from(privsep).to_string()))]);
    for name in ["expire", "comment"] {
        if let Some(value) = call.parameters.text(name) {
            info.insert(name.to_owned(), json!(value));
        }
    }
    let secret = new_uuid();
    let token = Token { secret: Secret(secret.clone()), privsep, expire: expire.unwrap_or(expire_of_user), comment };
    if let Some(user) = call.access_mut().users.get_mut(&user) {
        user.tokens.insert(name, token);
    }
    Ok(Reply::data(json!({ "full-tokenid": id, "info": info, "value": secret })))
}

/// PUT /access/users/{userid}/token/{tokenid}
pub(crate) fn update(call: &mut Call<'_>) -> Outcome {
    found(call)?;
    let parameters = call.parameters.clone();
    let (user, name, id) = (call.text("userid").to_owned(), call.text("tokenid").to_owned(), full_id(call));
    let Some(token) = call.access_mut().users.get_mut(&user).and_then(|user| user.tokens.get_mut(&name)) else {
        return Ok(Reply::null());
    };
    token.privsep = parameters.flag("privsep").unwrap_or(token.privsep);
    token.expire = parameters.number("expire").unwrap_or(token.expire);
    if let Some(comment) = parameters.text("comment") {
        token.comment = Some(comment.to_owned());
    }
    for option in split_list(parameters.text("delete").unwrap_or_default()) {
        match option {
            "comment" => token.comment = None,
            "expire" => token.expire = 0,
            _ => return Err(Failure::parameter("delete", format!("unable to delete option '{option}'"))),
        }
    }
    let mut answer = shown(token);
    if parameters.flag("regenerate") == Some(true) {
        let secret = new_uuid();
        token.secret = Secret(secret.clone());
        answer.insert("full-tokenid".to_owned(), json!(id));
        answer.insert("value".to_owned(), json!(secret));
    }
    Ok(Reply::data(answer))
}

/// DELETE /access/users/{userid}/token/{tokenid}
pub(crate) fn delete(call: &mut Call<'_>) -> Outcome {
    let id = full_id(call);
    found(call)?;
    let (user, name) = (call.text("userid").to_owned(), call.text("tokenid").to_owned());
    let access = call.access_mut();
    if let Some(user) = access.users.get_mut(&user) {
        user.tokens.remove(&name);
    }
    access.forget_in_acl("token", &id);
    Ok(Reply::null())
}
