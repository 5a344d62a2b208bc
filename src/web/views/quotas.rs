//! Quotas as staff set them: the own answers of a customer, on his page, and what holds for all others, on the settings.

use super::form::FormErrors;
use super::markup::{self, Markup};
use crate::web::format;

/// A quota in a form. Its field has the quota's name.
#[derive(Clone, Debug)]
pub struct QuotaField {
    /// The field's name.
    pub name: &'static str,
    /// What it is of.
    pub title: &'static str,
    /// What stands behind the number.
    pub unit: &'static str,
    /// As it was typed.
    pub value: String,
    /// What holds while nothing is typed.
    pub default: Option<u64>,
    /// How much is used of it, where that is counted.
    pub used: Option<u64>,
}

/// What was typed for quotas.
#[derive(Clone, Debug, Default)]
pub struct QuotasForm {
    /// Every quota.
    pub fields: Vec<QuotaField>,
    /// Where customers ask for more; only for all of them.
    pub contact: String,
    /// What is wrong with it.
    pub errors: FormErrors,
}

impl QuotasForm {
    /// How many quotas have an answer of the customer's own.
    pub fn own(&self) -> usize {
        self.fields.iter().filter(|field| !field.value.is_empty()).count()
    }

    /// The field of a quota.
    pub fn field(&self, field: &QuotaField) -> Markup {
        let QuotaField { name, title, unit, .. } = field;
        let id = format!("quota_{name}");
        let (class, message) = (self.errors.class(name), self.errors.message(name));
        let invalid = if self.errors.of(name).is_some() { r#" aria-invalid="true""# } else { "" };
        let placeholder = field.default.as_ref().map(u64::to_string).unwrap_or_default();
        let unit = match *unit {
            "" => String::new(),
            unit => format!(r#"<span class="input-group-text">{}</span>"#, markup::escape(unit)),
        };
        let hint = match field.used {
            Some(used) => format!(r#"<div class="form-hint" id="{id}-hint">{} in use</div>"#, format::grouped(&used)),
            None => String::new(),
        };
        Markup::new(format!(
            r#"<div class="field"><label class="form-label" for="{id}">{}</label><div class="input-group"><input class="form-control number {class}" id="{id}" name="{name}" inputmode="numeric" autocomplete="off" value="{}" placeholder="{placeholder}"{invalid} aria-describedby="{name}-problem {id}-hint">{unit}</div>{message}{hint}</div>"#,
            markup::escape(title),
            markup::escape(&field.value),
        ))
    }
}
