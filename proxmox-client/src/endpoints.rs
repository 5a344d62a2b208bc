//! The endpoints of one cluster: which of them is asked next, which are passed over for a while, and
//! what was last wrong with each. One that failed is never forgotten silently: its error stays to be
//! shown. Nothing is sent here; `client.rs` sends.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use secrecy::ExposeSecret;
use tokio::time::Instant;

use crate::client::deepest;
use crate::error::{Error, MaybeDoneCause, NeverSentCause};
use crate::request::Call;
use crate::settings::{Settings, SettingsError, Trust};
use crate::tls;

/// Proxmox closes an idle connection after 5 s; a connection kept longer breaks under a request.
const POOL_IDLE: Duration = Duration::from_secs(3);
/// More doublings of a back-off than this change nothing that anybody would notice.
const MOST_DOUBLINGS: u32 = 16;

/// How one endpoint is doing, for an operator to see.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointState {
    /// Scheme, host and port.
    pub url: String,
    /// Whether it is the one asked first.
    pub is_current: bool,
    /// Failures since it last answered; 0 when it is well, or was never asked.
    pub failures: u32,
    /// How much longer it is passed over while another endpoint answers.
    pub passed_over: Option<Duration>,
    /// The last failure, kept when it is well again.
    pub last_error: Option<Error>,
    /// How long ago that was.
    pub last_error_age: Option<Duration>,
}

impl EndpointState {
    /// Whether it fails now, and its last failure was its certificate or another one of TLS. A
    /// certificate that is not the pinned one was renewed, or somebody sits in between: a person
    /// has to look.
    #[must_use]
    pub fn is_tls_failure(&self) -> bool {
        self.failures > 0 && matches!(self.last_error, Some(Error::NeverSent { cause: NeverSentCause::Tls, .. }))
    }
}

/// One endpoint with its connections.
pub(crate) struct Reach {
    pub(crate) http: reqwest::Client,
    /// Scheme, host and port, without a slash at the end.
    pub(crate) url: String,
    pub(crate) trust: Trust,
    health: Mutex<Health>,
}

#[derive(Default)]
struct Health {
    failures: u32,
    passed_over_until: Option<Instant>,
    last_error: Option<(Error, Instant)>,
}

/// All endpoints of a cluster, in the order they were given.
pub(crate) struct Endpoints {
    all: Vec<Reach>,
    /// The place of the one that is asked first: the last that answered.
    current: AtomicUsize,
    back_off: Duration,
    longest_back_off: Duration,
}

impl Endpoints {
    /// The endpoints of checked settings. No connection is opened.
    pub(crate) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let urls = settings.check()?;
        let mut headers = HeaderMap::new();
        let mut authorization =
            HeaderValue::from_str(settings.token.header().expose_secret()).map_err(|_| SettingsError::TokenSecret)?;
        authorization.set_sensitive(true);
        headers.insert(AUTHORIZATION, authorization);
        let reach = |(url, endpoint): (reqwest::Url, &crate::settings::Endpoint)| {
            let trust = endpoint.trust.clone().unwrap_or_else(|| settings.trust.clone());
            Ok(Reach {
                http: http(settings, &trust, headers.clone())?,
                url: String::from(url.as_str().trim_end_matches('/')),
                trust,
                health: Mutex::default(),
            })
        };
        Ok(Self {
            all: urls.into_iter().zip(&settings.endpoints).map(reach).collect::<Result<_, SettingsError>>()?,
            current: AtomicUsize::new(0),
            back_off: settings.back_off,
            longest_back_off: settings.longest_back_off,
        })
    }

    /// The endpoint at a place that [`Endpoints::order`] gave.
    pub(crate) fn at(&self, place: usize) -> &Reach {
        &self.all[place]
    }

    /// The place of the endpoint that is asked first.
    pub(crate) fn current(&self) -> usize {
        self.current.load(Ordering::Relaxed)
    }

    pub(crate) fn count(&self) -> usize {
        self.all.len()
    }

    /// All places in the order to ask: the current one and those after it, then those that are
    /// passed over, beginning with the one whose time is up first. These come last and not never:
    /// when nothing else answers, they are the best there is.
    pub(crate) fn order(&self, now: Instant) -> Vec<usize> {
        let current = self.current();
        let mut places: Vec<(Option<Instant>, usize)> = (0..self.all.len())
            .map(|offset| (current + offset) % self.all.len())
            .map(|place| (self.all[place].health().passed_over_until.filter(|until| *until > now), place))
            .collect();
        places.sort_by_key(|(until, _)| *until);
        places.into_iter().map(|(_, place)| place).collect()
    }

    /// Notes that an endpoint answered as the API does. It becomes the current one unless the
    /// current one is well: two that both answer are not swapped to and fro.
    pub(crate) fn answered(&self, place: usize) {
        {
            let mut health = self.all[place].health();
            health.failures = 0;
            health.passed_over_until = None;
        }
        let current = self.current();
        if current != place && self.all[current].health().failures > 0 {
            self.current.store(place, Ordering::Relaxed);
        }
    }

    /// Notes that an endpoint failed, and passes it over for a time that doubles with every
    /// failure in a row.
    pub(crate) fn failed(&self, place: usize, error: &Error, now: Instant) {
        let mut health = self.all[place].health();
        let doubled = self.back_off.saturating_mul(1 << health.failures.min(MOST_DOUBLINGS));
        health.failures = health.failures.saturating_add(1);
        health.passed_over_until = Some(now + doubled.min(self.longest_back_off));
        health.last_error = Some((error.clone(), now));
    }

    pub(crate) fn states(&self, now: Instant) -> Vec<EndpointState> {
        let current = self.current();
        self.all
            .iter()
            .enumerate()
            .map(|(place, reach)| {
                let health = reach.health();
                EndpointState {
                    url: reach.url.clone(),
                    is_current: place == current,
                    failures: health.failures,
                    passed_over: health.passed_over_until.filter(|until| *until > now).map(|until| until - now),
                    last_error: health.last_error.as_ref().map(|(error, _)| error.clone()),
                    last_error_age: health.last_error.as_ref().map(|(_, at)| now.saturating_duration_since(*at)),
                }
            })
            .collect()
    }

    /// What a call failed with that failed everywhere: one error with the reason of each endpoint.
    /// `failures` are by place; `left_out` were not asked because the time was up.
    pub(crate) fn combined(&self, call: &Call, failures: Vec<(usize, Error)>, left_out: &[usize]) -> Error {
        if self.all.len() == 1
            && let Some((_, error)) = failures.first()
        {
            return error.clone();
        }
        let mut reasons = Vec::new();
        let mut never_sent = None;
        let mut maybe_done = None;
        for (place, error) in failures {
            let detail = match error {
                // An answer, if one that any endpoint could have given better: it has the words.
                Error::Refused(_) => return error,
                Error::NeverSent { cause, detail, .. } => {
                    // A certificate is what a person must hear of first.
                    if never_sent.is_none() || cause == NeverSentCause::Tls {
                        never_sent = Some(cause);
                    }
                    detail
                }
                Error::MaybeDone { cause, detail, .. } => {
                    maybe_done.get_or_insert(cause);
                    detail
                }
            };
            reasons.push(format!("{}: {detail}", self.all[place].url));
        }
        reasons.extend(left_out.iter().map(|place| format!("{}: not asked, the time was up", self.all[*place].url)));
        let detail = reasons.join("; ");
        match (maybe_done, never_sent) {
            (Some(cause), _) => Error::maybe_done(call, cause, detail),
            (None, Some(cause)) => Error::never_sent(call, cause, detail),
            (None, None) => Error::maybe_done(call, MaybeDoneCause::Timeout, detail),
        }
    }
}

impl Reach {
    fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn http(settings: &Settings, trust: &Trust, headers: HeaderMap) -> Result<reqwest::Client, SettingsError> {
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
    let builder = match trust {
        Trust::PublicRoots => builder,
        Trust::Ca(pem) => builder.tls_backend_preconfigured(tls::own_authority(pem)?),
        Trust::Fingerprint(fingerprint) => builder.tls_backend_preconfigured(tls::pinned(*fingerprint)?),
    };
    builder.build().map_err(|error| SettingsError::Tls(deepest(&error)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reqwest::Method;
    use tokio::time::Instant;

    use super::Endpoints;
    use crate::error::{Error, MaybeDoneCause, NeverSentCause};
    use crate::request::Call;
    use crate::settings::{ApiToken, Settings, Trust};
    use crate::{Fingerprint, Refusal};

    fn three() -> Endpoints {
        let token = ApiToken::new("root@pam!lab", "x").unwrap();
        let trust = Trust::Fingerprint(Fingerprint::of_certificate(b"none"));
        let settings = Settings {
            back_off: Duration::from_secs(2),
            longest_back_off: Duration::from_secs(7),
            ..Settings::new("https://a:8006", token, trust).endpoints(["https://b:8006", "https://c:8006"])
        };
        Endpoints::new(&settings).unwrap()
    }

    fn refused_connection() -> Error {
        Error::never_sent("GET /version", NeverSentCause::Connect, "no connection: refused")
    }

    #[test]
    fn the_last_good_one_is_asked_first_and_a_failed_one_last() {
        let endpoints = three();
        let now = Instant::now();
        assert_eq!(endpoints.order(now), [0, 1, 2]);
        endpoints.failed(0, &refused_connection(), now);
        assert_eq!(endpoints.order(now), [1, 2, 0]);
        endpoints.answered(1);
        let later = now + Duration::from_secs(3);
        assert_eq!(endpoints.order(later), [1, 2, 0], "one that answers is kept");
        endpoints.answered(0);
        assert_eq!(endpoints.order(later), [1, 2, 0], "two that are well are not swapped");
        endpoints.failed(1, &refused_connection(), later);
        endpoints.failed(2, &refused_connection(), now);
        assert_eq!(endpoints.order(later), [2, 0, 1], "the time of c is up");
    }

    #[test]
    fn the_back_off_doubles_up_to_its_limit_and_ends_with_an_answer() {
        let endpoints = three();
        let now = Instant::now();
        let waits: Vec<u64> = (0..4)
            .map(|_| {
                endpoints.failed(0, &refused_connection(), now);
                endpoints.states(now)[0].passed_over.unwrap().as_secs()
            })
            .collect();
        assert_eq!(waits, [2, 4, 7, 7]);
        endpoints.answered(0);
        let state = &endpoints.states(now)[0];
        assert_eq!((state.failures, state.passed_over), (0, None));
        assert_eq!(state.last_error, Some(refused_connection()), "an operator still sees what it was");
        endpoints.failed(0, &refused_connection(), now);
        assert_eq!(endpoints.states(now)[0].passed_over, Some(Duration::from_secs(2)));
    }

    #[test]
    fn an_error_of_all_says_what_each_one_said() {
        let endpoints = three();
        let call = Call::new(Method::GET, "/version");
        let tls = Error::never_sent(&call, NeverSentCause::Tls, "another certificate");
        let error = endpoints.combined(&call, vec![(0, refused_connection()), (1, tls.clone())], &[2]);
        assert_eq!(
            error,
            Error::never_sent(
                &call,
                NeverSentCause::Tls,
                "https://a:8006: no connection: refused; https://b:8006: another certificate; \
                 https://c:8006: not asked, the time was up"
            )
        );
        let broken = Error::maybe_done(&call, MaybeDoneCause::Connection, "broke");
        let error = endpoints.combined(&call, vec![(0, tls.clone()), (1, broken)], &[]);
        assert!(matches!(error, Error::MaybeDone { cause: MaybeDoneCause::Connection, .. }), "{error:?}");
        let refusal = Error::Refused(Refusal {
            status: 500,
            message: String::from("cluster not ready - no quorum?"),
            errors: std::collections::BTreeMap::new(),
            path: String::from("/version"),
        });
        assert_eq!(endpoints.combined(&call, vec![(0, tls), (1, refusal.clone())], &[]), refusal);
    }
}
