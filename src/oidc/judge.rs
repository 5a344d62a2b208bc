//! Judging the signed word of the provider: by whom, for whom, for which journey, until when. The library checks signature,
//! issuer, audience, expiry and nonce; here stand the rules that it leaves to us.

use chrono::{DateTime, TimeDelta, Utc};
use openidconnect::core::{
    CoreIdToken, CoreIdTokenVerifier, CoreJwsSigningAlgorithm as Algorithm, CoreProviderMetadata,
};
use openidconnect::{ClaimsVerificationError, ClientId, Nonce};

use super::Provider;
use crate::error::is_plain_line;

/// How far the clock of the provider may be from ours, in seconds.
const CLOCK_SECONDS: i64 = 60;
/// The longest name of a person at a provider, in characters, as the standard has it.
const SUBJECT_CHARACTERS_MAX: usize = 255;
/// The longest mail address, in characters.
const EMAIL_CHARACTERS_MAX: usize = 254;
/// Signatures that are accepted: none with a shared secret, for that is not the provider's alone, and never none at all.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RsaSsaPkcs1V15Sha256,
    Algorithm::RsaSsaPkcs1V15Sha384,
    Algorithm::RsaSsaPkcs1V15Sha512,
    Algorithm::RsaSsaPssSha256,
    Algorithm::RsaSsaPssSha384,
    Algorithm::RsaSsaPssSha512,
    Algorithm::EcdsaP256Sha256,
    Algorithm::EcdsaP384Sha384,
    Algorithm::EdDsa,
];

/// Somebody, as the provider knows him.
#[derive(Debug, Clone)]
pub(super) struct Person {
    /// Its word for him.
    pub subject: String,
    /// His address, whoever typed it.
    pub email: Option<String>,
    /// Whether the provider has made sure that it is his.
    pub is_verified: bool,
    /// How he is called.
    pub name: Option<String>,
    /// He showed a second factor there, and the provider is believed when it says so.
    pub showed_factor: bool,
}

/// What a word must be about.
pub(super) struct Expected<'a> {
    pub nonce: &'a Nonce,
    /// He must have shown who he is no longer ago than this.
    pub fresh_since: Option<DateTime<Utc>>,
    pub now: DateTime<Utc>,
}

/// Judges a word by the provider's keys.
pub(super) fn judge(
    provider: &Provider,
    metadata: &CoreProviderMetadata,
    word: &CoreIdToken,
    expected: &Expected<'_>,
) -> Result<Person, ClaimsVerificationError> {
    let leeway = TimeDelta::seconds(CLOCK_SECONDS);
    let (now, fresh_since) = (expected.now, expected.fresh_since);
    // As if we had no secret: what is signed with it is refused, whatever is allowed below.
    let verifier = CoreIdTokenVerifier::new_public_client(
        ClientId::new(provider.client_id.clone()),
        metadata.issuer().clone(),
        metadata.jwks().clone(),
    )
    .set_allowed_algs(ALGORITHMS)
    .set_time_fn(move || now - leeway)
    .set_issue_time_verifier_fn(move |at| if at <= now + leeway { Ok(()) } else { Err("it is of the future".into()) })
    .set_auth_time_verifier_fn(move |at| match (fresh_since, at) {
        (None, _) => Ok(()),
        (Some(since), Some(at)) if at + leeway >= since && at <= now + leeway => Ok(()),
        (Some(_), _) => Err("it does not say that he proved just now who he is".into()),
    });
    let claims = word.claims(&verifier, expected.nonce)?;

    let ours = |client: &ClientId| client.as_str() == provider.client_id;
    if !claims.authorized_party().is_none_or(ours) {
        return Err(ClaimsVerificationError::InvalidAudience("somebody else asked for it".into()));
    }
    let subject = claims.subject().as_str().to_owned();
    if !(1..=SUBJECT_CHARACTERS_MAX).contains(&subject.chars().count()) || !is_plain_line(&subject) {
        return Err(ClaimsVerificationError::InvalidSubject("it names nobody".into()));
    }
    let methods = claims.auth_method_refs().into_iter().flatten().map(|method| method.as_str());
    let class = claims.auth_context_ref().map(|class| class.as_str());
    let showed_factor = methods.chain(class).any(|said| provider.factor_proofs.iter().any(|proof| proof == said));
    let email = claims.email().map(|email| email.as_str().to_owned());
    let email = email.filter(|email| email.chars().count() <= EMAIL_CHARACTERS_MAX && is_plain_line(email));
    let name = claims.name().and_then(|name| name.get(None)).map(|name| name.as_str().to_owned());
    Ok(Person {
        subject,
        is_verified: email.is_some() && claims.email_verified() == Some(true),
        email,
        name: name.filter(|name| !name.trim().is_empty()),
        showed_factor,
    })
}
