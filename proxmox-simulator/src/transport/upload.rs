//! The body of an upload: Proxmox's own reader of `multipart/form-data`, with its rule that the fields come before the
//! file. The file's bytes are counted, hashed when that is asked for, and kept when they are few.

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use sha2::digest::DynDigest;
use sha2::{Sha224, Sha256, Sha384, Sha512};

use crate::storage_files::Received;

/// Largest upload, in bytes.
pub(super) const UPLOAD_MAX: u64 = 64 << 30;
/// Largest file whose bytes are kept, so that a test can read back what it sent.
const KEPT_MAX: usize = 1 << 20;
/// Largest head of a part, and largest value of a field.
const PART_MAX: usize = 8 * 1024;
/// Fields before the file.
const FIELDS_MAX: usize = 16;

/// What came.
#[derive(Debug, Default)]
pub(super) struct Upload {
    pub(super) fields: Vec<(String, String)>,
    /// Name and facts of the file.
    pub(super) file: Option<(String, Received)>,
}

/// The boundary in a content type.
pub(super) fn boundary(content_type: &str) -> Option<String> {
    let (kind, rest) = content_type.split_once(';')?;
    let value = rest.split(';').find_map(|part| part.trim().strip_prefix("boundary="))?.trim_matches('"');
    let right = kind.trim().eq_ignore_ascii_case("multipart/form-data") && (1..=70).contains(&value.len());
    right.then(|| value.to_owned())
}

/// Bytes that arrived and were not looked at yet.
struct Reader<'a> {
    body: &'a mut Incoming,
    buffer: Vec<u8>,
}

impl Reader<'_> {
    /// Waits for more; false at the end.
    async fn more(&mut self) -> bool {
        while let Some(Ok(frame)) = self.body.frame().await {
            if let Ok(data) = frame.into_data() {
                self.buffer.extend_from_slice(&data);
                return true;
            }
        }
        false
    }

    /// Everything up to `mark`, without it.
    async fn until(&mut self, mark: &[u8]) -> Option<Vec<u8>> {
        loop {
            if let Some(at) = find(&self.buffer, mark) {
                let before = self.buffer[..at].to_vec();
                self.buffer.drain(..at + mark.len());
                return Some(before);
            }
            if self.buffer.len() > PART_MAX || !self.more().await {
                return None;
            }
        }
    }

    /// Hands over everything up to `mark` in pieces; false when it never comes.
    async fn pass_until(&mut self, mark: &[u8], mut piece: impl FnMut(&[u8])) -> bool {
        loop {
            if let Some(at) = find(&self.buffer, mark) {
                piece(&self.buffer[..at]);
                self.buffer.drain(..at + mark.len());
                return true;
            }
            // The mark may have begun in the last bytes.
            let certain = self.buffer.len().saturating_sub(mark.len());
            piece(&self.buffer[..certain]);
            self.buffer.drain(..certain);
            if !self.more().await {
                return false;
            }
        }
    }
}

fn find(text: &[u8], mark: &[u8]) -> Option<usize> {
    text.windows(mark.len()).position(|window| window == mark)
}

/// The value of an attribute in a part's first header.
fn attribute(header: &str, name: &str) -> Option<String> {
    let (_, rest) = header.split_once(&format!("; {name}=\""))?;
    rest.split_once('"').map(|(value, _)| value.to_owned())
}

fn hasher(algorithm: Option<&str>) -> Option<Box<dyn DynDigest + Send>> {
    match algorithm? {
        "sha224" => Some(Box::new(Sha224::default())),
        "sha256" => Some(Box::new(Sha256::default())),
        "sha384" => Some(Box::new(Sha384::default())),
        "sha512" => Some(Box::new(Sha512::default())),
        _ => None,
    }
}

/// Reads fields, then one file. What follows the file is not looked at.
///
/// # Errors
/// Proxmox's text when the body is not as it wants it.
pub(super) async fn read(body: &mut Incoming, boundary: &str) -> Result<Upload, String> {
    let failed = || "upload failed".to_owned();
    let mut reader = Reader { body, buffer: b"\r\n".to_vec() };
    let mark = format!("\r\n--{boundary}").into_bytes();
    let mut upload = Upload::default();
    reader.until(&mark).await.ok_or_else(failed)?;
    for _ in 0..=FIELDS_MAX {
        let head = reader.until(b"\r\n\r\n").await.ok_or_else(failed)?;
        let head = String::from_utf8_lossy(&head).into_owned();
        // The first header has to be this one, spelled like this.
        let header = head.strip_prefix("\r\n").and_then(|head| head.lines().next()).unwrap_or_default();
        let name = attribute(header, "name").filter(|_| header.starts_with("Content-Disposition: form-data;"));
        let name = name.ok_or_else(failed)?;
        let Some(filename) = attribute(header, "filename") else {
            let value = reader.until(&mark).await.ok_or_else(failed)?;
            upload.fields.push((name, String::from_utf8_lossy(&value).into_owned()));
            continue;
        };
        if name != "filename" {
            return Err(format!("wrong field name '{name}' for file upload, expected 'filename'"));
        }
        let algorithm =
            upload.fields.iter().find(|(field, _)| field == "checksum-algorithm").map(|(_, value)| value.clone());
        let mut hasher = hasher(algorithm.as_deref());
        let mut size = 0_u64;
        let mut contents = Some(Vec::new());
        let whole = reader
            .pass_until(&mark, |piece| {
                size += piece.len() as u64;
                match &mut contents {
                    Some(kept) if kept.len() + piece.len() <= KEPT_MAX => kept.extend_from_slice(piece),
                    _ => contents = None,
                }
                if let Some(hasher) = &mut hasher {
                    hasher.update(piece);
                }
            })
            .await;
        if !whole {
            return Err(failed());
        }
        let digits = |hasher: Box<dyn DynDigest + Send>| -> String {
            hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
        };
        let checksum = algorithm.zip(hasher.map(digits));
        upload.file = Some((filename, Received { size, checksum, contents }));
        return Ok(upload);
    }
    Err(failed())
}
