//! What one may be in the organisation that is open: its roles, and every permission that they can be made of.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;

use super::members::{given, own_role};
use crate::app::App;
use crate::error::Result;
use crate::ids::RoleId;
use crate::organisations::{self, Listed, NewRole, RoleChoice};
use crate::permissions::{Permission, Permissions};
use crate::web::error::{PageError, status};
use crate::web::format;
use crate::web::forms::CsrfForm;
use crate::web::pages::frames::{Notice, form_errors, portal, redirect_with, render, render_with};
use crate::web::read::Path;
use crate::web::session::Customer;
use crate::web::views::form::FormErrors;
use crate::web::views::frame::{FlashKind, Section};
use crate::web::views::organisations::{
    PermissionChoice, PermissionGroup, RolePage, RoleRow, RolesPage, Tab, group_title,
};

const PAGE: &str = "/organisation/roles";

/// `GET /organisation/roles`
pub async fn roles(State(app): State<Arc<App>>, customer: Customer, notice: Notice) -> Result<Response, PageError> {
    let may = customer.session.permissions;
    let found = organisations::list_roles(&app, customer.organisation()).await?;
    let page = RolesPage {
        frame: portal(&app, &customer, "Roles", Section::Organisation, &notice).await?,
        tab: Tab::Roles,
        roles: found.into_iter().map(|role| role_row(role, may)).collect(),
        groups: groups(&[], may),
    };
    Ok(render_with(&app, &notice, &page))
}

fn role_row(role: Listed, may: Permissions) -> RoleRow {
    RoleRow {
        id: match role.choice {
            RoleChoice::Own(id) => Some(id.to_string()),
            RoleChoice::Standard(_) | RoleChoice::Unknown => None,
        },
        may_change: may.has(Permission::RoleManage) && role.permissions.is_within(may),
        name: role.name,
        purpose: role.purpose,
        patterns: role.patterns,
        members: format::unsigned(role.members),
    }
}

/// Every permission of an organisation, by what it is about, with those that are chosen.
fn groups(chosen: &[String], may: Permissions) -> Vec<PermissionGroup> {
    let choice = |pattern: &str, purpose: &str| PermissionChoice {
        pattern: pattern.to_owned(),
        purpose: purpose.to_owned(),
        chosen: chosen.iter().any(|known| known == pattern),
        held: Permissions::of_patterns([pattern]).is_within(may),
    };
    let everything = PermissionGroup {
        title: "Everything".to_owned(),
        all: Some(choice("*", "Everything in the organisation, also what is added later")),
        permissions: Vec::new(),
    };
    let mut groups = vec![everything];
    let mut beginnings: Vec<&str> = Vec::new();
    for permission in Permission::ALL.iter().filter(|permission| !permission.is_platform()) {
        let beginning = permission.name().split('.').next().unwrap_or_default();
        if !beginnings.contains(&beginning) {
            beginnings.push(beginning);
            groups.push(PermissionGroup { title: group_title(beginning), all: None, permissions: Vec::new() });
        }
        if let Some(group) = groups.last_mut() {
            group.permissions.push(choice(permission.name(), permission.purpose()));
            let purpose = "All of these, also what is added later";
            group.all = (group.permissions.len() > 1).then(|| choice(&format!("{beginning}.*"), purpose));
        }
    }
    groups
}

/// `GET /organisation/roles/new`
pub async fn new_role(State(app): State<Arc<App>>, customer: Customer, notice: Notice) -> Result<Response, PageError> {
    let page = role_page(&app, &customer, &notice, None, &NewRole::default(), FormErrors::none()).await?;
    Ok(render_with(&app, &notice, &page))
}

/// `GET /organisation/roles/{id}`
pub async fn show_role(
    State(app): State<Arc<App>>,
    customer: Customer,
    notice: Notice,
    Path(id): Path<RoleId>,
) -> Result<Response, PageError> {
    let role = organisations::find_role(&app, customer.organisation(), id).await?;
    let typed = NewRole { name: role.name, permissions: role.patterns };
    let page = role_page(&app, &customer, &notice, Some(id), &typed, FormErrors::none()).await?;
    Ok(render_with(&app, &notice, &page))
}

async fn role_page(
    app: &App,
    customer: &Customer,
    notice: &Notice,
    id: Option<RoleId>,
    typed: &NewRole,
    errors: FormErrors,
) -> Result<RolePage> {
    let organisation = customer.organisation();
    let stored = match id {
        Some(id) => Some(organisations::find_role(app, organisation, id).await?),
        None => None,
    };
    let mut others = organisations::list_roles(app, organisation).await?;
    others.retain(|role| stored.as_ref().is_none_or(|stored| role.choice != RoleChoice::Own(stored.id)));
    let own = own_role(&organisations::list_members(app, organisation).await?, customer.session.user.id);
    let title = stored.as_ref().map_or("New role", |role| &role.name).to_owned();
    Ok(RolePage {
        frame: portal(app, customer, title.clone(), Section::Organisation, notice).await?,
        title,
        members: stored.as_ref().map_or(0, |role| format::unsigned(role.members)),
        id: id.map(|id| id.to_string()),
        name: typed.name.clone(),
        groups: groups(&typed.permissions, customer.session.permissions),
        others: given(customer, own, &others),
        errors,
    })
}

/// `POST /organisation/roles`
pub async fn create_role(
    State(app): State<Arc<App>>,
    customer: Customer,
    CsrfForm(typed): CsrfForm<NewRole>,
) -> Result<Response, PageError> {
    match organisations::create_role(&app, customer.organisation(), &typed, customer.asker()).await {
        Ok(role) => {
            let sentence = format!("The role {} was made.", role.name);
            Ok(redirect_with(&app, PAGE, FlashKind::Success, sentence))
        }
        Err(error) => {
            let status = status(&error);
            let errors = form_errors(error)?;
            let page = role_page(&app, &customer, &Notice::default(), None, &typed, errors).await?;
            Ok((status, render(&page)).into_response())
        }
    }
}

/// `POST /organisation/roles/{id}`
pub async fn change_role(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<RoleId>,
    CsrfForm(typed): CsrfForm<NewRole>,
) -> Result<Response, PageError> {
    match organisations::change_own_role(&app, customer.organisation(), id, &typed, customer.asker()).await {
        Ok(role) => {
            let sentence = format!("The role {} was changed. It holds from now on.", role.name);
            Ok(redirect_with(&app, PAGE, FlashKind::Success, sentence))
        }
        Err(error) => {
            let status = status(&error);
            let errors = form_errors(error)?;
            let page = role_page(&app, &customer, &Notice::default(), Some(id), &typed, errors).await?;
            Ok((status, render(&page)).into_response())
        }
    }
}

/// Which role is given instead.
#[derive(Debug, Deserialize)]
pub struct Instead {
    #[serde(default)]
    move_to: String,
}

/// `POST /organisation/roles/{id}/delete`
pub async fn delete_role(
    State(app): State<Arc<App>>,
    customer: Customer,
    Path(id): Path<RoleId>,
    CsrfForm(instead): CsrfForm<Instead>,
) -> Result<Response, PageError> {
    let move_to = instead.move_to.parse().ok();
    organisations::delete_role(&app, customer.organisation(), id, move_to, customer.asker()).await?;
    Ok(redirect_with(&app, PAGE, FlashKind::Success, "The role was deleted."))
}
