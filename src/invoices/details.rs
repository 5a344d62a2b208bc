//! Whom the invoices of an organisation are made out to.

use serde::{Deserialize, Serialize};

use super::db;
use crate::app::App;
use crate::audit::{self, Actor, Changes, Event, Subject};
use crate::error::{Error, NOT_A_PLAIN_LINE, Problem, Result, is_plain_line};
use crate::ids::OrganisationId;
use crate::organisations;

/// The longest name of a party, in characters.
pub(super) const NAME_CHARACTERS_MAX: usize = 120;
/// The longest number under which somebody pays tax, in characters.
pub(super) const TAX_ID_CHARACTERS_MAX: usize = 60;
/// The most lines of an address.
const ADDRESS_LINES_MAX: usize = 6;
/// The longest line of an address, in characters.
const ADDRESS_LINE_CHARACTERS_MAX: usize = 90;

/// Whom invoices are made out to from now on. Those that are issued stay as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BillingDetails {
    /// The name; when it is empty, invoices have the name of the organisation.
    #[schema(max_length = 120)]
    pub name: String,
    /// The lines of the address, with line breaks between them.
    #[schema(max_length = 600)]
    pub address: String,
    /// The number under which the recipient pays tax; may be empty.
    #[schema(max_length = 60)]
    pub tax_id: String,
}

impl BillingDetails {
    fn checked(&self) -> Result<Self> {
        let mut problems = Vec::new();
        let checked = Self {
            name: check_line("name", &self.name, NAME_CHARACTERS_MAX, &mut problems),
            address: check_address("address", &self.address, &mut problems),
            tax_id: check_line("tax_id", &self.tax_id, TAX_ID_CHARACTERS_MAX, &mut problems),
        };
        if problems.is_empty() { Ok(checked) } else { Err(Error::Invalid(problems)) }
    }
}

/// A text of one line without the space around it; what is wrong with it goes to the problems.
pub(super) fn check_line(field: &'static str, text: &str, longest: usize, problems: &mut Vec<Problem>) -> String {
    let text = text.trim();
    if text.chars().count() > longest {
        problems.push(Problem::new(field, format!("At most {longest} characters.")));
    } else if !is_plain_line(text) {
        problems.push(Problem::new(field, NOT_A_PLAIN_LINE));
    }
    text.to_owned()
}

/// The lines of an address without empty ones; what is wrong with them goes to the problems.
pub(super) fn check_address(field: &'static str, text: &str, problems: &mut Vec<Problem>) -> String {
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let is_long = |line: &&str| line.chars().count() > ADDRESS_LINE_CHARACTERS_MAX;
    if lines.len() > ADDRESS_LINES_MAX || lines.iter().any(is_long) {
        let sentence =
            format!("At most {ADDRESS_LINES_MAX} lines, each of at most {ADDRESS_LINE_CHARACTERS_MAX} characters.");
        problems.push(Problem::new(field, sentence));
    } else if !lines.iter().all(|line| is_plain_line(line)) {
        problems.push(Problem::new(field, "Lines of letters, without control characters."));
    }
    lines.join("\n")
}

/// Whom the invoices of an organisation are made out to.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn billing_details(app: &App, organisation: OrganisationId) -> Result<BillingDetails> {
    Ok(db::select_details(&mut *app.pool.acquire().await?, organisation).await?.unwrap_or_default())
}

/// Changes whom the invoices of an organisation are made out to from now on.
///
/// # Errors
/// `Invalid` with a problem per field, `NotFound` when there is no such organisation.
pub async fn change_billing_details(
    app: &App,
    organisation: OrganisationId,
    new: &BillingDetails,
    actor: &Actor,
) -> Result<()> {
    let new = new.checked()?;
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    let name = organisations::name_of(&mut transaction, organisation).await?;
    db::ensure_details(&mut transaction, organisation, now).await?;
    let before = db::select_details(&mut transaction, organisation).await?.unwrap_or_default();
    let changes = Changes::between(&before, &new)?;
    if changes.is_empty() {
        return Ok(());
    }
    db::update_details(&mut transaction, organisation, &new, now).await?;
    let (subject, event) = (Subject::new("organisation", organisation, name), Event::BillingDetailsChanged);
    audit::record(&mut transaction, now, actor, Some(organisation), event, subject, changes).await?;
    transaction.commit().await?;
    Ok(())
}
