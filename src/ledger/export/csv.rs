//! Rows as RFC 4180 has them: a header, commas, CRLF, quotes where needed. Columns are only ever added, at the end.

use chrono::NaiveDate;

use super::{AccountName, ExportedLeg, ExportedWallet, Pen, instant};

/// One row per transfer.
pub(super) struct Postings<'a> {
    pub currency: &'a str,
}

impl Pen for Postings<'_> {
    fn begin(&self, page: &mut String) {
        row(
            page,
            &[
                "posting",
                "transfer",
                "at",
                "code",
                "debit",
                "credit",
                "amount",
                "currency",
                "source",
                "memo",
                "created_by",
            ],
        );
    }

    fn wallet(&self, _page: &mut String, _wallet: &ExportedWallet, _from: Option<NaiveDate>) {}

    fn posting(&self, page: &mut String, legs: &[ExportedLeg]) {
        for leg in legs {
            row(
                page,
                &[
                    &leg.posting.to_string(),
                    &leg.id.to_string(),
                    &instant(leg.at),
                    &leg.code,
                    &name(&leg.debit),
                    &name(&leg.credit),
                    &leg.amount.to_string(),
                    self.currency,
                    &leg.source,
                    &leg.memo,
                    &leg.created_by.map(|id| id.to_string()).unwrap_or_default(),
                ],
            );
        }
    }

    fn closing(&self, _page: &mut String, _wallet: &ExportedWallet, _last: NaiveDate) {}
}

/// `wallet:<organisation>`, `payment_clearing:<provider>`, or the kind.
fn name(account: &AccountName) -> String {
    match (&account.wallet, &account.provider) {
        (Some((_, organisation)), _) => format!("{}:{organisation}", account.kind),
        (None, Some(provider)) => format!("{}:{provider}", account.kind),
        (None, None) => account.kind.clone(),
    }
}

/// Appends a row.
pub(super) fn row<Field: AsRef<str>>(page: &mut String, fields: &[Field]) {
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            page.push(',');
        }
        let field = field.as_ref();
        if field.contains(['"', ',', '\r', '\n']) {
            page.push('"');
            page.push_str(&field.replace('"', "\"\""));
            page.push('"');
        } else {
            page.push_str(field);
        }
    }
    page.push_str("\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_quoted_where_it_must_be() {
        let mut page = String::new();
        row(&mut page, &["a", "", "b,c", "say \"hi\"", "two\r\nlines"]);
        assert_eq!(page, "a,,\"b,c\",\"say \"\"hi\"\"\",\"two\r\nlines\"\r\n");
    }
}
