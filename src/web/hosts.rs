//! For whom a request is. Only the hosts that the operator has set are answered, so that a link, a cache or a page never takes
//! a name from whoever sent the request. Links are made from the settings in any case.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};

use crate::config::Settings;

/// What is asked by address, by whatever watches over the process.
const FOR_ANY_HOST: [&str; 2] = ["/healthz", "/readyz"];

/// The hosts that are answered.
#[derive(Debug)]
pub(super) struct Hosts {
    names: BTreeSet<String>,
    usual_port: &'static str,
    /// Whether any address will do: a demo is asked at whatever address its machine has. An address cannot be taken by another
    /// site as a name can.
    any_address: bool,
}

impl Hosts {
    pub fn of(settings: &Settings) -> Self {
        let usual_port = if settings.is_https() { ":443" } else { ":80" };
        let public = settings.public_url.split_once("://").map_or("", |(_, rest)| rest);
        let public = public.split('/').next().unwrap_or_default();
        let all = std::iter::once(public).chain(settings.guards.hosts.iter().map(String::as_str));
        let names = all.map(|host| plain(host, usual_port)).filter(|host| !host.is_empty()).collect();
        Self { names, usual_port, any_address: settings.demo }
    }

    fn holds(&self, host: &str) -> bool {
        self.names.contains(&plain(host, self.usual_port)) || (self.any_address && address_of(host).is_some())
    }
}

fn plain(host: &str, usual_port: &str) -> String {
    let host = host.to_ascii_lowercase();
    host.strip_suffix(usual_port).map_or_else(|| host.clone(), str::to_owned)
}

/// Refuses a request that is for somebody else.
pub(super) async fn refuse_others(State(hosts): State<Arc<Hosts>>, request: Request, next: Next) -> Response {
    if FOR_ANY_HOST.contains(&request.uri().path()) {
        return next.run(request).await;
    }
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip().to_canonical());
    match host_of(request.uri(), request.headers()) {
        Some(host) if hosts.holds(host) || is_of_this_machine(host, peer) => next.run(request).await,
        Some(_) => StatusCode::MISDIRECTED_REQUEST.into_response(),
        None => StatusCode::BAD_REQUEST.into_response(),
    }
}

/// The host of a request: exactly one, and the same wherever it is named.
fn host_of<'a>(uri: &'a Uri, headers: &'a HeaderMap) -> Option<&'a str> {
    let mut named = headers.get_all(header::HOST).iter();
    let host = named.next().and_then(|host| host.to_str().ok())?;
    let is_alone = named.next().is_none();
    let agrees = uri.authority().is_none_or(|authority| authority.as_str().eq_ignore_ascii_case(host));
    (is_alone && agrees).then_some(host)
}

/// A browser on the machine itself may call it by its own names: the demo, a tunnel, a look past the proxy.
fn is_of_this_machine(host: &str, peer: Option<IpAddr>) -> bool {
    let is_local = without_port(host).eq_ignore_ascii_case("localhost")
        || address_of(host).is_some_and(|address| address.is_loopback());
    is_local && peer.is_some_and(|peer| peer.is_loopback())
}

fn without_port(host: &str) -> &str {
    let split = host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    split.map_or(host, |(name, _)| name)
}

/// The address that a host is named by, if it is one.
fn address_of(host: &str) -> Option<IpAddr> {
    without_port(host).trim_start_matches('[').trim_end_matches(']').parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts(names: &[&str]) -> Hosts {
        let usual_port = ":443";
        Hosts { names: names.iter().map(|name| plain(name, usual_port)).collect(), usual_port, any_address: false }
    }

    #[test]
    fn a_host_is_known_in_any_case_and_with_its_usual_port() {
        let hosts = hosts(&["Panel.example.org", "other.example.org:8443"]);
        for known in ["panel.example.org", "PANEL.example.org", "panel.example.org:443", "other.example.org:8443"] {
            assert!(hosts.holds(known), "{known}");
        }
        for other in [
            "",
            "evil.example",
            "panel.example.org:8443",
            "other.example.org",
            "panel.example.org.",
            "xpanel.example.org",
            "panel.example.org@evil.example",
            "panel.example.org:443:443",
        ] {
            assert!(!hosts.holds(other), "{other}");
        }
    }

    #[test]
    fn a_demo_is_asked_at_any_address_and_by_no_other_name() {
        let demo = Hosts { any_address: true, ..hosts(&["0.0.0.0:8080"]) };
        for address in ["192.168.1.5:8080", "192.168.1.5", "[2001:db8::1]:8080", "[2001:db8::1]"] {
            assert!(demo.holds(address) && !hosts(&["0.0.0.0:8080"]).holds(address), "{address}");
        }
        assert!(!demo.holds("evil.example:8080") && !demo.holds("192.168.1.5.evil.example"));
    }

    #[test]
    fn the_machine_itself_may_call_it_by_its_own_names() {
        let (here, there) = (Some("127.0.0.1".parse().unwrap()), Some("192.0.2.1".parse().unwrap()));
        for own in ["localhost", "localhost:8080", "127.0.0.1:8080", "127.0.0.1", "[::1]:8080", "[::1]"] {
            assert!(is_of_this_machine(own, here) && !is_of_this_machine(own, there), "{own}");
        }
        for other in ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "192.0.2.1:80", "localhost:x"]
        {
            assert!(!is_of_this_machine(other, here), "{other}");
        }
    }

    #[test]
    fn a_request_has_one_host() {
        let one = |host: &str| HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
        let path: Uri = "/vms".parse().unwrap();
        assert_eq!(host_of(&path, &one("panel.example.org")), Some("panel.example.org"));
        assert_eq!(host_of(&path, &HeaderMap::new()), None);
        let mut two = one("panel.example.org");
        two.append(header::HOST, "evil.example".parse().unwrap());
        assert_eq!(host_of(&path, &two), None);
        let absolute: Uri = "http://evil.example/vms".parse().unwrap();
        assert_eq!(host_of(&absolute, &one("panel.example.org")), None, "they disagree");
    }
}
