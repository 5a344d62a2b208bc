//! Requests as programs and browsers send them, and answers as they get them.

use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::Value;

use super::{Customer, World};
use crate::audit_coverage;

/// How long one request may take.
const ANSWER_SECONDS_MAX: u64 = 60;

/// An answer, read to its end.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub kind: String,
    pub location: String,
    pub cookies: Vec<String>,
    pub text: String,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|_| panic!("not JSON ({}): {}", self.status, self.text))
    }

    /// The body of an answer with this status.
    #[track_caller]
    pub fn expect(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text);
        if self.text.is_empty() { Value::Null } else { self.json() }
    }

    /// A problem (RFC 9457) of this status.
    #[track_caller]
    pub fn problem(&self, status: u16) -> Value {
        let body = self.expect(status);
        assert_eq!(self.kind, "application/problem+json", "{}", self.text);
        assert_eq!(body["status"], status, "{body}");
        for field in ["type", "title", "detail", "request_id"] {
            assert!(body[field].as_str().is_some_and(|text| !text.is_empty()), "a problem has a {field}: {body}");
        }
        body
    }

    /// The fields that were complained about.
    #[track_caller]
    pub fn problem_fields(&self) -> Vec<String> {
        let body = self.problem(422);
        let errors = body["errors"].as_array().unwrap_or_else(|| panic!("no errors: {body}"));
        errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
    }

    /// The value of a cookie that was set.
    pub fn cookie(&self, name: &str) -> Option<String> {
        self.cookies
            .iter()
            .find_map(|cookie| cookie.strip_prefix(name)?.strip_prefix('=')?.split(';').next().map(str::to_owned))
    }
}

impl World {
    /// A request to a path, not sent yet.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.http.request(method, format!("{}{path}", self.url)).timeout(Duration::from_secs(ANSWER_SECONDS_MAX))
    }

    /// A request to the API by a customer, not sent yet.
    pub async fn api(&self, customer: &Customer, method: Method, path: &str) -> RequestBuilder {
        self.request(method, &format!("/api/v1{path}")).bearer_auth(self.token(customer).await)
    }

    /// `GET` of the API.
    pub async fn get(&self, customer: &Customer, path: &str) -> Answer {
        send(self.api(customer, Method::GET, path).await).await
    }

    /// `POST` to the API.
    pub async fn post(&self, customer: &Customer, path: &str, body: &Value) -> Answer {
        send(self.api(customer, Method::POST, path).await.json(body)).await
    }

    /// `PUT` to the API.
    pub async fn put(&self, customer: &Customer, path: &str, body: &Value) -> Answer {
        send(self.api(customer, Method::PUT, path).await.json(body)).await
    }

    /// `DELETE` of the API.
    pub async fn delete(&self, customer: &Customer, path: &str) -> Answer {
        send(self.api(customer, Method::DELETE, path).await).await
    }
}

/// Sends a request and reads the whole answer.
pub async fn send(request: RequestBuilder) -> Answer {
    let (client, request) = request.build_split();
    let request = request.unwrap();
    let (method, url) = (request.method().clone(), request.url().clone());
    let response = client.execute(request).await.unwrap();
    let header =
        |name: &str| response.headers().get(name).map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default();
    let (kind, location) = (header("content-type"), header("location"));
    let cookies =
        response.headers().get_all("set-cookie").iter().map(|value| value.to_str().unwrap().to_owned()).collect();
    audit_coverage::note(&method, &url, response.status().as_u16(), &header("x-request-id"));
    Answer { status: response.status().as_u16(), kind, location, cookies, text: response.text().await.unwrap() }
}
