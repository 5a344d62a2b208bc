//! Where the API is, who is asking, and which certificate is believed. Checking of these settings;
//! opening connections is in `client.rs` and `tls.rs`.

use std::fmt;
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use crate::fingerprint::Fingerprint;

/// Time to open a connection, TLS included.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Time for one request. A node waits 30 s for another one before it answers 596, so less would
/// take a slow answer for a lost one.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(35);
/// Requests at once. A node has three workers that block on every slow call.
const REQUESTS_AT_ONCE: usize = 4;
/// More requests at once than this are refused as a mistake.
const MOST_REQUESTS_AT_ONCE: usize = 64;
/// More endpoints than this are refused as a mistake: a cluster has no more nodes.
const MOST_ENDPOINTS: usize = 32;
/// Time within which a call goes on to another endpoint: one may time out, and a second is asked.
const FAILOVER_TIMEOUT: Duration = Duration::from_secs(45);
/// How long an endpoint is passed over after its first failure.
const BACK_OFF: Duration = Duration::from_secs(2);
/// How long an endpoint is passed over at most.
const LONGEST_BACK_OFF: Duration = Duration::from_secs(60);

/// How to reach the API of one cluster.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where the API is: one node of the cluster or several, in the order they are tried.
    pub endpoints: Vec<Endpoint>,
    /// The API token, the same on all nodes.
    pub token: ApiToken,
    /// Which certificate is believed of an endpoint that has no trust of its own.
    pub trust: Trust,
    /// Time to open a connection, TLS included.
    pub connect_timeout: Duration,
    /// Time for one request from sending to the last byte, and time to wait for its turn.
    pub request_timeout: Duration,
    /// A call goes on to another endpoint, or tries again, only within this time of its beginning.
    /// It ends after this time and one `request_timeout` at the latest, once it has its turn.
    pub failover_timeout: Duration,
    /// How long an endpoint that failed is passed over; doubles with every failure in a row.
    pub back_off: Duration,
    /// How long an endpoint is passed over at most.
    pub longest_back_off: Duration,
    /// Requests at once, over all clones of a client and all endpoints; 1 to 64.
    pub requests_at_once: usize,
}

/// One node of the cluster, or a name that leads to one.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// Scheme, host and port: `https://pve1.example:8006`. `http://` only for loopback addresses,
    /// for simulators and tests.
    pub url: String,
    /// Which certificate is believed here; that of [`Settings::trust`] if `None`. Every node has a
    /// certificate, and so a fingerprint, of its own.
    pub trust: Option<Trust>,
}

impl Endpoint {
    /// An endpoint believed as the settings say.
    #[must_use]
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), trust: None }
    }

    /// The same endpoint with a certificate of its own.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.trust = Some(trust);
        self
    }
}

impl From<&str> for Endpoint {
    fn from(url: &str) -> Self {
        Self::new(url)
    }
}

impl From<String> for Endpoint {
    fn from(url: String) -> Self {
        Self::new(url)
    }
}

impl Settings {
    /// Settings with the usual limits: 5 s to connect, 35 s per request, 45 s to find an endpoint
    /// that answers, 2 s to 60 s of back-off, 4 requests at once.
    #[must_use]
    pub fn new(endpoint: impl Into<Endpoint>, token: ApiToken, trust: Trust) -> Self {
        Self {
            endpoints: vec![endpoint.into()],
            token,
            trust,
            connect_timeout: CONNECT_TIMEOUT,
            request_timeout: REQUEST_TIMEOUT,
            failover_timeout: FAILOVER_TIMEOUT,
            back_off: BACK_OFF,
            longest_back_off: LONGEST_BACK_OFF,
            requests_at_once: REQUESTS_AT_ONCE,
        }
    }

    /// Adds another endpoint of the same cluster, asked when those before it do not answer.
    ///
    /// ```
    /// use proxmox_client::{ApiToken, Client, Endpoint, Settings, Trust};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let fingerprint = |pair: &str| vec![pair; 32].join(":").parse().map(Trust::Fingerprint);
    /// let token = ApiToken::parse("panel@pve!app=12345678-1234-1234-1234-123456789abc")?;
    /// let settings = Settings::new("https://pve1.example:8006", token, fingerprint("A1")?)
    ///     .endpoint(Endpoint::new("https://pve2.example:8006").trust(fingerprint("B2")?));
    /// let client = Client::new(settings)?;
    /// assert_eq!(client.endpoint(), "https://pve1.example:8006");
    /// assert_eq!(client.endpoints().len(), 2);
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn endpoint(mut self, endpoint: impl Into<Endpoint>) -> Self {
        self.endpoints.push(endpoint.into());
        self
    }

    /// Adds several endpoints, as [`Settings::endpoint`].
    #[must_use]
    pub fn endpoints<E: Into<Endpoint>>(mut self, endpoints: impl IntoIterator<Item = E>) -> Self {
        self.endpoints.extend(endpoints.into_iter().map(Into::into));
        self
    }

    /// The addresses of the endpoints in their order.
    pub(crate) fn check(&self) -> Result<Vec<reqwest::Url>, SettingsError> {
        if self.connect_timeout.is_zero() || self.request_timeout.is_zero() {
            return Err(SettingsError::Limit("a time limit is zero"));
        }
        if self.back_off > self.longest_back_off {
            return Err(SettingsError::Limit("the back-off is longer than the longest one"));
        }
        if !(1..=MOST_REQUESTS_AT_ONCE).contains(&self.requests_at_once) {
            return Err(SettingsError::Limit("requests at once must be 1 to 64"));
        }
        if !(1..=MOST_ENDPOINTS).contains(&self.endpoints.len()) {
            return Err(SettingsError::Limit("there must be 1 to 32 endpoints"));
        }
        let mut urls: Vec<reqwest::Url> = Vec::new();
        for endpoint in &self.endpoints {
            let url = parse_endpoint(&endpoint.url)?;
            if urls.contains(&url) {
                return Err(SettingsError::Limit("an endpoint is named twice"));
            }
            urls.push(url);
        }
        Ok(urls)
    }
}

/// Reads an endpoint: scheme, host and port, and nothing else.
pub(crate) fn parse_endpoint(text: &str) -> Result<reqwest::Url, SettingsError> {
    let wrong = |why| SettingsError::Endpoint { why };
    let url =
        reqwest::Url::parse(text.trim()).map_err(|_| wrong("it is not a URL such as https://pve1.example:8006"))?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or_else(|| wrong("it has no host"))?;
    match url.scheme() {
        "https" => {}
        "http" if is_loopback(host) => {}
        "http" => return Err(wrong("http is for loopback addresses only: use https")),
        _ => return Err(wrong("its scheme is not https")),
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(wrong("it must not hold a user name or password"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(wrong("it must end after the port"));
    }
    Ok(url)
}

fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Which certificate of the API is believed.
#[derive(Clone)]
pub enum Trust {
    /// One that a public authority known to this machine has signed for the endpoint's name.
    PublicRoots,
    /// One that this authority (PEM, one or more certificates) has signed for the endpoint's name.
    /// The cluster's own is `/etc/pve/pve-root-ca.pem`.
    Ca(String),
    /// Exactly this one, whatever it says. It changes when the node's certificate is renewed.
    Fingerprint(Fingerprint),
}

impl fmt::Debug for Trust {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PublicRoots => formatter.write_str("PublicRoots"),
            Self::Ca(pem) => write!(formatter, "Ca({} bytes of PEM)", pem.len()),
            Self::Fingerprint(fingerprint) => write!(formatter, "Fingerprint({fingerprint})"),
        }
    }
}

/// An API token: `user@realm!name` and its secret.
#[derive(Clone)]
pub struct ApiToken {
    id: String,
    secret: SecretString,
}

impl ApiToken {
    /// A token from its two parts.
    ///
    /// # Errors
    /// When the id is not `user@realm!name`, or one of them has letters a header cannot carry.
    pub fn new(id: &str, secret: impl Into<SecretString>) -> Result<Self, SettingsError> {
        let secret = secret.into();
        let is_printable = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
        let has_parts = id
            .split_once('!')
            .and_then(|(user, name)| Some((user.rsplit_once('@')?, name)))
            .is_some_and(|((user, realm), name)| !user.is_empty() && !realm.is_empty() && !name.is_empty());
        if !has_parts || !is_printable(id) || id.contains(['=', ':', '/']) {
            return Err(SettingsError::TokenId);
        }
        if !is_printable(secret.expose_secret()) {
            return Err(SettingsError::TokenSecret);
        }
        Ok(Self { id: String::from(id), secret })
    }

    /// A token written as `user@realm!name=secret`, as Proxmox' own header has it.
    ///
    /// # Errors
    /// As [`ApiToken::new`].
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        let text = text.trim();
        let text = text.strip_prefix("PVEAPIToken=").unwrap_or(text);
        let (id, secret) = text.split_once('=').ok_or(SettingsError::TokenId)?;
        Self::new(id, secret)
    }

    /// The public part, `user@realm!name`.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The value of the `Authorization` header.
    pub(crate) fn header(&self) -> SecretString {
        SecretString::from(format!("PVEAPIToken={}={}", self.id, self.secret.expose_secret()))
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ApiToken({}=…)", self.id)
    }
}

/// Why settings cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The endpoint is unusable.
    #[error("the endpoint is unusable: {why}")]
    Endpoint {
        /// What is wrong with it.
        why: &'static str,
    },
    /// The token's id is not `user@realm!name`.
    #[error("the token must be written user@realm!name=secret")]
    TokenId,
    /// The token's secret is empty or not printable ASCII.
    #[error("the token's secret is empty or has letters that cannot be sent")]
    TokenSecret,
    /// The text is not a SHA-256 fingerprint.
    #[error("a fingerprint is 32 pairs of hexadecimal digits: AA:BB:…")]
    Fingerprint,
    /// The authority's certificate is unusable.
    #[error("the authority's certificate is unusable: {0}")]
    Ca(String),
    /// A limit is out of range.
    #[error("{0}")]
    Limit(&'static str),
    /// The machine's own TLS set-up is unusable.
    #[error("no TLS: {0}")]
    Tls(String),
}

#[cfg(test)]
mod tests {
    use super::{ApiToken, Settings, Trust, parse_endpoint};

    #[test]
    fn endpoints() {
        for text in [
            "https://pve1.example:8006",
            "https://192.0.2.1:8006/",
            "https://[2001:db8::1]:8006",
            "https://pve1.example",
            "http://127.0.0.1:4321",
            "http://[::1]:4321",
            "http://localhost:1",
        ] {
            assert!(parse_endpoint(text).is_ok(), "{text}");
        }
        for text in [
            "",
            "pve1.example:8006",
            "http://pve1.example:8006",
            "http://192.0.2.1:8006",
            "http://127.0.0.1.example:80",
            "ftp://127.0.0.1",
            "https://user:word@pve1.example:8006",
            "https://pve1.example:8006/api2/json",
            "https://pve1.example:8006/?a=b",
        ] {
            assert!(parse_endpoint(text).is_err(), "{text}");
        }
    }

    #[test]
    fn tokens() {
        let token = ApiToken::parse("panel@pve!app=12345678-aaaa-bbbb-cccc-123456789abc").unwrap();
        assert_eq!(token.id(), "panel@pve!app");
        assert_eq!(format!("{token:?}"), "ApiToken(panel@pve!app=…)");
        assert!(ApiToken::parse("PVEAPIToken=root@pam!lab=x").is_ok());
        for text in [
            "",
            "root@pam=x",
            "root!lab=x",
            "root@pam!=x",
            "root@pam!lab=",
            "root@pam!lab",
            "@pam!lab=x",
            "root@pam!lab=a b",
            "ro ot@pam!lab=x",
        ] {
            assert!(ApiToken::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn settings_show_no_secret() {
        let token = ApiToken::new("root@pam!lab", "topsecret").unwrap();
        let settings = Settings::new("https://pve1.example:8006", token, Trust::PublicRoots);
        let shown = format!("{settings:?}");
        assert!(shown.contains("root@pam!lab") && !shown.contains("topsecret"), "{shown}");
    }

    #[test]
    fn limits_are_checked() {
        let token = ApiToken::new("root@pam!lab", "x").unwrap();
        let good = Settings::new("https://pve1.example:8006", token, Trust::PublicRoots);
        assert!(good.check().is_ok());
        assert!(Settings { requests_at_once: 0, ..good.clone() }.check().is_err());
        assert!(Settings { request_timeout: std::time::Duration::ZERO, ..good.clone() }.check().is_err());
        assert!(Settings { back_off: std::time::Duration::from_secs(61), ..good.clone() }.check().is_err());
        assert!(Settings { endpoints: Vec::new(), ..good.clone() }.check().is_err());
        assert!(good.clone().endpoint("https://pve1.example:8006/").check().is_err(), "the same one again");
        assert!(good.clone().endpoint("pve2.example").check().is_err());
        let many = (0..31).map(|number| format!("https://pve2.example:{}", 9000 + number));
        assert!(good.clone().endpoints(many.clone()).check().is_ok());
        assert!(good.endpoints(many).endpoint("https://pve3.example").check().is_err());
    }
}
