//! The TLS side of a connection: a certificate pinned by fingerprint, an own authority, and a
//! single look at a server's certificate. Public authorities are left to the HTTP library.

use std::error::Error as _;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, SignatureScheme};
use rustls_platform_verifier::BuilderVerifierExt as _;

use crate::client::transport_failure;
use crate::error::{Error, NeverSentCause};
use crate::fingerprint::Fingerprint;
use crate::settings::{SettingsError, parse_endpoint};

/// The only protocol the API speaks.
const ALPN: &[u8] = b"http/1.1";
/// Time for the one connection of [`fetch_fingerprint`].
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
/// I/O errors around a TLS error that are looked through; there are two.
const MOST_WRAPPINGS: u32 = 8;

/// The server showed another certificate than the pinned one.
#[derive(Debug)]
struct OtherFingerprint {
    pinned: Fingerprint,
    shown: Fingerprint,
}

impl fmt::Display for OtherFingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "the server's certificate has the fingerprint {}, not the pinned {}", self.shown, self.pinned)
    }
}

impl std::error::Error for OtherFingerprint {}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

/// Accepts exactly the certificate with the pinned fingerprint.
#[derive(Debug)]
struct PinnedCertificate {
    pinned: Fingerprint,
    provider: Arc<CryptoProvider>,
}

/// Notes the server's certificate and refuses it, so that nothing is ever sent.
#[derive(Debug)]
struct OneLook {
    seen: Arc<Mutex<Option<Fingerprint>>>,
    provider: Arc<CryptoProvider>,
}

/// The parts of a verifier both have: a server must prove that it holds the certificate's key.
macro_rules! verify_signatures {
    () => {
        fn verify_tls12_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            verify_tls12_signature(message, certificate, signature, algorithms)
        }

        fn verify_tls13_signature(
            &self,
            message: &[u8],
            certificate: &CertificateDer<'_>,
            signature: &DigitallySignedStruct,
        ) -> Result<HandshakeSignatureValid, rustls::Error> {
            let algorithms = &self.provider.signature_verification_algorithms;
            verify_tls13_signature(message, certificate, signature, algorithms)
        }

        fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
            self.provider.signature_verification_algorithms.supported_schemes()
        }
    };
}

impl ServerCertVerifier for PinnedCertificate {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let shown = Fingerprint::of_certificate(leaf);
        if shown == self.pinned {
            return Ok(ServerCertVerified::assertion());
        }
        let difference = OtherFingerprint { pinned: self.pinned, shown };
        Err(CertificateError::Other(OtherError(Arc::new(difference))).into())
    }

    verify_signatures!();
}

impl ServerCertVerifier for OneLook {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        *seen = Some(Fingerprint::of_certificate(leaf));
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    verify_signatures!();
}

/// Fills a key that nobody can guess.
pub(crate) fn fill_random(bytes: &mut [u8]) -> Result<(), &'static str> {
    provider().secure_random.fill(bytes).map_err(|_| "this machine has no random numbers")
}

fn with_verifier(verifier: Arc<dyn ServerCertVerifier>) -> Result<ClientConfig, SettingsError> {
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| SettingsError::Tls(error.to_string()))?
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// TLS that accepts one certificate.
pub(crate) fn pinned(pinned: Fingerprint) -> Result<ClientConfig, SettingsError> {
    with_verifier(Arc::new(PinnedCertificate { pinned, provider: provider() }))
}

/// TLS that accepts what the authority in `pem` has signed.
pub(crate) fn own_authority(pem: &str) -> Result<ClientConfig, SettingsError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        certificate
            .map_err(|error| SettingsError::Ca(error.to_string()))
            .and_then(|certificate| roots.add(certificate).map_err(|error| SettingsError::Ca(error.to_string())))?;
    }
    if roots.is_empty() {
        return Err(SettingsError::Ca(String::from("there is no PEM certificate in it")));
    }
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| SettingsError::Tls(error.to_string()))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// Believes the authorities that the operating system believes, as the HTTP library does.
///
/// # Errors
/// When the system has no list of authorities.
pub(crate) fn public_authorities() -> Result<ClientConfig, SettingsError> {
    let failure = |error: rustls::Error| SettingsError::Tls(error.to_string());
    let mut config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(failure)?
        .with_platform_verifier()
        .map_err(failure)?
        .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

/// Connects once and reports the fingerprint of the server's certificate, so that a person can
/// compare it with the one the node shows and have it pinned. No request is sent, and nothing is
/// believed: who sits in between is reported just as well.
///
/// # Errors
/// [`Error::NeverSent`] when the endpoint is unusable, does not answer, or speaks no TLS.
pub async fn fetch_fingerprint(endpoint: &str) -> Result<Fingerprint, Error> {
    const CALL: &str = "the look at the certificate";
    let settings_failure = |error: SettingsError| Error::never_sent(CALL, NeverSentCause::Argument, error.to_string());
    let url = parse_endpoint(endpoint).map_err(settings_failure)?;
    if url.scheme() != "https" {
        let why = "the endpoint is not https and has no certificate";
        return Err(Error::never_sent(CALL, NeverSentCause::Tls, why));
    }
    let seen = Arc::new(Mutex::new(None));
    let config =
        with_verifier(Arc::new(OneLook { seen: Arc::clone(&seen), provider: provider() })).map_err(settings_failure)?;
    let http = reqwest::Client::builder()
        .tls_backend_preconfigured(config)
        .http1_only()
        .no_proxy()
        .retry(reqwest::retry::never())
        .timeout(LOOK_TIMEOUT)
        .build()
        .map_err(|error| settings_failure(SettingsError::Tls(error.to_string())))?;
    let outcome = http.get(url).send().await;
    let fingerprint = *seen.lock().unwrap_or_else(PoisonError::into_inner);
    match (fingerprint, outcome) {
        (Some(fingerprint), _) => Ok(fingerprint),
        (None, Err(error)) => Err(match transport_failure(CALL, &error) {
            Error::MaybeDone { call, detail, .. } => Error::never_sent(call, NeverSentCause::ConnectTimeout, detail),
            other => other,
        }),
        (None, Ok(_)) => Err(Error::never_sent(CALL, NeverSentCause::Tls, "the server showed no certificate")),
    }
}

/// The TLS failure inside an error of the HTTP library, as a sentence.
pub(crate) fn tls_failure(error: &reqwest::Error) -> Option<String> {
    let mut next = error.source();
    while let Some(current) = next {
        if let Some(found) = rustls_error(current) {
            return Some(sentence(found));
        }
        next = current.source();
    }
    None
}

/// The TLS library's error in this one. It comes wrapped in I/O errors, which hide what they wrap
/// from `source()`.
fn rustls_error<'a>(error: &'a (dyn std::error::Error + 'static)) -> Option<&'a rustls::Error> {
    let mut current = error;
    for _ in 0..MOST_WRAPPINGS {
        if let Some(found) = current.downcast_ref() {
            return Some(found);
        }
        current = current.downcast_ref::<std::io::Error>()?.get_ref()?;
    }
    None
}

fn sentence(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::Other(other)) => other.0.to_string(),
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            String::from("the server's certificate is not from a trusted authority")
        }
        rustls::Error::InvalidMessage(_) => String::from("the server does not speak TLS"),
        other => format!("no TLS session: {other}"),
    }
}
