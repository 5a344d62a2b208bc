//! What every request carries: an id that its answer and the log share, and the address it came from.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use crate::audit::{Actor, Named, Who};
use crate::ids::ApiKeyId;
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

/// Gives the request an id, logs its end, and sends the id back.
pub async fn identify(request: Request, next: Next) -> Response {
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
    address: Option<String>,
    request_id: Option<String>,
    /// What the browser or program calls itself, shortened.
    pub user_agent: Option<String>,
}

impl Origin {
    pub(super) fn of(parts: &Parts) -> Self {
        Self {
            address: parts
                .extensions
                .get::<ConnectInfo<SocketAddr>>()
                .map(|ConnectInfo(address)| address.ip().to_string()),
            request_id: CURRENT_ID.try_with(String::clone).ok(),
            user_agent: parts
                .headers
                .get(axum::http::header::USER_AGENT)
                .and_then(|value| value.to_str().ok())
                .map(|text| text.chars().take(USER_AGENT_CHARACTERS_MAX).collect()),
        }
    }

    /// Somebody who is not known yet.
    pub fn stranger(&self) -> Actor {
        let (address, user_agent, request_id) =
            (self.address.clone(), self.user_agent.clone(), self.request_id.clone());
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
