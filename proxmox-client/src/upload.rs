//! Sending a CD image to a storage. Proxmox VE reads the multipart body with a parser of its own, which is stricter
//! than others: the fields stand before the file, each part begins with `Content-Disposition`, and the length is said at
//! the beginning. So the body is written here. Large images are for `download`, which lets the node fetch them.

use sha2::{Digest, Sha256};

use crate::client::{Body, Client};
use crate::error::{Error, NeverSentCause};
use crate::request::{node_path, segment};
use crate::upid::Upid;

/// The largest image that is uploaded, in bytes: it is held in memory, and has to arrive within the time of a request.
pub const UPLOAD_BYTES_MAX: usize = 16 * 1024 * 1024;
/// The longest name of an uploaded file, in bytes.
const FILENAME_BYTES_MAX: usize = 200;
/// How many hexadecimal digits of the file's SHA-256 are in the boundary: more than enough not to occur in the file.
const BOUNDARY_DIGITS: usize = 32;

fn unusable(detail: String) -> Error {
    Error::never_sent("the request", NeverSentCause::Argument, detail)
}

/// Whether Proxmox VE keeps the name as it is, and takes the file for a CD image.
fn check_filename(filename: &str) -> Result<(), Error> {
    let plain = filename.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte));
    let stem = filename.strip_suffix(".iso").unwrap_or_default();
    if plain && !stem.is_empty() && filename.len() <= FILENAME_BYTES_MAX {
        return Ok(());
    }
    let shown: String = filename.escape_debug().take(80).collect();
    Err(unusable(format!(
        "'{shown}' cannot be the name of a CD image: letters, digits, '_', '.', '-', ending with .iso"
    )))
}

fn check_checksum(algorithm: &str, digits: &str) -> Result<(), Error> {
    let known = ["md5", "sha1", "sha224", "sha256", "sha384", "sha512"].contains(&algorithm);
    if known && !digits.is_empty() && digits.len() <= 128 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(());
    }
    Err(unusable(String::from("the checksum is not one that Proxmox VE knows")))
}

/// The boundary for a file: made of its own digest, so that it is always the same and not in the file.
fn boundary(bytes: &[u8]) -> String {
    let digest: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("file-{}", digest.get(..BOUNDARY_DIGITS).unwrap_or(&digest))
}

fn multipart(boundary: &str, fields: &[(&str, &str)], filename: &str, bytes: &[u8]) -> Vec<u8> {
    let mut body = Vec::with_capacity(bytes.len() + 1024);
    for (name, value) in fields {
        let part = format!("--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n");
        body.extend_from_slice(part.as_bytes());
    }
    let head = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"filename\"; filename=\"{filename}\"\r\nContent-Type: application/octet-stream\r\n\r\n"
    );
    body.extend_from_slice(head.as_bytes());
    body.extend_from_slice(bytes);
    body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    body
}

impl Client {
    /// `POST /nodes/{node}/storage/{storage}/upload`. Needs Datastore.AllocateTemplate on the storage. Puts a CD image
    /// of at most [`UPLOAD_BYTES_MAX`] bytes there; the task is an `imgcopy`, and the file is there when it has ended.
    /// `checksum` is the algorithm, such as `sha256`, with its hexadecimal digits; a file that does not match fails the
    /// task. A file of that name is overwritten, so that repeating is harmless: after [`Error::MaybeDone`] look with
    /// [`Client::storage_content`] what is there, or send it again.
    ///
    /// ```no_run
    /// # async fn example(client: proxmox_client::Client, image: Vec<u8>) -> Result<(), proxmox_client::Error> {
    /// let task = client.upload_iso("pve1", "local", "seed.iso", &image, None).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// See [`Error`]. [`Error::NeverSent`] for a name that Proxmox VE would change, one that does not end with `.iso`,
    /// an unknown checksum, and a file that is empty or too large.
    pub async fn upload_iso(
        &self,
        node: &str,
        storage: &str,
        filename: &str,
        bytes: &[u8],
        checksum: Option<(&str, &str)>,
    ) -> Result<Upid, Error> {
        check_filename(filename)?;
        if bytes.is_empty() || bytes.len() > UPLOAD_BYTES_MAX {
            let detail = format!("an upload has 1 to {UPLOAD_BYTES_MAX} bytes, not {}", bytes.len());
            return Err(unusable(detail));
        }
        let mut fields = vec![("content", "iso")];
        if let Some((algorithm, digits)) = checksum {
            check_checksum(algorithm, digits)?;
            fields.extend([("checksum-algorithm", algorithm), ("checksum", digits)]);
        }
        let path = node_path(node, &format!("/storage/{}/upload", segment("storage", storage)?))?;
        let boundary = boundary(bytes);
        let body = multipart(&boundary, &fields, filename, bytes);
        let content_type = format!("multipart/form-data; boundary={boundary}");
        self.post_body(path, Body::Whole { content_type: &content_type, bytes: &body }).await
    }
}
