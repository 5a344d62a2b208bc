//! A plain HTTPS client for the tests: it sends what it is told and shows what came back.

#![allow(dead_code, reason = "each test program uses its own part")]

use std::time::Duration;

use proxmox_simulator::Simulator;
use serde_json::Value;

/// What came back.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub reason: String,
    pub text: String,
    pub body: Value,
}

impl Answer {
    pub fn data(&self) -> &Value {
        assert_eq!(self.status, 200, "{} {}", self.reason, self.text);
        &self.body["data"]
    }

    pub fn upid(&self) -> String {
        let upid = self.data().as_str().unwrap_or_default().to_owned();
        assert!(upid.starts_with("UPID:"), "no UPID: {}", self.text);
        upid
    }
}

pub fn http(simulator: &Simulator) -> reqwest::Client {
    let certificate = reqwest::Certificate::from_pem(simulator.certificate_pem().as_bytes()).unwrap();
    reqwest::Client::builder()
        .tls_certs_only([certificate])
        .no_proxy()
        .pool_idle_timeout(Duration::from_secs(3))
        .build()
        .unwrap()
}

/// A client with a token.
#[derive(Clone)]
pub struct Client {
    pub http: reqwest::Client,
    pub url: String,
    pub authorization: Option<String>,
}

impl Client {
    pub fn new(simulator: &Simulator) -> Self {
        Self {
            http: http(simulator),
            url: simulator.url(),
            authorization: Some(format!("PVEAPIToken={}", simulator.token())),
        }
    }

    pub fn with(&self, authorization: Option<&str>) -> Self {
        Self { authorization: authorization.map(str::to_owned), ..self.clone() }
    }

    pub async fn try_send(&self, method: &str, path: &str, form: &[(&str, String)]) -> reqwest::Result<Answer> {
        let path = if path.starts_with("/api2") || path.starts_with("/simulator") {
            path.to_owned()
        } else {
            format!("/api2/json{path}")
        };
        let mut request = self.http.request(method.parse().unwrap(), format!("{}{path}", self.url));
        if let Some(authorization) = &self.authorization {
            request = request.header("Authorization", authorization);
        }
        if !form.is_empty() {
            request = request.form(form);
        }
        read(request.send().await?).await
    }

    pub async fn send(&self, method: &str, path: &str, form: &[(&str, &str)]) -> Answer {
        let form: Vec<(&str, String)> = form.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        self.try_send(method, path, &form).await.unwrap()
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[]).await
    }

    pub async fn post(&self, path: &str, form: &[(&str, &str)]) -> Answer {
        self.send("POST", path, form).await
    }

    /// The exit text of a task that must have ended.
    pub async fn exit(&self, upid: &str) -> String {
        let node = upid.split(':').nth(1).unwrap();
        let status = self.get(&format!("/nodes/{node}/tasks/{upid}/status")).await;
        assert_eq!(status.data()["status"], "stopped", "{upid}");
        status.data()["exitstatus"].as_str().unwrap().to_owned()
    }

    /// Asks until the task has ended, 20 s at the longest.
    pub async fn wait(&self, upid: &str) -> String {
        let node = upid.split(':').nth(1).unwrap();
        for _ in 0..2000 {
            let status = self.get(&format!("/nodes/{node}/tasks/{upid}/status")).await;
            if status.data()["status"] == "stopped" {
                return status.data()["exitstatus"].as_str().unwrap().to_owned();
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("{upid} did not end");
    }
}

pub async fn read(response: reqwest::Response) -> reqwest::Result<Answer> {
    let status = response.status();
    let phrase = response.extensions().get::<hyper::ext::ReasonPhrase>();
    let reason = match phrase {
        Some(phrase) => String::from_utf8_lossy(phrase.as_bytes()).into_owned(),
        None => status.canonical_reason().unwrap_or_default().to_owned(),
    };
    let text = response.text().await?;
    let body = serde_json::from_str(&text).unwrap_or(Value::Null);
    Ok(Answer { status: status.as_u16(), reason, text, body })
}
