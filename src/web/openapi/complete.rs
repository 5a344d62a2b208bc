//! Adds to the description what no handler has to say for itself: who may enter, by the router; parameters of the path; the
//! headers and problems that operations of a kind share; names and tags.

use axum::http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use crate::permissions::{Permission, Permissions};
use crate::web::code::Code;
use crate::web::doors::{Door, Route};

/// Where the API is.
const BASE: &str = "/api/v1";

/// What the operations are grouped by: the name, what it is about, and how the paths of the group begin. The first that fits
/// counts; what fits none is grouped by the first part of its path.
const TAGS: &[(&str, &str, &[&str])] = &[
    ("Account", "Registering, logging in, and one's own account.", &["/auth", "/account"]),
    ("Catalogue", "What is on offer, and what it costs.", &["/locations", "/plans", "/images", "/prices", "/estimate"]),
    ("VMs", "Ordering machines, running them, changing them.", &["/vms"]),
    ("SSH keys", "The public keys that new machines let in.", &["/ssh-keys"]),
    ("Jobs", "Where the work stands. Every change that reaches a cluster is one.", &["/jobs"]),
    (
        "Money",
        "The wallet, what moved and what for.",
        &["/wallet", "/transfers", "/charges", "/uncharged-times", "/vouchers", "/invoices", "/billing-details"],
    ),
    ("Notifications", "What the organisation should know.", &["/notifications"]),
    (
        "Organisation",
        "People, roles, keys and limits of an organisation.",
        &[
            "/organisation",
            "/members",
            "/invitations",
            "/roles",
            "/quotas",
            "/api-keys",
            "/audit-events",
            "/permissions",
        ],
    ),
    (
        "Operators: clusters",
        "Clusters, their guests, and moving machines.",
        &["/admin/clusters", "/admin/drift", "/admin/foreign-guests", "/admin/vms"],
    ),
    ("Operators: prices", "Price lists, plans and licences.", &["/admin/price-lists", "/admin/plans", "/admin/images"]),
    (
        "Operators: money",
        "Revenue, wallets, invoices, payments, passes of charging, vouchers.",
        &[
            "/admin/revenue",
            "/admin/wallets",
            "/admin/invoices",
            "/admin/invoice-settings",
            "/admin/payments",
            "/admin/passes",
            "/admin/uncharged-times",
            "/admin/vouchers",
        ],
    ),
    ("Operators", "Customers, jobs, mails, settings, and what happened.", &["/admin"]),
    ("Description", "This description.", &["/openapi.json"]),
];

/// Parts of paths that are no ids.
const PARTS: &[(&str, &str, &str)] = &[
    ("vmid", "integer", "The number of a guest in its cluster."),
    ("number", "integer", "The number of a version."),
    ("from", "date-time", "When the charged time began."),
    ("code", "string", "A code."),
    ("kind", "string", "A kind."),
    ("name", "string", "A name."),
    ("token", "string", "A token."),
];

/// Problems that any operation may answer with.
const ALWAYS: &[Code] = &[Code::TooMany, Code::Internal, Code::Unavailable];

const INTRODUCTION: &str = "Everything that the portal and the admin panel do, for programs.

Send `Authorization: Bearer …` with an access token from `POST /auth/login`, or with an API key. Who belongs to several \
organisations says which one by `X-Organisation`. Ids are UUIDs, times are RFC 3339 in UTC, and amounts are decimals as texts. \
Lists answer with `items` and `next`; `next` goes into `after` for the page that follows.

What is refused is answered as a problem (RFC 9457) whose `code` stays:

";

/// Completes the document of the handlers by the routes they stand at.
pub(super) fn complete(document: &mut Value, routes: &[Route]) {
    document["openapi"] = json!("3.1.0");
    document["info"] = json!({
        "title": "Uni-Manager",
        "version": env!("CARGO_PKG_VERSION"),
        "description": introduction(),
        "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
    });
    document["servers"] = json!([{ "url": BASE }]);
    document["components"]["securitySchemes"] = json!({
        "access_token": {
            "type": "http", "scheme": "bearer", "bearerFormat": "JWT",
            "description": "The access token of a login. It is short-lived; a refresh token brings the next one.",
        },
        "api_key": {
            "type": "http", "scheme": "bearer",
            "description": "An API key of an organisation: 64 characters. It may do what it was given, and nothing else.",
        },
    });
    document["components"]["responses"] = Value::Object(Code::ALL.iter().fold(Map::new(), shared_answer));
    document["x-permissions"] =
        Permission::ALL.iter().map(|may| json!({ "name": may.name(), "purpose": may.purpose() })).collect();

    let mut tags = Vec::new();
    for route in routes {
        let Some(path) = route.path.strip_prefix(BASE) else { continue };
        let method = route.method.as_str().to_lowercase();
        let Some(operation) = document["paths"].get_mut(path).and_then(|methods| methods.get_mut(&method)) else {
            continue;
        };
        let (tag, text) = tag_of(path);
        if !tags.iter().any(|(known, _)| *known == tag) {
            tags.push((tag.clone(), text));
        }
        operation["tags"] = json!([tag]);
        operation["operationId"] = json!(name_of(&method, path));
        tell_door(operation, route.door);
        add_parameters(operation, path, route.door);
        add_answers(operation, path, route);
    }
    let place = |tag: &str| TAGS.iter().position(|(known, ..)| *known == tag).unwrap_or(TAGS.len());
    tags.sort_by_key(|(tag, _)| place(tag));
    document["tags"] = tags.into_iter().map(|(name, text)| json!({ "name": name, "description": text })).collect();
}

fn introduction() -> String {
    let mut text = INTRODUCTION.to_owned() + "| code | status | what it means |\n|---|---|---|\n";
    for code in Code::ALL {
        text.push_str(&format!("| `{}` | {} | {} |\n", code.name(), code.status().as_u16(), code.meaning()));
    }
    text
}

/// The group of a path, and what it is about.
fn tag_of(path: &str) -> (String, &'static str) {
    let found = TAGS.iter().find(|(_, _, beginnings)| beginnings.iter().any(|beginning| path.starts_with(beginning)));
    match found {
        Some((name, text, _)) => ((*name).to_owned(), text),
        None => {
            let first = path.trim_start_matches('/').split('/').next().unwrap_or_default().replace('-', " ");
            (first[..1].to_uppercase() + &first[1..], "")
        }
    }
}

/// A name that programs made from the description give their functions: `post_vms_id_start`.
fn name_of(method: &str, path: &str) -> String {
    let words = path.split(|sign: char| !sign.is_ascii_alphanumeric()).filter(|word| !word.is_empty());
    words.fold(method.to_owned(), |name, word| name + "_" + word)
}

/// Who may call it: read by programs as `x-permission`, by people as a sentence.
fn tell_door(operation: &mut Value, door: Door) {
    let sentence = match door {
        Door::Anybody => "Anybody may call it.".to_owned(),
        Door::Account => "Any person may call it, about himself.".to_owned(),
        Door::Member => "Any member of the organisation may call it.".to_owned(),
        Door::May(permission) => {
            operation["x-permission"] = json!(permission.name());
            format!("Needs the permission `{permission}`: {}", permission.purpose())
        }
    };
    let more = operation["description"].as_str().filter(|text| !text.is_empty());
    operation["description"] = json!(more.map(|text| format!("{text}\n\n{sentence}")).unwrap_or(sentence));
    operation["security"] = match door {
        Door::Anybody => json!([]),
        Door::Account => json!([{ "access_token": [] }]),
        Door::May(permission) if !Permissions::for_keys().has(permission) => json!([{ "access_token": [] }]),
        Door::Member | Door::May(_) => json!([{ "access_token": [] }, { "api_key": [] }]),
    };
}

/// Whether it is asked of an organisation, which `X-Organisation` may choose.
fn is_of_organisation(door: Door) -> bool {
    match door {
        Door::Anybody => false,
        Door::Account | Door::Member => true,
        Door::May(permission) => !permission.is_platform(),
    }
}

fn parts_of(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn add_parameters(operation: &mut Value, path: &str, door: Door) {
    let mut parameters: Vec<Value> = operation["parameters"].as_array().cloned().unwrap_or_default();
    for part in parts_of(path) {
        if parameters.iter().any(|known| known["in"] == "path" && known["name"] == part) {
            continue;
        }
        let (schema, text) = match PARTS.iter().find(|(name, ..)| *name == part) {
            Some((_, "integer", text)) => (json!({ "type": "integer", "format": "int32", "minimum": 0 }), *text),
            Some((_, "date-time", text)) => (json!({ "type": "string", "format": "date-time" }), *text),
            Some((_, _, text)) => (json!({ "type": "string" }), *text),
            None => (json!({ "type": "string", "format": "uuid" }), "Its id."),
        };
        parameters.push(json!({
            "name": part, "in": "path", "required": true, "description": text, "schema": schema,
        }));
    }
    // Two queries of a handler may have a field in common.
    let mut known = Vec::new();
    parameters.retain(|parameter| {
        let name = (parameter["in"].clone(), parameter["name"].clone());
        let is_new = !known.contains(&name);
        known.push(name);
        is_new
    });
    parameters.iter_mut().for_each(say_without_null);
    if is_of_organisation(door) {
        parameters.push(json!({
            "name": "X-Organisation", "in": "header", "required": false,
            "description": "For which organisation, when the person belongs to several.",
            "schema": { "type": "string", "format": "uuid" },
        }));
    }
    if !parameters.is_empty() {
        operation["parameters"] = Value::Array(parameters);
    }
}

/// What may be left out of a query is never `null` in it.
fn say_without_null(parameter: &mut Value) {
    let schema = &mut parameter["schema"];
    if let Some(kinds) = schema.get_mut("type").and_then(Value::as_array_mut) {
        kinds.retain(|kind| kind != "null");
        if let [kind] = kinds.as_slice() {
            schema["type"] = kind.clone();
        }
    }
    if let Some(kinds) = schema.get_mut("oneOf").and_then(Value::as_array_mut) {
        kinds.retain(|kind| kind["type"] != "null");
        if let [kind] = kinds.as_slice() {
            *schema = kind.clone();
        }
    }
}

fn add_answers(operation: &mut Value, path: &str, route: &Route) {
    let changes = !matches!(route.method, Method::GET | Method::HEAD);
    let named = |place: &str| {
        let parameters = operation["parameters"].as_array();
        parameters.is_some_and(|list| list.iter().any(|parameter| parameter["in"] == place))
    };
    let (has_query, has_header) = (named("query"), named("header"));
    let has_body = operation.get("requestBody").is_some();
    let known = route.door != Door::Anybody;
    let mut codes = ALWAYS.to_vec();
    let kinds: [(bool, &[Code]); 6] = [
        (known || path.starts_with("/auth"), &[Code::NotAuthenticated]),
        (known || changes, &[Code::Forbidden]),
        // Also what a query names, and the organisation in the header.
        (known || parts_of(path).next().is_some(), &[Code::NotFound]),
        (changes, &[Code::Conflict, Code::InvalidFields]),
        (has_body, &[Code::Unreadable, Code::TooLarge, Code::UnsupportedMediaType, Code::InvalidFields]),
        (has_query, &[Code::Unreadable, Code::InvalidFields]),
    ];
    codes.extend(kinds.into_iter().filter(|(holds, _)| *holds).flat_map(|(_, codes)| codes));
    if has_header {
        codes.push(Code::InvalidFields);
    }

    let is_dry = operation["parameters"].as_array().is_some_and(|list| list.iter().any(|one| one["name"] == "dry_run"));
    let Some(answers) = operation["responses"].as_object_mut() else { return };
    for (status, answer) in answers.iter_mut() {
        let status: u16 = status.parse().unwrap_or_default();
        if status >= 400 {
            // A handler only says which problem it adds.
            codes.extend(StatusCode::from_u16(status).map(Code::of_status));
        } else if answer["description"].as_str().is_none_or(str::is_empty) {
            answer["description"] = json!(words(status, is_dry));
        }
    }
    for code in codes {
        let answer = json!({ "$ref": format!("#/components/responses/{}", answer_name(code.status())) });
        answers.insert(code.status().as_u16().to_string(), answer);
    }
}

fn words(status: u16, is_dry: bool) -> &'static str {
    match status {
        200 if is_dry => "With `dry_run`: what it would cost and do. Nothing was done.",
        200 => "As asked.",
        201 => "It was made.",
        202 => "It has been begun.",
        204 => "It was done; there is nothing to say.",
        _ => "An answer.",
    }
}

/// `NotFound` for 404, after the status and not after one of its codes.
fn answer_name(status: StatusCode) -> String {
    status.canonical_reason().unwrap_or("Problem").replace(' ', "")
}

/// The shared answer of a status: what its codes mean, with an example.
fn shared_answer(mut answers: Map<String, Value>, code: &Code) -> Map<String, Value> {
    let status = code.status();
    let text = format!("`{}`: {}", code.name(), code.meaning());
    let title = status.canonical_reason().unwrap_or_default();
    let mut example = json!({
        "type": "about:blank", "title": title, "status": status.as_u16(), "code": code.name(), "detail": code.meaning(),
        "request_id": "0199f8a2b7c47d1e8a3b5c6d7e8f9012",
    });
    match code {
        Code::NotEnoughCredit => example["short_by"] = json!("0.199200"),
        Code::NotPermitted => example["permission"] = json!("vm.create"),
        Code::SpendingLimit => {
            (example["limit"], example["used"], example["would_be"]) =
                (json!("5.000000"), json!("4.320000"), json!("5.760000"));
        }
        Code::InvalidFields => example["errors"] = json!([{ "field": "name", "problem": "Give it a name." }]),
        _ => {}
    }
    let answer = answers.entry(answer_name(status)).or_insert_with(|| {
        let schema = json!({ "$ref": "#/components/schemas/Problem" });
        let mut answer = json!({
            "description": "", "content": { "application/problem+json": { "schema": schema, "examples": {} } },
        });
        if *code == Code::TooMany {
            for (name, text) in [
                ("RateLimit-Limit", "Requests a minute."),
                ("RateLimit-Remaining", "How many may follow at once."),
                ("RateLimit-Reset", "In how many seconds all of them may again."),
            ] {
                answer["headers"][name] = json!({ "description": text, "schema": { "type": "integer", "minimum": 0 } });
            }
        }
        if matches!(code, Code::TooMany | Code::Unavailable) {
            let seconds = json!({ "type": "integer", "minimum": 0 });
            answer["headers"]["Retry-After"] = json!({ "description": "After how many seconds.", "schema": seconds });
        }
        answer
    });
    let before = answer["description"].as_str().filter(|text| !text.is_empty());
    answer["description"] = json!(before.map(|before| format!("{before} {text}")).unwrap_or(text));
    answer["content"]["application/problem+json"]["examples"][code.name()] = json!({ "value": example });
    answers
}
