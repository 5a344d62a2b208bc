//! The handshakes of a screen, which is RFB 3.8 (RFC 6143). Towards the cluster we prove the password; towards the browser
//! we ask for nothing, for it is logged in. So the password never leaves this process.

use anyhow::{bail, ensure};
use axum::body::Bytes;
use des::Des;
use des::cipher::{BlockEncrypt, KeyInit};
use secrecy::{ExposeSecret, SecretString};

use super::upstream::Upstream;

/// The only version both sides speak: QEMU and noVNC have known it for fifteen years.
const VERSION: &[u8; 12] = b"RFB 003.008\n";
const NO_AUTHENTICATION: u8 = 1;
const VNC_AUTHENTICATION: u8 = 2;
/// Letters of the password that count.
const PASSWORD_LENGTH: usize = 8;
/// The kinds of messages that a person causes: a key, the pointer, a text from his clipboard.
const OF_PEOPLE: std::ops::RangeInclusive<u8> = 4..=6;

/// Goes through the cluster's handshake, up to the point where the client says whether it shares the screen.
///
/// # Errors
/// When the other side speaks something else, or does not accept the password.
pub(super) async fn authenticate(upstream: &mut Upstream, password: &SecretString) -> anyhow::Result<()> {
    let version = upstream.read::<12>().await?;
    ensure!(version.starts_with(b"RFB 003.00"), "the console does not speak RFB");
    upstream.send(Bytes::from_static(VERSION)).await?;
    let [count] = upstream.read().await?;
    let mut kinds = Vec::new();
    for _ in 0..count {
        kinds.extend(upstream.read::<1>().await?);
    }
    if kinds.contains(&VNC_AUTHENTICATION) {
        upstream.send(Bytes::from_static(&[VNC_AUTHENTICATION])).await?;
        let challenge = upstream.read::<16>().await?;
        upstream.send(Bytes::copy_from_slice(&answer(password.expose_secret(), challenge))).await?;
    } else if kinds.contains(&NO_AUTHENTICATION) {
        upstream.send(Bytes::from_static(&[NO_AUTHENTICATION])).await?;
    } else {
        bail!("the console asks for a proof that we do not have: {kinds:?}");
    }
    ensure!(upstream.read::<4>().await? == [0; 4], "the console did not accept its own password");
    Ok(())
}

/// What VNC authentication asks for: the challenge encrypted with DES under the password, the bits of each byte of which
/// are turned round. The cipher is of another time; what protects the connection is the TLS around it.
fn answer(password: &str, challenge: [u8; 16]) -> [u8; 16] {
    let mut key = [0; PASSWORD_LENGTH];
    for (byte, letter) in key.iter_mut().zip(password.bytes()) {
        *byte = letter.reverse_bits();
    }
    let cipher = Des::new(&key.into());
    let mut answer = challenge;
    for block in answer.chunks_exact_mut(8) {
        cipher.encrypt_block(block.into());
    }
    answer
}

/// The server's side of the handshake towards a browser: it asks for nothing.
#[derive(Debug)]
pub(super) enum Greeting {
    Version,
    Security,
    Done,
}

impl Greeting {
    /// What is said first.
    pub(super) const FIRST: &'static [u8] = VERSION;

    /// Takes what the browser has sent so far, removes what belongs to the handshake, and gives what is to be answered.
    ///
    /// # Errors
    /// When the browser speaks something else.
    pub(super) fn take(&mut self, received: &mut Vec<u8>) -> anyhow::Result<Vec<u8>> {
        let mut answer = Vec::new();
        if matches!(self, Self::Version)
            && let Some(version) = received.first_chunk::<12>()
        {
            ensure!(version == VERSION, "the browser speaks another version of RFB");
            received.drain(..VERSION.len());
            answer.extend([1, NO_AUTHENTICATION]);
            *self = Self::Security;
        }
        if matches!(self, Self::Security) && !received.is_empty() {
            let chosen = received.remove(0);
            ensure!(chosen == NO_AUTHENTICATION, "the browser chose what was not offered");
            answer.extend([0; 4]);
            *self = Self::Done;
        }
        Ok(answer)
    }

    pub(super) fn is_done(&self) -> bool {
        matches!(self, Self::Done)
    }
}

/// Whether a message was caused by a person, and not by the browser that asks for the next picture by itself.
pub(super) fn is_of_person(message: &[u8]) -> bool {
    message.first().is_some_and(|kind| OF_PEOPLE.contains(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_challenge_is_what_openssl_computes() {
        // `enc -des-ecb -K 0e86ceceeef64e26 -nopad`, that key being "password" with its bits turned round.
        let challenge = [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7];
        let expected = [0xb8, 0x66, 0x92, 0x41, 0x25, 0xc8, 0xee, 0xbb];
        assert_eq!(answer("password", challenge), *[expected, expected].as_flattened());
        assert_eq!(answer("passwords", challenge), answer("password", challenge), "eight letters count");
    }

    #[test]
    fn a_browser_is_asked_for_nothing_and_its_first_message_is_kept() {
        let mut greeting = Greeting::Version;
        let mut received = b"RFB 003".to_vec();
        assert!(greeting.take(&mut received).unwrap().is_empty());
        received.extend(b".008\n");
        assert_eq!(greeting.take(&mut received).unwrap(), [1, NO_AUTHENTICATION]);
        received.extend([NO_AUTHENTICATION, 1]);
        assert_eq!(greeting.take(&mut received).unwrap(), [0; 4]);
        assert!(greeting.is_done());
        assert_eq!(received, [1], "that it shares the screen is for the cluster");
    }

    #[test]
    fn a_browser_that_wants_something_else_is_refused() {
        assert!(Greeting::Version.take(&mut b"RFB 003.003\n".to_vec()).is_err());
        assert!(Greeting::Security.take(&mut vec![VNC_AUTHENTICATION]).is_err());
    }
}
