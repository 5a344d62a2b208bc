//! `/simulator/…`: faults and what happens behind a client's back, for whoever has the administration token.

use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::Request;
use hyper::body::Incoming;
use hyper::header::AUTHORIZATION;
use serde_json::{Value, json};

use super::Shared;
use super::response::{Answer, Format, formatted, refused};
use crate::administration::Action;
use crate::auth::same_secret;
use crate::failure::{Failure, Outcome, Reply};
use crate::faults::Fault;

/// Bytes of a request's body.
const BODY_MAX: usize = 64 * 1024;

/// Answers a request below `/simulator/`.
pub(super) async fn answer(shared: &Shared, request: Request<Incoming>) -> Answer {
    let given = request.headers().get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let given = given.and_then(|value| value.strip_prefix("Bearer ")).unwrap_or_default().to_owned();
    let Some(known) = &shared.admin_token else { return refused(501, "no such uri") };
    if !same_secret(known, &given) {
        return refused(401, "Authentication failed!");
    }
    let (method, path) = (request.method().as_str().to_owned(), request.uri().path().to_owned());
    let Ok(body) = Limited::new(request.into_body(), BODY_MAX).collect().await else {
        return formatted(Format::Json, Err(Failure::with_status(400, "the body is too large or was cut")));
    };
    let outcome = match path.strip_prefix("/simulator/").unwrap_or_default() {
        "faults" => faults(shared, &method, &body.to_bytes()),
        name if method == "POST" => act(shared, name, &body.to_bytes()),
        _ => Err(Failure::with_status(405, "only POST")),
    };
    formatted(Format::Json, outcome)
}

fn faults(shared: &Shared, method: &str, body: &[u8]) -> Outcome {
    match method {
        "GET" => Ok(Reply::data(json!(shared.faults.list()))),
        "DELETE" => {
            shared.faults.clear();
            Ok(Reply::null())
        }
        "POST" => {
            let fault: Fault = serde_json::from_slice(body).map_err(|error| Failure::with_status(400, error))?;
            shared.faults.inject(fault);
            Ok(Reply::null())
        }
        _ => Err(Failure::with_status(405, "only GET, POST and DELETE")),
    }
}

fn act(shared: &Shared, name: &str, body: &[u8]) -> Outcome {
    let fields: Value = match body {
        [] => json!({}),
        body => serde_json::from_slice(body).map_err(|error| Failure::with_status(400, error))?,
    };
    let action: Action =
        serde_json::from_value(json!({ name: fields })).map_err(|error| Failure::with_status(400, error))?;
    if let Action::Advance { seconds } = action {
        shared.clock.advance(Duration::from_secs(seconds));
    }
    let now = shared.clock.now();
    let mut cluster = shared.cluster();
    cluster.settle(now);
    let done = cluster.perform(action, now);
    cluster.settle(now);
    if done { Ok(Reply::null()) } else { Err(Failure::with_status(404, "no such guest, node or task")) }
}
