//! Where customers ask for more.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use validator::ValidateEmail;

/// The longest contact, in characters.
const CHARACTERS_MAX: usize = 200;

/// A contact as it was typed: none, an e-mail address, or an `https://` address.
pub(super) fn checked(typed: &str) -> Result<Option<String>, &'static str> {
    let typed = typed.trim();
    let is_web = typed.starts_with("https://")
        && typed.len() > "https://".len()
        && typed.chars().all(|character| character.is_ascii_graphic());
    match typed {
        "" => Ok(None),
        _ if typed.chars().count() > CHARACTERS_MAX => Err("At most 200 characters."),
        _ if is_web || typed.validate_email() => Ok(Some(typed.to_owned())),
        _ => Err("An e-mail address, or an address that begins with https://."),
    }
}

/// A link to a contact: a mail that says who asks, or the page as it is.
pub(super) fn url(contact: &str, organisation: &str) -> String {
    if contact.starts_with("https://") {
        return contact.to_owned();
    }
    let subject = format!("More quota for {organisation}");
    format!("mailto:{contact}?subject={}", utf8_percent_encode(&subject, NON_ALPHANUMERIC))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_contact_is_an_address_that_can_be_followed() {
        assert_eq!(checked("  "), Ok(None));
        assert_eq!(checked(" help@example.org "), Ok(Some("help@example.org".into())));
        assert_eq!(checked("https://example.org/help"), Ok(Some("https://example.org/help".into())));
        for wrong in ["javascript:alert(1)", "http://example.org", "https://", "https://a b", "nobody"] {
            assert!(checked(wrong).is_err(), "{wrong}");
        }
        assert_eq!(
            url("help@example.org", "A & B"),
            "mailto:help@example.org?subject=More%20quota%20for%20A%20%26%20B"
        );
    }
}
