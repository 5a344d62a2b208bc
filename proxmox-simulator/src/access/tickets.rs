//! Tickets and the tokens against forged requests: made, and read again. What a login needs is in `sessions`.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rand::RngExt as _;
use sha2::{Digest, Sha256};

use super::{Access, Secret};
use crate::auth::same_secret;
use crate::clock::{Micros, seconds};

/// Seconds a ticket is good for.
const TICKET_LIFE_SECONDS: u64 = 2 * 3600;
/// Seconds a ticket may come from the future, as clocks of nodes differ.
const SKEW_SECONDS: u64 = 300;
/// Bytes of the signing key.
const KEY_BYTES: usize = 32;

impl Access {
    /// A new signing key: every ticket made before is worthless.
    pub(crate) fn renew_key(&mut self) {
        let bytes: [u8; KEY_BYTES] = rand::rng().random();
        self.key = Secret(bytes.iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        }));
    }

    fn sign(&self, text: &str) -> String {
        let mut hasher = Sha256::new();
        for part in [self.key.0.as_str(), text, self.key.0.as_str()] {
            hasher.update(part);
            hasher.update([0]);
        }
        BASE64.encode(hasher.finalize())
    }

    /// `PVE:user@realm:HEXTIME::signature`
    pub(crate) fn ticket(&self, user: &str, now: Micros) -> String {
        let plain = format!("PVE:{user}:{:08X}", seconds(now));
        format!("{plain}::{}", self.sign(&plain))
    }

    /// The user of a ticket that is genuine and not too old.
    pub(crate) fn user_of_ticket(&self, ticket: &str, now: Micros) -> Option<String> {
        let (plain, signature) = ticket.split_once("::")?;
        let (user, time) = plain.strip_prefix("PVE:")?.rsplit_once(':')?;
        let made = u64::from_str_radix(time, 16).ok()?;
        let now = seconds(now);
        let in_time = made <= now + SKEW_SECONDS && now < made + TICKET_LIFE_SECONDS;
        (same_secret(&self.sign(plain), signature) && in_time).then(|| user.to_owned())
    }

    /// The token that a writing request with a cookie sends as a header.
    pub(crate) fn csrf_token(&self, user: &str, now: Micros) -> String {
        let time = format!("{:08X}", seconds(now));
        format!("{time}:{}", self.sign(&format!("{time}:{user}")).trim_end_matches('='))
    }

    /// Is it one we gave this user?
    pub(crate) fn is_csrf_token(&self, user: &str, given: &str, now: Micros) -> bool {
        let Some((time, signature)) = given.split_once(':') else { return false };
        let Ok(made) = u64::from_str_radix(time, 16) else { return false };
        let now = seconds(now);
        let in_time = made <= now + SKEW_SECONDS && now < made + TICKET_LIFE_SECONDS;
        let known = self.sign(&format!("{time}:{user}"));
        in_time && same_secret(known.trim_end_matches('='), signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tickets_are_bound_to_user_key_and_time() {
        let mut access = Access::default();
        access.renew_key();
        let now = 1_800_000_000_000_000;
        let ticket = access.ticket("a@pve", now);
        assert_eq!(access.user_of_ticket(&ticket, now).as_deref(), Some("a@pve"));
        assert_eq!(access.user_of_ticket(&ticket, now + 7199 * 1_000_000).as_deref(), Some("a@pve"));
        assert_eq!(access.user_of_ticket(&ticket, now + 7200 * 1_000_000), None);
        assert_eq!(access.user_of_ticket(&ticket.replace("a@pve", "b@pve"), now), None);
        let csrf = access.csrf_token("a@pve", now);
        assert!(access.is_csrf_token("a@pve", &csrf, now));
        assert!(!access.is_csrf_token("b@pve", &csrf, now));
        access.renew_key();
        assert_eq!(access.user_of_ticket(&ticket, now), None);
        assert!(!access.is_csrf_token("a@pve", &csrf, now));
    }
}
