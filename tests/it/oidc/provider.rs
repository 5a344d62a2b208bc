//! An identity provider as far as the platform sees it: it describes itself, sends browsers back with a code, and signs who
//! they are. It can lie about everything, and be away, slow and endless.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use uni_manager::oidc::{NewProvider, Provider};

/// What proves to it that it is us.
pub const SECRET: &str = "a secret of the provider";
/// What we are called there.
pub const CLIENT: &str = "uni";

/// How it answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    Well,
    /// With an error.
    Failing,
    /// Later than anybody waits.
    Slow,
    /// Without an end.
    Endless,
    /// Somewhere else.
    Leading,
    /// As somebody else.
    Lying,
    /// With what is no description.
    Nonsense,
    /// Well, but without a word about who it is.
    Wordless,
}

/// With what it signs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signs {
    Well,
    /// With a key that it does not publish, under the name of one that it does.
    Falsely,
    /// With a key of which nobody has heard.
    Unheard,
    /// Not at all.
    Not,
    /// With the secret that we share.
    WithSecret,
    /// With its public key as if that were a secret.
    WithPublicKey,
}

/// Version, algorithm and the head of the octet string, for an RSA key of 2048 bits.
const PKCS8_WRAPPING_BYTES: usize = 26;

/// A key with its name.
struct Key {
    id: String,
    algorithm: Algorithm,
    private: EncodingKey,
    public: Jwk,
}

impl Key {
    fn new(id: &str, algorithm: Algorithm) -> Self {
        let kind = match algorithm {
            Algorithm::RS256 => &rcgen::PKCS_RSA_SHA256,
            _ => &rcgen::PKCS_ECDSA_P256_SHA256,
        };
        let pair = rcgen::KeyPair::generate_for(kind).unwrap();
        let private = match algorithm {
            // What it wants is the key itself (PKCS #1), which lies behind the wrapping of PKCS #8.
            Algorithm::RS256 => EncodingKey::from_rsa_der(&pair.serialized_der()[PKCS8_WRAPPING_BYTES..]),
            _ => EncodingKey::from_ec_der(pair.serialized_der()),
        };
        let mut public = Jwk::from_encoding_key(&private, algorithm).unwrap();
        public.common.key_id = Some(id.to_owned());
        Self { id: id.to_owned(), algorithm, private, public }
    }
}

/// What an answer without end is made of.
const CHUNK_BYTES: usize = 16 * 1024;

/// A code that waits to be exchanged.
struct Waiting {
    challenge: String,
    claims: Value,
}

struct Inner {
    issuer: String,
    key: Mutex<Key>,
    other: Key,
    mood: Mutex<Mood>,
    signs: Mutex<Signs>,
    waiting: Mutex<HashMap<String, Waiting>>,
    codes: Mutex<u64>,
    described: Mutex<u64>,
    poured: AtomicUsize,
}

/// A provider on a free port.
#[derive(Clone)]
pub struct FakeProvider(Arc<Inner>);

impl FakeProvider {
    /// One that signs with ECDSA.
    pub async fn start() -> Self {
        Self::signing(Algorithm::ES256).await
    }

    /// Starts it.
    pub async fn signing(algorithm: Algorithm) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let inner = Inner {
            issuer: format!("http://{}", listener.local_addr().unwrap()),
            key: Mutex::new(Key::new("one", algorithm)),
            other: Key::new("one", Algorithm::ES256),
            mood: Mutex::new(Mood::Well),
            signs: Mutex::new(Signs::Well),
            waiting: Mutex::default(),
            codes: Mutex::new(0),
            described: Mutex::new(0),
            poured: AtomicUsize::new(0),
        };
        let provider = Self(Arc::new(inner));
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(describe))
            .route("/keys", get(keys))
            .route("/token", post(token))
            .with_state(provider.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        provider
    }

    /// As an operator would set it.
    pub fn written(&self) -> NewProvider {
        NewProvider {
            name: "Example Login".into(),
            issuer: self.0.issuer.clone(),
            client_id: CLIENT.into(),
            client_secret: SECRET.into(),
            scopes: vec!["email".into(), "profile".into()],
            email_domains: Vec::new(),
            may_register: true,
            factor_proofs: Vec::new(),
        }
    }

    /// The same, checked.
    pub fn set(&self) -> Option<Provider> {
        Some(Provider::new(self.written()).unwrap())
    }

    pub fn is(&self, mood: Mood) {
        *self.0.mood.lock().unwrap() = mood;
    }

    pub fn signs(&self, signs: Signs) {
        *self.0.signs.lock().unwrap() = signs;
    }

    /// Begins to use another key.
    pub fn changes_its_key(&self) {
        *self.0.key.lock().unwrap() = Key::new("two", Algorithm::ES256);
    }

    /// How many bytes of answers without end were taken from it.
    pub fn poured(&self) -> usize {
        self.0.poured.load(Ordering::Relaxed)
    }

    /// How often it has described itself.
    pub fn described(&self) -> u64 {
        *self.0.described.lock().unwrap()
    }

    /// Somebody is sent there by us and logs in. Answers with where the browser goes. `change` may bend what is signed.
    pub fn lets_in(&self, address: &str, now: i64, who: &Value, change: impl Fn(&mut Value)) -> String {
        let url = reqwest::Url::parse(address).unwrap();
        let query: HashMap<_, _> = url.query_pairs().into_owned().collect();
        assert!(address.starts_with(&self.0.issuer), "{address}");
        assert_eq!((query["response_type"].as_str(), query["client_id"].as_str()), ("code", CLIENT));
        assert_eq!(query["code_challenge_method"], "S256");
        assert_eq!(query["scope"], "openid email profile");
        assert!(query["redirect_uri"].ends_with("/login/oidc/callback"), "{address}");
        let mut claims = json!({
            "iss": self.0.issuer, "aud": CLIENT, "nonce": query["nonce"], "iat": now, "exp": now + 300,
        });
        for (name, value) in who.as_object().unwrap() {
            claims[name] = value.clone();
        }
        change(&mut claims);
        let mut codes = self.0.codes.lock().unwrap();
        *codes += 1;
        let code = format!("code-{codes}");
        let waiting = Waiting { challenge: query["code_challenge"].clone(), claims };
        self.0.waiting.lock().unwrap().insert(code.clone(), waiting);
        format!("/login/oidc/callback?code={code}&state={}", query["state"])
    }

    fn sign(&self, claims: &Value) -> String {
        let key = self.0.key.lock().unwrap();
        let header = |algorithm, id: &str| Header { kid: Some(id.to_owned()), ..Header::new(algorithm) };
        let sign = |header: &Header, key: &EncodingKey| jsonwebtoken::encode(header, claims, key).unwrap();
        match *self.0.signs.lock().unwrap() {
            Signs::Well => sign(&header(key.algorithm, &key.id), &key.private),
            Signs::Falsely => sign(&header(Algorithm::ES256, &key.id), &self.0.other.private),
            Signs::Unheard => sign(&header(Algorithm::ES256, "unheard"), &self.0.other.private),
            Signs::WithSecret => sign(&header(Algorithm::HS256, &key.id), &EncodingKey::from_secret(SECRET.as_bytes())),
            Signs::WithPublicKey => {
                let public = serde_json::to_string(&key.public).unwrap();
                sign(&header(Algorithm::HS256, &key.id), &EncodingKey::from_secret(public.as_bytes()))
            }
            Signs::Not => {
                let part = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
                format!("{}.{}.", part(&json!({ "alg": "none", "typ": "JWT" })), part(claims))
            }
        }
    }

    /// What it answers instead, in another mood than a good one.
    async fn instead(&self) -> Option<Response> {
        let mood = *self.0.mood.lock().unwrap();
        match mood {
            Mood::Well | Mood::Wordless | Mood::Lying => None,
            Mood::Failing => Some(StatusCode::INTERNAL_SERVER_ERROR.into_response()),
            Mood::Slow => {
                tokio::time::sleep(Duration::from_secs(60)).await;
                None
            }
            Mood::Endless => {
                let inner = Arc::clone(&self.0);
                let chunks = futures_util::stream::repeat_with(move || {
                    inner.poured.fetch_add(CHUNK_BYTES, Ordering::Relaxed);
                    Ok::<_, std::io::Error>(vec![b' '; CHUNK_BYTES])
                });
                Some(([("content-type", "application/json")], Body::from_stream(chunks)).into_response())
            }
            Mood::Leading => Some(Redirect::to(&format!("{}/keys", self.0.issuer)).into_response()),
            Mood::Nonsense => Some(Json(json!({ "issuer": 5 })).into_response()),
        }
    }
}

async fn describe(State(provider): State<FakeProvider>) -> Response {
    *provider.0.described.lock().unwrap() += 1;
    if let Some(instead) = provider.instead().await {
        return instead;
    }
    let issuer = &provider.0.issuer;
    let lies = *provider.0.mood.lock().unwrap() == Mood::Lying;
    let called = if lies { "https://login.example.org".to_owned() } else { issuer.clone() };
    Json(json!({
        "issuer": called, "authorization_endpoint": format!("{issuer}/authorize"),
        "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/keys"),
        "response_types_supported": ["code"], "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256", "ES256", "HS256", "none"],
    }))
    .into_response()
}

async fn keys(State(provider): State<FakeProvider>) -> Json<Value> {
    Json(json!({ "keys": [provider.0.key.lock().unwrap().public] }))
}

async fn token(
    State(provider): State<FakeProvider>,
    headers: HeaderMap,
    Form(form): Form<HashMap<String, String>>,
) -> Response {
    if let Some(instead) = provider.instead().await {
        return instead;
    }
    let ours = format!("Basic {}", BASE64_STANDARD.encode(format!("{CLIENT}:{}", SECRET.replace(' ', "+"))));
    if headers.get("authorization").is_none_or(|value| value != ours.as_str()) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    let Some(waiting) = provider.0.waiting.lock().unwrap().remove(&form["code"]) else {
        return (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid_grant" }))).into_response();
    };
    assert_eq!(BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(form["code_verifier"].as_bytes())), waiting.challenge);
    let mut answer = json!({ "access_token": "x", "token_type": "Bearer", "id_token": provider.sign(&waiting.claims) });
    if *provider.0.mood.lock().unwrap() == Mood::Wordless {
        answer["id_token"].take();
    }
    Json(answer).into_response()
}
