//! The client: one request at a time from parameters to a read answer, with its limits, and on
//! which endpoint it goes on when one does not answer. What the calls are is in the files named
//! after their area; what answers mean is in `answer.rs`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, LOCATION};
use secrecy::SecretString;
use serde::de::DeserializeOwned;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::answer::{Answer, Envelope, is_fault_of_endpoint, read};
use crate::cluster::Version;
use crate::endpoints::{EndpointState, Endpoints, Reach};
use crate::error::{Error, MaybeDoneCause, NeverSentCause};
use crate::request::{Call, Parameters};
use crate::settings::{ApiToken, Settings, SettingsError};
use crate::tls;

/// The largest answer read.
const LONGEST_ANSWER: usize = 64 * 1024 * 1024;
/// How often a request that is safe to repeat is repeated.
const REPEATS: u32 = 2;
/// The pause before a repeated request.
const REPEAT_PAUSE: Duration = Duration::from_millis(200);
/// The encoding of every body.
const FORM: &str = "application/x-www-form-urlencoded";

/// A client of one Proxmox VE cluster. Cloning it is cheap; all clones share connections and the
/// limit of requests at once.
///
/// With several endpoints it stays with the last that answered. A call that was never sent goes on
/// to the next endpoint at once; a read goes on also where the request left and no answer of the
/// API came back; a change does not. An endpoint that failed is passed over for a time that doubles
/// up to [`Settings::longest_back_off`]. That a node named in a path is out of reach is no fault of
/// the endpoint. [`Client::endpoints`] tells how each is doing.
///
/// Dropping a call's future may leave its request carried out or not, as with
/// [`Error::MaybeDone`].
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    endpoints: Endpoints,
    turns: Semaphore,
    request_timeout: Duration,
    failover_timeout: Duration,
    token: ApiToken,
}

impl Client {
    /// A client for these settings. It opens no connection yet.
    ///
    /// # Errors
    /// When a setting is unusable; [`SettingsError`] says which.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        Ok(Self {
            inner: Arc::new(Inner {
                endpoints: Endpoints::new(&settings)?,
                turns: Semaphore::new(settings.requests_at_once),
                request_timeout: settings.request_timeout,
                failover_timeout: settings.failover_timeout,
                token: settings.token,
            }),
        })
    }

    /// The endpoint that is asked first, the last that answered: scheme, host and port.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.reach(self.inner.endpoints.current()).url
    }

    /// How each endpoint is doing, in the order of the settings, as the calls so far have found it.
    /// Nothing is sent; [`Client::check_endpoints`] asks.
    #[must_use]
    pub fn endpoints(&self) -> Vec<EndpointState> {
        self.inner.endpoints.states(Instant::now())
    }

    /// `GET /version` of every endpoint, all at once within the limit of requests, whether it is
    /// passed over or not. Any token. So that an endpoint nobody has needed yet, and whose certificate
    /// has changed, is found before it is needed. Ends after twice the request time at the latest.
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client) -> Result<(), proxmox_client::Error> {
    /// for endpoint in client.check_endpoints().await {
    ///     if endpoint.is_tls_failure() {
    ///         println!("{}: {:?}", endpoint.url, endpoint.last_error);
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub async fn check_endpoints(&self) -> Vec<EndpointState> {
        let mut checks = JoinSet::new();
        for place in 0..self.inner.endpoints.count() {
            let client = self.clone();
            checks.spawn(async move {
                let call = Call::new(Method::GET, "/version");
                if let Ok(_turn) = client.turn(&call).await {
                    let _: Result<Envelope<Version>, _> = client.ask(place, &call, Body::Form("")).await;
                }
            });
        }
        while checks.join_next().await.is_some() {}
        self.endpoints()
    }

    /// The value of the `Authorization` header.
    pub(crate) fn authorization(&self) -> SecretString {
        self.inner.token.header()
    }

    /// The place of the endpoint that is asked first.
    pub(crate) fn current_place(&self) -> usize {
        self.inner.endpoints.current()
    }

    /// An endpoint by its place.
    pub(crate) fn reach(&self, place: usize) -> &Reach {
        self.inner.endpoints.at(place)
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: String, parameters: Parameters) -> Result<T, Error> {
        self.request(Method::GET, path, &parameters).await.map(|envelope| envelope.data)
    }

    pub(crate) async fn post<T: DeserializeOwned>(&self, path: String, parameters: Parameters) -> Result<T, Error> {
        self.request(Method::POST, path, &parameters).await.map(|envelope| envelope.data)
    }

    /// As a form is posted, but with a body of another kind.
    pub(crate) async fn post_body<T: DeserializeOwned>(&self, path: String, body: Body<'_>) -> Result<T, Error> {
        self.deliver(Call::new(Method::POST, path), body).await.map(|envelope| envelope.data)
    }

    pub(crate) async fn put<T: DeserializeOwned>(&self, path: String, parameters: Parameters) -> Result<T, Error> {
        self.request(Method::PUT, path, &parameters).await.map(|envelope| envelope.data)
    }

    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: String, parameters: Parameters) -> Result<T, Error> {
        self.request(Method::DELETE, path, &parameters).await.map(|envelope| envelope.data)
    }

    /// Waits for one of the requests allowed at once, over all endpoints.
    async fn turn(&self, call: &Call) -> Result<SemaphorePermit<'_>, Error> {
        match tokio::time::timeout(self.inner.request_timeout, self.inner.turns.acquire()).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => {
                let detail = "all requests allowed at once stayed occupied";
                Err(Error::never_sent(call, NeverSentCause::Queue, detail))
            }
        }
    }

    /// Sends a request, goes on to other endpoints and repeats it where that cannot do anything
    /// twice, and reads the answer with its envelope.
    pub(crate) async fn request<T: DeserializeOwned>(
        &self,
        method: Method,
        path: String,
        parameters: &Parameters,
    ) -> Result<Envelope<T>, Error> {
        self.deliver(Call::new(method, path), Body::Form(&parameters.encoded())).await
    }

    async fn deliver<T: DeserializeOwned>(&self, call: Call, body: Body<'_>) -> Result<Envelope<T>, Error> {
        let _turn = self.turn(&call).await?;
        let endpoints = &self.inner.endpoints;
        let begun = Instant::now();
        let mut failures: Vec<(usize, Error)> = Vec::new();
        let mut places = endpoints.order(begun);
        for repeat in 0..=REPEATS {
            if repeat > 0 {
                places =
                    failures.iter().filter(|(_, error)| may_repeat(&call, error)).map(|(place, _)| *place).collect();
                if places.is_empty() || begun.elapsed() >= self.inner.failover_timeout {
                    break;
                }
                tokio::time::sleep(REPEAT_PAUSE).await;
            }
            for (number, place) in places.iter().copied().enumerate() {
                if !failures.is_empty() && begun.elapsed() >= self.inner.failover_timeout {
                    let left_out = if repeat == 0 { &places[number..] } else { &[] };
                    return Err(endpoints.combined(&call, failures, left_out));
                }
                let error = match self.ask(place, &call, body).await {
                    Ok(envelope) => return Ok(envelope),
                    Err(Failure::Final(error)) => return Err(error),
                    Err(Failure::OfEndpoint(error)) => error,
                };
                if call.method != Method::GET && !matches!(error, Error::NeverSent { .. }) {
                    // It may be done, or was refused; what other endpoints failed with was never sent.
                    return Err(error);
                }
                match failures.iter_mut().find(|(failed, _)| *failed == place) {
                    Some((_, earlier)) => *earlier = error,
                    None => failures.push((place, error)),
                }
            }
        }
        Err(endpoints.combined(&call, failures, &[]))
    }

    /// Asks one endpoint once and notes how it did.
    async fn ask<T: DeserializeOwned>(
        &self,
        place: usize,
        call: &Call,
        body: Body<'_>,
    ) -> Result<Envelope<T>, Failure> {
        let endpoints = &self.inner.endpoints;
        let (error, is_of_endpoint) = match send_once(endpoints.at(place), call, body).await {
            Ok(answer) => match read(call, &answer) {
                Ok(envelope) => {
                    endpoints.answered(place);
                    return Ok(Envelope { endpoint: place, ..envelope });
                }
                Err(error) => {
                    let is_of_endpoint = is_fault_of_endpoint(call, &answer, &error);
                    if !is_of_endpoint {
                        endpoints.answered(place);
                    }
                    (error, is_of_endpoint)
                }
            },
            Err(error) => {
                let is_argument = matches!(error, Error::NeverSent { cause: NeverSentCause::Argument, .. });
                (error, !is_argument)
            }
        };
        if !is_of_endpoint {
            return Err(Failure::Final(error));
        }
        endpoints.failed(place, &error, Instant::now());
        Err(Failure::OfEndpoint(error))
    }
}

/// How a request to one endpoint failed.
enum Failure {
    /// With an answer of the API, or for a reason that every endpoint would have.
    Final(Error),
    /// Because of this endpoint.
    OfEndpoint(Error),
}

/// What goes with a request.
#[derive(Clone, Copy)]
pub(crate) enum Body<'a> {
    /// Encoded parameters: the body of a POST or PUT, the query of the rest.
    Form(&'a str),
    /// A body that is whole already, with its content type.
    Whole { content_type: &'a str, bytes: &'a [u8] },
}

async fn send_once(reach: &Reach, call: &Call, body: Body<'_>) -> Result<Answer, Error> {
    let url = format!("{}/api2/json{}", reach.url, call.path);
    let has_body = call.method == Method::POST || call.method == Method::PUT;
    // Proxmox refuses a chunked body; an empty one would go out without any length.
    let request = match body {
        Body::Form(encoded) if has_body => reach
            .http
            .request(call.method.clone(), url)
            .header(CONTENT_TYPE, FORM)
            .header(CONTENT_LENGTH, encoded.len())
            .body(String::from(encoded)),
        Body::Form(encoded) => {
            let mark = if encoded.is_empty() { "" } else { "?" };
            reach.http.request(call.method.clone(), format!("{url}{mark}{encoded}"))
        }
        Body::Whole { content_type, bytes } => reach
            .http
            .request(call.method.clone(), url)
            .header(CONTENT_TYPE, content_type)
            .header(CONTENT_LENGTH, bytes.len())
            .body(bytes.to_vec()),
    };
    let mut response = request.send().await.map_err(|error| transport_failure(call, &error))?;
    let header = |name| {
        let value: Option<&HeaderValue> = response.headers().get(name);
        value.and_then(|value| value.to_str().ok()).map(String::from)
    };
    let mut answer = Answer {
        status: response.status().as_u16(),
        reason: response
            .extensions()
            .get::<hyper::ext::ReasonPhrase>()
            .map(|phrase| String::from_utf8_lossy(phrase.as_bytes()).into_owned()),
        content_type: header(CONTENT_TYPE),
        location: header(LOCATION),
        body: Vec::new(),
    };
    loop {
        let chunk = response.chunk().await.map_err(|error| transport_failure(call, &error))?;
        let Some(chunk) = chunk else {
            return Ok(answer);
        };
        if answer.body.len() + chunk.len() > LONGEST_ANSWER {
            let detail = format!("the answer is longer than {LONGEST_ANSWER} bytes");
            return Err(Error::maybe_done(call, MaybeDoneCause::Unreadable, detail));
        }
        answer.body.extend_from_slice(&chunk);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Client")
            .field("endpoint", &self.endpoint())
            .field("token", &self.inner.token.id())
            .finish_non_exhaustive()
    }
}

/// Whether the same request may go out again at once. A time-out is not repeated: it has used up
/// its caller's patience. TLS and name failures do not pass within a moment.
fn may_repeat(call: &Call, error: &Error) -> bool {
    match error {
        Error::NeverSent { cause, .. } => *cause == NeverSentCause::Connect,
        Error::MaybeDone { cause, .. } => call.method == Method::GET && *cause == MaybeDoneCause::Connection,
        Error::Refused(_) => false,
    }
}

/// What a failure of the HTTP library says about the request.
pub(crate) fn transport_failure(call: impl ToString, error: &reqwest::Error) -> Error {
    if error.is_builder() {
        return Error::never_sent(call, NeverSentCause::Argument, deepest(error));
    }
    if error.is_connect() {
        if let Some(sentence) = tls::tls_failure(error) {
            return Error::never_sent(call, NeverSentCause::Tls, sentence);
        }
        let (cause, detail) = if error.is_timeout() {
            (NeverSentCause::ConnectTimeout, String::from("no connection in time"))
        } else if error.is_dns() {
            (NeverSentCause::Resolve, format!("the host name does not resolve: {}", deepest(error)))
        } else {
            (NeverSentCause::Connect, format!("no connection: {}", deepest(error)))
        };
        return Error::never_sent(call, cause, detail);
    }
    if error.is_timeout() {
        let detail = "no complete answer in time";
        return Error::maybe_done(call, MaybeDoneCause::Timeout, detail);
    }
    let detail = format!("the connection broke: {}", deepest(error));
    Error::maybe_done(call, MaybeDoneCause::Connection, detail)
}

/// The innermost of an error's causes; the outer ones repeat the URL and say less.
pub(crate) fn deepest(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
