//! Vouchers as the staff sees them: a list by state, the form that makes them, the codes right after, and one with who
//! redeemed it. A code stands on a page once, right after it was made.

use askama::Template;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::form::FormErrors;
use super::frame::AdminFrame;
use super::markup;
use crate::web::format;

/// How a voucher stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VoucherState {
    /// It can be redeemed.
    Open,
    /// As many have redeemed it as may.
    UsedUp,
    /// Its time is over.
    Expired,
    /// An operator has ended it.
    Revoked,
}

impl VoucherState {
    /// The word on the pill.
    pub fn word(self) -> &'static str {
        match self {
            Self::Open => "Open",
            Self::UsedUp => "Used up",
            Self::Expired => "Expired",
            Self::Revoked => "Revoked",
        }
    }

    /// The colour of the pill.
    pub fn class(self) -> &'static str {
        match self {
            Self::Open => "pill-good",
            Self::UsedUp | Self::Expired => "pill-quiet",
            Self::Revoked => "pill-bad",
        }
    }
}

/// A tab of the list.
#[derive(Clone, Debug)]
pub struct VoucherTab {
    /// Its value in `?state=`.
    pub value: &'static str,
    /// Its word.
    pub word: &'static str,
    /// How many it shows.
    pub count: u64,
    /// Whether it is open.
    pub active: bool,
}

/// A voucher in a list.
#[derive(Clone, Debug)]
pub struct VoucherRow {
    /// Id in URLs.
    pub id: String,
    /// How its code begins.
    pub prefix: String,
    /// What it is worth.
    pub amount: Decimal,
    /// How it stands.
    pub state: VoucherState,
    /// How many have redeemed it.
    pub uses: u64,
    /// How many may.
    pub uses_max: u64,
    /// From when on it is worth nothing.
    pub expires_at: Option<DateTime<Utc>>,
    /// Since when it is revoked.
    pub revoked_at: Option<DateTime<Utc>>,
    /// What its maker noted.
    pub note: String,
    /// Who made it.
    pub created_by: String,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// `GET /admin/vouchers?state=`.
#[derive(Debug, Template)]
#[template(path = "vouchers/list.html")]
pub struct VouchersPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// All, and one for each state.
    pub tabs: Vec<VoucherTab>,
    /// Newest first.
    pub rows: Vec<VoucherRow>,
    /// Where older ones are.
    pub older_url: Option<String>,
}

/// What was typed to make vouchers. Fields: `amount`, `count`, `uses_max`, `expires_on`, `note`.
#[derive(Clone, Debug, Default)]
pub struct VoucherForm {
    /// What each is worth.
    pub amount: String,
    /// How many to make.
    pub count: String,
    /// By how many organisations each can be redeemed.
    pub uses_max: String,
    /// The last day on which they are good, or empty.
    pub expires_on: String,
    /// What they are for.
    pub note: String,
    /// Makes a second press of the button harmless.
    pub order: String,
    /// What is wrong with it.
    pub errors: FormErrors,
}

/// `GET /admin/vouchers/new`, and `POST /admin/vouchers` when it was refused.
#[derive(Debug, Template)]
#[template(path = "vouchers/new.html")]
pub struct NewVouchersPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// The form.
    pub form: VoucherForm,
    /// The most that are made at once.
    pub count_max: i64,
    /// In which time zone days end.
    pub time_zone: String,
}

/// A voucher with its code.
// No Debug: there is a secret in it.
#[derive(Clone)]
pub struct CodeRow {
    /// Id in URLs.
    pub id: String,
    /// The whole code.
    pub code: String,
}

/// The answer to `POST /admin/vouchers`.
// No Debug: there is a secret in it.
#[derive(Template)]
#[template(path = "vouchers/created.html")]
pub struct VouchersCreatedPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// In the order in which they were made.
    pub codes: Vec<CodeRow>,
    /// What each is worth.
    pub amount: Decimal,
    /// By how many organisations each can be redeemed.
    pub uses_max: u64,
    /// From when on they are worth nothing.
    pub expires_at: Option<DateTime<Utc>>,
    /// The codes as a file, inside its own address.
    pub csv_url: String,
}

impl VouchersCreatedPage {
    /// All codes, one a line, to be copied at once.
    fn lines(&self) -> String {
        self.codes.iter().map(|row| row.code.as_str()).collect::<Vec<_>>().join("\n")
    }
}

/// Who has redeemed a voucher.
#[derive(Clone, Debug)]
pub struct RedemptionRow {
    /// The organisation, in URLs.
    pub organisation_id: String,
    /// Its name.
    pub organisation: String,
    /// The person.
    pub by: String,
    /// When.
    pub at: DateTime<Utc>,
}

/// `GET /admin/vouchers/{id}`.
#[derive(Debug, Template)]
#[template(path = "vouchers/show.html")]
pub struct VoucherPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// The voucher.
    pub voucher: VoucherRow,
    /// Latest first.
    pub redemptions: Vec<RedemptionRow>,
}
