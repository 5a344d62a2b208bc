//! The description of the API has every route of the router and nothing else, and says of each who may enter. A test of its own,
//! for whoever adds a route runs it often: `cargo test --workspace --test openapi`.

#![allow(missing_docs)]

use std::collections::BTreeSet;

use serde_json::Value;
use uni_manager::web::doors::{Door, Route};
use uni_manager::web::openapi::document;

/// Every operation with its method and path.
fn operations() -> Vec<(String, &'static Value)> {
    let paths = document()["paths"].as_object().expect("there are paths");
    let of = |(path, methods): (&String, &'static Value)| {
        let path = path.clone();
        let methods = methods.as_object().expect("a path has methods");
        methods.iter().map(move |(method, operation)| (format!("{} {path}", method.to_uppercase()), operation))
    };
    paths.iter().flat_map(of).collect()
}

fn routes() -> Vec<(String, Door)> {
    let named = |route: Route| Some((format!("{} {}", route.method, route.path.strip_prefix("/api/v1")?), route.door));
    uni_manager::web::routes().into_iter().filter_map(named).collect()
}

#[test]
fn every_route_of_the_api_is_described_and_nothing_else() {
    let described: BTreeSet<_> = operations().into_iter().map(|(name, _)| name).collect();
    let routes: BTreeSet<_> = routes().into_iter().map(|(name, _)| name).collect();
    assert!(routes.len() > 100, "the routes were found");

    let missing: Vec<_> = routes.difference(&described).collect();
    let gone: Vec<_> = described.difference(&routes).collect();

    assert!(
        missing.is_empty(),
        "these routes are not described: {missing:#?}\nPut #[utoipa::path(…)] above each handler and its name into the \
         list in src/web/openapi/mod.rs; CONTRIBUTING.md has an example under “A new API route”."
    );
    assert!(gone.is_empty(), "these are described, but the router has no such route below /api/v1: {gone:#?}");
}

#[test]
fn every_operation_says_what_it_does_and_what_it_needs() {
    let doors = routes();
    for (name, operation) in operations() {
        let text = |field: &str| operation[field].as_str().unwrap_or_default().to_owned();
        assert!(text("summary").ends_with('.'), "{name}: a sentence as /// above its handler");
        let door = doors.iter().find(|(route, _)| *route == name).map(|(_, door)| *door).expect("a route");
        match door {
            Door::May(permission) => {
                assert_eq!(text("x-permission"), permission.name(), "{name}");
                let sentence = format!("Needs the permission `{permission}`: {}", permission.purpose());
                assert!(text("description").ends_with(&sentence), "{name}: {}", text("description"));
            }
            Door::Anybody => assert_eq!(operation["security"], serde_json::json!([]), "{name}"),
            Door::Account | Door::Member => assert!(operation["x-permission"].is_null(), "{name}"),
        }
        assert!(operation["tags"][0].is_string(), "{name}");
        let answers = operation["responses"].as_object().expect("answers");
        assert!(answers.keys().any(|status| status.starts_with('2')), "{name}: what it answers when all is well");
    }
}

#[test]
fn every_name_is_used_once_and_every_reference_leads_somewhere() {
    let names: BTreeSet<_> = operations().iter().map(|(_, operation)| operation["operationId"].to_string()).collect();
    assert_eq!(names.len(), operations().len());

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                assert!(fields.get("type").is_none_or(|kind| !kind.is_null()), "a type is never null: {value}");
                found.extend(fields.get("$ref").and_then(Value::as_str).map(str::to_owned));
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    references(document(), &mut found);
    assert!(found.len() > 100, "there are references");
    for reference in found {
        let pointer = reference.trim_start_matches('#');
        assert!(document().pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}
