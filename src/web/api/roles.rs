//! `/permissions` and `/roles`: what there is to be allowed, and what an organisation's people are.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{ApiJson, List};
use crate::app::App;
use crate::error::Error;
use crate::ids::RoleId;
use crate::organisations::{self, Listed, NewRole, RoleChoice};
use crate::permissions::Permission;
use crate::web::error::ApiError;
use crate::web::read::{Path, Query};
use crate::web::session::ApiCaller;

/// A permission with its purpose.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Permission)]
pub struct PermissionView {
    /// Its name, which patterns are made of.
    name: &'static str,
    /// What it is for.
    purpose: &'static str,
    /// Whether who asks has it.
    held: bool,
}

/// Lists the permissions of an organisation with what each is for; to staff also those of the platform.
#[utoipa::path(get, path = "/permissions", responses((status = 200, body = List<PermissionView>)))]
pub async fn permissions(caller: ApiCaller) -> Json<List<PermissionView>> {
    let held = caller.permissions.and(caller.user.platform_permissions());
    let is_staff = caller.user.platform_role.is_some();
    let shown = Permission::ALL.iter().copied().filter(|permission| is_staff || !permission.is_platform());
    let items = shown.map(|permission| PermissionView {
        name: permission.name(),
        purpose: permission.purpose(),
        held: held.has(permission),
    });
    Json(List { items: items.collect(), next: None })
}

/// A role.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Role)]
pub struct RoleView {
    /// The name of one that every organisation has, or the id of one of its own.
    #[schema(value_type = String)]
    role: RoleChoice,
    /// Its name.
    name: String,
    /// What one of those that every organisation has is for.
    purpose: Option<&'static str>,
    /// Whether the organisation made it.
    own: bool,
    /// The patterns that it is made of.
    patterns: Vec<String>,
    /// What they stand for.
    permissions: Vec<&'static str>,
    /// How many people have it.
    members: i64,
}

impl From<Listed> for RoleView {
    fn from(role: Listed) -> Self {
        Self {
            role: role.choice,
            own: role.purpose.is_none(),
            name: role.name,
            purpose: role.purpose,
            patterns: role.patterns,
            permissions: role.permissions.list().into_iter().map(|permission| permission.name()).collect(),
            members: role.members,
        }
    }
}

async fn one(app: &App, caller: &ApiCaller, id: RoleId) -> Result<Json<RoleView>, ApiError> {
    let roles = organisations::list_roles(app, caller.organisation.id).await?;
    let found = roles.into_iter().find(|role| role.choice == RoleChoice::Own(id)).ok_or(Error::NotFound("role"))?;
    Ok(Json(found.into()))
}

/// Lists roles: those that every organisation has, then its own by name.
#[utoipa::path(get, path = "/roles", responses((status = 200, body = List<RoleView>)))]
pub async fn list(State(app): State<Arc<App>>, caller: ApiCaller) -> Result<Json<List<RoleView>>, ApiError> {
    let roles = organisations::list_roles(&app, caller.organisation.id).await?;
    Ok(Json(List { items: roles.into_iter().map(RoleView::from).collect(), next: None }))
}

/// Makes a role, no wider than what who asks may do.
#[utoipa::path(post, path = "/roles", request_body = NewRole, responses((status = 201, body = RoleView)))]
pub async fn create(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    ApiJson(new): ApiJson<NewRole>,
) -> Result<(StatusCode, Json<RoleView>), ApiError> {
    let role = organisations::create_role(&app, caller.organisation.id, &new, caller.asker()).await?;
    Ok((StatusCode::CREATED, one(&app, &caller, role.id).await?))
}

/// Changes a role, for everybody who has it, at once.
#[utoipa::path(put, path = "/roles/{id}", request_body = NewRole, responses((status = 200, body = RoleView)))]
pub async fn change(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<RoleId>,
    ApiJson(new): ApiJson<NewRole>,
) -> Result<Json<RoleView>, ApiError> {
    organisations::change_own_role(&app, caller.organisation.id, id, &new, caller.asker()).await?;
    one(&app, &caller, id).await
}

/// Which role is given to who has the one that is deleted.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
pub struct Instead {
    /// The name of a role that every organisation has, or the id of one of its own.
    move_to: Option<String>,
}

/// Deletes a role.
///
/// While somebody has it, or is invited with it, `move_to` says which one he gets instead.
#[utoipa::path(delete, path = "/roles/{id}", params(Instead), responses((status = 204)))]
pub async fn delete(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<RoleId>,
    Query(instead): Query<Instead>,
) -> Result<StatusCode, ApiError> {
    let move_to = match instead.move_to.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => Some(text.parse().map_err(|()| Error::invalid("move_to", "Choose one of the roles."))?),
        None => None,
    };
    organisations::delete_role(&app, caller.organisation.id, id, move_to, caller.asker()).await?;
    Ok(StatusCode::NO_CONTENT)
}
