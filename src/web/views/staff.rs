//! People as the operator's people see them: those of a customer, one of them, and the operator's own.

use askama::Template;
use chrono::{DateTime, Utc};

use super::form::{FormErrors, SelectOption};
use super::frame::AdminFrame;
use super::markup;
use crate::users::UserState;
use crate::web::format;

/// A person.
#[derive(Clone, Debug)]
pub struct PersonView {
    /// The id.
    pub id: String,
    /// How to call him.
    pub name: String,
    /// Where to write to.
    pub email: String,
    /// His role in the organisation, or on the platform.
    pub role: String,
    /// Whether he may change things, or come in at all.
    pub state: UserState,
    /// Why, when he is not active.
    pub reason: Option<String>,
    /// Since when, when he is not active.
    pub since: Option<DateTime<Utc>>,
    /// Whether a login of his needs more than the password.
    pub has_second_factor: bool,
    /// Since when he has an account.
    pub created_at: DateTime<Utc>,
    /// Whether he works for the platform.
    pub is_staff: bool,
    /// Whether this is who looks.
    pub is_self: bool,
}

impl PersonView {
    /// How his state is called.
    pub fn state_name(&self) -> &'static str {
        match self.state {
            UserState::Active => "Active",
            UserState::Suspended => "Suspended",
            UserState::Banned => "Banned",
        }
    }

    /// The class of the pill.
    pub fn state_class(&self) -> &'static str {
        match self.state {
            UserState::Active => "pill-good",
            UserState::Suspended => "pill-warning",
            UserState::Banned => "pill-bad",
        }
    }
}

/// The people of a customer, on his page.
#[derive(Clone, Debug, Template)]
#[template(path = "staff/people.html")]
pub struct PeopleCard {
    /// The organisation's id.
    pub organisation: String,
    /// Owners first.
    pub people: Vec<PersonView>,
}

/// `GET /admin/customers/{id}/people/{user}`, and what is posted from it when it was refused.
#[derive(Debug, Template)]
#[template(path = "staff/person.html")]
pub struct PersonPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// The organisation's id.
    pub organisation_id: String,
    /// Its name.
    pub organisation: String,
    /// The person.
    pub person: PersonView,
    /// Whether he may be suspended and banned by who looks.
    pub may_stand: bool,
    /// Whether who looks may take a lost second factor from him.
    pub may_recover: bool,
    /// Whether who looks may look as him.
    pub may_impersonate: bool,
    /// How long that goes on, in minutes.
    pub minutes: i64,
    /// How many machines of the organisation run.
    pub running: usize,
    /// What was typed as a reason to suspend or ban him.
    pub reason: String,
    /// Field: `reason`.
    pub errors: FormErrors,
    /// What was typed as a reason to look as him.
    pub look_reason: String,
    /// Field: `look_reason`.
    pub look_errors: FormErrors,
    /// What was typed as a reason to take his second factor.
    pub factor_reason: String,
    /// Field: `factor_reason`.
    pub factor_errors: FormErrors,
}

/// `GET /admin/staff`, and what is posted from it when it was refused.
#[derive(Debug, Template)]
#[template(path = "staff/list.html")]
pub struct StaffPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// The mightiest first.
    pub people: Vec<PersonView>,
    /// Roles with what they are for.
    pub roles: Vec<SelectOption>,
    /// What was typed.
    pub email: String,
    /// What was chosen.
    pub role: String,
    /// Fields: `email`, `role`.
    pub errors: FormErrors,
}
