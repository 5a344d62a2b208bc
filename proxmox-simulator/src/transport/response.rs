//! How answers look on the wire: envelope, reason phrase, headers, formats `json` and `extjs`.

use std::pin::Pin;
use std::task::{Context, Poll};

use http_body_util::BodyExt as _;
use http_body_util::Full;
use hyper::body::{Body, Bytes, Frame, SizeHint};
use hyper::ext::ReasonPhrase;
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, PRAGMA, SERVER};
use hyper::{Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::failure::Outcome;

/// Bytes an answer lacks that lies about its length.
const MISSING_BYTES: usize = 64;

/// A complete answer.
pub(crate) type Answer = Response<Payload>;

/// The body of an answer. One that lies about its length does not tell hyper the true one.
pub(crate) struct Payload {
    bytes: Full<Bytes>,
    lies: bool,
}

impl Payload {
    /// Nothing.
    pub(crate) fn empty() -> Self {
        Self { bytes: Full::default(), lies: false }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Pin::new(&mut self.bytes).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        !self.lies && self.bytes.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        if self.lies { SizeHint::default() } else { self.bytes.size_hint() }
    }
}

/// The answer with half of its body.
pub(crate) async fn halved(answer: Answer) -> Answer {
    let (head, body) = answer.into_parts();
    let Ok(whole) = body.collect().await;
    let whole = whole.to_bytes();
    Response::from_parts(head, Payload { bytes: Full::new(whole.slice(..whole.len() / 2)), lies: false })
}

/// The answer with a `Content-Length` that is too large.
pub(crate) async fn lying(answer: Answer) -> Answer {
    let (mut head, body) = answer.into_parts();
    let Ok(whole) = body.collect().await;
    let whole = whole.to_bytes();
    head.headers.insert(CONTENT_LENGTH, HeaderValue::from(whole.len() + MISSING_BYTES));
    Response::from_parts(head, Payload { bytes: Full::new(whole), lies: true })
}

/// The formats of `/api2/{format}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Json,
    /// Always 200, with the status inside.
    ExtJs,
}

/// The answer to a call.
pub(crate) fn formatted(format: Format, outcome: Outcome) -> Answer {
    let mut body = Map::new();
    let (status, message) = match outcome {
        Ok(reply) => {
            body.insert("data".to_owned(), reply.data);
            if let Some(total) = reply.total {
                body.insert("total".to_owned(), json!(total));
            }
            (200, String::new())
        }
        Err(failure) => {
            body.insert("data".to_owned(), Value::Null);
            body.insert("message".to_owned(), json!(failure.message));
            if let Some(errors) = failure.errors {
                body.insert("errors".to_owned(), json!(errors));
            }
            (failure.status, failure.message)
        }
    };
    if format == Format::ExtJs {
        body.insert("success".to_owned(), json!(i32::from(status < 400)));
        if status >= 400 {
            body.insert("status".to_owned(), json!(status));
        }
        return with_body(200, "", Value::Object(body).to_string());
    }
    with_body(status, message.lines().next().unwrap_or_default(), Value::Object(body).to_string())
}

fn with_body(status: u16, reason: &str, body: String) -> Answer {
    let mut answer = bare(status, reason, body.into());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json;charset=UTF-8"));
    answer
}

/// An answer from outside the formatter: no content type, empty body, the reason says it all.
pub(crate) fn refused(status: u16, reason: &str) -> Answer {
    bare(status, reason, Bytes::new())
}

/// A web page where an API answer was expected.
pub(crate) fn page() -> Answer {
    let body = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n";
    let mut answer = bare(502, "", Bytes::from_static(body.as_bytes()));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html"));
    answer
}

/// What a browser gets at `/`: there is no web interface here, only its title, which clients look for.
pub(super) fn start_page(node: &str) -> Answer {
    let body = format!(
        "<!DOCTYPE html>\n<html>\n<head><title>{node} - Proxmox Virtual Environment</title></head>\n\
         <body>A simulator answers here. Its API is at <a href=\"/api2/json/\">/api2/json/</a>.</body>\n</html>\n"
    );
    let mut answer = bare(200, "", Bytes::from(body));
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=UTF-8"));
    answer
}

fn bare(status: u16, reason: &str, body: Bytes) -> Answer {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = Response::new(Payload { bytes: Full::new(body), lies: false });
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    let connection = if status.as_u16() >= 400 { "close" } else { "Keep-Alive" };
    headers.insert(CONNECTION, HeaderValue::from_static(connection));
    headers.insert(SERVER, HeaderValue::from_static("pve-api-daemon/3.0"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=0"));
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    if !reason.is_empty() && status.canonical_reason() != Some(reason) {
        let bytes: Vec<u8> = reason.bytes().filter(|byte| *byte == b'\t' || (*byte >= 0x20 && *byte != 0x7f)).collect();
        if let Ok(phrase) = ReasonPhrase::try_from(bytes) {
            answer.extensions_mut().insert(phrase);
        }
    }
    answer
}
