//! What every request carries: an id that its answer and the log share, and the address it came from.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use crate::app::App;
use crate::audit::{Actor, Named, Who};
use crate::ids::ApiKeyId;
use crate::network::Network;
use crate::users::User;

/// As much of what a browser calls itself as is kept.
const USER_AGENT_CHARACTERS_MAX: usize = 200;
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

tokio::task_local! {
    static CURRENT_ID: String;
}

/// The id of the request that is being answered; empty outside of one.
pub fn current_id() -> String {
    CURRENT_ID.try_with(String::clone).unwrap_or_default()
}

/// How many proxies are asked after one another.
const PROXIES_MAX: usize = 10;
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Where a request comes from, as far as that is believed.
#[derive(Debug, Clone, Copy)]
struct ClientAddress(IpAddr);

/// Where a request comes from: the other side of the connection, or whom trusted proxies name.
pub(super) fn client_address(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<ClientAddress>().map(|ClientAddress(address)| *address)
}

/// Goes back from proxy to proxy, as long as each is trusted. What is left of that in the header anybody can have written.
fn address_behind(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let named: Vec<&str> = headers.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).collect();
    let mut named = named.iter().rev().flat_map(|line| line.rsplit(','));
    let mut address = peer.to_canonical();
    for _ in 0..PROXIES_MAX {
        if !trusted.iter().any(|network| network.holds(address)) {
            break;
        }
        let Some(before) = named.next().and_then(|text| address_of(text.trim())) else { break };
        address = before;
    }
    address
}

/// An address, with a port or without.
fn address_of(text: &str) -> Option<IpAddr> {
    let bare = || text.trim_start_matches('[').trim_end_matches(']').parse().ok();
    let address: Option<IpAddr> = text.parse::<SocketAddr>().map(|address| address.ip()).ok().or_else(bare);
    address.map(|address| address.to_canonical())
}

/// Gives the request an id and an address, logs its end, and sends the id back.
pub async fn identify(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    if let Some(ConnectInfo(peer)) = request.extensions().get::<ConnectInfo<SocketAddr>>() {
        let address = address_behind(peer.ip(), request.headers(), &app.settings.guards.trusted_proxies);
        request.extensions_mut().insert(ClientAddress(address));
    }
    let id = uuid::Uuid::now_v7().simple().to_string();
    let method = request.method().clone();
    let path = request.uri().path().to_owned();
    let began = std::time::Instant::now();
    let mut response = CURRENT_ID.scope(id.clone(), next.run(request)).await;
    let status = response.status().as_u16();
    let milliseconds = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    tracing::debug!(request_id = id, %method, path, status, milliseconds, "answered");
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

/// Where a request came from and what it is called, before it is known who asks.
#[derive(Debug, Clone)]
pub struct Origin {
    /// The network address.
    pub ip: Option<IpAddr>,
    request_id: Option<String>,
    /// What the browser or program calls itself, shortened.
    pub user_agent: Option<String>,
}

impl Origin {
    pub(super) fn of(parts: &Parts) -> Self {
        Self {
            ip: client_address(&parts.extensions),
            request_id: CURRENT_ID.try_with(String::clone).ok(),
            user_agent: parts
                .headers
                .get(axum::http::header::USER_AGENT)
                .and_then(|value| value.to_str().ok())
                .map(|text| text.chars().take(USER_AGENT_CHARACTERS_MAX).collect()),
        }
    }

    /// The network address it came from.
    pub fn address(&self) -> Option<String> {
        self.ip.map(|ip| ip.to_string())
    }

    /// Somebody who is not known yet.
    pub fn stranger(&self) -> Actor {
        let address = self.ip.map(|ip| ip.to_string());
        let (user_agent, request_id) = (self.user_agent.clone(), self.request_id.clone());
        Actor { who: Who::Stranger, address, user_agent, request_id }
    }

    /// A known person, about what is his own.
    pub fn actor(&self, user: &User) -> Actor {
        self.stranger().known_as(user)
    }

    /// A program with an API key: its id, its name, and who made it.
    pub fn key(&self, id: ApiKeyId, name: &str, maker: &User) -> Actor {
        Actor { who: Who::Key { id, name: name.to_owned(), maker: maker.into() }, ..self.stranger() }
    }

    /// A person of the operator, about what is the platform's or somebody else's.
    pub fn staff(&self, user: &User) -> Actor {
        Actor { who: Who::Staff { person: user.into(), on_behalf: None }, ..self.stranger() }
    }

    /// A person of the operator who looks at the portal as a customer sees it.
    pub fn on_behalf(&self, person: Named, customer: &User) -> Actor {
        Actor { who: Who::Staff { person, on_behalf: Some(customer.into()) }, ..self.stranger() }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Origin {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn behind(peer: &str, forwarded: &[&str], trusted: &[&str]) -> String {
        let headers = forwarded.iter().map(|line| (FORWARDED_FOR, line.parse().unwrap()));
        let trusted: Vec<Network> = trusted.iter().map(|network| network.parse().unwrap()).collect();
        let mut all = HeaderMap::new();
        headers.for_each(|(name, value)| {
            all.append(name, value);
        });
        address_behind(peer.parse().unwrap(), &all, &trusted).to_string()
    }

    #[test]
    fn only_trusted_proxies_are_believed_and_only_as_far() {
        let proxies = ["127.0.0.0/8", "::1", "10.0.0.0/24"];
        assert_eq!(behind("203.0.113.9", &["198.51.100.1"], &proxies), "203.0.113.9", "anybody can write that");
        assert_eq!(behind("127.0.0.1", &["198.51.100.1"], &proxies), "198.51.100.1");
        assert_eq!(
            behind("127.0.0.1", &["6.6.6.6, 198.51.100.1"], &proxies),
            "198.51.100.1",
            "the rest was sent along"
        );
        assert_eq!(behind("127.0.0.1", &["6.6.6.6", "198.51.100.1, 10.0.0.7"], &proxies), "198.51.100.1");
        assert_eq!(behind("::ffff:127.0.0.1", &["[2001:db8::7]:4711"], &proxies), "2001:db8::7");
        assert_eq!(behind("127.0.0.1", &[], &proxies), "127.0.0.1");
        assert_eq!(behind("127.0.0.1", &["unknown"], &proxies), "127.0.0.1");
        assert_eq!(behind("127.0.0.1", &["198.51.100.1"], &[]), "127.0.0.1");
        let long = ["127.0.0.1, "; 40].concat() + "127.0.0.1";
        assert_eq!(behind("127.0.0.1", &[&long], &proxies), "127.0.0.1");
    }
}
