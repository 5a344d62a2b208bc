//! The page of the organisation's SSH keys: list, add, delete.
//! Public keys only; private ones are never asked for.

use askama::Template;
use chrono::{DateTime, Utc};

use super::form::FormErrors;
use super::frame::PortalFrame;
use super::markup;
use crate::permissions::Permission;
use crate::web::format;

/// `GET /ssh-keys`, and `POST /ssh-keys` when it was refused.
#[derive(Debug, Template)]
#[template(path = "ssh_keys/list.html")]
pub struct SshKeysPage {
    /// Around the page.
    pub frame: PortalFrame,
    /// Newest first.
    pub keys: Vec<SshKeyRow>,
    /// The form to add one.
    pub form: SshKeyForm,
}

/// A key in the list.
#[derive(Clone, Debug)]
pub struct SshKeyRow {
    /// Id in URLs.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// `ssh-ed25519`, `ssh-rsa`, …
    pub algorithm: String,
    /// `SHA256:…`
    pub fingerprint: String,
    /// When it was added.
    pub added_at: DateTime<Utc>,
    /// How many VMs were made with it.
    pub vms: u64,
}

/// What was typed to add a key. Fields: `name`, `key`.
#[derive(Clone, Debug, Default)]
pub struct SshKeyForm {
    /// Name of the key.
    pub name: String,
    /// The public key's line.
    pub key: String,
    /// What is wrong with it.
    pub errors: FormErrors,
}
