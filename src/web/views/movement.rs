//! A form that moves credit by hand: how much, why, and what makes a second press of its button harmless.

use super::form::FormErrors;

/// The form. Several stand on one page, so each has a prefix for the names of its fields there: problems stand at `prefix` and
/// `amount`, and at `prefix` and `reason`.
#[derive(Clone, Debug, Default)]
pub struct MovementForm {
    /// Where it is sent.
    pub action: String,
    /// What the ids of its fields begin with.
    pub prefix: &'static str,
    /// What its button says.
    pub button: &'static str,
    /// Whether it is the main thing on its page.
    pub is_main: bool,
    /// What follows from it, below the button; may be empty.
    pub hint: &'static str,
    /// The amount.
    pub amount: String,
    /// Why.
    pub reason: String,
    /// Whether more may be taken than there is; none: that is not asked.
    pub below_zero: Option<bool>,
    /// Makes a second press of the button harmless.
    pub order: String,
    /// What is wrong with it.
    pub errors: FormErrors,
}

impl MovementForm {
    /// The id of a field on its page.
    pub fn field(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}
