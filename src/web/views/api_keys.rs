//! The pages of the organisation's API keys: the list, the form that makes one, and the key itself right after. A key stands
//! on a page once.

use askama::Template;
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;

use super::form::FormErrors;
use super::frame::PortalFrame;
use super::markup;
use crate::web::format;

/// How a key stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyState {
    /// It opens what it may.
    Active,
    /// Somebody took it back.
    Revoked,
    /// Its day has come.
    Expired,
    /// Its maker is gone.
    WithoutMaker,
    /// Its maker is suspended.
    OnlyLooks,
}

impl KeyState {
    /// The word on the pill.
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "Active",
            Self::Revoked => "Revoked",
            Self::Expired => "Expired",
            Self::WithoutMaker => "Maker gone",
            Self::OnlyLooks => "Only looks",
        }
    }

    /// The colour of the pill.
    pub fn class(self) -> &'static str {
        match self {
            Self::Active => "pill-good",
            Self::Revoked | Self::Expired => "pill-quiet",
            Self::WithoutMaker => "pill-bad",
            Self::OnlyLooks => "pill-warning",
        }
    }
}

/// What a key may spend in a day.
#[derive(Clone, Debug)]
pub struct Budget {
    /// The most.
    pub limit: Decimal,
    /// What today costs, with what runs until midnight.
    pub used: Decimal,
    /// As a share of the limit.
    pub percent: u8,
}

/// A key in the list.
#[derive(Clone, Debug)]
pub struct ApiKeyRow {
    /// Id in URLs.
    pub id: String,
    /// How people call it.
    pub name: String,
    /// How it begins.
    pub prefix: String,
    /// How it stands.
    pub state: KeyState,
    /// What it was given.
    pub patterns: Vec<String>,
    /// From where it may be used; empty: from anywhere.
    pub networks: Vec<String>,
    /// What it may spend in a day, if that is limited.
    pub budget: Option<Budget>,
    /// When it ends; none: never.
    pub expires_at: Option<DateTime<Utc>>,
    /// When it was last used.
    pub last_used_at: Option<DateTime<Utc>>,
    /// From where.
    pub last_used_address: String,
    /// Who made it.
    pub made_by: String,
    /// When.
    pub created_at: DateTime<Utc>,
}

impl ApiKeyRow {
    /// Whether there is something to take back.
    fn may_be_revoked(&self) -> bool {
        self.state != KeyState::Revoked
    }
}

/// `GET /api-keys`
#[derive(Debug, Template)]
#[template(path = "api_keys/list.html")]
pub struct ApiKeysPage {
    /// Around the page.
    pub frame: PortalFrame,
    /// Those that are not revoked first, newest first.
    pub keys: Vec<ApiKeyRow>,
    /// When the day of the limits ends.
    pub day_ends_at: DateTime<Utc>,
}

/// A permission to choose.
#[derive(Clone, Debug)]
pub struct PermissionChoice {
    /// Its name.
    pub name: &'static str,
    /// What it is for.
    pub purpose: &'static str,
    /// Whether it is chosen.
    pub chosen: bool,
}

/// What was typed to make a key. Fields: `name`, `permissions`, `expires_at`, `networks`, `daily_limit`.
#[derive(Clone, Debug, Default)]
pub struct ApiKeyForm {
    /// How to call it.
    pub name: String,
    /// The last day, empty for never.
    pub expires_on: String,
    /// Networks, one a line.
    pub networks: String,
    /// The most a day.
    pub daily_limit: String,
    /// What is wrong with it.
    pub errors: FormErrors,
}

/// `GET /api-keys/new`, and `POST /api-keys` when it was refused.
#[derive(Debug, Template)]
#[template(path = "api_keys/new.html")]
pub struct NewApiKeyPage {
    /// Around the page.
    pub frame: PortalFrame,
    /// What the person may give.
    pub choices: Vec<PermissionChoice>,
    /// What was typed.
    pub form: ApiKeyForm,
    /// The furthest day on which a key may end, in days.
    pub expiry_days_max: i64,
    /// The longest name, in characters.
    pub name_characters_max: usize,
    /// The time zone of days.
    pub time_zone: String,
}

/// What `POST /api-keys` answers with.
// No Debug: there is a secret in it.
#[derive(Template)]
#[template(path = "api_keys/created.html")]
pub struct ApiKeyCreatedPage {
    /// Around the page.
    pub frame: PortalFrame,
    /// The key, for the only time.
    pub text: String,
    /// What it is.
    pub key: ApiKeyRow,
    /// Where the API is.
    pub api_url: String,
}
