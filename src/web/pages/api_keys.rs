//! The organisation's API keys: list, make, revoke.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{NaiveDate, TimeDelta};
use serde::Deserialize;

use super::frames::{Notice, decimal, form_errors, portal, redirect_with, render, render_with};
use crate::api_keys::{self, ApiKey, EXPIRY_DAYS_MAX, NAME_CHARACTERS_MAX, NewApiKey, Standing};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::ApiKeyId;
use crate::permissions::Permissions;
use crate::spending::{self, Spent};
use crate::vouchers;
use crate::web::error::{PageError, status};
use crate::web::format;
use crate::web::forms::{CsrfForm, Nothing};
use crate::web::read::Path;
use crate::web::session::Customer;
use crate::web::views::api_keys::{
    ApiKeyCreatedPage, ApiKeyForm, ApiKeyRow, ApiKeysPage, Budget, KeyState, NewApiKeyPage, PermissionChoice,
};
use crate::web::views::frame::{FlashKind, Section};

/// How long a key lasts when nothing else is chosen, in days.
const USUAL_DAYS: i64 = 90;

/// A key as it was typed.
#[derive(Debug, Deserialize)]
pub struct Typed {
    #[serde(default)]
    name: String,
    #[serde(default)]
    permissions: Vec<String>,
    #[serde(default)]
    expires_on: String,
    #[serde(default)]
    networks: String,
    #[serde(default)]
    daily_limit: String,
}

impl Typed {
    fn read(&self, app: &App) -> Result<NewApiKey> {
        let day = self.expires_on.trim();
        let expires_at = if day.is_empty() {
            None
        } else {
            let end = day.parse::<NaiveDate>().ok().and_then(|day| vouchers::end_of_day(day, app.settings.time_zone));
            Some(end.ok_or_else(|| Error::invalid("expires_at", "A day such as 2027-01-31, or nothing."))?)
        };
        Ok(NewApiKey {
            name: self.name.clone(),
            permissions: self.permissions.clone(),
            expires_at,
            networks: self.networks.split([',', '\n']).map(|network| network.trim().to_owned()).collect(),
            daily_limit: Some(self.daily_limit.clone()),
        })
    }
}

/// `GET /api-keys`
pub async fn list(State(app): State<Arc<App>>, customer: Customer, notice: Notice) -> Result<Response, PageError> {
    let organisation = customer.organisation();
    let keys = api_keys::list(&app, organisation).await?;
    let spent = spending::today(&app, organisation).await?;
    let page = ApiKeysPage {
        keys: keys.into_iter().map(|key| row(key, &spent)).collect(),
        day_ends_at: spending::day_of(app.clock.now(), app.settings.time_zone).1,
        frame: portal(&app, &customer, "API keys", Section::ApiKeys, &notice).await?,
    };
    Ok(render_with(&app, &notice, &page))
}

/// `GET /api-keys/new`
pub async fn new(State(app): State<Arc<App>>, customer: Customer, notice: Notice) -> Result<Response, PageError> {
    let until = app.clock.machine_now() + TimeDelta::days(USUAL_DAYS);
    let form = ApiKeyForm {
        expires_on: until.with_timezone(&app.settings.time_zone).date_naive().to_string(),
        ..ApiKeyForm::default()
    };
    Ok(render_with(&app, &notice, &new_page(&app, &customer, &notice, form, &[]).await?))
}

/// `POST /api-keys`: answers with the key itself, for it is kept nowhere that a redirect could read.
pub async fn create(
    State(app): State<Arc<App>>,
    customer: Customer,
    CsrfForm(typed): CsrfForm<Typed>,
) -> Result<Response, PageError> {
    let made = match typed.read(&app) {
        Ok(new) => api_keys::create(&app, customer.organisation(), &new, customer.asker()).await,
        Err(error) => Err(error),
    };
    match made {
        Ok(made) => {
            let notice = Notice::default();
            let page = ApiKeyCreatedPage {
                frame: portal(&app, &customer, made.key.name.clone(), Section::ApiKeys, &notice).await?,
                text: made.text.reveal().to_owned(),
                key: row(made.key, &HashMap::new()),
                api_url: format!("{}/api/v1/vms", app.settings.public_url),
            };
            Ok((StatusCode::CREATED, render(&page)).into_response())
        }
        Err(error) => {
            let status = status(&error);
            let form = ApiKeyForm {
                name: typed.name,
                expires_on: typed.expires_on,
                networks: typed.networks,
                daily_limit: typed.daily_limit,
                errors: form_errors(error)?,
            };
            let page = new_page(&app, &customer, &Notice::default(), form, &typed.permissions).await?;
            Ok((status, render(&page)).into_response())
        }
    }
}

/// `POST /api-keys/{id}/revoke`
pub async fn revoke(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<ApiKeyId>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    api_keys::revoke(&app, customer.organisation(), id, &customer.actor).await?;
    let sentence = "The key is revoked: programs that use it are refused from now on.";
    Ok(redirect_with(&app, "/api-keys", FlashKind::Success, sentence))
}

async fn new_page(
    app: &App,
    customer: &Customer,
    notice: &Notice,
    form: ApiKeyForm,
    chosen: &[String],
) -> Result<NewApiKeyPage> {
    let own = customer.session.permissions.only(Permissions::for_keys());
    let choices = own.list().into_iter().map(|permission| PermissionChoice {
        name: permission.name(),
        purpose: permission.purpose(),
        chosen: chosen.iter().any(|name| name == permission.name()),
    });
    Ok(NewApiKeyPage {
        choices: choices.collect(),
        form,
        expiry_days_max: EXPIRY_DAYS_MAX,
        name_characters_max: NAME_CHARACTERS_MAX,
        time_zone: app.settings.time_zone.name().to_owned(),
        frame: portal(app, customer, "Make a key", Section::ApiKeys, notice).await?,
    })
}

fn row(key: ApiKey, spent: &HashMap<ApiKeyId, Spent>) -> ApiKeyRow {
    let budget = key.daily_limit.map(|limit| {
        let used = spent.get(&key.id).map(Spent::today).unwrap_or_default();
        let (limit, used) = (decimal(limit), decimal(used));
        Budget { percent: format::percentage_of_money(&used, &limit), limit, used }
    });
    ApiKeyRow {
        id: key.id.to_string(),
        name: key.name,
        prefix: key.prefix,
        state: match key.standing {
            Standing::Active => KeyState::Active,
            Standing::Revoked => KeyState::Revoked,
            Standing::Expired => KeyState::Expired,
            Standing::WithoutMaker => KeyState::WithoutMaker,
            Standing::MakerSuspended => KeyState::OnlyLooks,
        },
        patterns: key.patterns,
        networks: key.networks,
        budget,
        expires_at: key.expires_at,
        last_used_at: key.last_used_at,
        last_used_address: key.last_used_address.unwrap_or_default(),
        made_by: key.made_by,
        created_at: key.created_at,
    }
}
