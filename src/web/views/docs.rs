//! The API for people: what there is to call, and a place for the script that lets one try it.

use askama::Template;

use super::frame::BareFrame;
use super::markup;

/// The page of the API.
#[derive(Debug, Template)]
#[template(path = "docs/api.html")]
pub struct ApiDocs {
    /// Around the page.
    pub frame: BareFrame,
    /// What there is to call.
    pub groups: Vec<Group>,
}

/// Operations about one thing.
#[derive(Debug)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// What it is about.
    pub text: String,
    /// What belongs to it.
    pub operations: Vec<Operation>,
}

/// One operation.
#[derive(Debug)]
pub struct Operation {
    /// `GET`.
    pub method: String,
    /// Below `/api/v1`.
    pub path: String,
    /// What it does.
    pub summary: String,
    /// What it needs; empty: nothing but a login, or not even that.
    pub permission: String,
}
