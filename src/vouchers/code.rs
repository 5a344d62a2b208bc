//! The codes of vouchers: drawn from the randomness of the operating system, written in groups, read forgivingly, and kept
//! only as a hash.

use anyhow::Context;
use rand::TryRng;
use rand::rngs::SysRng;
use sha2::{Digest, Sha256};

use crate::error::{Error, Result};

/// How many characters a code has: 100 bits, of which 80 are shown nowhere.
pub(super) const CHARACTERS: usize = 20;
/// How many of them stand together.
const GROUP: usize = 5;
/// How many are shown of a code that is kept as a hash.
const SHOWN: usize = 4;
/// Crockford's 32: no I, L, O and U, so that nothing is mistaken and hardly anything is rude.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// The most that is read of what somebody typed, in bytes: a code with generous separators.
const TYPED_BYTES_MAX: usize = 100;

/// A code, without separators. It is money: it is shown once and never logged.
#[derive(Clone, PartialEq, Eq)]
pub struct Code(String);

impl Code {
    /// A new one.
    ///
    /// # Errors
    /// When the operating system has no randomness.
    pub(super) fn draw() -> Result<Self> {
        let mut bytes = [0_u8; CHARACTERS];
        SysRng.try_fill_bytes(&mut bytes).context("while asking the operating system for randomness")?;
        // 32 divides 256, so every character is as likely as any other.
        Ok(Self(bytes.iter().map(|byte| char::from(ALPHABET[usize::from(byte % 32)])).collect()))
    }

    /// Reads what somebody typed: in any case, with any separators, O for 0 and I or L for 1.
    ///
    /// # Errors
    /// `Invalid` when it cannot be a code.
    pub(super) fn parse(typed: &str) -> Result<Self> {
        let wrong = || Error::invalid("code", format!("A code has {CHARACTERS} letters and digits."));
        if typed.len() > TYPED_BYTES_MAX {
            return Err(wrong());
        }
        let characters: Option<String> = typed
            .chars()
            .filter(|character| !character.is_whitespace() && !matches!(character, '-' | '–' | '_' | '.'))
            .map(|character| match character.to_ascii_uppercase() {
                'O' => Some('0'),
                'I' | 'L' => Some('1'),
                other => u8::try_from(other).is_ok_and(|byte| ALPHABET.contains(&byte)).then_some(other),
            })
            .collect();
        characters.filter(|code| code.len() == CHARACTERS).map(Self).ok_or_else(wrong)
    }

    /// What is kept of it.
    pub(super) fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.0.as_bytes()).to_vec()
    }

    /// What is shown of it later.
    pub(super) fn prefix(&self) -> &str {
        &self.0[..SHOWN]
    }

    /// The whole code in groups, for the one time it is shown.
    #[must_use]
    pub fn reveal(&self) -> String {
        let mut text = String::with_capacity(CHARACTERS + CHARACTERS / GROUP);
        for (index, character) in self.0.chars().enumerate() {
            if index > 0 && index % GROUP == 0 {
                text.push('-');
            }
            text.push(character);
        }
        text
    }
}

impl std::fmt::Debug for Code {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}…", self.prefix())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_read_however_it_is_typed() {
        let code = Code("01ABCDEFGH0123456789".into());
        assert_eq!(code.reveal(), "01ABC-DEFGH-01234-56789");
        for typed in
            ["01ABC-DEFGH-01234-56789", " oiabc defgh oL234 56789 ", "OLabcdefghOI23456789", "01abc–defgh–01234–56789"]
        {
            assert_eq!(Code::parse(typed).expect("a code"), code, "{typed}");
        }
    }

    #[test]
    fn what_cannot_be_a_code_is_refused() {
        for typed in
            ["", "01ABC", "01ABC-DEFGH-01234-5678U", "01ABC-DEFGH-01234-567890", "é1ABC-DEFGH-01234-5678", "\0"]
        {
            assert!(Code::parse(typed).is_err(), "{typed:?}");
        }
        assert!(Code::parse(&"0".repeat(100_000)).is_err());
    }

    #[test]
    fn drawn_codes_differ_and_read_back() {
        let drawn: Vec<Code> = (0..200).map(|_| Code::draw().expect("randomness")).collect();
        for (index, code) in drawn.iter().enumerate() {
            assert_eq!(&Code::parse(&code.reveal().to_lowercase()).expect("a code"), code);
            assert!(!drawn[..index].contains(code));
        }
    }

    #[test]
    fn a_code_does_not_stand_in_what_is_logged() {
        let code = Code("01ABCDEFGH0123456789".into());
        assert_eq!(format!("{code:?}"), "01AB…");
    }
}
