//! A serial line as Proxmox's `termproxy` speaks it, and as our page does: bytes both ways, and the size of the terminal as
//! a message of its own.

use anyhow::ensure;
use axum::body::Bytes;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;

use super::upstream::Upstream;

/// How much of what is typed or pasted goes into one message, bytes: `termproxy` reads into a small buffer.
const PART_BYTES: usize = 4096;
/// The largest terminal, columns and rows.
const SIZE_MAX: u16 = 1000;
/// Says that somebody is there; `termproxy` ends without it.
pub(super) const SIGN_OF_LIFE: &[u8] = b"2";

/// Proves who opened the console. The browser takes no part in it.
///
/// # Errors
/// When the other side does not accept it.
pub(super) async fn greet(upstream: &mut Upstream, line: &SecretString) -> anyhow::Result<()> {
    upstream.send(Bytes::copy_from_slice(line.expose_secret().as_bytes())).await?;
    ensure!(&upstream.read::<2>().await? == b"OK", "the console did not accept its own ticket");
    Ok(())
}

/// The size of the terminal, as the page says it.
#[derive(Debug, Deserialize)]
struct Size {
    columns: u16,
    rows: u16,
}

/// What was typed, as `termproxy` reads it.
pub(super) fn typed(bytes: &[u8]) -> Bytes {
    let mut messages = Vec::with_capacity(bytes.len() + 16);
    for part in bytes.chunks(PART_BYTES) {
        messages.extend_from_slice(format!("0:{}:", part.len()).as_bytes());
        messages.extend_from_slice(part);
    }
    messages.into()
}

/// A message about the size, as `termproxy` reads it.
///
/// # Errors
/// When it is none.
pub(super) fn resized(message: &str) -> anyhow::Result<Bytes> {
    let Size { columns, rows } = serde_json::from_str(message)?;
    ensure!((1..=SIZE_MAX).contains(&columns) && (1..=SIZE_MAX).contains(&rows), "no size of a terminal");
    Ok(format!("1:{columns}:{rows}:").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_is_counted_in_bytes_and_split() {
        assert_eq!(typed("é\r".as_bytes()), "0:3:é\r".as_bytes());
        let long = typed(&[b'x'; PART_BYTES + 1]);
        assert!(long.starts_with(b"0:4096:x") && long.ends_with(b"x0:1:x"));
    }

    #[test]
    fn a_size_is_two_numbers_within_reason() {
        assert_eq!(resized(r#"{"columns":80,"rows":24}"#).unwrap(), "1:80:24:");
        for bad in ["", "80x24", r#"{"columns":0,"rows":24}"#, r#"{"columns":80,"rows":70000}"#] {
            assert!(resized(bad).is_err(), "{bad}");
        }
    }
}
