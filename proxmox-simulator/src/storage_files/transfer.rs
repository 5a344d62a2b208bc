//! Files that come from elsewhere: `upload`, of whose bytes the transport keeps those of small files, and `download-url`, which
//! fetches nothing and invents the size from the URL.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};

use crate::call::Call;
use crate::clock::{Micros, seconds};
use crate::cluster::ClusterState;
use crate::cluster::archive::FileAttributes;
use crate::cluster::storage::{Storage, Volume};
use crate::failure::{Failure, Outcome, Reply};
use crate::tasks::Work;

/// Smallest invented file, in bytes.
const INVENTED_MIN: u64 = 300 << 20;
/// How much larger an invented file may be.
const INVENTED_SPREAD: u64 = 1 << 30;
/// Checksum algorithms and the number of their hexadecimal digits.
const ALGORITHMS: &[(&str, usize)] =
    &[("md5", 32), ("sha1", 40), ("sha224", 56), ("sha256", 64), ("sha384", 96), ("sha512", 128)];
/// Compressions a download may have.
const COMPRESSIONS: &[&str] = &["gz", "lzo", "zst", "bz2"];

/// A file the transport received.
#[derive(Clone, Debug, Default)]
pub(crate) struct Received {
    /// Bytes.
    pub(crate) size: u64,
    /// The one checksum that was asked for, where the simulator can compute it.
    pub(crate) checksum: Option<(String, String)>,
    /// The bytes of a small file.
    pub(crate) contents: Option<Vec<u8>>,
}

/// What an `imgcopy` or `download` task will do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    node: String,
    storage: String,
    content: String,
    filename: String,
    size: u64,
    source: Source,
    expected: Option<(String, String)>,
}

#[derive(Clone, Debug)]
enum Source {
    Upload { file: String, found: Option<(String, String)>, contents: Option<Vec<u8>> },
    Url(String),
}

/// Only letters, digits, `_`, `.` and `-`, without folders.
fn normalized(filename: &str) -> String {
    let own = filename.rsplit(['/', '\\']).next().unwrap_or_default();
    own.chars().map(|one| if one.is_ascii_alphanumeric() || "_.-".contains(one) { one } else { '_' }).collect()
}

fn check_name(content: &str, filename: &str) -> Result<(), Failure> {
    let lower = filename.to_ascii_lowercase();
    let (endings, text): (&[&str], &str) = match content {
        "iso" => (&[".iso", ".img"], "wrong file extension"),
        "vztmpl" => (&[".tar.gz", ".tar.xz", ".tar.zst", ".tar.bz2"], "wrong file extension"),
        _ => (&[".ova", ".qcow2", ".raw", ".vmdk"], "invalid filename or wrong extension"),
    };
    let fits = endings.iter().any(|ending| lower.ends_with(ending) && lower.len() > ending.len());
    if fits { Ok(()) } else { Err(Failure::parameter("filename", text)) }
}

fn expected(call: &Call<'_>) -> Option<(String, String)> {
    let given = |name: &str| call.parameters.text(name).map(str::to_owned);
    given("checksum-algorithm").zip(given("checksum"))
}

/// POST /nodes/{node}/storage/{storage}/upload, after the transport took the file.
pub(crate) fn upload(call: &mut Call<'_>) -> Outcome {
    let storage = call.cluster.storage(call.text("storage"))?.clone();
    if !storage.is_directory() {
        return Err(Failure::died(format!("can't upload to storage type '{}'", storage.kind)));
    }
    let Some(file) = call.parameters.text("tmpfilename").map(str::to_owned) else {
        return Err(Failure::died("missing temporary file name"));
    };
    let Some(received) = call.cluster.received.remove(&file) else {
        return Err(Failure::died(format!("temporary file '{file}' does not exist")));
    };
    let (content, filename) = (call.text("content").to_owned(), normalized(call.text("filename")));
    check_name(&content, &filename)?;
    if !storage.takes(&content) {
        return Err(Failure::died(format!("storage '{}' does not support '{content}' content", storage.id)));
    }
    let expected = expected(call);
    if let (Some((algorithm, _)), None) = (&expected, &received.checksum) {
        return Err(Failure::with_status(501, format!("checksums of type {algorithm} are not simulated for uploads")));
    }
    let plan = Plan {
        node: call.node().to_owned(),
        storage: storage.id,
        content,
        filename,
        size: received.size,
        source: Source::Upload { file, found: received.checksum, contents: received.contents },
        expected,
    };
    Ok(Reply::data(call.spawn_as("imgcopy", String::new(), None, Work::AddFile(plan))))
}

/// POST /nodes/{node}/storage/{storage}/download-url
pub(crate) fn download(call: &mut Call<'_>) -> Outcome {
    let storage = call.cluster.storage(call.text("storage"))?.clone();
    if !storage.is_directory() {
        let kind = &storage.kind;
        return Err(Failure::died(format!("can't upload to storage type '{kind}', not a file based storage!")));
    }
    let (content, filename) = (call.text("content").to_owned(), normalized(call.text("filename")));
    if !storage.takes(&content) {
        let id = &storage.id;
        return Err(Failure::died(format!("storage '{id}' is not configured for content-type '{content}'")));
    }
    check_name(&content, &filename)?;
    if let Some(compression) = call.parameters.text("compression") {
        if !COMPRESSIONS.contains(&compression) {
            let known = COMPRESSIONS.join(", ");
            let text = format!("value '{compression}' does not have a value in the enumeration '{known}'");
            return Err(Failure::parameter("compression", text));
        }
        if content != "iso" {
            return Err(Failure::died(format!("decompression not supported for {content}")));
        }
    }
    let url = call.text("url").to_owned();
    let plan = Plan {
        node: call.node().to_owned(),
        storage: storage.id,
        content,
        filename: filename.clone(),
        size: size_of(&url),
        source: Source::Url(url),
        expected: expected(call),
    };
    Ok(Reply::data(call.spawn_as("download", filename, None, Work::AddFile(plan))))
}

/// The size of what a URL would give: always the same.
fn size_of(url: &str) -> u64 {
    let digest = Sha256::digest(url);
    let number = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
    INVENTED_MIN + number % INVENTED_SPREAD
}

/// GET /nodes/{node}/query-url-metadata
pub(crate) fn url_metadata(call: &mut Call<'_>) -> Outcome {
    let url = call.text("url");
    let path = url.split(['?', '#']).next().unwrap_or_default();
    let filename = path.rsplit('/').next().filter(|name| !name.is_empty()).map(normalized);
    let mut entry = json!({ "size": size_of(url), "mimetype": "application/octet-stream" });
    if let Some(filename) = filename {
        entry["filename"] = json!(filename);
    }
    Ok(Reply::data(entry))
}

fn volume_name(plan: &Plan) -> String {
    format!("{}/{}", plan.content, plan.filename)
}

fn destination(storage: &Storage, plan: &Plan) -> String {
    let folder = match plan.content.as_str() {
        "iso" => "template/iso",
        "vztmpl" => "template/cache",
        _ => "import",
    };
    format!("{}/{folder}/{}", storage.path(), plan.filename)
}

fn mismatch(got: &str, expected: &str) -> String {
    format!("checksum mismatch: got '{got}' != expect '{expected}'")
}

/// Checks what can be known before the file is there.
pub(crate) fn begin(plan: &Plan, cluster: &mut ClusterState, log: &mut Vec<String>) -> Result<Duration, String> {
    let storage = cluster.storage(&plan.storage).map_err(|failure| failure.text().to_owned())?;
    let destination = destination(storage, plan);
    match &plan.source {
        Source::Upload { file, found, .. } => {
            log.push(format!("starting file import from: {file}"));
            if let (Some((_, expected)), Some((_, got))) = (&plan.expected, found) {
                if !got.eq_ignore_ascii_case(expected) {
                    log.push("calculating checksum...".to_owned());
                    return Err(mismatch(got, expected));
                }
                log.push("calculating checksum...OK, checksum verified".to_owned());
            }
            log.push(format!("target node: {}", plan.node));
            log.push(format!("target file: {destination}"));
            log.push(format!("file size is: {}", plan.size));
            log.push(format!("command: cp -- {file} {destination}"));
        }
        Source::Url(url) => {
            log.push(format!("downloading {url} to {destination}"));
            let existing = cluster.volumes.get(storage, &plan.node, &volume_name(plan));
            if let Some(existing) = existing {
                return keep_existing(plan, existing, &destination, log);
            }
        }
    }
    if plan.size > storage.size.saturating_sub(cluster.volumes.used(storage, &plan.node)) {
        return Err("not enough space on target storage".to_owned());
    }
    Ok(cluster.timing().fetch)
}

/// A download never overwrites: with the right checksum it has nothing to do.
fn keep_existing(plan: &Plan, existing: &Volume, destination: &str, log: &mut Vec<String>) -> Result<Duration, String> {
    let Some((algorithm, expected)) = &plan.expected else {
        return Err(format!("refusing to override existing file '{destination}'"));
    };
    let got = existing.file.checksums.get(algorithm).cloned().unwrap_or_else(|| digest_of(algorithm, destination));
    if got.eq_ignore_ascii_case(expected) {
        log.push(
            "calculating checksum of existing file...OK, got correct file already, no need to download".to_owned(),
        );
        return Ok(Duration::ZERO);
    }
    log.push("calculating checksum of existing file...".to_owned());
    Err(format!("{}, aborting", mismatch(&got, expected)))
}

/// Digits for a file whose contents nobody knows: always the same for one path.
fn digest_of(algorithm: &str, path: &str) -> String {
    let length = ALGORITHMS.iter().find(|(name, _)| *name == algorithm).map_or(64, |(_, length)| *length);
    let block: String = Sha256::digest(path).iter().map(|byte| format!("{byte:02x}")).collect();
    block.chars().cycle().take(length).collect()
}

/// The file is there.
pub(crate) fn finish(plan: Plan, cluster: &mut ClusterState, at: Micros, log: &mut Vec<String>) -> Result<u32, String> {
    let storage = cluster.storage(&plan.storage).map_err(|failure| failure.text().to_owned())?.clone();
    let name = volume_name(&plan);
    let is_download = matches!(plan.source, Source::Url(_));
    if is_download && cluster.volumes.get(&storage, &plan.node, &name).is_some() {
        return Ok(0);
    }
    let mut checksums = BTreeMap::new();
    if let Some((algorithm, expected)) = &plan.expected {
        // What a URL gives is unknown here, so its checksum is taken to be right when it can be one at all.
        let length = ALGORITHMS.iter().find(|(name, _)| name == algorithm).map(|(_, length)| *length);
        let can_be = Some(expected.len()) == length && expected.bytes().all(|byte| byte.is_ascii_hexdigit());
        if is_download && !can_be {
            return Err(mismatch(&digest_of(algorithm, &name), expected));
        }
        checksums.insert(algorithm.clone(), expected.to_ascii_lowercase());
    }
    log.push(match &plan.source {
        Source::Url(url) => format!("download of '{url}' to '{}' finished", destination(&storage, &plan)),
        Source::Upload { .. } => "finished file import successfully".to_owned(),
    });
    let contents = match plan.source {
        Source::Upload { contents, .. } => contents,
        Source::Url(_) => None,
    };
    let volume = Volume {
        storage: storage.id.clone(),
        format: plan.filename.rsplit('.').next().unwrap_or("raw").to_ascii_lowercase(),
        name,
        node: None,
        content: plan.content,
        vmid: None,
        size: plan.size,
        used: plan.size,
        created: seconds(at),
        parent: None,
        children: 0,
        file: FileAttributes { checksums, contents, ..FileAttributes::default() },
    };
    cluster.volumes.insert(&storage, &plan.node, volume);
    cluster.touch();
    Ok(0)
}
