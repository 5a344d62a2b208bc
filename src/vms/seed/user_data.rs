//! What a customer may give as user data: what cloud-init reads, no more than fits on a seed CD. Whether the guest likes it
//! is between the two.

/// The longest user data, in bytes of UTF-8.
pub const USER_DATA_BYTES_MAX: usize = 32 * 1024;
/// How user data begins, as cloud-init knows its kinds. Without one of these it would be ignored, with a line in the guest's
/// log that nobody reads.
const BEGINNINGS: [&str; 8] = [
    "#cloud-config",
    "#!",
    "#include",
    "#cloud-boothook",
    "#part-handler",
    "## template: jinja",
    "Content-Type:",
    "MIME-Version:",
];

/// User data as it is stored: without what is empty, and with the line ends that a shell in the guest understands, for
/// browsers send others.
///
/// # Errors
/// With a sentence for the customer.
pub fn checked(given: Option<&str>) -> Result<Option<String>, String> {
    let Some(text) = given.filter(|text| !text.trim().is_empty()) else { return Ok(None) };
    let text = text.replace("\r\n", "\n");
    if text.len() > USER_DATA_BYTES_MAX {
        return Err(format!("{} bytes: at most {USER_DATA_BYTES_MAX} (32 KiB) are taken.", text.len()));
    }
    if text.contains('\0') {
        return Err("It must be text: it holds a byte that is zero.".into());
    }
    if !BEGINNINGS.iter().any(|beginning| begins_with(&text, beginning)) {
        return Err("cloud-init knows its kind by how it begins: “#cloud-config”, “#!” and a shell, “#include”, “Content-Type:” for several parts, or another of its headers.".into());
    }
    Ok(Some(text))
}

/// Headers of mail are the same in any case; the others are not.
fn begins_with(text: &str, beginning: &str) -> bool {
    let begin = text.get(..beginning.len());
    begin.is_some_and(|begin| {
        begin == beginning || (!beginning.starts_with('#') && begin.eq_ignore_ascii_case(beginning))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_that_cloud_init_knows_is_taken_as_it_is() {
        for text in [
            "#cloud-config\npackages: [nginx]\n",
            "#cloud-config-archive\n",
            "#!/bin/sh\ntrue",
            "#include\nhttps://example.org/x",
            "Content-Type: multipart/mixed; boundary=x\n",
            "mime-version: 1.0\n",
            "## template: jinja\n#cloud-config\n",
        ] {
            assert_eq!(checked(Some(text)), Ok(Some(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn what_cloud_init_would_ignore_is_refused() {
        for text in ["packages: [nginx]", " #cloud-config\n", "#Cloud-Config\n", "é", "#!/bin/sh\n\0"] {
            assert!(checked(Some(text)).is_err(), "{text:?}");
        }
        let longest = format!("#!{}", "x".repeat(USER_DATA_BYTES_MAX - 2));
        assert!(checked(Some(&longest)).is_ok());
        assert!(checked(Some(&format!("{longest}x"))).unwrap_err().contains("32769 bytes"));
    }

    #[test]
    fn a_browsers_line_ends_become_the_guests() {
        assert_eq!(checked(Some("#!/bin/sh\r\ntrue\r\n")), Ok(Some("#!/bin/sh\ntrue\n".into())));
        assert_eq!(checked(Some(" \r\n")), Ok(None));
        assert_eq!(checked(None), Ok(None));
    }
}
