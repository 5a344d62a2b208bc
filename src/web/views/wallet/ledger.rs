//! All transfers of a wallet, for its owner and for operators.

use askama::Template;
use chrono::NaiveDate;

use super::{Place, TransferTable};
use crate::web::views::form::SelectOption;
use crate::web::views::markup;

/// The ledger of an organisation, inside the portal or the admin panel.
#[derive(Debug, Template)]
#[template(path = "wallet/ledger.html")]
pub struct LedgerBody {
    /// Where it stands.
    pub place: Place,
    /// The chosen kind, or empty.
    pub kind: String,
    /// The kinds that can be chosen.
    pub kinds: Vec<SelectOption>,
    /// The chosen month, or empty.
    pub month: String,
    /// The months that can be chosen.
    pub months: Vec<SelectOption>,
    /// The lines.
    pub transfers: TransferTable,
    /// The first day that the form for a file proposes.
    pub from: NaiveDate,
    /// The last day that the form for a file proposes.
    pub to: NaiveDate,
}
