//! `/api-keys`: the keys with which programs act for the organisation. Only people come here: no key can do it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use billing::Money;
use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{ApiJson, List};
use crate::api_keys::{self, ApiKey, NewApiKey, Standing};
use crate::app::App;
use crate::ids::ApiKeyId;
use crate::spending::{self, Spent};
use crate::web::error::ApiError;
use crate::web::read::Path;
use crate::web::session::ApiCaller;

/// A key as programs see it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = ApiKey)]
pub struct ApiKeyView {
    /// Its id.
    id: ApiKeyId,
    /// How people call it.
    name: String,
    /// How it begins.
    prefix: String,
    /// Whether it opens anything.
    state: Standing,
    /// The patterns that it was given.
    permissions: Vec<String>,
    /// What they stand for now: no more than its maker may do.
    #[schema(value_type = Vec<String>)]
    allowed: Vec<&'static str>,
    /// From where it may be used; empty: from anywhere.
    networks: Vec<String>,
    /// The most that its VMs may cost in a day; null: no limit.
    daily_limit: Option<Money>,
    /// What they cost today, with what runs until the end of the day.
    spent_today: Money,
    /// Who made it: an e-mail address.
    created_by: String,
    /// When.
    created_at: DateTime<Utc>,
    /// When it ends; null: never.
    expires_at: Option<DateTime<Utc>>,
    /// When it was last used, to the minute.
    last_used_at: Option<DateTime<Utc>>,
    /// From where.
    last_used_address: Option<String>,
}

impl ApiKeyView {
    fn new(key: ApiKey, spent: Option<&Spent>) -> Self {
        Self {
            id: key.id,
            name: key.name,
            prefix: key.prefix,
            state: key.standing,
            permissions: key.patterns,
            allowed: key.permissions.list().into_iter().map(crate::permissions::Permission::name).collect(),
            networks: key.networks,
            daily_limit: key.daily_limit,
            spent_today: spent.map(Spent::today).unwrap_or_default(),
            created_by: key.made_by,
            created_at: key.created_at,
            expires_at: key.expires_at,
            last_used_at: key.last_used_at,
            last_used_address: key.last_used_address,
        }
    }
}

/// A key that was just made.
// No Debug: there is a secret in it.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = NewlyMadeApiKey)]
pub struct MadeView {
    /// What the program sends, 64 characters; it is shown only now.
    #[schema(min_length = 64, max_length = 64)]
    key: String,
    #[serde(flatten)]
    view: ApiKeyView,
}

/// Lists API keys: those that are not revoked first, newest first.
#[utoipa::path(get, path = "/api-keys", responses((status = 200, body = List<ApiKeyView>)))]
pub async fn list(State(app): State<Arc<App>>, caller: ApiCaller) -> Result<Json<List<ApiKeyView>>, ApiError> {
    let spent = spending::today(&app, caller.organisation.id).await?;
    let keys = api_keys::list(&app, caller.organisation.id).await?.into_iter().map(|key| {
        let spent = spent.get(&key.id);
        ApiKeyView::new(key, spent)
    });
    Ok(Json(List { items: keys.collect(), next: None }))
}

/// Shows an API key.
#[utoipa::path(get, path = "/api-keys/{id}", responses((status = 200, body = ApiKeyView)))]
pub async fn show(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<ApiKeyId>,
) -> Result<Json<ApiKeyView>, ApiError> {
    let key = api_keys::find(&app, caller.organisation.id, id).await?;
    let spent = spending::today(&app, caller.organisation.id).await?;
    Ok(Json(ApiKeyView::new(key, spent.get(&id))))
}

/// Makes an API key.
///
/// It may do no more than whoever makes it. The answer has the key itself, which is shown only now.
#[utoipa::path(post, path = "/api-keys", request_body = NewApiKey, responses((status = 201, body = MadeView)))]
pub async fn create(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    ApiJson(new): ApiJson<NewApiKey>,
) -> Result<(StatusCode, Json<MadeView>), ApiError> {
    let made = api_keys::create(&app, caller.organisation.id, &new, caller.asker()).await?;
    let view = MadeView { key: made.text.reveal().to_owned(), view: ApiKeyView::new(made.key, None) };
    Ok((StatusCode::CREATED, Json(view)))
}

/// Revokes an API key.
///
/// It opens nothing from then on.
#[utoipa::path(delete, path = "/api-keys/{id}", responses((status = 204)))]
pub async fn revoke(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<ApiKeyId>,
) -> Result<StatusCode, ApiError> {
    api_keys::revoke(&app, caller.organisation.id, id, &caller.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}
