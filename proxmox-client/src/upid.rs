//! The name of a task, `UPID:node:pid:pstart:starttime:type:id:user:`. Strict reading and exact
//! printing; asking for a task's state is in `tasks.rs`.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// The unique name of a task. It names the node that has to be asked for the task's state. For a
/// clone, `id` is the number of the source.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Upid {
    text: String,
    node: Range<usize>,
    worker: Range<usize>,
    id: Range<usize>,
    user: Range<usize>,
    start_time: u64,
}

/// The text is not the name of a task.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the name of a task: '{0}'")]
pub struct UpidError(String);

impl Upid {
    /// The node the task runs on.
    #[must_use]
    pub fn node(&self) -> &str {
        &self.text[self.node.clone()]
    }

    /// The kind of work, such as `qmclone`, `qmstart` or `resize`.
    #[must_use]
    pub fn worker_type(&self) -> &str {
        &self.text[self.worker.clone()]
    }

    /// What it works on: mostly a guest number, sometimes empty.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.text[self.id.clone()]
    }

    /// Who started it: `user@realm` or `user@realm!token`.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.text[self.user.clone()]
    }

    /// When it started, in seconds since 1970, by the node's clock.
    #[must_use]
    pub fn start_time(&self) -> u64 {
        self.start_time
    }

    /// The whole name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl FromStr for Upid {
    type Err = UpidError;

    fn from_str(text: &str) -> Result<Self, UpidError> {
        read(text).ok_or_else(|| UpidError(text.chars().take(SHOWN_LETTERS).collect()))
    }
}

/// How much of a wrong text an error repeats.
const SHOWN_LETTERS: usize = 80;
/// The fields between colons: `UPID`, seven fields, and nothing after the last colon.
const FIELDS: usize = 9;

fn read(text: &str) -> Option<Upid> {
    let mut ranges = Vec::with_capacity(FIELDS);
    let mut start = 0;
    for field in text.split(':') {
        if ranges.len() == FIELDS {
            return None;
        }
        ranges.push(start..start + field.len());
        start += field.len() + 1;
    }
    let [mark, node, process, process_start, start_time, worker, id, user, end] =
        <[Range<usize>; FIELDS]>::try_from(ranges).ok()?;
    let at = |range: &Range<usize>| &text[range.clone()];
    let is_plain =
        |field: &str| !field.contains(|letter: char| letter.is_whitespace() || letter.is_control() || letter == '/');
    let is_hex = |field: &str, lengths: std::ops::RangeInclusive<usize>| {
        lengths.contains(&field.len()) && field.bytes().all(|byte| byte.is_ascii_hexdigit())
    };
    let is_node =
        |field: &str| !field.is_empty() && field.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let valid = at(&mark) == "UPID"
        && at(&end).is_empty()
        && is_node(at(&node))
        && is_hex(at(&process), 8..=8)
        && is_hex(at(&process_start), 8..=9)
        && is_hex(at(&start_time), 8..=8)
        && !at(&worker).is_empty()
        && !at(&user).is_empty()
        && [&worker, &id, &user].into_iter().all(|range| is_plain(at(range)));
    if !valid {
        return None;
    }
    Some(Upid {
        start_time: u64::from_str_radix(at(&start_time), 16).ok()?,
        text: String::from(text),
        node,
        worker,
        id,
        user,
    })
}

impl fmt::Display for Upid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl fmt::Debug for Upid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl serde::Serialize for Upid {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> serde::Deserialize<'de> for Upid {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::Upid;

    const CLONE: &str = "UPID:pve:000005E6:000610B1:6B00B674:qmclone:9000:root@pam!lab:";

    #[test]
    fn the_fields_of_a_real_one() {
        let upid: Upid = CLONE.parse().unwrap();
        assert_eq!(upid.node(), "pve");
        assert_eq!(upid.worker_type(), "qmclone");
        assert_eq!(upid.id(), "9000");
        assert_eq!(upid.user(), "root@pam!lab");
        assert_eq!(upid.start_time(), 1_795_208_820);
        assert_eq!(upid.to_string(), CLONE);
        let json = serde_json::to_string(&upid).unwrap();
        assert_eq!(serde_json::from_str::<Upid>(&json).unwrap(), upid);
    }

    #[test]
    fn an_empty_id_and_a_long_process_start_are_allowed() {
        let text = "UPID:pve-1:000005E6:1000610B1:6B00B674:srvreload::root@pam:";
        assert_eq!(text.parse::<Upid>().unwrap().id(), "");
    }

    #[test]
    fn everything_else_is_refused() {
        for text in [
            "",
            "OK",
            "UPID",
            "UPID:pve:000005E6:000610B1:6B00B674:qmclone:9000:root@pam!lab",
            "UPID:pve:000005E6:000610B1:6B00B674:qmclone:9000:root@pam!lab::",
            "UPID:pve:000005E6:000610B1:6B00B674:qmclone:9000::",
            "UPID::000005E6:000610B1:6B00B674:qmclone:9000:root@pam:",
            "UPID:../x:000005E6:000610B1:6B00B674:qmclone:9000:root@pam:",
            "UPID:pve:5E6:000610B1:6B00B674:qmclone:9000:root@pam:",
            "UPID:pve:000005E6:000610B1:6B00B67X:qmclone:9000:root@pam:",
            "UPID:pve:000005E6:000610B1:6B00B674:qm/clone:9000:root@pam:",
            "UPID:pve:000005E6:000610B1:6B00B674:qmclone:90 00:root@pam:",
        ] {
            assert!(text.parse::<Upid>().is_err(), "{text}");
        }
    }
}
