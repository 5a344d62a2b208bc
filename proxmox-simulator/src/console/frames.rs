//! WebSocket frames as Proxmox's web server reads them: masked, whole, uncompressed, of limited length. Anything else
//! ends the connection.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use sha1::{Digest as _, Sha1};

/// The longest payload it reads, bytes.
const PAYLOAD_MAX: u64 = 128 * 1024;
/// The longest payload it writes, bytes.
const WRITTEN_MAX: usize = 64 * 1024;
/// What RFC 6455 has hashed with the client's key.
const HANDSHAKE: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// What a client sent.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame {
    Data(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close,
}

/// Something Proxmox's server does not read.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Violation;

/// The value of `Sec-WebSocket-Accept`.
pub(super) fn accept(key: &str) -> String {
    BASE64_STANDARD.encode(Sha1::digest(format!("{key}{HANDSHAKE}")))
}

/// Bytes that have come and are no whole frame yet.
#[derive(Debug, Default)]
pub(super) struct Reader {
    bytes: Vec<u8>,
}

impl Reader {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next whole frame.
    pub(super) fn next(&mut self) -> Result<Option<Frame>, Violation> {
        let [first, second, rest @ ..] = self.bytes.as_slice() else { return Ok(None) };
        let (whole, reserved, opcode, masked) = (first & 0x80, first & 0x70, first & 0x0f, second & 0x80);
        if whole == 0 || reserved != 0 || masked == 0 {
            return Err(Violation);
        }
        let (length, head) = match second & 0x7f {
            126 => match rest {
                [a, b, ..] => (u64::from(u16::from_be_bytes([*a, *b])), 4),
                _ => return Ok(None),
            },
            127 => match rest.first_chunk::<8>() {
                Some(length) => (u64::from_be_bytes(*length), 10),
                None => return Ok(None),
            },
            short => (u64::from(short), 2),
        };
        if length > PAYLOAD_MAX {
            return Err(Violation);
        }
        let length = usize::try_from(length).map_err(|_| Violation)?;
        let (begin, end) = (head + 4, head + 4 + length);
        let Some(masked) = self.bytes.get(begin..end) else { return Ok(None) };
        let mask = &self.bytes[head..begin];
        let payload = masked.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key).collect();
        self.bytes.drain(..end);
        match opcode {
            1 | 2 => Ok(Some(Frame::Data(payload))),
            8 => Ok(Some(Frame::Close)),
            9 => Ok(Some(Frame::Ping(payload))),
            10 => Ok(Some(Frame::Pong)),
            _ => Err(Violation),
        }
    }
}

/// Binary frames with these bytes.
pub(super) fn data(bytes: &[u8]) -> Vec<u8> {
    let mut frames = Vec::with_capacity(bytes.len() + 16);
    for part in bytes.chunks(WRITTEN_MAX) {
        write(&mut frames, 0x82, part);
    }
    frames
}

/// The answer to a ping.
pub(super) fn pong(payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(payload.len() + 10);
    write(&mut frame, 0x8a, payload);
    frame
}

fn write(frames: &mut Vec<u8>, first: u8, payload: &[u8]) {
    frames.push(first);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ ..=125), _) => frames.push(length),
        (_, Ok(length)) => {
            frames.push(126);
            frames.extend(length.to_be_bytes());
        }
        _ => {
            frames.push(127);
            frames.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frames.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_is_answered_as_the_standard_has_it() {
        assert_eq!(accept("dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_masked_frame_is_read_once_it_is_whole() {
        let mut reader = Reader::default();
        let frame = [0x82, 0x83, 1, 2, 3, 4, b'a' ^ 1, b'b' ^ 2, b'c' ^ 3];
        reader.add(&frame[..7]);
        assert_eq!(reader.next(), Ok(None));
        reader.add(&frame[7..]);
        assert_eq!(reader.next(), Ok(Some(Frame::Data(b"abc".to_vec()))));
        assert_eq!(reader.next(), Ok(None));
    }

    #[test]
    fn unmasked_fragmented_compressed_and_endless_frames_are_violations() {
        let bad: [&[u8]; 4] = [
            &[0x82, 0x01, b'a'],
            &[0x02, 0x81, 0, 0, 0, 0, b'a'],
            &[0xc2, 0x81, 0, 0, 0, 0, b'a'],
            &[0x82, 0xff, 0, 0, 0, 0, 0, 2, 0, 1],
        ];
        for bytes in bad {
            let mut reader = Reader::default();
            reader.add(bytes);
            assert_eq!(reader.next(), Err(Violation), "{bytes:02x?}");
        }
    }
}
