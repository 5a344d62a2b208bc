//! Tables as files (RFC 4180), written row by row while they are read, so that a year costs no more memory than a page. Texts
//! that people typed cannot become formulas in the program that opens the file.

use std::borrow::Cow;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;

use crate::error::Error;

/// One row, being written.
#[derive(Debug, Default)]
pub struct Row {
    text: String,
    begun: bool,
}

impl Row {
    /// Adds a field of our own making: an amount, a time, an id.
    pub fn plain(mut self, value: impl std::fmt::Display) -> Self {
        self.add(&value.to_string());
        self
    }

    /// Adds a text that somebody typed. One that a spreadsheet would take for a formula gets an apostrophe in front, which
    /// the spreadsheet takes for "this is text".
    pub fn typed(mut self, text: &str) -> Self {
        self.add(&harmless(text));
        self
    }

    fn add(&mut self, field: &str) {
        if self.begun {
            self.text.push(',');
        }
        self.begun = true;
        if field.contains(['"', ',', '\r', '\n']) {
            self.text.push('"');
            self.text.push_str(&field.replace('"', "\"\""));
            self.text.push('"');
        } else {
            self.text.push_str(field);
        }
    }

    /// The row with its end.
    pub fn end(mut self) -> String {
        self.text.push_str("\r\n");
        self.text
    }
}

/// What spreadsheets begin formulas with, also behind spaces.
fn harmless(text: &str) -> Cow<'_, str> {
    let first = text.trim_start_matches([' ', '\u{a0}']).chars().next();
    match first {
        Some('=' | '+' | '-' | '@' | '\t' | '\r' | '\n' | '\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff20}') => {
            Cow::Owned(format!("'{text}"))
        }
        _ => Cow::Borrowed(text),
    }
}

/// An answer that is a file with this name. When reading fails half-way the answer breaks off, which every client notices.
pub fn file(name: &str, rows: impl Stream<Item = Result<String, Error>> + Send + 'static) -> Response {
    file_of(name, "text/csv; charset=utf-8; header=present", rows)
}

/// One JSON object per line.
pub const JSON_LINES: &str = "application/jsonl; charset=utf-8";

/// As [`file`], of this type.
pub fn file_of(
    name: &str,
    kind: &'static str,
    rows: impl Stream<Item = Result<String, Error>> + Send + 'static,
) -> Response {
    use futures_util::StreamExt;
    let pieces = rows.map(|piece| {
        piece
            .map(Bytes::from)
            .inspect_err(|error| tracing::error!(error = ?error, "a file could not be written to its end"))
    });
    let mut response = Body::from_stream(pieces).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // Names are of our own making; one that no header can hold would only lose its name.
    if let Ok(disposition) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_quoted_when_it_must_be() {
        let row = Row::default().plain("-0.005200").typed("web").typed("a \"b\", c").typed("two\r\nlines").plain("");

        assert_eq!(row.end(), "-0.005200,web,\"a \"\"b\"\", c\",\"two\r\nlines\",\r\n");
    }

    #[test]
    fn what_was_typed_cannot_become_a_formula() {
        for text in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", "＝1"] {
            assert!(Row::default().typed(text).end().trim_start_matches('"').starts_with('\''), "{text:?}");
        }
        assert_eq!(Row::default().typed("Paid = done").end(), "Paid = done\r\n");
    }
}
