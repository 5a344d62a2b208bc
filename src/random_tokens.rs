//! Random tokens that prove something to whoever made them: of a session, of a link in a mail. Only their hashes are stored.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use rand::Rng;
use sha2::{Digest, Sha256};

/// 256 random bits as 43 letters, digits, `-` and `_`.
#[must_use]
pub fn make() -> String {
    let mut bytes = [0_u8; 32];
    rand::rng().fill_bytes(&mut bytes);
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// What is stored of a token. It has 256 random bits, so a plain hash tells nothing.
#[must_use]
pub fn hash(token: &str) -> Vec<u8> {
    Sha256::digest(token.as_bytes()).to_vec()
}
