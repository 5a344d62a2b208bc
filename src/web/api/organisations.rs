//! `/organisations`, `/organisation`, `/members`, `/invitations`: whose things these are, and who comes in. Without
//! `X-Organisation` it is the first organisation of who asks.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::{ApiJson, List};
use crate::app::App;
use crate::error::Error;
use crate::ids::{InvitationId, OrganisationId, UserId};
use crate::organisations::{self, Detail, Invitation, Mine, RoleChoice, SecondFactor, Token};
use crate::permissions::Permission;
use crate::web::error::ApiError;
use crate::web::read::Path;
use crate::web::session::ApiCaller;

/// An organisation of who asks.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Organisation)]
pub struct OrganisationView {
    /// Its id.
    id: OrganisationId,
    /// Its short number.
    number: i64,
    /// The name.
    name: String,
    /// When it was made.
    created_at: DateTime<Utc>,
    /// The name of a role that every organisation has, or the id of one of its own.
    #[schema(value_type = String)]
    role: RoleChoice,
    /// How the role is called.
    role_name: String,
    /// How many people belong to it.
    members: i64,
}

impl From<Mine> for OrganisationView {
    fn from(mine: Mine) -> Self {
        let organisation = mine.organisation;
        Self {
            id: organisation.id,
            number: organisation.number,
            name: organisation.name,
            created_at: organisation.created_at,
            role: mine.role,
            role_name: mine.role_name,
            members: mine.members,
        }
    }
}

/// The name of an organisation.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = OrganisationName)]
pub struct Named {
    /// The name.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 80)]
    name: String,
}

async fn one(app: &App, caller: &ApiCaller, id: OrganisationId) -> Result<Json<OrganisationView>, ApiError> {
    let mine = organisations::mine(app, caller.user.id).await?;
    let found = mine.into_iter().find(|mine| mine.organisation.id == id).ok_or(Error::NotFound("organisation"))?;
    Ok(Json(found.into()))
}

/// Lists the organisations of who asks, the oldest first.
#[utoipa::path(get, path = "/organisations", responses((status = 200, body = List<OrganisationView>)))]
pub async fn list(State(app): State<Arc<App>>, caller: ApiCaller) -> Result<Json<List<OrganisationView>>, ApiError> {
    let mine = organisations::mine(&app, caller.user.id).await?;
    Ok(Json(List { items: mine.into_iter().map(OrganisationView::from).collect(), next: None }))
}

/// Makes another organisation, with an empty wallet.
#[utoipa::path(post, path = "/organisations", request_body = Named, responses((status = 201, body = OrganisationView)))]
pub async fn create(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    ApiJson(new): ApiJson<Named>,
) -> Result<(StatusCode, Json<OrganisationView>), ApiError> {
    let id = organisations::create_another(&app, &new.name, caller.user.id, &caller.actor).await?;
    Ok((StatusCode::CREATED, one(&app, &caller, id).await?))
}

/// Leaves an organisation.
///
/// The last owner cannot. Whose last organisation it was gets one of his own.
#[utoipa::path(post, path = "/organisations/{id}/leave", responses((status = 204)))]
pub async fn leave(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<OrganisationId>,
) -> Result<StatusCode, ApiError> {
    organisations::leave(&app, id, caller.user.id, &caller.actor).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Shows the organisation that is asked for.
#[utoipa::path(get, path = "/organisation", responses((status = 200, body = OrganisationView)))]
pub async fn show(State(app): State<Arc<App>>, caller: ApiCaller) -> Result<Json<OrganisationView>, ApiError> {
    one(&app, &caller, caller.organisation.id).await
}

/// Gives the organisation another name.
#[utoipa::path(patch, path = "/organisation", request_body = Named, responses((status = 200, body = OrganisationView)))]
pub async fn rename(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    ApiJson(new): ApiJson<Named>,
) -> Result<Json<OrganisationView>, ApiError> {
    organisations::rename(&app, caller.organisation.id, &new.name, caller.asker()).await?;
    one(&app, &caller, caller.organisation.id).await
}

/// Who becomes the owner.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Successor {
    /// The member.
    member: UserId,
}

/// Hands the organisation over to another member.
///
/// The owner who does it stays as an admin; both are told by mail.
#[utoipa::path(post, path = "/organisation/hand-over", request_body = Successor, responses((status = 204)))]
pub async fn hand_over(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    ApiJson(successor): ApiJson<Successor>,
) -> Result<StatusCode, ApiError> {
    organisations::hand_over(&app, caller.organisation.id, successor.member, caller.asker()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// A member.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Member)]
pub struct MemberView {
    /// The person.
    id: UserId,
    /// The name.
    name: String,
    /// The e-mail address.
    email: String,
    /// The name of a role that every organisation has, or the id of one of its own.
    #[schema(value_type = String)]
    role: RoleChoice,
    /// How the role is called.
    role_name: String,
    /// What the role allows.
    permissions: Vec<&'static str>,
    /// Since when.
    joined_at: DateTime<Utc>,
    /// Neither suspended nor banned.
    active: bool,
    /// What opens the person's account beside the password. Only who may manage members is told.
    second_factors: Option<Vec<SecondFactor>>,
}

impl MemberView {
    fn of(caller: &ApiCaller, member: Detail) -> Self {
        Self {
            id: member.user,
            name: member.name,
            email: member.email,
            role: member.role,
            role_name: member.role_name,
            permissions: member.permissions.list().into_iter().map(|permission| permission.name()).collect(),
            joined_at: member.joined_at,
            active: member.is_active,
            second_factors: caller.permissions.has(Permission::MemberManage).then_some(member.second_factors),
        }
    }
}

/// Lists the members, the oldest first.
#[utoipa::path(get, path = "/members", responses((status = 200, body = List<MemberView>)))]
pub async fn members(State(app): State<Arc<App>>, caller: ApiCaller) -> Result<Json<List<MemberView>>, ApiError> {
    let members = organisations::list_members(&app, caller.organisation.id).await?;
    Ok(Json(List { items: members.into_iter().map(|member| MemberView::of(&caller, member)).collect(), next: None }))
}

/// A role by the name of one that every organisation has, or by the id of one of its own.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ChosenRole)]
pub struct ChosenRole {
    /// The name of a role that every organisation has, or the id of one of its own.
    role: String,
}

/// Gives a member another role.
///
/// Nobody gives more than he has himself, and only an owner makes or changes owners.
#[utoipa::path(patch, path = "/members/{id}", request_body = ChosenRole, responses((status = 200, body = MemberView)))]
pub async fn change_member(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<UserId>,
    ApiJson(chosen): ApiJson<ChosenRole>,
) -> Result<Json<MemberView>, ApiError> {
    let role = chosen.role.parse().unwrap_or(RoleChoice::Unknown);
    organisations::change_role(&app, caller.organisation.id, id, role, caller.asker()).await?;
    let members = organisations::list_members(&app, caller.organisation.id).await?;
    let found = members.into_iter().find(|member| member.user == id).ok_or(Error::NotFound("member"))?;
    Ok(Json(MemberView::of(&caller, found)))
}

/// Removes a member.
#[utoipa::path(delete, path = "/members/{id}", responses((status = 204)))]
pub async fn remove_member(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<UserId>,
) -> Result<StatusCode, ApiError> {
    organisations::remove(&app, caller.organisation.id, id, caller.asker()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An invitation that waits.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Invitation)]
pub struct InvitationView {
    /// Its id.
    id: InvitationId,
    /// The e-mail address.
    email: String,
    /// The name of a role that every organisation has, or the id of one of its own.
    #[schema(value_type = String)]
    role: RoleChoice,
    /// How the role is called.
    role_name: String,
    /// The e-mail address of who invited.
    invited_by: String,
    /// When it was last sent.
    sent_at: DateTime<Utc>,
    /// Until when it is good.
    expires_at: DateTime<Utc>,
    /// How often it was sent.
    sends: i32,
    /// Whether its time is over.
    expired: bool,
}

fn invitation_view(app: &App, found: Invitation) -> InvitationView {
    InvitationView {
        id: found.id,
        email: found.email,
        role: found.role,
        role_name: found.role_name,
        invited_by: found.invited_by,
        sent_at: found.sent_at,
        expires_at: found.expires_at,
        sends: found.sends,
        expired: found.expires_at <= app.clock.machine_now(),
    }
}

async fn one_invitation(app: &App, caller: &ApiCaller, id: InvitationId) -> Result<InvitationView, ApiError> {
    let known = organisations::list_invitations(app, caller.organisation.id).await?;
    let found = known.into_iter().find(|found| found.id == id).ok_or(Error::NotFound("invitation"))?;
    Ok(invitation_view(app, found))
}

/// Lists invitations that were neither accepted nor withdrawn, newest first.
#[utoipa::path(get, path = "/invitations", responses((status = 200, body = List<InvitationView>)))]
pub async fn invitations(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
) -> Result<Json<List<InvitationView>>, ApiError> {
    let found = organisations::list_invitations(&app, caller.organisation.id).await?;
    Ok(Json(List { items: found.into_iter().map(|found| invitation_view(&app, found)).collect(), next: None }))
}

/// Whom to invite, as what.
#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewInvitation {
    /// Where the mail goes.
    #[serde(default)]
    #[schema(min_length = 3, max_length = 254)]
    email: String,
    /// The name of a role that every organisation has, or the id of one of its own.
    #[serde(default)]
    role: String,
}

/// Invites somebody by mail.
///
/// The link in the mail is good for seven days, for one person with that address.
#[utoipa::path(post, path = "/invitations", request_body = NewInvitation, responses((status = 201, body = InvitationView)))]
pub async fn invite(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    ApiJson(new): ApiJson<NewInvitation>,
) -> Result<(StatusCode, Json<InvitationView>), ApiError> {
    let role = new.role.parse().unwrap_or(RoleChoice::Unknown);
    let id = organisations::invite(&app, caller.organisation.id, &new.email, role, caller.asker()).await?;
    Ok((StatusCode::CREATED, Json(one_invitation(&app, &caller, id).await?)))
}

/// Withdraws an invitation.
#[utoipa::path(delete, path = "/invitations/{id}", responses((status = 204)))]
pub async fn withdraw(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<InvitationId>,
) -> Result<StatusCode, ApiError> {
    organisations::withdraw(&app, caller.organisation.id, id, caller.asker()).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Sends an invitation again, with a new link.
#[utoipa::path(post, path = "/invitations/{id}/send", responses((status = 200, body = InvitationView)))]
pub async fn send_again(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    Path(id): Path<InvitationId>,
) -> Result<Json<InvitationView>, ApiError> {
    organisations::send_again(&app, caller.organisation.id, id, caller.asker()).await?;
    Ok(Json(one_invitation(&app, &caller, id).await?))
}

/// The token of an invitation, as the mail has it.
#[derive(Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = InvitationToken)]
pub struct Held {
    /// As it stands in the link.
    token: String,
}

/// Accepts an invitation to the address of who asks.
#[utoipa::path(post, path = "/invitations/accept", request_body = Held, responses((status = 200, body = OrganisationView)))]
pub async fn accept(
    State(app): State<Arc<App>>,
    caller: ApiCaller,
    ApiJson(held): ApiJson<Held>,
) -> Result<Json<OrganisationView>, ApiError> {
    let user = &caller.user;
    let id = organisations::accept(&app, &Token::new(&held.token), user.id, &user.email, &caller.actor).await?;
    one(&app, &caller, id).await
}
