//! SHA-256 fingerprints of certificates in Proxmox VE's notation. Comparing a server's certificate
//! with one is in `tls.rs`.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};

use crate::settings::SettingsError;

/// Bytes of a SHA-256 digest.
const LENGTH: usize = 32;

/// The SHA-256 digest of a certificate (DER). Reads `AA:BB:…` in any case, with or without the
/// colons; prints `AA:BB:…`.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; LENGTH]);

impl Fingerprint {
    /// The fingerprint of a certificate in DER.
    #[must_use]
    pub fn of_certificate(der: &[u8]) -> Self {
        Self(Sha256::digest(der).into())
    }
}

impl FromStr for Fingerprint {
    type Err = SettingsError;

    fn from_str(text: &str) -> Result<Self, SettingsError> {
        let text = text.trim();
        let digits: Vec<u8> = if text.contains(':') {
            let pairs: Vec<&str> = text.split(':').collect();
            if pairs.iter().any(|pair| pair.len() != 2) {
                return Err(SettingsError::Fingerprint);
            }
            pairs.concat().into_bytes()
        } else {
            text.as_bytes().to_vec()
        };
        if digits.len() != LENGTH * 2 {
            return Err(SettingsError::Fingerprint);
        }
        let mut bytes = [0; LENGTH];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |letter: u8| char::from(letter).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
            let (Some(high), Some(low)) = (digit(pair[0]), digit(pair[1])) else {
                return Err(SettingsError::Fingerprint);
            };
            *byte = high << 4 | low;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ":" };
            write!(formatter, "{separator}{byte:02X}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Fingerprint({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::Fingerprint;

    const REAL: &str =
        "94:69:50:51:39:DD:08:BE:9C:BF:59:49:26:8B:61:14:A1:8E:51:E8:BF:68:1B:C7:87:3E:D8:D2:10:7C:E2:4C";

    #[test]
    fn notations() {
        let fingerprint: Fingerprint = REAL.parse().unwrap();
        assert_eq!(fingerprint.to_string(), REAL);
        for text in [REAL.to_lowercase(), REAL.replace(':', ""), format!(" {REAL}\n")] {
            assert_eq!(text.parse::<Fingerprint>().unwrap(), fingerprint, "{text}");
        }
        for text in
            ["", "AA:BB", &REAL[3..], &format!("{REAL}:00"), &REAL.replace("94", "9G"), &REAL.replacen(':', "", 1)]
        {
            assert!(text.parse::<Fingerprint>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_known_digest() {
        assert_eq!(
            Fingerprint::of_certificate(b"").to_string().replace(':', "").to_lowercase(),
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
    }
}
