//! Quotas as staff type them, for one customer or for all that have no own answer.

use serde::Deserialize;

use crate::quotas::{OwnLimits, Quota, Standing};
use crate::web::format;
use crate::web::views::form::FormErrors;
use crate::web::views::quotas::{QuotaField, QuotasForm};

/// What stands for what is no number: out of every range, so that the operation says what is expected.
const NO_NUMBER: i64 = i64::MIN;

/// What was typed.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Typed {
    vms: String,
    vcpu: String,
    memory_mib: String,
    disk_gib: String,
    snapshots: String,
    backups: String,
    addresses: String,
    api_requests_per_minute: String,
    pub(super) contact: String,
}

impl Typed {
    fn of(&self, quota: Quota) -> &str {
        match quota {
            Quota::Vms => &self.vms,
            Quota::Vcpu => &self.vcpu,
            Quota::Memory => &self.memory_mib,
            Quota::Disk => &self.disk_gib,
            Quota::Snapshots => &self.snapshots,
            Quota::Backups => &self.backups,
            Quota::Addresses => &self.addresses,
            Quota::ApiRequests => &self.api_requests_per_minute,
        }
    }

    /// The limits; an empty field is none.
    pub(super) fn limits(&self) -> OwnLimits {
        Quota::ALL.into_iter().fold(OwnLimits::default(), |limits, quota| {
            let text = self.of(quota).trim();
            limits.with(quota, (!text.is_empty()).then(|| text.parse().unwrap_or(NO_NUMBER)))
        })
    }

    /// The limits where each must be typed.
    pub(super) fn all_limits(&self) -> OwnLimits {
        let limits = self.limits();
        Quota::ALL
            .into_iter()
            .fold(limits, |limits, quota| limits.with(quota, Some(limits.of(quota).unwrap_or(NO_NUMBER))))
    }
}

/// The form of a customer: what was typed, or his own answers.
pub(super) fn of_customer(standing: &Standing, typed: Option<(Typed, FormErrors)>) -> QuotasForm {
    let (typed, errors) = typed.map_or((None, FormErrors::none()), |(typed, errors)| (Some(typed), errors));
    let fields = Quota::ALL.into_iter().map(|quota| {
        let own = standing.own.of(quota).map(|limit| limit.to_string()).unwrap_or_default();
        let is_counted = !matches!(quota, Quota::Snapshots | Quota::Backups | Quota::ApiRequests);
        QuotaField {
            default: Some(format::unsigned(standing.defaults.of(quota))),
            used: is_counted.then(|| format::unsigned(standing.used.of(quota))),
            ..field(quota, typed.as_ref().map_or(own, |typed| typed.of(quota).to_owned()))
        }
    });
    QuotasForm { fields: fields.collect(), contact: String::new(), errors }
}

/// The form of all that have no own answer: what was typed, or what holds.
pub(super) fn of_all(
    (limits, contact): (crate::quotas::Amounts, Option<String>),
    typed: Option<(Typed, FormErrors)>,
) -> QuotasForm {
    let (typed, errors) = typed.map_or((None, FormErrors::none()), |(typed, errors)| (Some(typed), errors));
    let value = |quota| typed.as_ref().map_or(limits.of(quota).to_string(), |typed| typed.of(quota).to_owned());
    QuotasForm {
        fields: Quota::ALL.into_iter().map(|quota| field(quota, value(quota))).collect(),
        contact: typed.as_ref().map_or(contact.unwrap_or_default(), |typed| typed.contact.clone()),
        errors,
    }
}

fn field(quota: Quota, value: String) -> QuotaField {
    QuotaField { name: quota.name(), title: quota.title(), unit: quota.unit(), value, default: None, used: None }
}
