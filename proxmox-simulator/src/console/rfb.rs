//! The screen as RFB 3.8, the protocol of VNC (RFC 6143), as QEMU speaks it: VNC authentication, raw rectangles, any
//! pixel format with true colours. Pointer and clipboard are read and ignored.

use des::Des;
use des::cipher::{BlockEncrypt as _, KeyInit as _};
use rand::Rng as _;

use super::screen::{Colour, HEIGHT, LINE_HEIGHT, Screen, WIDTH};
use super::socket::{Ended, Output};
use super::tty::{Scene, Tty};

const VERSION: &[u8; 12] = b"RFB 003.008\n";
/// VNC authentication.
const SECURITY: u8 = 2;
/// The longest clipboard text that is waited for, bytes.
const CLIPBOARD_MAX: usize = 256 * 1024;
/// Control, Alt and Delete, left and right.
const RESET_KEYS: [[u32; 2]; 3] = [[0xffe3, 0xffe4], [0xffe9, 0xffea], [0xffff, 0xff9f]];

#[derive(Debug)]
enum Stage {
    Version,
    Security,
    Response([u8; 16]),
    Shared,
    Open,
}

/// How a client wants its dots.
#[derive(Clone, Copy, Debug)]
struct PixelFormat {
    bytes: usize,
    big_endian: bool,
    max: [u16; 3],
    shift: [u8; 3],
}

impl PixelFormat {
    /// What QEMU offers: 32 bits, blue first.
    const OFFERED: [u8; 16] = [32, 24, 0, 1, 0, 255, 0, 255, 0, 255, 16, 8, 0, 0, 0, 0];

    fn read(format: &[u8; 16]) -> Result<Self, Ended> {
        let [bits, _, big_endian, true_colour, r1, r2, g1, g2, b1, b2, rs, gs, bs, ..] = *format;
        if !matches!(bits, 8 | 16 | 32) || true_colour == 0 || [rs, gs, bs].iter().any(|shift| *shift > 31) {
            return Err(Ended);
        }
        let max = [[r1, r2], [g1, g2], [b1, b2]].map(u16::from_be_bytes);
        Ok(Self { bytes: usize::from(bits / 8), big_endian: big_endian != 0, max, shift: [rs, gs, bs] })
    }

    fn write(self, colour: Colour, bytes: &mut Vec<u8>) {
        let parts = colour.iter().zip(self.max).zip(self.shift);
        let value = parts.fold(0_u32, |value, ((part, max), shift)| {
            value | (u32::from(*part) * u32::from(max) / 255).wrapping_shl(u32::from(shift))
        });
        if self.big_endian {
            bytes.extend(&value.to_be_bytes()[4 - self.bytes..]);
        } else {
            bytes.extend(&value.to_le_bytes()[..self.bytes]);
        }
    }
}

/// One connection to a screen.
#[derive(Debug)]
pub(super) struct Rfb {
    password: String,
    stage: Stage,
    received: Vec<u8>,
    format: PixelFormat,
    /// A changed part was asked for and is owed.
    is_asked: bool,
    held: [bool; 3],
    screen: Screen,
    tty: Tty,
}

impl Rfb {
    /// A connection with the bytes it begins with.
    pub(super) fn new(password: &str, scene: &Scene) -> (Self, Vec<u8>) {
        let rfb = Self {
            password: password.to_owned(),
            stage: Stage::Version,
            received: Vec::new(),
            format: PixelFormat { bytes: 4, big_endian: false, max: [255; 3], shift: [16, 8, 0] },
            is_asked: false,
            held: [false; 3],
            screen: Screen::new(),
            tty: Tty::screen(scene),
        };
        (rfb, VERSION.to_vec())
    }

    /// Time has passed: what changed is drawn if it was asked for.
    pub(super) fn look(&mut self, scene: &Scene, output: &mut Output) {
        let text = self.tty.look(scene);
        self.screen.write(&text);
        if self.is_asked && self.screen.has_changed() {
            self.is_asked = false;
            self.draw(false, output);
        }
    }

    pub(super) fn receive(&mut self, bytes: &[u8], scene: &Scene, output: &mut Output) -> Result<(), Ended> {
        self.received.extend_from_slice(bytes);
        while self.step(scene, output)? {}
        self.look(scene, output);
        Ok(())
    }

    fn take<const LENGTH: usize>(&mut self) -> Option<[u8; LENGTH]> {
        let taken = *self.received.first_chunk()?;
        self.received.drain(..LENGTH);
        Some(taken)
    }

    /// Handles one message; false when none is whole.
    fn step(&mut self, scene: &Scene, output: &mut Output) -> Result<bool, Ended> {
        match self.stage {
            Stage::Version => {
                let Some(version) = self.take::<12>() else { return Ok(false) };
                if &version != VERSION {
                    return Err(Ended);
                }
                output.bytes.extend([1, SECURITY]);
                self.stage = Stage::Security;
            }
            Stage::Security => {
                let Some([chosen]) = self.take() else { return Ok(false) };
                if chosen != SECURITY {
                    return Err(Ended);
                }
                let mut challenge = [0; 16];
                rand::rng().fill_bytes(&mut challenge);
                output.bytes.extend(challenge);
                self.stage = Stage::Response(challenge);
            }
            Stage::Response(challenge) => {
                let Some(response) = self.take::<16>() else { return Ok(false) };
                if response != answer(&self.password, challenge) {
                    let why = b"Authentication failed";
                    output.bytes.extend([0, 0, 0, 1, 0, 0, 0, 21]);
                    output.bytes.extend(why);
                    return Err(Ended);
                }
                output.bytes.extend([0; 4]);
                self.stage = Stage::Shared;
            }
            Stage::Shared => {
                if self.take::<1>().is_none() {
                    return Ok(false);
                }
                let name = format!("QEMU ({})", scene.host);
                output.bytes.extend(WIDTH.to_be_bytes());
                output.bytes.extend(HEIGHT.to_be_bytes());
                output.bytes.extend(PixelFormat::OFFERED);
                output.bytes.extend(u32::try_from(name.len()).unwrap_or_default().to_be_bytes());
                output.bytes.extend(name.as_bytes());
                self.stage = Stage::Open;
            }
            Stage::Open => return self.message(scene, output),
        }
        Ok(true)
    }

    fn message(&mut self, scene: &Scene, output: &mut Output) -> Result<bool, Ended> {
        let Some(kind) = self.received.first().copied() else { return Ok(false) };
        match kind {
            0 => {
                let Some([_, _, _, _, format @ ..]) = self.take::<20>() else { return Ok(false) };
                self.format = PixelFormat::read(&format)?;
            }
            // Which encodings are understood: raw always is.
            2 => return self.skip(4, |head| usize::from(u16::from_be_bytes([head[2], head[3]])) * 4),
            3 => {
                let Some([_, only_changed, ..]) = self.take::<10>() else { return Ok(false) };
                self.is_asked = only_changed != 0;
                if only_changed == 0 {
                    let text = self.tty.look(scene);
                    self.screen.write(&text);
                    self.draw(true, output);
                }
            }
            4 => {
                let Some([_, down, _, _, key @ ..]) = self.take::<8>() else { return Ok(false) };
                self.key(u32::from_be_bytes(key), down != 0, scene, output);
            }
            5 => return Ok(self.take::<6>().is_some()),
            6 => {
                let text = |head: &[u8]| usize::try_from(u32::from_be_bytes([head[4], head[5], head[6], head[7]]));
                return self.skip(8, |head| text(head).unwrap_or(usize::MAX));
            }
            _ => return Err(Ended),
        }
        Ok(true)
    }

    /// Reads over a message whose head says how long the rest is.
    fn skip(&mut self, head: usize, rest: impl Fn(&[u8]) -> usize) -> Result<bool, Ended> {
        let Some(bytes) = self.received.get(..head) else { return Ok(false) };
        let rest = rest(bytes);
        if rest > CLIPBOARD_MAX {
            return Err(Ended);
        }
        if self.received.len() < head + rest {
            return Ok(false);
        }
        self.received.drain(..head + rest);
        Ok(true)
    }

    fn key(&mut self, symbol: u32, down: bool, scene: &Scene, output: &mut Output) {
        if let Some(held) = RESET_KEYS.iter().position(|keys| keys.contains(&symbol)) {
            self.held[held] = down;
            output.resets |= self.held == [true; 3];
            return;
        }
        let key = match symbol {
            0xff0d | 0xff8d => Some('\r'),
            0xff08 => Some('\u{8}'),
            0x20..=0x7e => char::from_u32(symbol),
            _ => None,
        };
        let key = match key {
            Some('c') if self.held[0] => Some('\u{3}'),
            Some('l') if self.held[0] => Some('\u{c}'),
            other => other,
        };
        if let Some(key) = key.filter(|_| down) {
            let text = self.tty.press(key, scene);
            self.screen.write(&text);
        }
    }

    fn draw(&mut self, all: bool, output: &mut Output) {
        let lines = self.screen.take_changed(all);
        output.bytes.extend([0, 0]);
        output.bytes.extend(u16::try_from(lines.len()).unwrap_or_default().to_be_bytes());
        for line in lines {
            let y = u16::try_from(line).unwrap_or_default() * LINE_HEIGHT;
            for number in [0, y, WIDTH, LINE_HEIGHT, 0, 0] {
                output.bytes.extend(number.to_be_bytes());
            }
            for colour in self.screen.dots(line) {
                self.format.write(colour, &mut output.bytes);
            }
        }
    }
}

/// What VNC authentication asks for: the challenge encrypted with the password's first eight letters, each byte's bits
/// turned round.
fn answer(password: &str, challenge: [u8; 16]) -> [u8; 16] {
    let mut key = [0; 8];
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_answer_to_a_challenge_is_what_other_programs_compute() {
        // OpenSSL: `enc -des-ecb -K 0e86ceceeef64e26 -nopad`, that key being "password" with its bits turned round.
        let challenge = [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7];
        let expected = [0xb8, 0x66, 0x92, 0x41, 0x25, 0xc8, 0xee, 0xbb];
        assert_eq!(answer("password", challenge), *[expected, expected].as_flattened());
        assert_eq!(answer("passwords", challenge), answer("password", challenge));
    }

    #[test]
    fn dots_are_written_as_a_client_wants_them() {
        let format = PixelFormat::read(&[16, 16, 1, 1, 0, 31, 0, 63, 0, 31, 11, 5, 0, 0, 0, 0]).ok().unwrap();
        let mut bytes = Vec::new();
        format.write([255, 0, 255], &mut bytes);
        assert_eq!(bytes, [0b1111_1000, 0b0001_1111]);
        assert!(PixelFormat::read(&[24, 24, 0, 1, 0, 255, 0, 255, 0, 255, 0, 8, 16, 0, 0, 0]).is_err());
    }
}
