//! The text of a key: exactly 64 letters and digits (with one underscore), drawn from the randomness of the operating system.
//! It ends with a check of itself, so that what only looks like a key is told from one without asking the database.

use std::fmt;

use anyhow::Context;
use rand::TryRng;
use rand::rngs::SysRng;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use crate::error::Result;

/// How many characters a key has, all in all. Some programs of this field refuse any other length.
pub const CHARACTERS: usize = 64;
/// How every key begins: tells it from an access token, and lets programs that look for leaked secrets find it.
pub const BEGINNING: &str = "unim_";
/// How many of the last characters check the others.
const CHECK: usize = 6;
/// How many are drawn: 315 bits.
const DRAWN: usize = CHARACTERS - BEGINNING.len() - CHECK;
/// How many are shown of a key that is kept as a hash.
const SHOWN: usize = 12;
/// How many bytes are asked for: more than enough, for a few of them are thrown away.
const BYTES: usize = 2 * DRAWN;
const ALPHABET: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
/// Bytes from here on would make some characters likelier than others.
const FAIR_BELOW: u8 = 248;

/// A key. It is shown once and never logged.
#[derive(Clone)]
pub struct KeyText(SecretString);

impl KeyText {
    /// A new one.
    ///
    /// # Errors
    /// When the operating system has no randomness.
    pub(super) fn draw() -> Result<Self> {
        let mut bytes = [0_u8; BYTES];
        SysRng.try_fill_bytes(&mut bytes).context("while asking the operating system for randomness")?;
        let mut text = BEGINNING.to_owned();
        text.extend(bytes.iter().filter_map(|byte| fair_sign(*byte)).take(DRAWN));
        text.push_str(&check_of(&text));
        if text.len() != CHARACTERS {
            return Err(anyhow::anyhow!("the operating system's randomness repeats itself").into());
        }
        Ok(Self(SecretString::from(text)))
    }

    /// Reads what a program sent; nothing when it cannot be a key.
    #[must_use]
    pub fn parse(sent: &str) -> Option<Self> {
        if sent.len() != CHARACTERS || !is_key_like(sent) || !sent.is_ascii() {
            return None;
        }
        let (text, check) = sent.split_at(CHARACTERS - CHECK);
        (check_of(text) == check).then(|| Self(SecretString::from(sent.to_owned())))
    }

    /// What is kept of it.
    #[must_use]
    pub fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.0.expose_secret()).to_vec()
    }

    /// How it begins, for people.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.0.expose_secret()[..SHOWN]
    }

    /// The whole key, for the one time it is shown.
    #[must_use]
    pub fn reveal(&self) -> &str {
        self.0.expose_secret()
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}…", self.prefix())
    }
}

/// Whether a text is meant to be a key, and not an access token.
#[must_use]
pub fn is_key_like(sent: &str) -> bool {
    sent.starts_with(BEGINNING)
}

/// The character that a random byte stands for, each as likely as any other; nothing for a byte too many.
fn fair_sign(byte: u8) -> Option<char> {
    (byte < FAIR_BELOW).then(|| sign(byte))
}

fn sign(byte: u8) -> char {
    char::from(ALPHABET[usize::from(byte % 62)])
}

/// The characters that check a text.
fn check_of(text: &str) -> String {
    Sha256::digest(text).iter().take(CHECK).map(|byte| sign(*byte)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_exactly_64_characters_and_reads_back() {
        let drawn: Vec<KeyText> = (0..200).map(|_| KeyText::draw().unwrap()).collect();
        for (index, key) in drawn.iter().enumerate() {
            let text = key.reveal();
            assert_eq!((text.len(), text.chars().count()), (64, 64));
            assert!(text.starts_with("unim_") && text[5..].bytes().all(|byte| byte.is_ascii_alphanumeric()), "{text}");
            assert_eq!(KeyText::parse(text).unwrap().hash(), key.hash());
            assert!(drawn[..index].iter().all(|other| other.reveal() != text));
        }
    }

    #[test]
    fn what_cannot_be_a_key_is_told_without_a_look() {
        let key = KeyText::draw().unwrap();
        let text = key.reveal();
        let swapped = format!("{}{}{}", &text[..20], if &text[20..21] == "x" { "y" } else { "x" }, &text[21..]);
        let shorter = &text[..63];
        let longer = format!("{text}0");
        let other = text.replace("unim_", "unin_");
        let umlaut = format!("{}é", &text[..62]);
        let across = format!("{}é{}", &text[..57], &text[59..]);
        let foreign = format!("unin_{}", &text[5..58]);
        let foreign = format!("{foreign}{}", check_of(&foreign));
        let lengthened = format!("{}0", &text[..58]);
        let lengthened = format!("{lengthened}{}", check_of(&lengthened));
        for wrong in [&swapped, &longer, &other, &umlaut, &across, &foreign, &lengthened, &"0".repeat(100_000)] {
            assert!(KeyText::parse(wrong).is_none(), "{wrong}");
        }
        for wrong in [shorter, "unim_", ""] {
            assert!(KeyText::parse(wrong).is_none(), "{wrong}");
        }
    }

    #[test]
    fn each_character_is_as_likely_as_any_other() {
        let drawn: Vec<char> = (0..=u8::MAX).filter_map(fair_sign).collect();
        for sign in ALPHABET {
            assert_eq!(drawn.iter().filter(|drawn| **drawn == char::from(*sign)).count(), 4, "{}", char::from(*sign));
        }
        // SHA-256 of nothing begins with e3 b0 c4 42 98 fc.
        assert_eq!(check_of(""), "fqA4S4");
    }

    #[test]
    fn a_key_does_not_stand_in_what_is_logged() {
        let key = KeyText::draw().unwrap();
        let shown = format!("{key:?}");
        assert!(shown.starts_with("unim_") && shown.chars().count() == 13, "{shown}");
        assert!(!shown.contains(&key.reveal()[12..]));
    }
}
