//! Who belongs to the organisation that is open, and who is invited.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use serde::Deserialize;

use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{InvitationId, UserId};
use crate::organisations::{self, Detail, GOOD_DAYS, Invitation, Listed, RoleChoice, SENDS_MAX, SecondFactor};
use crate::permissions::Role;
use crate::web::error::{PageError, status, with_patience};
use crate::web::forms::{CsrfForm, Nothing};
use crate::web::pages::frames::{Notice, form_errors, portal, redirect_with, render, render_with};
use crate::web::read::Path;
use crate::web::session::Customer;
use crate::web::views::form::SelectOption;
use crate::web::views::frame::{FlashKind, Section};
use crate::web::views::organisations::{InvitationRow, InviteForm, MemberRow, MembersPage, Tab};

/// `GET /organisation`
pub async fn members(State(app): State<Arc<App>>, customer: Customer, notice: Notice) -> Result<Response, PageError> {
    let form = InviteForm { role: Role::Operator.name().to_owned(), ..InviteForm::default() };
    Ok(render_with(&app, &notice, &page(&app, &customer, &notice, form).await?))
}

async fn page(app: &App, customer: &Customer, notice: &Notice, form: InviteForm) -> Result<MembersPage> {
    let organisation = customer.organisation();
    let members = organisations::list_members(app, organisation).await?;
    let own = own_role(&members, customer.session.user.id);
    let invitations = organisations::list_invitations(app, organisation).await?;
    Ok(MembersPage {
        frame: portal(app, customer, "Members", Section::Organisation, notice).await?,
        tab: Tab::Members,
        members: members.into_iter().map(|member| member_row(customer, own, member)).collect(),
        invitations: invitations.into_iter().map(|found| invitation_row(found, app.clock.machine_now())).collect(),
        roles: given(customer, own, &organisations::list_roles(app, organisation).await?),
        form,
        good_days: GOOD_DAYS,
    })
}

/// The role of who looks.
pub(super) fn own_role(members: &[Detail], user: UserId) -> RoleChoice {
    members.iter().find(|member| member.user == user).map_or(RoleChoice::Unknown, |member| member.role)
}

/// The roles that somebody may give.
pub(super) fn given(customer: &Customer, own: RoleChoice, roles: &[Listed]) -> Vec<SelectOption> {
    let may = customer.session.permissions;
    roles
        .iter()
        .filter(|role| organisations::may_give(own, may, role.choice, role.permissions))
        .map(|role| SelectOption { value: role.choice.to_string(), text: role.name.clone() })
        .collect()
}

fn member_row(customer: &Customer, own: RoleChoice, member: Detail) -> MemberRow {
    MemberRow {
        id: member.user.to_string(),
        may_change: organisations::may_change(own, customer.session.permissions, &member),
        is_self: member.user == customer.session.user.id,
        name: member.name,
        email: member.email,
        role: member.role.to_string(),
        role_name: member.role_name,
        joined_at: member.joined_at,
        is_active: member.is_active,
        second_factors: match *member.second_factors {
            [SecondFactor::Totp, SecondFactor::Passkey] => "App, passkey",
            [SecondFactor::Totp] => "App",
            [SecondFactor::Passkey] => "Passkey",
            _ => "",
        },
    }
}

fn invitation_row(invitation: Invitation, machine_now: DateTime<Utc>) -> InvitationRow {
    InvitationRow {
        id: invitation.id.to_string(),
        email: invitation.email,
        role_name: invitation.role_name,
        invited_by: invitation.invited_by,
        sent_at: invitation.sent_at,
        is_expired: invitation.expires_at <= machine_now,
        expires_at: invitation.expires_at,
        may_send: invitation.sends < SENDS_MAX,
    }
}

/// A role as it was chosen.
#[derive(Debug, Deserialize)]
pub struct Chosen {
    #[serde(default)]
    role: String,
}

/// `POST /organisation/members/{id}/role`
pub async fn change_member(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<UserId>,
    CsrfForm(chosen): CsrfForm<Chosen>,
) -> Result<Response, PageError> {
    let role = chosen.role.parse().unwrap_or(RoleChoice::Unknown);
    organisations::change_role(&app, customer.organisation(), id, role, customer.asker()).await?;
    // He may have given up what opens this page.
    let to = if id == customer.session.user.id { "/" } else { "/organisation" };
    Ok(redirect_with(&app, to, FlashKind::Success, "The role was changed. It holds from now on."))
}

/// `POST /organisation/members/{id}/remove`
pub async fn remove_member(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<UserId>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    organisations::remove(&app, customer.organisation(), id, customer.asker()).await?;
    let to = if id == customer.session.user.id { "/" } else { "/organisation" };
    Ok(redirect_with(&app, to, FlashKind::Success, "The person belongs to the organisation no more."))
}

/// An invitation as it was typed.
#[derive(Debug, Deserialize)]
pub struct Typed {
    #[serde(default)]
    email: String,
    #[serde(default)]
    role: String,
}

/// `POST /organisation/invitations`
pub async fn invite(
    State(app): State<Arc<App>>,
    customer: Customer,
    CsrfForm(typed): CsrfForm<Typed>,
) -> Result<Response, PageError> {
    let role = typed.role.parse().unwrap_or(RoleChoice::Unknown);
    match organisations::invite(&app, customer.organisation(), &typed.email, role, customer.asker()).await {
        Ok(_) => {
            let sentence = format!("{} is invited. The mail is on its way.", typed.email.trim());
            Ok(redirect_with(&app, "/organisation", FlashKind::Success, sentence))
        }
        Err(error @ (Error::Invalid(_) | Error::Conflict(_) | Error::TooManyTries { .. })) => {
            let patient = with_patience(&error, status(&error).into_response());
            let form = InviteForm { email: typed.email, role: typed.role, errors: form_errors(error)? };
            let page = render(&page(&app, &customer, &Notice::default(), form).await?);
            Ok((patient.status(), patient.headers().clone(), page).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

/// `POST /organisation/invitations/{id}/send`
pub async fn send_invitation(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<InvitationId>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    organisations::send_again(&app, customer.organisation(), id, customer.asker()).await?;
    Ok(redirect_with(
        &app,
        "/organisation",
        FlashKind::Success,
        "It was sent again. The link before it opens nothing any more.",
    ))
}

/// `POST /organisation/invitations/{id}/withdraw`
pub async fn withdraw_invitation(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<InvitationId>,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    organisations::withdraw(&app, customer.organisation(), id, customer.asker()).await?;
    Ok(redirect_with(&app, "/organisation", FlashKind::Success, "The invitation was withdrawn."))
}
