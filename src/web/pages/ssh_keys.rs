//! The organisation's SSH keys: list, add, remove.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::frames::{Notice, form_errors, portal, redirect_with, render_with};
use crate::app::App;
use crate::ids::SshKeyId;
use crate::web::error::{PageError, status};
use crate::web::forms::{CsrfForm, Nothing};
use crate::web::read::Path;
use crate::web::session::Customer;
use crate::web::views::frame::{FlashKind, Section};
use crate::web::views::ssh_keys::{SshKeyForm, SshKeyRow, SshKeysPage};
use crate::{ssh_keys, vms};

/// A key as it was typed.
#[derive(Debug, Deserialize)]
pub struct Typed {
    #[serde(default)]
    name: String,
    #[serde(default)]
    key: String,
}

/// `GET /ssh-keys`
pub async fn list(State(app): State<Arc<App>>, customer: Customer, notice: Notice) -> Result<Response, PageError> {
    page(&app, &customer, &notice, SshKeyForm::default()).await
}

async fn page(app: &App, customer: &Customer, notice: &Notice, form: SshKeyForm) -> Result<Response, PageError> {
    let used = vms::count_by_key(app, customer.organisation()).await?;
    let keys = ssh_keys::list(app, customer.organisation()).await?;
    let rows = keys.into_iter().map(|key| SshKeyRow {
        id: key.id.to_string(),
        name: key.name,
        algorithm: key.public_key.split(' ').next().unwrap_or_default().to_owned(),
        fingerprint: key.fingerprint,
        added_at: key.created_at,
        vms: used.get(&key.public_key).and_then(|vms| u64::try_from(*vms).ok()).unwrap_or(0),
    });
    let page = SshKeysPage {
        keys: rows.collect(),
        form,
        frame: portal(app, customer, "SSH keys", Section::SshKeys, notice).await?,
    };
    Ok(render_with(app, notice, &page))
}

/// `POST /ssh-keys`
pub async fn add(
    State(app): State<Arc<App>>,
    customer: Customer,
    CsrfForm(typed): CsrfForm<Typed>,
) -> Result<Response, PageError> {
    match ssh_keys::add(&app, customer.organisation(), ("name", &typed.name), ("key", &typed.key), &customer.actor)
        .await
    {
        Ok(key) => Ok(redirect_with(&app, "/ssh-keys", FlashKind::Success, format!("The key {} was added.", key.name))),
        Err(error) => {
            let status: StatusCode = status(&error);
            let form = SshKeyForm { name: typed.name, key: typed.key, errors: form_errors(error)? };
            Ok((status, page(&app, &customer, &Notice::default(), form).await?).into_response())
        }
    }
}

/// `POST /ssh-keys/{id}/delete`
pub async fn remove(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<SshKeyId>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    ssh_keys::remove(&app, customer.organisation(), id, &customer.actor).await?;
    Ok(redirect_with(&app, "/ssh-keys", FlashKind::Success, "The key was deleted. Machines that have it keep it."))
}
