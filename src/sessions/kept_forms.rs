//! A form that waits in its session while its sender proves once more that it is him, so that he types nothing twice.

use chrono::TimeDelta;
use serde::{Deserialize, Serialize};

use super::{CONFIRMED_MINUTES, db};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::SessionId;

/// A form as it was sent. It holds no secrets: whoever keeps it leaves them out.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub struct KeptForm {
    /// Where it was sent: a path of ours.
    pub path: String,
    /// The page that it stood on: a path of ours.
    pub back: String,
    /// What it held, in order.
    pub fields: Vec<(String, String)>,
}

/// Keeps a form for a session, instead of one that was kept before.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn keep_form(app: &App, session: SessionId, form: &KeptForm) -> Result<()> {
    let form = serde_json::to_value(form).map_err(|error| Error::Internal(error.into()))?;
    db::update_kept_form(&app.pool, session, &form, app.clock.machine_now()).await
}

/// The form that a session keeps, as long as a proof is good for.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn kept_form(app: &App, session: SessionId) -> Result<Option<KeptForm>> {
    let since = app.clock.machine_now() - TimeDelta::minutes(CONFIRMED_MINUTES);
    let form = db::select_kept_form(&app.pool, session, since).await?;
    Ok(form.and_then(|form| serde_json::from_value(form).ok()))
}
