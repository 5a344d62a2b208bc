//! The pages about the safety of an account: the second factor at the login, confirming who one is, setting factors up.
//! Secrets and codes stand on the one page that shows them, and nowhere else.

use askama::Template;
use chrono::{DateTime, Utc};
use qrcodegen::{QrCode, QrCodeEcc};

use super::form::FormErrors;
use super::frame::{BareFrame, PortalFrame};
use super::markup::{self, Markup};
use crate::sessions::KeptForm;
use crate::web::format;

/// `GET /login/code`, and `POST` to it when the code was refused.
#[derive(Debug, Template)]
#[template(path = "auth/code.html")]
pub struct CodePage {
    /// Around the page.
    pub frame: BareFrame,
    /// Token for the form.
    pub csrf: String,
    /// Where to go after; a path of this server, or empty.
    pub next: String,
    /// He has an app, or recovery codes.
    pub codes: bool,
    /// He has passkeys.
    pub passkeys: bool,
    /// Field: `code`; empty name for the whole form.
    pub errors: FormErrors,
}

/// `GET /confirm`, and `POST` to it when it was refused.
#[derive(Debug, Template)]
#[template(path = "auth/confirm.html")]
pub struct ConfirmPage {
    /// Around the page.
    pub frame: BareFrame,
    /// Token for the form.
    pub csrf: String,
    /// Where to go after; a path of this server.
    pub back: String,
    /// Who has to confirm.
    pub email: String,
    /// He has an app.
    pub codes: bool,
    /// He has passkeys.
    pub passkeys: bool,
    /// He can prove it only there: the name of the identity provider.
    pub provider: Option<String>,
    /// Fields: `password`, `code`; empty name for the whole form.
    pub errors: FormErrors,
}

/// The name of a form's buttons, where it has several.
const BUTTON: &str = "do";
/// How many fields of a kept form are shown at once. The prices of a list are dozens.
const SHOWN_MAX: usize = 8;

/// `GET /confirm/form`.
#[derive(Debug, Template)]
#[template(path = "auth/kept_form.html")]
pub struct KeptFormPage {
    /// Around the page.
    pub frame: BareFrame,
    /// Token for the form.
    pub csrf: String,
    /// What waited.
    pub form: KeptForm,
}

impl KeptFormPage {
    /// Where it was sent to, as words: `customers › credits`.
    fn place(&self) -> String {
        let words = self.form.path.split('/').filter(|part| !matches!(*part, "" | "admin" | "account"));
        let words = words.filter(|part| part.parse::<uuid::Uuid>().is_err()).map(|part| part.replace(['_', '-'], " "));
        words.collect::<Vec<_>>().join(" › ")
    }

    /// What can be read of it: names as words, without what was left empty and what only the page itself knows.
    fn readable(&self) -> Vec<(String, &str)> {
        let is_id = |text: &str| text.parse::<uuid::Uuid>().is_ok();
        let fields =
            self.form.fields.iter().filter(|(name, value)| name != BUTTON && !value.is_empty() && !is_id(value));
        fields
            .map(|(name, value)| {
                let words: Vec<_> = name.split('.').filter(|part| !is_id(part)).collect();
                (words.join(" ").replace(['_', '-'], " "), value.as_str())
            })
            .collect()
    }

    /// Whether there is so much of it that it is folded up.
    fn is_long(&self) -> bool {
        self.readable().len() > SHOWN_MAX
    }
}

/// `GET /account/security`.
#[derive(Debug, Template)]
#[template(path = "account/security.html")]
pub struct SecurityPage {
    /// Around the page.
    pub frame: PortalFrame,
    /// He was led here because a second factor is required of him.
    pub led_here: bool,
    /// An app is set up.
    pub totp: bool,
    /// A second factor is required of him.
    pub required: bool,
    /// He has one.
    pub any: bool,
    /// How many recovery codes are left.
    pub recovery_codes_left: i64,
    /// How many there are at first.
    pub recovery_codes: usize,
    /// His passkeys, oldest first.
    pub passkeys: Vec<PasskeyRow>,
    /// Passkeys need a domain name; a platform at a bare network address has none.
    pub passkeys_possible: bool,
    /// What was wrong with the last attempt to add one. Field: `name`.
    pub errors: FormErrors,
    /// With whose accounts he may log in besides, if with anybody's.
    pub provider: Option<String>,
    /// His accounts there, oldest first.
    pub identities: Vec<IdentityRow>,
    /// Who may set it sees what the organisation demands.
    pub demand: Option<DemandView>,
}

/// An account at an identity provider in the list.
#[derive(Clone, Debug)]
pub struct IdentityRow {
    /// Id in URLs.
    pub id: String,
    /// Its address there, or what else tells it apart.
    pub name: String,
    /// The provider that it is of, where that is no longer the one that is set.
    pub elsewhere: Option<String>,
    /// When it was linked.
    pub added_at: DateTime<Utc>,
    /// When it was last used, if it was.
    pub used_at: Option<DateTime<Utc>>,
}

/// `GET /account/security/oidc/link`.
#[derive(Debug, Template)]
#[template(path = "auth/link.html")]
pub struct LinkPage {
    /// Around the page.
    pub frame: BareFrame,
    /// Token for the form.
    pub csrf: String,
    /// Whose account here.
    pub email: String,
    /// How the provider is called.
    pub provider: String,
    /// The address there, if it has one.
    pub email_there: Option<String>,
}

/// A passkey in the list.
#[derive(Clone, Debug)]
pub struct PasskeyRow {
    /// Id in URLs.
    pub id: String,
    /// What its owner calls it.
    pub name: String,
    /// When it was added.
    pub added_at: DateTime<Utc>,
    /// When it was last used, if it was.
    pub used_at: Option<DateTime<Utc>>,
}

/// What an organisation demands of its members.
#[derive(Clone, Debug)]
pub struct DemandView {
    /// Its name.
    pub organisation: String,
    /// A second factor.
    pub required: bool,
}

/// `GET /account/security/totp`, and `POST` to it when the code was refused.
// No Debug: there is a secret in it.
#[derive(Template)]
#[template(path = "account/totp.html")]
pub struct TotpPage {
    /// Around the page.
    pub frame: PortalFrame,
    /// The secret in groups, to be typed.
    pub secret: String,
    /// The address, as QR code.
    pub qr: Markup,
    /// The same, for a device that has the app itself.
    pub url: String,
    /// Field: `code`.
    pub errors: FormErrors,
}

/// New recovery codes: the answer to the `POST` that made them.
// No Debug: there is a secret in it.
#[derive(Template)]
#[template(path = "account/codes.html")]
pub struct RecoveryCodesPage {
    /// Around the page.
    pub frame: PortalFrame,
    /// The codes.
    pub codes: Vec<String>,
}

/// A text as QR code: dark on light in either theme, for cameras. Nothing when it is too long for one.
pub fn qr_code(text: &str, label: &str) -> Markup {
    /// The empty border that readers need, in modules.
    const QUIET: i32 = 4;
    let Ok(code) = QrCode::encode_text(text, QrCodeEcc::Medium) else { return Markup::new(String::new()) };
    let size = code.size();
    let mut path = String::new();
    for y in 0..size {
        for x in 0..size {
            if code.get_module(x, y) {
                path.push_str(&format!("M{x} {y}h1v1h-1z"));
            }
        }
    }
    let (side, label) = (size + 2 * QUIET, markup::escape(label));
    Markup::new(format!(
        r##"<svg class="qr" viewBox="-{QUIET} -{QUIET} {side} {side}" width="220" height="220" role="img" aria-label="{label}" shape-rendering="crispEdges"><rect x="-{QUIET}" y="-{QUIET}" width="{side}" height="{side}" fill="#fff"/><path d="{path}" fill="#000"/></svg>"##
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_qr_code_is_a_drawing_with_a_label() {
        let drawing = qr_code("otpauth://totp/x", "\"scan\"").to_string();
        assert!(drawing.starts_with("<svg") && drawing.contains("&quot;scan&quot;") && !drawing.contains("style"));
        assert_eq!(qr_code(&"x".repeat(10_000), "too long").to_string(), "");
    }
}
