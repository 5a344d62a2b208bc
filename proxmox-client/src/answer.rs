//! What an answer means: data, a refusal, or something that is not Proxmox VE's. It sees status,
//! reason phrase, headers and body as they came and sends nothing.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use crate::error::{Error, MaybeDoneCause, NeverSentCause, Refusal};
use crate::lenient::as_text;
use crate::request::Call;

/// How much of a text that is not from the API a message repeats.
const SHOWN_LETTERS: usize = 200;

/// An answer with its whole body.
pub(crate) struct Answer {
    pub(crate) status: u16,
    /// The reason phrase if it is not the usual one of the status.
    pub(crate) reason: Option<String>,
    pub(crate) content_type: Option<String>,
    /// Where a redirect leads.
    pub(crate) location: Option<String>,
    pub(crate) body: Vec<u8>,
}

/// The `{"data": …}` around every result.
#[derive(Debug, Deserialize)]
pub(crate) struct Envelope<T> {
    pub(crate) data: T,
    /// The length of a log or list that was cut.
    #[serde(default, deserialize_with = "crate::lenient::optional_whole")]
    pub(crate) total: Option<u64>,
    /// The place of the endpoint that answered.
    #[serde(skip)]
    pub(crate) endpoint: usize,
}

/// Reads an answer as a result or as the reason why there is none.
pub(crate) fn read<T: DeserializeOwned>(call: &Call, answer: &Answer) -> Result<Envelope<T>, Error> {
    match answer.status {
        200..=299 => {}
        595 => {
            return Err(Error::never_sent(call, NeverSentCause::Node, told(answer)));
        }
        596..=599 => {
            return Err(Error::maybe_done(call, MaybeDoneCause::Node, told(answer)));
        }
        _ => return Err(refusal(call, answer)),
    }
    serde_json::from_slice(&answer.body).map_err(|error| {
        let detail = if is_web_page(answer) {
            String::from("a web page came instead of API data: this is not the API of Proxmox VE")
        } else if answer.body.is_empty() {
            String::from("an empty answer came instead of API data")
        } else {
            format!("the answer is not what this call answers: {error}")
        };
        Error::maybe_done(call, MaybeDoneCause::Unreadable, detail)
    })
}

/// Whether a failure lies in the endpoint that was asked, so that another one may do better: what
/// answered is not the API, or the API there is cut off from the cluster. An answer of the API is no
/// such failure, nor is a node named in the path that is out of reach.
pub(crate) fn is_fault_of_endpoint(call: &Call, answer: &Answer, error: &Error) -> bool {
    match answer.status {
        200..=299 => serde_json::from_slice::<BTreeMap<String, IgnoredAny>>(&answer.body).is_err(),
        300..=399 => true,
        // Without a node in the path it was the endpoint's own daemon that did not answer.
        595..=599 => !call.path.starts_with("/nodes/"),
        _ => match error {
            Error::Refused(refusal) => is_web_page(answer) || refusal.is_without_quorum(),
            Error::NeverSent { .. } | Error::MaybeDone { .. } => true,
        },
    }
}

fn refusal(call: &Call, answer: &Answer) -> Error {
    let parsed: Option<Value> = serde_json::from_slice(&answer.body).ok();
    let object = parsed.as_ref().and_then(Value::as_object);
    let errors: BTreeMap<String, String> = object
        .and_then(|object| object.get("errors"))
        .and_then(Value::as_object)
        .map(|errors| {
            errors
                .iter()
                .filter_map(|(name, text)| as_text(text).map(|text| (name.clone(), String::from(text.trim()))))
                .collect()
        })
        .unwrap_or_default();
    let body_message = object
        .and_then(|object| object.get("message"))
        .and_then(Value::as_str)
        .map(str::trim)
        .filter(|message| !message.is_empty())
        .map(String::from);
    let from_api =
        object.is_some_and(|object| ["data", "message", "errors"].iter().any(|key| object.contains_key(*key)));
    // A gateway that lost its upstream does not know whether the upstream acted.
    if !from_api && matches!(answer.status, 502..=504) {
        return Error::maybe_done(call, MaybeDoneCause::Node, told(answer));
    }
    Error::Refused(Refusal {
        status: answer.status,
        message: body_message.unwrap_or_else(|| told(answer)),
        errors,
        path: call.path.clone(),
    })
}

/// The text of an answer whose body has no message.
fn told(answer: &Answer) -> String {
    if let Some(reason) = answer.reason.as_deref().map(str::trim)
        && !reason.is_empty()
    {
        return String::from(reason);
    }
    if let Some(location) = &answer.location {
        let location: String = location.chars().take(SHOWN_LETTERS).collect();
        return format!("redirected to {location}: this endpoint is not the API itself");
    }
    if is_web_page(answer) {
        return format!("a web page came with status {}: this is not the API of Proxmox VE", answer.status);
    }
    let text = String::from_utf8_lossy(&answer.body);
    let text = text.trim();
    let is_plain = answer.content_type.as_deref().is_none_or(|kind| kind.starts_with("text/plain"));
    if is_plain && !text.is_empty() {
        return text.chars().take(SHOWN_LETTERS).collect();
    }
    reqwest::StatusCode::from_u16(answer.status)
        .ok()
        .and_then(|status| status.canonical_reason())
        .map_or_else(|| format!("status {}", answer.status), String::from)
}

fn is_web_page(answer: &Answer) -> bool {
    answer.content_type.as_deref().is_some_and(|kind| kind.to_ascii_lowercase().contains("html"))
        || answer.body.trim_ascii_start().starts_with(b"<")
}

#[cfg(test)]
mod tests {
    use reqwest::Method;

    use super::{Answer, read};
    use crate::error::{Error, MaybeDoneCause, NeverSentCause};
    use crate::request::Call;

    fn outcome(status: u16, reason: Option<&str>, kind: Option<&str>, body: &str) -> Result<Option<String>, Error> {
        let call = Call::new(Method::POST, "/nodes/pve/qemu/100/status/start");
        let answer = Answer {
            status,
            reason: reason.map(String::from),
            content_type: kind.map(String::from),
            location: None,
            body: body.as_bytes().to_vec(),
        };
        read::<Option<String>>(&call, &answer).map(|envelope| envelope.data)
    }

    const JSON: Option<&str> = Some("application/json;charset=UTF-8");

    fn refused_with(result: Result<Option<String>, Error>) -> (u16, String) {
        match result {
            Err(Error::Refused(refusal)) => (refusal.status, refusal.message),
            other => panic!("not a refusal: {other:?}"),
        }
    }

    #[test]
    fn data_and_null() {
        assert_eq!(outcome(200, None, JSON, r#"{"data":"x"}"#), Ok(Some(String::from("x"))));
        assert_eq!(outcome(200, None, JSON, r#"{"data":null}"#), Ok(None));
    }

    #[test]
    fn the_text_comes_from_body_then_reason_then_status() {
        let body = r#"{"data":null,"message":"storage 'x' does not exist\n"}"#;
        let result = outcome(500, Some("other words"), JSON, body);
        assert_eq!(refused_with(result), (500, String::from("storage 'x' does not exist")));
        let result = outcome(500, Some("VM 101 not running"), JSON, r#"{"data":null}"#);
        assert_eq!(refused_with(result), (500, String::from("VM 101 not running")));
        let result = outcome(401, Some("No ticket"), None, "");
        assert_eq!(refused_with(result), (401, String::from("No ticket")));
        let result = outcome(500, None, JSON, r#"{"data":null}"#);
        assert_eq!(refused_with(result), (500, String::from("Internal Server Error")));
        let result = outcome(500, None, None, "file error - not found\n");
        assert_eq!(refused_with(result), (500, String::from("file error - not found")));
    }

    #[test]
    fn all_errors_of_a_refusal_are_kept() {
        let body = r#"{"data":null,"errors":{"vmid":"VM 100 already exists\n","cores":7},"message":"Parameter verification failed.\n"}"#;
        let Err(Error::Refused(refusal)) = outcome(400, None, JSON, body) else {
            panic!("not a refusal");
        };
        assert_eq!(refusal.errors["vmid"], "VM 100 already exists");
        assert_eq!(refusal.errors["cores"], "7");
        assert!(refusal.is_already_exists());
        assert_eq!(
            refusal.to_string(),
            "/nodes/pve/qemu/100/status/start: Parameter verification failed. (400); cores: 7; vmid: VM 100 already exists"
        );
    }

    #[test]
    fn the_pseudo_status_tells_what_is_certain() {
        let result = outcome(595, Some("Connection refused"), None, "");
        assert!(
            matches!(
                result,
                Err(Error::NeverSent { cause: NeverSentCause::Node, ref detail, .. }) if detail == "Connection refused"
            ),
            "{result:?}"
        );
        for status in 596..=599 {
            let result = outcome(status, Some("Connection timed out"), None, "");
            assert!(matches!(result, Err(Error::MaybeDone { cause: MaybeDoneCause::Node, .. })), "{result:?}");
        }
        let result = outcome(502, None, Some("text/html"), "<html>Bad Gateway</html>");
        assert!(matches!(result, Err(Error::MaybeDone { .. })), "{result:?}");
    }

    #[test]
    fn a_web_page_is_no_answer() {
        let result = outcome(200, None, Some("text/html; charset=utf-8"), "<!DOCTYPE html>");
        assert!(
            matches!(
                result,
                Err(Error::MaybeDone { cause: MaybeDoneCause::Unreadable, ref detail, .. })
                    if detail.contains("web page")
            ),
            "{result:?}"
        );
        let (status, message) = refused_with(outcome(404, None, Some("text/html"), "<html>secret page</html>"));
        assert_eq!(status, 404);
        assert!(message.contains("web page") && !message.contains("secret"), "{message}");
    }

    #[test]
    fn other_shapes_are_unreadable() {
        for body in ["", "{}", "[]", "OK", r#"{"data":{"a":1}}"#, r#"{"data":"x""#] {
            // `{}` has no data at all; for an optional result that is the same as null.
            let result = outcome(200, None, JSON, body);
            if body == "{}" {
                assert_eq!(result, Ok(None));
            } else {
                assert!(
                    matches!(result, Err(Error::MaybeDone { cause: MaybeDoneCause::Unreadable, .. })),
                    "{body}: {result:?}"
                );
            }
        }
    }
}
