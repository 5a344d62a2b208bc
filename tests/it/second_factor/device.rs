//! A device with passkeys, as far as the platform sees it: it makes a key pair, and signs what it is asked in the form of
//! WebAuthn. It can lie about everything.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::world::text;

/// Somebody is there.
const PRESENT: u8 = 0x01;
/// The device made sure that it is its owner.
const VERIFIED: u8 = 0x04;
/// The answer holds a new key.
const WITH_KEY: u8 = 0x40;

/// A device with one passkey.
pub struct Device {
    key: EcdsaKeyPair,
    id: Vec<u8>,
    owner: String,
    counter: u32,
    /// The site that it believes to talk to.
    pub origin: String,
    /// Whether it asks for a finger before it signs.
    pub verifies: bool,
}

impl Device {
    /// A device at a site, without a passkey yet.
    pub fn at(origin: &str) -> Self {
        let key = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap();
        let id = Sha256::digest(key.public_key().as_ref()).to_vec();
        Self { key, id, owner: String::new(), counter: 0, origin: origin.to_owned(), verifies: true }
    }

    fn client_data(&self, kind: &str, options: &Value) -> Vec<u8> {
        let challenge = text(options, "/publicKey/challenge");
        json!({ "type": kind, "challenge": challenge, "origin": self.origin, "crossOrigin": false })
            .to_string()
            .into_bytes()
    }

    /// What every answer begins with: for whom, how sure, how often.
    fn authenticator_data(&self, flags: u8) -> Vec<u8> {
        let host = self.origin.split("//").nth(1).unwrap().split([':', '/']).next().unwrap();
        let verified = if self.verifies { VERIFIED } else { 0 };
        let mut data = Sha256::digest(host.as_bytes()).to_vec();
        data.push(PRESENT | verified | flags);
        data.extend(self.counter.to_be_bytes());
        data
    }

    /// Makes its passkey: `navigator.credentials.create`.
    pub fn creates(&mut self, options: &Value) -> String {
        self.owner = text(options, "/publicKey/user/id").to_owned();
        let client_data = self.client_data("webauthn.create", options);
        let point = self.key.public_key().as_ref();
        let mut data = self.authenticator_data(WITH_KEY);
        data.extend([0; 16]);
        data.extend(u16::try_from(self.id.len()).unwrap().to_be_bytes());
        data.extend(&self.id);
        // COSE: an elliptic key, ES256, P-256, x and y.
        data.extend([0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 0x20]);
        data.extend(&point[1..33]);
        data.extend([0x22, 0x58, 0x20]);
        data.extend(&point[33..65]);
        let mut attestation = vec![0xa3, 0x63];
        attestation.extend(b"fmt");
        attestation.push(0x64);
        attestation.extend(b"none");
        attestation.push(0x67);
        attestation.extend(b"attStmt");
        attestation.extend([0xa0, 0x68]);
        attestation.extend(b"authData");
        attestation.push(0x58);
        attestation.push(u8::try_from(data.len()).unwrap());
        attestation.extend(&data);
        let id = encoded(&self.id);
        json!({ "id": id, "rawId": id, "type": "public-key", "extensions": {}, "response": {
            "attestationObject": encoded(&attestation), "clientDataJSON": encoded(&client_data), "transports": ["internal"],
        }})
        .to_string()
    }

    /// Signs with it: `navigator.credentials.get`.
    pub fn signs(&mut self, options: &Value) -> String {
        self.counter += 1;
        let client_data = self.client_data("webauthn.get", options);
        let data = self.authenticator_data(0);
        let signed = [data.as_slice(), Sha256::digest(&client_data).as_slice()].concat();
        let signature = self.key.sign(&SystemRandom::new(), &signed).unwrap();
        let id = encoded(&self.id);
        json!({ "id": id, "rawId": id, "type": "public-key", "extensions": {}, "response": {
            "authenticatorData": encoded(&data), "clientDataJSON": encoded(&client_data),
            "signature": encoded(signature.as_ref()), "userHandle": self.owner,
        }})
        .to_string()
    }
}

fn encoded(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
