//! TLS against a real handshake: a pinned certificate, another certificate, an own authority, and
//! an endpoint that speaks no TLS.

#![allow(clippy::unwrap_used, reason = "a failed step must fail the test")]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use proxmox_client::{Client, Error, Fingerprint, NeverSentCause, Settings, SettingsError, Trust, fetch_fingerprint};
use rcgen::KeyPair;
use rustls::pki_types::PrivateKeyDer;
use support::encrypted::{Signed, signed, start};
use support::settings;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

fn client(address: SocketAddr, trust: Trust) -> Client {
    let settings = settings(&format!("https://{address}"));
    Client::new(Settings { trust, ..settings }).unwrap()
}

#[tokio::test]
async fn the_pinned_certificate_is_believed_and_no_other() {
    let signed = signed();
    let (address, requests) = start(&signed).await;
    let shown = fetch_fingerprint(&format!("https://{address}")).await.unwrap();
    assert_eq!(shown, Fingerprint::of_certificate(&signed.leaf));
    assert_eq!(requests.load(Ordering::SeqCst), 0, "a look must send nothing");

    assert_eq!(client(address, Trust::Fingerprint(shown)).next_id().await.unwrap(), 100);
    assert_eq!(requests.load(Ordering::SeqCst), 1);

    let other = Fingerprint::of_certificate(b"another certificate");
    let error = client(address, Trust::Fingerprint(other)).next_id().await.unwrap_err();
    let Error::NeverSent { cause: NeverSentCause::Tls, detail, .. } = error else {
        panic!("{error:?}");
    };
    assert_eq!(detail, format!("the server's certificate has the fingerprint {shown}, not the pinned {other}"));
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_stolen_certificate_without_its_key_is_not_believed() {
    let signed = signed();
    let thief = Signed {
        leaf: signed.leaf.clone(),
        key: PrivateKeyDer::try_from(KeyPair::generate().unwrap().serialize_der()).unwrap(),
        authority_pem: String::new(),
    };
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = provider.key_provider.load_private_key(thief.key).unwrap();
    let certified = rustls::sign::CertifiedKey::new(vec![thief.leaf.clone()], key);
    let resolver = rustls::sign::SingleCertAndKey::from(certified);
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        acceptor.accept(stream).await.is_ok()
    });
    let pinned = Trust::Fingerprint(Fingerprint::of_certificate(&signed.leaf));
    let error = client(address, pinned).next_id().await.unwrap_err();
    assert!(matches!(error, Error::NeverSent { cause: NeverSentCause::Tls, .. }), "{error:?}");
    assert!(!accepted.await.unwrap());
}

#[tokio::test]
async fn an_own_authority_is_believed_and_a_foreign_one_is_not() {
    let signed_one = signed();
    let (address, requests) = start(&signed_one).await;
    let own = client(address, Trust::Ca(signed_one.authority_pem.clone()));
    assert_eq!(own.next_id().await.unwrap(), 100);
    let foreign = Trust::Ca(signed().authority_pem);
    for trust in [foreign, Trust::PublicRoots] {
        let error = client(address, trust).next_id().await.unwrap_err();
        assert!(matches!(error, Error::NeverSent { cause: NeverSentCause::Tls, .. }), "{error:?}");
    }
    assert_eq!(requests.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_endpoint_without_tls_is_named() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut hello = [0; 1024];
            let _ = stream.read(&mut hello).await;
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
            let _ = stream.shutdown().await;
        }
    });
    let pinned = Trust::Fingerprint(Fingerprint::of_certificate(b"any"));
    let errors = [
        client(address, pinned).nodes().await.unwrap_err(),
        fetch_fingerprint(&format!("https://{address}")).await.unwrap_err(),
    ];
    for error in errors {
        let Error::NeverSent { cause: NeverSentCause::Tls, detail, .. } = error else {
            panic!("{error:?}");
        };
        assert_eq!(detail, "the server does not speak TLS");
    }
    for endpoint in ["nonsense", "http://127.0.0.1:1", "http://192.0.2.1:8006"] {
        let error = fetch_fingerprint(endpoint).await.unwrap_err();
        assert!(matches!(error, Error::NeverSent { .. }), "{error:?}");
    }
}

#[test]
fn an_authority_must_be_pem() {
    for pem in ["", "hello", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let settings = settings("https://127.0.0.1:1");
        let result = Client::new(Settings { trust: Trust::Ca(String::from(pem)), ..settings });
        assert!(matches!(result, Err(SettingsError::Ca(_))), "{pem}");
    }
}
