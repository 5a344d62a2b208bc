//! One request from its head to its answer: faults, method, authentication, body rules, then the call itself.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http_body_util::{BodyExt as _, Limited};
use hyper::Request;
use hyper::body::{Body as _, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, TRANSFER_ENCODING, UPGRADE};
use hyper::http::request::Parts;
use percent_encoding::percent_decode_str;
use tokio::sync::watch;

use super::response::{Answer, Format, formatted, halved, lying, page, refused, start_page};
use super::{Cut, Shared, administration, body, upload};
use crate::auth::{self, Caller, Credentials, Unknown};
use crate::clock::micros;
use crate::cluster::drive::new_uuid;
use crate::console::Upgrade;
use crate::failure::{Failure, Outcome, Reply};
use crate::faults::FaultKind;
use crate::parameters::{Given, Parameters};
use crate::routes;
use crate::tasks::FILE_LOCK_WAIT;

/// Largest request body.
const BODY_MAX: u64 = 512 * 1024;
/// How much of a refused body is still read.
const DRAINED_MAX: u64 = 8 * 1024 * 1024;
/// Shortest pause before a held config file is looked at again.
const LOCK_POLL: Duration = Duration::from_millis(2);

/// Answers a request, or cuts the connection.
pub(super) async fn serve(
    shared: Arc<Shared>,
    cut: watch::Receiver<()>,
    mut request: Request<Incoming>,
) -> Result<Answer, Cut> {
    if request.uri().path().starts_with("/simulator/") {
        return Ok(administration::answer(&shared, request).await);
    }
    shared.requests.fetch_add(1, Ordering::Relaxed);
    let upgrade = Upgrade { stream: hyper::upgrade::on(&mut request), shared: Arc::clone(&shared), cut };
    let (head, mut incoming) = request.into_parts();
    let answer = answer(&shared, &head, &mut incoming, upgrade).await?;
    // Closing on a client that still writes would take the answer from it.
    let limit = usize::try_from(DRAINED_MAX).unwrap_or(usize::MAX);
    if !incoming.is_end_stream() {
        drop(Limited::new(incoming, limit).collect().await);
    }
    Ok(answer)
}

/// Spoils the call if a fault waits for it, and else processes it.
async fn answer(shared: &Shared, head: &Parts, incoming: &mut Incoming, upgrade: Upgrade) -> Result<Answer, Cut> {
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    let fault = shared.faults.take(head.method.as_str(), target);
    let format = if target.starts_with("/api2/extjs") { Format::ExtJs } else { Format::Json };
    let mut task_fault = None;
    match &fault {
        Some(FaultKind::DropBefore) => return Err(Cut),
        Some(FaultKind::Proxy595) => return Ok(refused(595, "Connection refused")),
        Some(FaultKind::Proxy596) => return Ok(refused(596, "Connection timed out")),
        Some(FaultKind::Proxy599) => return Ok(refused(599, "Too many redirections")),
        Some(FaultKind::Html) => return Ok(page()),
        Some(FaultKind::Refuse { status, message }) => {
            return Ok(formatted(format, Err(Failure::with_status(*status, message))));
        }
        Some(FaultKind::Delay(duration)) => tokio::time::sleep(*duration).await,
        Some(FaultKind::TaskFails(text)) => task_fault = Some(text.clone()),
        Some(
            FaultKind::DropAfter
            | FaultKind::Proxy596AfterWork
            | FaultKind::TruncatedJson
            | FaultKind::WrongContentLength,
        )
        | None => {}
    }
    let answer = process(shared, head, incoming, task_fault, upgrade).await?;
    match fault {
        Some(FaultKind::DropAfter) => Err(Cut),
        Some(FaultKind::Proxy596AfterWork) => Ok(refused(596, "Connection timed out")),
        Some(FaultKind::TruncatedJson) => Ok(halved(answer).await),
        Some(FaultKind::WrongContentLength) => Ok(lying(answer).await),
        _ => Ok(answer),
    }
}

async fn process(
    shared: &Shared,
    head: &Parts,
    incoming: &mut Incoming,
    task_fault: Option<String>,
    upgrade: Upgrade,
) -> Result<Answer, Cut> {
    let method = head.method.as_str();
    if !matches!(method, "GET" | "POST" | "PUT" | "DELETE") {
        return Ok(refused(501, &format!("method '{method}' not available")));
    }
    let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok());
    if header(TRANSFER_ENCODING).is_some_and(|encoding| encoding.eq_ignore_ascii_case("chunked")) {
        return Ok(refused(501, "chunked transfer encoding not supported"));
    }
    let path = percent_decode_str(head.uri.path()).decode_utf8_lossy().into_owned();
    let mut segments = path.split('/').filter(|segment| !segment.is_empty()).map(str::to_owned);
    let format = match (segments.next().as_deref(), segments.next().as_deref()) {
        (Some("api2"), Some("json")) => Format::Json,
        (Some("api2"), Some("extjs")) => Format::ExtJs,
        (None, _) if method == "GET" => {
            let cluster = shared.cluster();
            return Ok(start_page(cluster.nodes().first().map_or("", |node| node.name.as_str())));
        }
        _ => return Ok(refused(501, "no such uri")),
    };
    let path: Vec<String> = segments.collect();
    let access = Arc::clone(&shared.cluster().access);
    let credentials = Credentials {
        authorization: header(AUTHORIZATION),
        cookie: header(COOKIE),
        csrf: head.headers.get("CSRFPreventionToken").and_then(|value| value.to_str().ok()),
        // The form that uploads a file cannot send a header.
        writes: method != "GET" && path.last().is_none_or(|last| last != "upload"),
    };
    let caller = if auth::is_open(method, &path) {
        Caller::nobody(&access)
    } else {
        match auth::authenticate(&access, credentials, shared.clock.now()) {
            Ok(caller) => caller,
            Err(unknown) => {
                if unknown != Unknown::NoTicket {
                    tokio::time::sleep(shared.auth_delay).await;
                }
                return Ok(refused(401, unknown.reason()));
            }
        }
    };
    let length: u64 = header(CONTENT_LENGTH).and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut parameters = Parameters::default();
    if length > 0 {
        if matches!(method, "GET" | "DELETE") {
            return Ok(refused(501, &format!("Unexpected content for method '{method}'")));
        }
        let content_type = header(CONTENT_TYPE).unwrap_or_default();
        if let Some(boundary) = upload::boundary(content_type)
            .filter(|_| method == "POST" && path.last().is_some_and(|last| last == "upload"))
        {
            if length > upload::UPLOAD_MAX {
                return Ok(refused(501, "for data too large"));
            }
            let outcome = take_upload(shared, incoming, &boundary, parameters, &path, &caller, task_fault).await;
            return Ok(outcome.map_or_else(|text| refused(500, &text), |outcome| formatted_or_refused(format, outcome)));
        }
        if length > BODY_MAX {
            return Ok(refused(501, "for data too large"));
        }
        let kind = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        if !matches!(kind.as_str(), "" | "application/x-www-form-urlencoded" | "application/json") {
            return Ok(refused(506, &format!("upload 'Content-Type '{content_type}' not implemented")));
        }
        let limit = usize::try_from(BODY_MAX).unwrap_or(usize::MAX);
        let Ok(collected) = Limited::new(incoming, limit).collect().await else {
            return Ok(refused(501, "for data too large"));
        };
        let bytes = collected.to_bytes();
        if kind == "application/json" {
            if let Err(text) = body::add_json(&mut parameters, &bytes) {
                return Ok(refused(500, &text));
            }
        } else {
            body::add_encoded(&mut parameters, &String::from_utf8_lossy(&bytes));
        }
    }
    // What the query names goes before the body.
    let mut query = Parameters::default();
    body::add_encoded(&mut query, head.uri.query().unwrap_or_default());
    for (name, given) in query.iter() {
        parameters.set(name.clone(), given.clone());
    }
    let outcome = call(shared, method, &path, parameters, &caller, task_fault).await;
    match outcome {
        Ok(Reply { console: Some(console), .. }) if head.headers.contains_key(UPGRADE) => {
            upgrade.answer(head, console, shared).await
        }
        Err(failure) if failure.status == 401 => {
            tokio::time::sleep(shared.auth_delay).await;
            Ok(formatted(format, Err(failure)))
        }
        outcome => Ok(formatted_or_refused(format, outcome)),
    }
}

/// What the hop to another node says comes without an envelope.
fn formatted_or_refused(format: Format, outcome: Outcome) -> Answer {
    match outcome {
        Err(failure) if (595..=599).contains(&failure.status) => refused(failure.status, failure.text()),
        outcome => formatted(format, outcome),
    }
}

async fn take_upload(
    shared: &Shared,
    incoming: &mut Incoming,
    boundary: &str,
    mut parameters: Parameters,
    path: &[String],
    caller: &Caller,
    task_fault: Option<String>,
) -> Result<Outcome, String> {
    let upload = upload::read(incoming, boundary).await?;
    for (name, value) in upload.fields {
        parameters.add(name, value);
    }
    let mut temporary = None;
    if let Some((filename, received)) = upload.file {
        let name = format!("/var/tmp/pveupload-{}", new_uuid().replace('-', ""));
        parameters.set("filename", Given::Text(filename));
        parameters.set("tmpfilename", Given::Text(name.clone()));
        shared.cluster().received.insert(name.clone(), received);
        temporary = Some(name);
    }
    let outcome = call(shared, "POST", path, parameters, caller, task_fault).await;
    if let Some(name) = temporary {
        shared.cluster().received.remove(&name);
    }
    Ok(outcome)
}

/// Runs the call; a config file held by a task is waited for as long as Proxmox waits.
async fn call(
    shared: &Shared,
    method: &str,
    path: &[String],
    parameters: Parameters,
    caller: &Caller,
    task_fault: Option<String>,
) -> Outcome {
    let deadline = shared.clock.now().saturating_add(micros(FILE_LOCK_WAIT));
    loop {
        let now;
        let outcome = {
            let mut cluster = shared.cluster();
            now = shared.clock.now();
            cluster.settle(now);
            let request = routes::Request {
                method,
                path,
                parameters: parameters.clone(),
                caller,
                task_fault: task_fault.clone(),
            };
            routes::answer(&mut cluster, request, now)
        };
        match outcome {
            Err(Failure { busy_until: Some(until), .. }) if now < deadline => {
                let pause = Duration::from_micros(until.min(deadline).saturating_sub(now));
                tokio::time::sleep(pause.max(LOCK_POLL)).await;
            }
            Ok(reply) => {
                if !reply.delay.is_zero() {
                    tokio::time::sleep(reply.delay).await;
                }
                return Ok(reply);
            }
            refused => return refused,
        }
    }
}
