//! How answers look on the wire: envelope, reason phrase, headers, formats `json` and `extjs`.

use http_body_util::Full;
use hyper::body::Bytes;
use hyper::ext::ReasonPhrase;
use hyper::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, PRAGMA, SERVER};
use hyper::{Response, StatusCode};
use serde_json::{Map, Value, json};

use crate::failure::Outcome;

/// A complete answer.
pub(crate) type Answer = Response<Full<Bytes>>;

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

fn bare(status: u16, reason: &str, body: Bytes) -> Answer {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut answer = Response::new(Full::new(body));
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
