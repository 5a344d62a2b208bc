//! agent/file-read, file-write and set-user-password.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::json;

use super::agent::{answering, answering_mut};
use crate::access::Secret;
use crate::call::Call;
use crate::failure::{Failure, Outcome, Reply};

/// Bytes of a file that are read at most.
const READ_MAX: usize = 16 * 1024 * 1024;
/// Users every guest has, beside the one of cloud-init.
const USERS: &[&str] = &["root", "debian", "ubuntu", "rocky", "admin"];

/// GET agent/file-read
pub(crate) fn read(call: &mut Call<'_>) -> Outcome {
    let guest = answering(call)?;
    let path = call.text("file");
    let Some(content) = guest.inside.files.get(path) else {
        return Err(Failure::died(format!(
            "Agent error: failed to open file '{path}' (mode: 'r'): No such file or directory"
        )));
    };
    let offset: usize = call.parameters.number("offset").unwrap_or(0);
    let count: usize = call.parameters.number("count").unwrap_or(READ_MAX);
    let rest = content.get(offset..).unwrap_or_default();
    let part = &rest[..rest.len().min(count)];
    let shown = if call.parameters.flag("decode") == Some(false) {
        BASE64.encode(part)
    } else {
        String::from_utf8_lossy(part).into_owned()
    };
    let mut answer = json!({ "content": shown, "bytes-read": part.len() });
    if part.len() < rest.len() {
        answer["truncated"] = json!(1);
    }
    Ok(Reply::data(answer))
}

/// POST agent/file-write
pub(crate) fn write(call: &mut Call<'_>) -> Outcome {
    let (path, content) = (call.text("file").to_owned(), call.text("content").to_owned());
    let bytes = if call.parameters.flag("encode") == Some(false) {
        let decoded = BASE64.decode(content.replace(['\n', '\r'], ""));
        decoded.map_err(|_| Failure::died("Agent error: failed to decode base64 content"))?
    } else if content.chars().all(|letter| u32::from(letter) < 256) {
        content.into_bytes()
    } else {
        return Err(Failure::died("Wide character in subroutine entry"));
    };
    let guest = answering_mut(call)?;
    if path.ends_with('/') || !path.starts_with('/') {
        return Err(Failure::died(format!("Agent error: failed to open file '{path}' (mode: 'wb'): Is a directory")));
    }
    guest.inside.files.insert(path, bytes);
    Ok(Reply::null())
}

/// POST agent/set-user-password
pub(crate) fn set_password(call: &mut Call<'_>) -> Outcome {
    let (user, password) = (call.text("username").to_owned(), call.text("password").to_owned());
    let guest = answering_mut(call)?;
    if !USERS.contains(&user.as_str()) && guest.config.get("ciuser") != Some(user.as_str()) {
        return Err(Failure::died("Agent error: child process has failed to set user password"));
    }
    guest.inside.passwords.insert(user, Secret(password));
    Ok(Reply::data(json!({ "result": {} })))
}
