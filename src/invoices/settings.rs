//! Who issues invoices and how: what an operator must say before the first is issued.

use billing::{CurrencyPlaces, TaxRate};
use serde::{Deserialize, Serialize};
use sqlx::PgConnection;

use super::details::{NAME_CHARACTERS_MAX, TAX_ID_CHARACTERS_MAX, check_address, check_line};
use super::{Party, db};
use crate::app::App;
use crate::audit::{self, Actor, Changes, Event, Subject};
use crate::error::{Error, Problem, Result};

/// The longest prefix of numbers, in characters.
const PREFIX_CHARACTERS_MAX: usize = 12;

/// How invoices are issued from now on. Those that are issued stay as they are.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct InvoiceSettings {
    /// Who issues them. Until there is a name and an address none is issued.
    #[schema(max_length = 120)]
    pub issuer_name: String,
    /// The lines of the issuer's address, with line breaks between them.
    #[schema(max_length = 600)]
    pub issuer_address: String,
    /// The number under which the issuer pays tax; may be empty.
    #[schema(max_length = 60)]
    pub issuer_tax_id: String,
    /// What each number begins with, before its year.
    #[schema(pattern = "^[A-Za-z0-9-]{0,12}$", example = "UM-")]
    pub number_prefix: String,
    /// The tax that is contained in every price, in percent.
    #[schema(value_type = String, pattern = r"^\d{1,3}(\.\d{1,4})?$", example = "19")]
    pub tax_rate: TaxRate,
    /// How many decimal places amounts of the currency have.
    #[schema(minimum = 0, maximum = 4)]
    pub currency_places: i32,
}

impl InvoiceSettings {
    /// Who issues, if that has been said.
    #[must_use]
    pub fn issuer(&self) -> Option<Party> {
        let is_said = !self.issuer_name.is_empty() && !self.issuer_address.is_empty();
        is_said.then(|| Party {
            name: self.issuer_name.clone(),
            address: self.issuer_address.clone(),
            tax_id: self.issuer_tax_id.clone(),
        })
    }

    /// The places of amounts.
    ///
    /// # Errors
    /// When there are more than a currency has.
    pub fn places(&self) -> Result<CurrencyPlaces> {
        u32::try_from(self.currency_places)
            .ok()
            .and_then(CurrencyPlaces::new)
            .ok_or_else(|| Error::Internal(anyhow::anyhow!("{} places of a currency", self.currency_places)))
    }

    fn checked(&self) -> Result<Self> {
        let mut problems = Vec::new();
        let issuer_name = check_line("issuer_name", &self.issuer_name, NAME_CHARACTERS_MAX, &mut problems);
        let issuer_address = check_address("issuer_address", &self.issuer_address, &mut problems);
        let issuer_tax_id = check_line("issuer_tax_id", &self.issuer_tax_id, TAX_ID_CHARACTERS_MAX, &mut problems);
        let number_prefix = self.number_prefix.trim().to_owned();
        let is_plain = number_prefix.chars().all(|sign| sign.is_ascii_alphanumeric() || sign == '-');
        if !is_plain || number_prefix.len() > PREFIX_CHARACTERS_MAX {
            let sentence = format!("At most {PREFIX_CHARACTERS_MAX} letters, digits and hyphens.");
            problems.push(Problem::new("number_prefix", sentence));
        }
        if self.places().is_err() {
            let sentence = format!("A whole number from 0 to {}.", CurrencyPlaces::MAX);
            problems.push(Problem::new("currency_places", sentence));
        }
        if issuer_name.is_empty() && !issuer_address.is_empty() {
            problems.push(Problem::new("issuer_name", "An address needs a name."));
        }
        if problems.is_empty() {
            Ok(Self { issuer_name, issuer_address, issuer_tax_id, number_prefix, ..self.clone() })
        } else {
            Err(Error::Invalid(problems))
        }
    }
}

/// How invoices are issued now.
///
/// # Errors
/// When PostgreSQL fails.
pub async fn current_settings(app: &App) -> Result<InvoiceSettings> {
    read(&mut *app.pool.acquire().await?).await
}

pub(super) async fn read(connection: &mut PgConnection) -> Result<InvoiceSettings> {
    db::select_settings(connection).await
}

/// Changes how invoices are issued from now on.
///
/// # Errors
/// `Invalid` with a problem per field.
pub async fn change_settings(app: &App, new: &InvoiceSettings, actor: &Actor) -> Result<()> {
    let new = new.checked()?;
    let now = app.clock.now();
    let mut transaction = app.pool.begin().await?;
    db::lock_settings(&mut transaction).await?;
    let before = read(&mut transaction).await?;
    let changes = Changes::between(&before, &new)?;
    if changes.is_empty() {
        return Ok(());
    }
    db::update_settings(&mut transaction, &new, now).await?;
    let subject = Subject::new("settings", "invoices", "invoices");
    audit::record(&mut transaction, now, actor, None, Event::InvoiceSettingsChanged, subject, changes).await?;
    transaction.commit().await?;
    Ok(())
}
