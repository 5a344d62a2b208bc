//! What the operator's people do to people: suspend and ban them, take a second factor that they lost, look at the portal as
//! they see it, and say who of the operator's own is what.

use std::sync::Arc;

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use serde::Deserialize;

use super::exceptions::count;
use super::frames::{self, Notice, form_errors, redirect_with, render_with};
use crate::app::App;
use crate::error::{Error, Result};
use crate::ids::{OrganisationId, UserId};
use crate::organisations;
use crate::permissions::{Permission, PlatformRole};
use crate::staff::{self, IMPERSONATION_MINUTES, NewImpersonation, NewRecovery, NewStanding, Person};
use crate::users::UserState;
use crate::vms;
use crate::web::error::{PageError, status};
use crate::web::format;
use crate::web::forms::{CsrfForm, Nothing};
use crate::web::read::Path;
use crate::web::session::{Customer, Staff};
use crate::web::views::form::{FormErrors, SelectOption};
use crate::web::views::frame::{AdminSection, FlashKind};
use crate::web::views::staff::{PeopleCard, PersonPage, PersonView, StaffPage};

/// How many machines are counted on the page of a person.
const VMS_COUNTED: i64 = 1_000;

/// The people of a customer, for his page.
pub(super) async fn people_card(app: &App, staff: &Staff, organisation: OrganisationId) -> Result<PeopleCard> {
    let people = staff::people_of(app, organisation).await?;
    Ok(PeopleCard {
        organisation: organisation.to_string(),
        people: people.into_iter().map(|person| view(person, staff)).collect(),
    })
}

fn view(person: Person, staff: &Staff) -> PersonView {
    PersonView {
        id: person.id.to_string(),
        role: person.role.or_else(|| person.platform_role.map(|role| role.to_string())).unwrap_or_default(),
        name: person.name,
        email: person.email,
        state: person.state,
        reason: person.state_reason,
        since: person.state_since,
        has_second_factor: person.has_second_factor,
        created_at: person.created_at,
        is_staff: person.platform_role.is_some(),
        is_self: person.id == staff.session.user.id,
    }
}

/// What was typed on the page of a person.
#[derive(Default)]
struct Typed {
    reason: String,
    errors: FormErrors,
    look_reason: String,
    look_errors: FormErrors,
    factor_reason: String,
    factor_errors: FormErrors,
}

/// `GET /admin/customers/{id}/people/{user}`
pub async fn person(
    State(app): State<Arc<App>>,
    staff: Staff,
    notice: Notice,
    Path((id, user)): Path<(OrganisationId, UserId)>,
) -> Result<Response, PageError> {
    person_page(&app, &staff, &notice, id, user, Typed::default()).await
}

async fn person_page(
    app: &App,
    staff: &Staff,
    notice: &Notice,
    id: OrganisationId,
    user: UserId,
    typed: Typed,
) -> Result<Response, PageError> {
    let organisation = organisations::find(app, id).await?;
    let person = staff::people_of(app, id).await?.into_iter().find(|person| person.id == user);
    let person = view(person.ok_or(Error::NotFound("person"))?, staff);
    let may = staff.session.user.platform_permissions();
    let machines = vms::list(app, id, None, VMS_COUNTED).await?;
    let page = PersonPage {
        frame: frames::admin(app, staff, &person.name, AdminSection::Customers, count(app).await?, notice),
        organisation_id: id.to_string(),
        organisation: organisation.name,
        may_stand: may.has(Permission::PlatformCustomerStanding)
            && (!person.is_staff || may.has(Permission::PlatformStaffManage)),
        may_recover: may.has(Permission::PlatformCustomerRecover)
            && (!person.is_staff || may.has(Permission::PlatformStaffManage))
            && !person.is_self,
        may_impersonate: may.has(Permission::PlatformCustomerImpersonate)
            && !person.is_staff
            && !person.is_self
            && person.state != UserState::Banned,
        minutes: IMPERSONATION_MINUTES,
        running: machines.iter().filter(|vm| vm.state == vms::State::Running).count(),
        person,
        reason: typed.reason,
        errors: typed.errors,
        look_reason: typed.look_reason,
        look_errors: typed.look_errors,
        factor_reason: typed.factor_reason,
        factor_errors: typed.factor_errors,
    };
    Ok(render_with(app, notice, &page))
}

/// `POST /admin/customers/{id}/people/{user}/standing`
pub async fn set_standing(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path((id, user)): Path<(OrganisationId, UserId)>,
    CsrfForm(new): CsrfForm<NewStanding>,
) -> Result<Response, PageError> {
    let stood = match staff::set_standing(&app, id, user, &new, &staff.actor).await {
        Ok(stood) => stood,
        Err(error) => {
            let status = status(&error);
            let typed = Typed { reason: new.reason, errors: form_errors(error)?, ..Typed::default() };
            let page = person_page(&app, &staff, &Notice::default(), id, user, typed).await?;
            return Ok((status, page).into_response());
        }
    };
    let vms = match stood.vms_shut_down {
        0 => String::new(),
        shut_down => format!(" {} shut down.", format::count(&(shut_down as u64), "VM is being", "VMs are being")),
    };
    let done = match stood.person.state {
        UserState::Active => "The account is open again.",
        UserState::Suspended => "The account is suspended.",
        UserState::Banned => "The account is closed, and all its logins have ended.",
    };
    let to = format!("/admin/customers/{id}/people/{user}");
    Ok(redirect_with(&app, &to, FlashKind::Success, format!("{done}{vms}")))
}

/// What is wrong with the only field of a form, which has another name on the page than in what is sent: several forms stand
/// there that each ask for a reason.
fn reason_errors(field: &'static str, error: Error) -> Result<FormErrors> {
    let Error::Invalid(problems) = error else { return form_errors(error) };
    let mut errors = FormErrors::none();
    problems.into_iter().for_each(|problem| errors.add(field, problem.problem));
    Ok(errors)
}

/// `POST /admin/customers/{id}/people/{user}/second-factor/reset`
pub async fn recover(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path((id, user)): Path<(OrganisationId, UserId)>,
    CsrfForm(new): CsrfForm<NewRecovery>,
) -> Result<Response, PageError> {
    match staff::recover(&app, id, user, &new, &staff.actor).await {
        Ok(person) => {
            let to = format!("/admin/customers/{id}/people/{user}");
            let said =
                format!("{} has no second factor any more, is logged out everywhere, and gets a mail.", person.name);
            Ok(redirect_with(&app, &to, FlashKind::Success, said))
        }
        Err(error) => {
            let status = status(&error);
            let factor_errors = reason_errors("factor_reason", error)?;
            let typed = Typed { factor_reason: new.reason, factor_errors, ..Typed::default() };
            let page = person_page(&app, &staff, &Notice::default(), id, user, typed).await?;
            Ok((status, page).into_response())
        }
    }
}

/// Why somebody looks as a customer.
#[derive(Debug, Deserialize)]
pub struct Reason {
    #[serde(default)]
    reason: String,
}

/// `POST /admin/customers/{id}/people/{user}/impersonate`
pub async fn impersonate(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path((id, user)): Path<(OrganisationId, UserId)>,
    CsrfForm(form): CsrfForm<Reason>,
) -> Result<Response, PageError> {
    let new = NewImpersonation { user, reason: form.reason };
    match staff::impersonate(&app, staff.session.id, id, &new, &staff.actor).await {
        Ok(_) => Ok(Redirect::to("/").into_response()),
        Err(error) => {
            let status = status(&error);
            let look_errors = reason_errors("look_reason", error)?;
            let typed = Typed { look_reason: new.reason, look_errors, ..Typed::default() };
            let page = person_page(&app, &staff, &Notice::default(), id, user, typed).await?;
            Ok((status, page).into_response())
        }
    }
}

/// `POST /impersonation/stop`
pub async fn stop(
    State(app): State<Arc<App>>,
    customer: Customer,
    _form: CsrfForm<Nothing>,
) -> Result<Response, PageError> {
    match staff::stop(&app, customer.session.id, &customer.actor).await? {
        Some(organisation) => {
            let to = format!("/admin/customers/{organisation}");
            Ok(redirect_with(&app, &to, FlashKind::Success, "You are yourself again."))
        }
        None => Ok(Redirect::to("/").into_response()),
    }
}

/// `GET /admin/staff`
pub async fn list(State(app): State<Arc<App>>, staff: Staff, notice: Notice) -> Result<Response, PageError> {
    list_page(&app, &staff, &notice, NewStaff::default(), FormErrors::none()).await
}

/// Who is to be what.
#[derive(Debug, Default, Deserialize)]
pub struct NewStaff {
    #[serde(default)]
    email: String,
    #[serde(default)]
    role: String,
}

async fn list_page(
    app: &App,
    staff: &Staff,
    notice: &Notice,
    typed: NewStaff,
    errors: FormErrors,
) -> Result<Response, PageError> {
    let people = staff::people(app).await?;
    let roles = PlatformRole::ALL
        .iter()
        .map(|role| SelectOption { value: role.name().into(), text: role.purpose().into() })
        .collect();
    let page = StaffPage {
        frame: frames::admin(app, staff, "Staff", AdminSection::Staff, count(app).await?, notice),
        people: people.into_iter().map(|person| view(person, staff)).collect(),
        roles,
        email: typed.email,
        role: if typed.role.is_empty() { PlatformRole::Support.name().to_owned() } else { typed.role },
        errors,
    };
    Ok(render_with(app, notice, &page))
}

/// `POST /admin/staff`
pub async fn add(
    State(app): State<Arc<App>>,
    staff: Staff,
    CsrfForm(form): CsrfForm<NewStaff>,
) -> Result<Response, PageError> {
    let role =
        PlatformRole::parse(&form.role).ok_or_else(|| Error::invalid("role", "One of admin, operator and support."));
    let done = match role {
        Ok(role) => staff::set_role_by_email(&app, &form.email, role, &staff.actor).await,
        Err(error) => Err(error),
    };
    match done {
        Ok(person) => {
            let said = format!("{} is {} now.", person.name, form.role);
            Ok(redirect_with(&app, "/admin/staff", FlashKind::Success, said))
        }
        Err(error) => refused(&app, &staff, form, error).await,
    }
}

/// `POST /admin/staff/{id}`
pub async fn change(
    State(app): State<Arc<App>>,
    staff: Staff,
    Path(id): Path<UserId>,
    CsrfForm(form): CsrfForm<NewStaff>,
) -> Result<Response, PageError> {
    let role = match form.role.as_str() {
        "" => None,
        name => {
            let role = PlatformRole::parse(name);
            Some(role.ok_or_else(|| Error::invalid("role", "One of admin, operator and support."))?)
        }
    };
    match staff::set_role(&app, id, role, &staff.actor).await {
        Ok(person) => {
            let said = match role {
                Some(role) => format!("{} is {role} now.", person.name),
                None => format!("{} does not work for the platform any more.", person.name),
            };
            Ok(redirect_with(&app, "/admin/staff", FlashKind::Success, said))
        }
        Err(error) => refused(&app, &staff, NewStaff::default(), error).await,
    }
}

async fn refused(app: &App, staff: &Staff, typed: NewStaff, error: Error) -> Result<Response, PageError> {
    let status = status(&error);
    let page = list_page(app, staff, &Notice::default(), typed, form_errors(error)?).await?;
    Ok((status, page).into_response())
}
