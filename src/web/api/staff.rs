//! `/admin/organisations/{id}/people` and `/admin/staff`: people, for operators.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::ApiJson;
use crate::app::App;
use crate::ids::{OrganisationId, UserId};
use crate::permissions::PlatformRole;
use crate::staff::{self, NewRecovery, NewRole, NewStanding, Person, Stood};
use crate::web::error::ApiError;
use crate::web::read::Path;
use crate::web::session::ApiStaff;

/// People, all of them.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub struct People {
    /// Those who matter most first.
    items: Vec<Person>,
}

/// Lists the people of an organisation, owners first.
#[utoipa::path(get, path = "/admin/organisations/{id}/people", responses((status = 200, body = People)))]
pub async fn people(
    State(app): State<Arc<App>>,
    _staff: ApiStaff,
    Path(id): Path<OrganisationId>,
) -> Result<Json<People>, ApiError> {
    crate::organisations::find(&app, id).await?;
    Ok(Json(People { items: staff::people_of(&app, id).await? }))
}

/// Suspends or bans a person, or ends that.
///
/// It counts at once. The person gets a mail with the reason, and the organisation reads it in its audit log.
#[utoipa::path(
    put, path = "/admin/organisations/{id}/people/{user}/standing", request_body = NewStanding,
    responses((status = 200, body = Stood))
)]
pub async fn set_standing(
    State(app): State<Arc<App>>,
    caller: ApiStaff,
    Path((id, user)): Path<(OrganisationId, UserId)>,
    ApiJson(new): ApiJson<NewStanding>,
) -> Result<Json<Stood>, ApiError> {
    Ok(Json(staff::set_standing(&app, id, user, &new, &caller.actor).await?))
}

/// Takes the second factor of a person who has lost it.
///
/// The app, all passkeys and the recovery codes go, and every login ends. The person gets a mail with the reason, and the
/// organisation reads it in its audit log.
#[utoipa::path(
    post, path = "/admin/organisations/{id}/people/{user}/second-factor/reset", request_body = NewRecovery,
    responses((status = 200, body = Person))
)]
pub async fn recover(
    State(app): State<Arc<App>>,
    caller: ApiStaff,
    Path((id, user)): Path<(OrganisationId, UserId)>,
    ApiJson(new): ApiJson<NewRecovery>,
) -> Result<Json<Person>, ApiError> {
    Ok(Json(staff::recover(&app, id, user, &new, &caller.actor).await?))
}

/// Lists who works for the platform.
#[utoipa::path(get, path = "/admin/staff", responses((status = 200, body = People)))]
pub async fn list(State(app): State<Arc<App>>, _staff: ApiStaff) -> Result<Json<People>, ApiError> {
    Ok(Json(People { items: staff::people(&app).await? }))
}

/// Who is to be what.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
pub struct NewStaff {
    /// Of somebody who has registered.
    #[schema(max_length = 254)]
    email: String,
    /// What he is to be.
    role: PlatformRole,
}

/// Gives a platform role to who has registered with an e-mail address.
#[utoipa::path(post, path = "/admin/staff", request_body = NewStaff, responses((status = 201, body = Person)))]
pub async fn add(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    ApiJson(new): ApiJson<NewStaff>,
) -> Result<(StatusCode, Json<Person>), ApiError> {
    let person = staff::set_role_by_email(&app, &new.email, new.role, &staff.actor).await?;
    Ok((StatusCode::CREATED, Json(person)))
}

/// Gives a person another platform role; `null` takes it.
#[utoipa::path(put, path = "/admin/staff/{id}", request_body = NewRole, responses((status = 200, body = Person)))]
pub async fn change(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<UserId>,
    ApiJson(new): ApiJson<NewRole>,
) -> Result<Json<Person>, ApiError> {
    Ok(Json(staff::set_role(&app, id, new.role, &staff.actor).await?))
}

/// Takes the platform role from a person.
#[utoipa::path(delete, path = "/admin/staff/{id}", responses((status = 204)))]
pub async fn remove(
    State(app): State<Arc<App>>,
    staff: ApiStaff,
    Path(id): Path<UserId>,
) -> Result<StatusCode, ApiError> {
    staff::set_role(&app, id, None, &staff.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}
