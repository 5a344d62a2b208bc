//! What every request carries: an id that its answer and the log share, and the address it came from.

use std::net::SocketAddr;

use axum::extract::{ConnectInfo, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::Response;

use crate::audit::Actor;

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
    /// What the browser calls itself.
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
                .map(str::to_owned),
        }
    }

    /// Somebody who is not known yet.
    pub fn stranger(&self) -> Actor {
        Actor {
            user: None,
            name: "somebody".into(),
            address: self.address.clone(),
            request_id: self.request_id.clone(),
        }
    }

    /// A known person.
    pub fn actor(&self, user: &crate::users::User) -> Actor {
        Actor { user: Some(user.id), name: user.email.clone(), ..self.stranger() }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Origin {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        Ok(Self::of(parts))
    }
}
