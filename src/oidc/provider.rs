//! Whom people may log in with, and talking to it: its description of itself, its keys, its tokens. Every answer has a limit of
//! size and time, and none leads anywhere else.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use openidconnect::core::{
    CoreAuthPrompt, CoreClient, CoreClientAuthMethod, CoreProviderMetadata, CoreResponseType, CoreTokenResponse,
};
use openidconnect::{
    AuthType, AuthenticationFlow, AuthorizationCode, ClaimsVerificationError, ClientId, ClientSecret, CsrfToken,
    EndpointMaybeSet, EndpointNotSet, EndpointSet, HttpRequest, HttpResponse, IssuerUrl, Nonce, PkceCodeChallenge,
    PkceCodeVerifier, RedirectUrl, RequestTokenError, Scope, SignatureVerificationError, TokenResponse,
};
use reqwest::{Client, Url};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

use super::journeys::Secrets;
use super::judge::{self, Expected, Person};
use crate::app::App;
use crate::error::{Error, Result, is_plain_line};

/// How long one answer of the provider may take, in seconds.
const ANSWER_SECONDS_MAX: u64 = 5;
/// The largest answer of the provider, in bytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;
/// How long its description and its keys are kept, in minutes.
const KEPT_MINUTES: i64 = 60;
/// A key that is not known is asked for again, but not more often than this, in seconds.
const ASKED_AGAIN_SECONDS: i64 = 60;
/// For how long a provider that did not answer is left alone, in seconds.
const LEFT_ALONE_SECONDS: i64 = 5;
/// The longest name on a button, in characters.
const NAME_CHARACTERS_MAX: usize = 40;
/// The longest issuer, in characters.
const ISSUER_CHARACTERS_MAX: usize = 300;
/// The most of a code of the provider's that is logged, in characters.
const CODE_CHARACTERS_MAX: usize = 40;

/// Where the provider sends browsers back to.
const CALLBACK: &str = "/login/oidc/callback";

/// The client of the library, once the provider has described itself.
type Described =
    CoreClient<EndpointSet, EndpointNotSet, EndpointNotSet, EndpointNotSet, EndpointMaybeSet, EndpointMaybeSet>;

/// An identity provider, as the operator has set it.
#[derive(Debug, Clone)]
pub struct Provider {
    /// Its name on the button.
    pub name: String,
    issuer: IssuerUrl,
    /// Our name there.
    pub(super) client_id: String,
    client_secret: SecretString,
    scopes: Vec<String>,
    /// The domains of mail addresses that may come in anew or be linked; all when there is none.
    pub(super) email_domains: Vec<String>,
    /// Whether people may register by coming from there.
    pub may_register: bool,
    /// What it says of somebody who showed a second factor there, for which ours is not asked for.
    pub(super) factor_proofs: Vec<String>,
}

/// A provider as the operator writes it.
#[derive(Debug)]
pub struct NewProvider {
    /// Its name on the button.
    pub name: String,
    /// Who signs; also where it describes itself.
    pub issuer: String,
    /// Our name there.
    pub client_id: String,
    /// What proves that it is us.
    pub client_secret: SecretString,
    /// What is asked for besides `openid`.
    pub scopes: Vec<String>,
    /// The domains of mail addresses that may come in anew or be linked; all when there is none.
    pub email_domains: Vec<String>,
    /// Whether people may register by coming from there.
    pub may_register: bool,
    /// Values of `amr` or `acr` that prove a second factor.
    pub factor_proofs: Vec<String>,
}

impl Provider {
    /// Checks what the operator wrote.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn new(new: NewProvider) -> anyhow::Result<Self> {
        let name = new.name.trim().to_owned();
        let is_name = (1..=NAME_CHARACTERS_MAX).contains(&name.chars().count()) && is_plain_line(&name);
        ensure!(is_name, "its name must have 1 to {NAME_CHARACTERS_MAX} characters");
        ensure!(
            new.issuer.len() <= ISSUER_CHARACTERS_MAX,
            "its issuer has more than {ISSUER_CHARACTERS_MAX} characters"
        );
        let issuer = IssuerUrl::new(new.issuer).context("its issuer must be an address")?;
        ensure!(
            issuer.url().scheme() == "https" || is_here(issuer.url()),
            "its issuer must begin with https://, for everybody on the way could be the provider"
        );
        ensure!(!new.client_id.trim().is_empty(), "our client id there is empty");
        let secret = new.client_secret.expose_secret().trim();
        ensure!(!secret.is_empty(), "our client secret there is empty");
        Ok(Self {
            name,
            issuer,
            client_id: new.client_id.trim().to_owned(),
            client_secret: SecretString::from(secret),
            scopes: new.scopes,
            email_domains: new.email_domains.into_iter().map(|domain| domain.to_lowercase()).collect(),
            may_register: new.may_register,
            factor_proofs: new.factor_proofs,
        })
    }

    /// By which name it signs.
    #[must_use]
    pub fn issuer(&self) -> &str {
        self.issuer.as_str()
    }

    /// What a person hears when it does not do its part; what it did stands in the log for the operator.
    pub(super) fn is_away(&self, error: &anyhow::Error) -> Error {
        tracing::warn!(
            issuer = self.issuer(),
            error = format!("{error:#}"),
            "the identity provider did not do its part"
        );
        Error::Unavailable(format!(
            "{} cannot be reached just now, or does not answer as it should. Try again in a moment, or use your password.",
            self.name
        ))
    }

    /// What a person hears when it sent him back without a code.
    pub(super) fn refused(&self, code: &str) -> Error {
        if code == "access_denied" {
            return Error::conflict(format!("You did not agree at {}, so nothing was done.", self.name));
        }
        let code: String = code.chars().filter(char::is_ascii_graphic).take(CODE_CHARACTERS_MAX).collect();
        tracing::warn!(issuer = self.issuer(), code, "the identity provider refused somebody");
        Error::conflict(format!("{} did not let you in. Try again, or use your password.", self.name))
    }

    fn redirect(&self, app: &App) -> anyhow::Result<RedirectUrl> {
        RedirectUrl::new(format!("{}{CALLBACK}", app.settings.public_url)).context("our own address")
    }

    /// The library's client of a provider that has described itself.
    fn client(&self, app: &App, metadata: &CoreProviderMetadata) -> anyhow::Result<Described> {
        let secret = ClientSecret::new(self.client_secret.expose_secret().to_owned());
        let client =
            CoreClient::from_provider_metadata(metadata.clone(), ClientId::new(self.client_id.clone()), Some(secret));
        let methods = metadata.token_endpoint_auth_methods_supported();
        let in_form = methods.is_some_and(|methods| {
            methods.contains(&CoreClientAuthMethod::ClientSecretPost)
                && !methods.contains(&CoreClientAuthMethod::ClientSecretBasic)
        });
        let way = if in_form { AuthType::RequestBody } else { AuthType::BasicAuth };
        Ok(client.set_auth_type(way).set_redirect_uri(self.redirect(app)?))
    }
}

/// Whether an address is of this machine, where nobody is on the way.
fn is_here(url: &Url) -> bool {
    url.scheme() == "http" && url.host_str().is_some_and(|host| matches!(host, "localhost" | "127.0.0.1" | "[::1]"))
}

/// What somebody brings back.
pub(super) struct Proof<'a> {
    pub code: &'a SecretString,
    pub secrets: &'a Secrets,
    /// He must have shown who he is no longer ago than this.
    pub fresh_since: Option<DateTime<Utc>>,
    pub now: DateTime<Utc>,
}

/// What is known of the provider in this process.
#[derive(Default)]
pub struct Directory {
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    metadata: Option<(Arc<CoreProviderMetadata>, DateTime<Utc>)>,
    failed_at: Option<DateTime<Utc>>,
    client: Option<Client>,
}

impl fmt::Debug for Directory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Directory(…)")
    }
}

impl Directory {
    /// What the provider says of itself, with its keys; asked for when it is not known or old.
    pub(super) async fn describe(
        &self,
        provider: &Provider,
        now: DateTime<Utc>,
    ) -> anyhow::Result<Arc<CoreProviderMetadata>> {
        self.look_up(provider, now, TimeDelta::minutes(KEPT_MINUTES)).await
    }

    /// Who comes meanwhile waits for the same answer.
    async fn look_up(
        &self,
        provider: &Provider,
        now: DateTime<Utc>,
        age_max: TimeDelta,
    ) -> anyhow::Result<Arc<CoreProviderMetadata>> {
        let mut known = self.known.lock().await;
        if let Some((metadata, at)) = &known.metadata
            && now - *at < age_max
        {
            return Ok(Arc::clone(metadata));
        }
        let left_alone = TimeDelta::seconds(LEFT_ALONE_SECONDS);
        ensure!(known.failed_at.is_none_or(|at| now - at >= left_alone), "it did not answer a moment ago");
        let client = match &known.client {
            Some(client) => client.clone(),
            None => known.client.insert(client_of(provider)?).clone(),
        };
        let ask = |request| send(client.clone(), request);
        match CoreProviderMetadata::discover_async(provider.issuer.clone(), &ask).await {
            Ok(metadata) => {
                let metadata = Arc::new(metadata);
                known.metadata = Some((Arc::clone(&metadata), now));
                known.failed_at = None;
                Ok(metadata)
            }
            Err(error) => {
                known.failed_at = Some(now);
                Err(anyhow::Error::new(error).context("its description, or its keys"))
            }
        }
    }

    /// The address at which a person is asked who he is.
    pub(super) async fn departure(
        &self,
        app: &App,
        provider: &Provider,
        secrets: &Secrets,
        ask_again: bool,
        now: DateTime<Utc>,
    ) -> Result<String> {
        let metadata = self.describe(provider, now).await.map_err(|error| provider.is_away(&error))?;
        let client = provider.client(app, &metadata).map_err(|error| provider.is_away(&error))?;
        let (state, nonce) = (secrets.state.clone(), secrets.nonce());
        let verifier = PkceCodeVerifier::new(secrets.verifier());
        let mut request = client
            .authorize_url(
                AuthenticationFlow::<CoreResponseType>::AuthorizationCode,
                move || CsrfToken::new(state),
                move || Nonce::new(nonce),
            )
            .add_scopes(provider.scopes.iter().cloned().map(Scope::new))
            .set_pkce_challenge(PkceCodeChallenge::from_code_verifier_sha256(&verifier));
        if ask_again {
            request = request.add_prompt(CoreAuthPrompt::Login).set_max_age(Duration::ZERO);
        }
        let (url, _, _) = request.url();
        Ok(url.into())
    }

    /// Exchanges the code that a browser brought for a signed word about who it is, and judges that.
    pub(super) async fn redeem(&self, app: &App, provider: &Provider, proof: Proof<'_>) -> Result<Person> {
        self.ask(app, provider, proof).await.map_err(|error| provider.is_away(&error))
    }

    async fn ask(&self, app: &App, provider: &Provider, proof: Proof<'_>) -> anyhow::Result<Person> {
        let metadata = self.describe(provider, proof.now).await?;
        let client = provider.client(app, &metadata)?;
        let http = self.known.lock().await.client.clone().context("it has described itself")?;
        let ask = |request| send(http.clone(), request);
        let code = AuthorizationCode::new(proof.code.expose_secret().to_owned());
        let exchange = client.exchange_code(code).context("it names no address for tokens")?;
        let exchange = exchange.set_pkce_verifier(PkceCodeVerifier::new(proof.secrets.verifier()));
        let tokens: CoreTokenResponse = match exchange.request_async(&ask).await {
            Ok(tokens) => tokens,
            // What it sent instead may hold a token, so nothing of it is repeated.
            Err(RequestTokenError::Parse(..)) => return Err(anyhow!("its answer with tokens cannot be read")),
            Err(other) => return Err(anyhow::Error::new(other).context("its tokens")),
        };
        let word = tokens.id_token().context("it answered without a word about who it is")?;
        let nonce = Nonce::new(proof.secrets.nonce());
        let expected = Expected { nonce: &nonce, fresh_since: proof.fresh_since, now: proof.now };
        let judged = match judge::judge(provider, &metadata, word, &expected) {
            // It has begun to use another key.
            Err(ClaimsVerificationError::SignatureVerification(SignatureVerificationError::NoMatchingKey)) => {
                let age_max = TimeDelta::seconds(ASKED_AGAIN_SECONDS);
                let metadata = self.look_up(provider, proof.now, age_max).await?;
                judge::judge(provider, &metadata, word, &expected)
            }
            other => other,
        };
        judged.map_err(|error| anyhow::Error::new(error).context("its word about who it is"))
    }
}

/// Follows no redirect, and speaks plain HTTP with this machine only.
fn client_of(provider: &Provider) -> anyhow::Result<Client> {
    Client::builder()
        .timeout(Duration::from_secs(ANSWER_SECONDS_MAX))
        .redirect(reqwest::redirect::Policy::none())
        .https_only(!is_here(provider.issuer.url()))
        .build()
        .context("while making a client for HTTP")
}

/// What can go wrong on the way.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("it could not be asked")]
    Http(#[from] reqwest::Error),
    #[error("its answer has more than {ANSWER_BYTES_MAX} bytes")]
    TooLarge,
    #[error("its answer cannot be understood")]
    Answer(#[from] axum::http::Error),
}

async fn send(client: Client, request: HttpRequest) -> Result<HttpResponse, Trouble> {
    let mut response = client.execute(reqwest::Request::try_from(request)?).await?;
    let mut answer = axum::http::Response::builder().status(response.status());
    if let Some(headers) = answer.headers_mut() {
        headers.clone_from(response.headers());
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if bytes.len() + chunk.len() > ANSWER_BYTES_MAX {
            return Err(Trouble::TooLarge);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(answer.body(bytes)?)
}
