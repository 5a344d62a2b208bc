//! `/api/docs`: the API read to a person, who can try it there. Without scripts it is a list.

use axum::response::Response;
use serde_json::Value;

use super::frames::render;
use crate::web::views::docs::{ApiDocs, Group, Operation};
use crate::web::views::frame::{AssetVersion, BareFrame};
use crate::web::{assets, openapi};

/// `GET /api/docs`
pub async fn api() -> Response {
    let assets = AssetVersion(assets::version());
    let frame = BareFrame { title: "API".into(), assets, flash: None, demo_clock: None };
    render(&ApiDocs { frame, groups: groups(openapi::document()) })
}

/// The operations below their tags.
fn groups(document: &Value) -> Vec<Group> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let tags = document["tags"].as_array().into_iter().flatten();
    let empty =
        |tag: &Value| Group { name: text(&tag["name"]), text: text(&tag["description"]), operations: Vec::new() };
    let mut groups: Vec<Group> = tags.map(empty).collect();
    for (path, methods) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in methods.as_object().into_iter().flatten() {
            if let Some(group) = groups.iter_mut().find(|group| operation["tags"][0] == group.name) {
                group.operations.push(Operation {
                    method: method.to_uppercase(),
                    path: path.clone(),
                    summary: text(&operation["summary"]),
                    permission: text(&operation["x-permission"]),
                });
            }
        }
    }
    groups
}
