//! The page of a console, and the question to an operator why he opens a customer's.

use askama::Template;

use super::form::FormErrors;
use super::frame::{AdminFrame, BareFrame};
use super::markup;
use super::vms::{Offer, VmState};
use crate::vms::ConsoleKind;
use crate::web::format;

/// What stands in place of the screen while there is none to show.
#[derive(Clone, Debug)]
pub struct ConsoleNotice {
    /// What the machine is.
    pub state: VmState,
    /// Why nothing can be seen, as a sentence; none when it runs.
    pub sentence: Option<String>,
    /// Whether it can be started from here.
    pub start: Offer,
}

/// `GET /vms/{id}/console`, and `POST /admin/vms/{id}/console`.
#[derive(Debug, Template)]
#[template(path = "vms/console.html")]
pub struct ConsolePage {
    /// Title and assets.
    pub frame: BareFrame,
    /// Lets the terminal's own style elements in; made for this answer.
    pub style_nonce: String,
    /// Id in URLs.
    pub id: String,
    /// The machine's name.
    pub name: String,
    /// What to show first.
    pub kind: ConsoleKind,
    /// Where one-time addresses are asked for.
    pub ticket_url: String,
    /// Token for forms.
    pub csrf: String,
    /// Where one came from.
    pub back_url: String,
    /// Why an operator looks; empty for its owner.
    pub reason: String,
    /// While there is nothing to show.
    pub notice: ConsoleNotice,
}

/// `GET /admin/vms/{id}/console`, and `POST` to it when the reason was refused.
#[derive(Debug, Template)]
#[template(path = "customers/console.html")]
pub struct ConsoleReasonPage {
    /// Around the page.
    pub frame: AdminFrame,
    /// Id in URLs.
    pub id: String,
    /// The machine's name.
    pub name: String,
    /// Its owner.
    pub organisation: String,
    /// The owner's id.
    pub organisation_id: String,
    /// What was typed.
    pub reason: String,
    /// Field: `reason`.
    pub errors: FormErrors,
}

impl ConsolePage {
    fn is(&self, kind: ConsoleKind) -> bool {
        self.kind == kind
    }
}
