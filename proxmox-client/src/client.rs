//! The client: one request at a time from parameters to a read answer, with its limits. What the
//! calls are is in the files named after their area; what answers mean is in `answer.rs`.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, LOCATION};
use secrecy::{ExposeSecret, SecretString};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use crate::answer::{Answer, Envelope, read};
use crate::error::{Error, MaybeDoneCause, NeverSentCause};
use crate::request::{Call, Parameters};
use crate::settings::{ApiToken, Settings, SettingsError, Trust};
use crate::tls;

/// Proxmox closes an idle connection after 5 s; a connection kept longer breaks under a request.
const POOL_IDLE: Duration = Duration::from_secs(3);
/// The largest answer read.
const LONGEST_ANSWER: usize = 64 * 1024 * 1024;
/// How often a request that is safe to repeat is repeated.
const REPEATS: u32 = 2;
/// The pause before a repeated request.
const REPEAT_PAUSE: Duration = Duration::from_millis(200);
/// The encoding of every body.
const FORM: &str = "application/x-www-form-urlencoded";

/// A client of one Proxmox VE API endpoint. Cloning it is cheap; all clones share connections and
/// the limit of requests at once.
///
/// Dropping a call's future may leave its request carried out or not, as with
/// [`Error::MaybeDone`].
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    http: reqwest::Client,
    /// Scheme, host and port, without a slash at the end.
    base: String,
    turns: Semaphore,
    request_timeout: Duration,
    token: ApiToken,
    trust: Trust,
}

impl Client {
    /// A client for these settings. It opens no connection yet.
    ///
    /// # Errors
    /// When a setting is unusable; [`SettingsError`] says which.
    pub fn new(settings: Settings) -> Result<Self, SettingsError> {
        let url = settings.check()?;
        let mut headers = HeaderMap::new();
        let mut authorization =
            HeaderValue::from_str(settings.token.header().expose_secret()).map_err(|_| SettingsError::TokenSecret)?;
        authorization.set_sensitive(true);
        headers.insert(AUTHORIZATION, authorization);
        let builder = reqwest::Client::builder()
            .default_headers(headers)
            .connect_timeout(settings.connect_timeout)
            .timeout(settings.request_timeout)
            .pool_idle_timeout(POOL_IDLE)
            .pool_max_idle_per_host(settings.requests_at_once)
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .tcp_nodelay(true)
            .http1_only()
            .no_proxy();
        let builder = match &settings.trust {
            Trust::PublicRoots => builder,
            Trust::Ca(pem) => builder.tls_backend_preconfigured(tls::own_authority(pem)?),
            Trust::Fingerprint(fingerprint) => builder.tls_backend_preconfigured(tls::pinned(*fingerprint)?),
        };
        let http = builder.build().map_err(|error| SettingsError::Tls(deepest(&error)))?;
        Ok(Self {
            inner: Arc::new(Inner {
                http,
                base: String::from(url.as_str().trim_end_matches('/')),
                turns: Semaphore::new(settings.requests_at_once),
                request_timeout: settings.request_timeout,
                token: settings.token,
                trust: settings.trust,
            }),
        })
    }

    /// The endpoint: scheme, host and port.
    #[must_use]
    pub fn endpoint(&self) -> &str {
        &self.inner.base
    }

    /// The value of the `Authorization` header.
    pub(crate) fn authorization(&self) -> SecretString {
        self.inner.token.header()
    }

    /// Which certificate is believed.
    pub(crate) fn trust(&self) -> &Trust {
        &self.inner.trust
    }

    pub(crate) async fn get<T: DeserializeOwned>(&self, path: String, parameters: Parameters) -> Result<T, Error> {
        self.request(Method::GET, path, &parameters).await.map(|envelope| envelope.data)
    }

    pub(crate) async fn post<T: DeserializeOwned>(&self, path: String, parameters: Parameters) -> Result<T, Error> {
        self.request(Method::POST, path, &parameters).await.map(|envelope| envelope.data)
    }

    pub(crate) async fn put<T: DeserializeOwned>(&self, path: String, parameters: Parameters) -> Result<T, Error> {
        self.request(Method::PUT, path, &parameters).await.map(|envelope| envelope.data)
    }

    pub(crate) async fn delete<T: DeserializeOwned>(&self, path: String, parameters: Parameters) -> Result<T, Error> {
        self.request(Method::DELETE, path, &parameters).await.map(|envelope| envelope.data)
    }

    /// Sends a request, repeats it where that cannot do anything twice, and reads the answer with
    /// its envelope.
    pub(crate) async fn request<T: DeserializeOwned>(
        &self,
        method: Method,
        path: String,
        parameters: &Parameters,
    ) -> Result<Envelope<T>, Error> {
        let call = Call::new(method, path);
        let turn = tokio::time::timeout(self.inner.request_timeout, self.inner.turns.acquire());
        let Ok(Ok(_turn)) = turn.await else {
            let detail = "all requests allowed at once stayed occupied";
            return Err(Error::never_sent(&call, NeverSentCause::Queue, detail));
        };
        let encoded = parameters.encoded();
        let mut repeats = 0;
        let answer = loop {
            match self.send_once(&call, &encoded).await {
                Ok(answer) => break answer,
                Err(error) if repeats < REPEATS && may_repeat(&call.method, &error) => {
                    repeats += 1;
                    tokio::time::sleep(REPEAT_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        };
        read(&call, &answer)
    }

    async fn send_once(&self, call: &Call, encoded: &str) -> Result<Answer, Error> {
        let url = format!("{}/api2/json{}", self.inner.base, call.path);
        let has_body = call.method == Method::POST || call.method == Method::PUT;
        let request = if has_body {
            // Proxmox refuses a chunked body; an empty one would go out without any length.
            self.inner
                .http
                .request(call.method.clone(), url)
                .header(CONTENT_TYPE, FORM)
                .header(CONTENT_LENGTH, encoded.len())
                .body(String::from(encoded))
        } else {
            let mark = if encoded.is_empty() { "" } else { "?" };
            self.inner.http.request(call.method.clone(), format!("{url}{mark}{encoded}"))
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
}

impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Client")
            .field("endpoint", &self.inner.base)
            .field("token", &self.inner.token.id())
            .finish_non_exhaustive()
    }
}

/// Whether the same request may go out again at once. A time-out is not repeated: it has used up
/// its caller's patience. TLS and name failures do not pass within a moment.
fn may_repeat(method: &Method, error: &Error) -> bool {
    match error {
        Error::NeverSent { cause, .. } => *cause == NeverSentCause::Connect,
        Error::MaybeDone { cause, .. } => *method == Method::GET && *cause == MaybeDoneCause::Connection,
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
fn deepest(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}
