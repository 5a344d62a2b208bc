//! A public key as one line of `authorized_keys` has it (sshd(8)), without options: type, base64, comment.

use std::fmt;
use std::str::FromStr;

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_STANDARD_NO_PAD};
use sha2::{Digest, Sha256};

use crate::error::is_plain_line;

/// The longest key that is accepted, in bytes: RSA with 16384 bits is under 3000.
const KEY_BYTES_MAX: usize = 8192;

/// The types that current OpenSSH servers accept.
const TYPES: [&str; 7] = [
    "ssh-ed25519",
    "ssh-rsa",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "sk-ssh-ed25519@openssh.com",
    "sk-ecdsa-sha2-nistp256@openssh.com",
];

/// A checked public key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicKey {
    kind: &'static str,
    blob: Vec<u8>,
    comment: String,
}

/// Why a text is not a public key that machines can use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// Nothing was typed.
    #[error("Paste a public key, such as the content of ~/.ssh/id_ed25519.pub.")]
    Empty,
    /// A private key was pasted.
    #[error("This is a private key. Never give it to anybody: paste the file that ends in .pub.")]
    Private,
    /// More than one line.
    #[error("One key at a time: this has several lines.")]
    SeveralLines,
    /// Not a known type.
    #[error("A public key begins with its type, such as ssh-ed25519 or ssh-rsa.")]
    UnknownType,
    /// The base64 part is broken or belongs to another type.
    #[error("The key is damaged: a part of it is missing or was changed.")]
    Damaged,
    /// Far longer than any key.
    #[error("This is longer than any SSH key.")]
    TooLong,
}

impl PublicKey {
    /// What stands behind the key.
    #[must_use]
    pub fn comment(&self) -> &str {
        &self.comment
    }

    /// `SHA256:…` over the key itself, as ssh-keygen shows it.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        format!("SHA256:{}", BASE64_STANDARD_NO_PAD.encode(Sha256::digest(&self.blob)))
    }
}

impl FromStr for PublicKey {
    type Err = PublicKeyError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        if text.is_empty() {
            return Err(PublicKeyError::Empty);
        }
        if text.len() > KEY_BYTES_MAX {
            return Err(PublicKeyError::TooLong);
        }
        if text.contains("PRIVATE KEY") {
            return Err(PublicKeyError::Private);
        }
        if text.lines().count() > 1 || !is_plain_line(text) {
            return Err(PublicKeyError::SeveralLines);
        }
        let mut parts = text.splitn(3, ' ').map(str::trim);
        let kind = parts.next().unwrap_or_default();
        let kind = TYPES.into_iter().find(|known| *known == kind).ok_or(PublicKeyError::UnknownType)?;
        let blob = BASE64_STANDARD.decode(parts.next().unwrap_or_default()).map_err(|_| PublicKeyError::Damaged)?;
        // RFC 4253, section 6.6: the blob begins with its own type, as a length and a name.
        let (length, rest) = blob.split_first_chunk::<4>().ok_or(PublicKeyError::Damaged)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| PublicKeyError::Damaged)?;
        if rest.get(..length) != Some(kind.as_bytes()) || rest.len() <= length {
            return Err(PublicKeyError::Damaged);
        }
        let comment = parts.next().unwrap_or_default().to_owned();
        Ok(Self { kind, blob, comment })
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.kind, BASE64_STANDARD.encode(&self.blob))?;
        if self.comment.is_empty() { Ok(()) } else { write!(f, " {}", self.comment) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGmQ1vR0M0OIEmZrIBxJ2oQBYRRv9ztO7Ye4ZNyEZC9L laptop";

    #[test]
    fn a_key_is_printed_as_it_was_read() {
        let key: PublicKey = KEY.parse().unwrap();

        assert_eq!(key.to_string(), KEY);
        assert_eq!(key.comment(), "laptop");
        assert!(key.fingerprint().starts_with("SHA256:") && !key.fingerprint().ends_with('='));
    }

    #[test]
    fn what_is_not_a_public_key_is_refused_with_its_reason() {
        let refused = |text: &str| text.parse::<PublicKey>().unwrap_err();

        assert_eq!(refused("  "), PublicKeyError::Empty);
        assert_eq!(refused("-----BEGIN OPENSSH PRIVATE KEY-----\nabc"), PublicKeyError::Private);
        assert_eq!(refused(&format!("{KEY}\n{KEY}")), PublicKeyError::SeveralLines);
        // Cloud-init reads the keys as YAML, for which this ends a line.
        assert_eq!(refused(&format!("{KEY}\u{2028}- more")), PublicKeyError::SeveralLines);
        assert_eq!(refused("command=\"x\" ssh-ed25519 AAAA"), PublicKeyError::UnknownType);
        assert_eq!(refused("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5"), PublicKeyError::Damaged);
        assert_eq!(refused(&KEY.replace("ssh-ed25519 ", "ssh-rsa ")), PublicKeyError::Damaged);
    }
}
