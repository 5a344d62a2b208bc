//! The bytes of a request: checked path segments and percent-encoded parameters. Proxmox VE splits
//! a form at `;` as well as `&`, so everything but plain letters is encoded. Nothing is sent here.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;

use crate::error::{Error, NeverSentCause};

/// Everything a form or query value must not show literally.
pub(crate) const VALUE: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// As [`VALUE`]; a UPID's `:`, `@` and `!` may stand in a path.
const SEGMENT: &AsciiSet = &VALUE.remove(b':').remove(b'@').remove(b'!');
/// The longest node, storage or task name sent.
const LONGEST_SEGMENT: usize = 512;

/// Method and path of a request, for sending it and for naming it in errors.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: Method,
    /// Below `/api2/json`, encoded.
    pub(crate) path: String,
}

impl Call {
    pub(crate) fn new(method: Method, path: impl Into<String>) -> Self {
        Self { method, path: path.into() }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}", self.method, self.path)
    }
}

/// One segment of a path, encoded.
///
/// Proxmox decodes a path before it splits it, so a slash cannot be escaped, and a URL library
/// resolves dots: such names are refused.
pub(crate) fn segment(kind: &str, name: &str) -> Result<String, Error> {
    let unusable = name.is_empty()
        || name.len() > LONGEST_SEGMENT
        || name.bytes().all(|byte| byte == b'.')
        || name.contains(|letter: char| letter == '/' || letter.is_control());
    if unusable {
        let shown: String = name.escape_debug().take(80).collect();
        return Err(Error::never_sent(
            "the request",
            NeverSentCause::Argument,
            format!("'{shown}' cannot be the name of a {kind}"),
        ));
    }
    Ok(utf8_percent_encode(name, SEGMENT).to_string())
}

/// `/nodes/{node}` and what follows.
pub(crate) fn node_path(node: &str, rest: &str) -> Result<String, Error> {
    Ok(format!("/nodes/{}{rest}", segment("node", node)?))
}

/// `/nodes/{node}/qemu/{vmid}` and what follows.
pub(crate) fn vm_path(node: &str, vmid: u32, rest: &str) -> Result<String, Error> {
    node_path(node, &format!("/qemu/{vmid}{rest}"))
}

/// The parameters of a request in their order.
#[derive(Default)]
pub(crate) struct Parameters(Vec<(Cow<'static, str>, String)>);

impl Parameters {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn with(mut self, key: impl Into<Cow<'static, str>>, value: impl fmt::Display) -> Self {
        self.0.push((key.into(), value.to_string()));
        self
    }

    /// Adds the parameter if there is a value.
    pub(crate) fn maybe(self, key: &'static str, value: Option<impl fmt::Display>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Adds `key=1` or `key=0`; Proxmox refuses `true` in a form.
    pub(crate) fn flag(self, key: &'static str, value: Option<bool>) -> Self {
        self.maybe(key, value.map(u8::from))
    }

    /// The parameters as a form body or a query.
    pub(crate) fn encoded(&self) -> String {
        let pairs: Vec<String> = self
            .0
            .iter()
            .map(|(key, value)| {
                let key = utf8_percent_encode(key, VALUE);
                format!("{key}={}", utf8_percent_encode(value, VALUE))
            })
            .collect();
        pairs.join("&")
    }
}

#[cfg(test)]
mod tests {
    use super::{Parameters, segment};

    #[test]
    fn separators_and_blanks_are_encoded() {
        let parameters = Parameters::new()
            .with("tags", "a;b c")
            .with("description", "x+y=1&z\nä/%20")
            .flag("full", Some(false))
            .flag("purge", None);
        assert_eq!(parameters.encoded(), "tags=a%3Bb%20c&description=x%2By%3D1%26z%0A%C3%A4%2F%2520&full=0");
    }

    #[test]
    fn names_that_would_change_the_path_are_refused() {
        for name in ["", ".", "..", "a/b", "/", "a\nb", &"x".repeat(600)] {
            assert!(segment("node", name).is_err(), "{name:?}");
        }
        for (name, encoded) in [
            ("pve1", "pve1"),
            ("a b", "a%20b"),
            ("a?b#c", "a%3Fb%23c"),
            ("%2e%2e", "%252e%252e"),
            ("UPID:pve:1:root@pam!lab:", "UPID:pve:1:root@pam!lab:"),
        ] {
            assert_eq!(segment("node", name).ok().as_deref(), Some(encoded));
        }
    }
}
