//! The mail that says that there is an invoice, written in the transaction that issues it.

use sqlx::PgConnection;

use super::{Invoice, Month};
use crate::app::App;
use crate::error::Result;
use crate::notifications::{Letter, write_to_members};
use crate::permissions::Permission;

/// Writes to the members of the organisation who may see what was charged. Of months before the `last` only corrections are
/// told: when an operator says late who issues invoices, nobody gets a mail for each month of the past.
pub(super) async fn tell(app: &App, connection: &mut PgConnection, invoice: &Invoice, last: Month) -> Result<()> {
    if invoice.month != last && invoice.part == 1 {
        return Ok(());
    }
    let letter = Letter {
        key: &format!("invoice:{}", invoice.id),
        kind: "invoice",
        subject: format!("Invoice {}", invoice.number),
        body: body(invoice),
        link: Some(&format!("/wallet/invoices/{}", invoice.number)),
        readers: Some(Permission::BillingView),
    };
    write_to_members(app, connection, invoice.organisation, &letter, invoice.issued_at).await
}

fn body(invoice: &Invoice) -> String {
    let amount = |money: billing::Money| {
        let places = invoice.places.get();
        format!("{:.*} {}", usize::try_from(places).unwrap_or(0), money.to_decimal(), invoice.currency)
    };
    let month = invoice.month.first_day().format("%B %Y");
    let which = match invoice.part {
        1 => format!("The invoice {} for {month} is ready.", invoice.number),
        part => format!(
            "More was charged for {month} after it was invoiced: the invoice {} has it, as part {part}.",
            invoice.number
        ),
    };
    let tax = if invoice.tax.is_zero() {
        String::new()
    } else {
        format!(", with {} % of tax ({})", invoice.tax_rate, amount(invoice.tax))
    };
    format!(
        "{which} It comes to {}{tax}.\n\nIt was paid from your credit: nothing is left to pay.",
        amount(invoice.gross)
    )
}
