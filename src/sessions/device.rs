//! What a browser or a program calls itself, made readable. It is hearsay: good for recognising one's own devices, and for nothing
//! else.

/// Browsers by a word in what they call themselves; the first that fits, for many name others too.
const BROWSERS: [(&str, &str); 9] = [
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("Vivaldi/", "Vivaldi"),
    ("SamsungBrowser/", "Samsung Internet"),
    ("Firefox/", "Firefox"),
    ("FxiOS/", "Firefox"),
    ("CriOS/", "Chrome"),
    ("Chrome/", "Chrome"),
    ("Safari/", "Safari"),
];
/// Systems likewise.
const SYSTEMS: [(&str, &str); 8] = [
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Macintosh", "macOS"),
    ("Mac OS X", "macOS"),
    ("Linux", "Linux"),
];
/// The longest name that is shown of a program, in characters.
const NAME_CHARACTERS_MAX: usize = 40;

/// `Firefox on Linux`, `curl 8.5.0`, or that it said nothing.
pub(super) fn name(user_agent: Option<&str>) -> String {
    let Some(text) = user_agent.map(str::trim).filter(|text| !text.is_empty()) else {
        return "Unknown device".to_owned();
    };
    let find =
        |names: &[(&str, &'static str)]| names.iter().find(|(sign, _)| text.contains(sign)).map(|(_, name)| *name);
    match (text.starts_with("Mozilla/").then(|| find(&BROWSERS)).flatten(), find(&SYSTEMS)) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(browser), None) => browser.to_owned(),
        // A program: its name and version come first.
        (None, _) => {
            let first = text.split([' ', '(', ';']).next().unwrap_or_default().replace('/', " ");
            let plain =
                first.chars().filter(|character| !character.is_control()).take(NAME_CHARACTERS_MAX).collect::<String>();
            if plain.trim().is_empty() { "Unknown device".to_owned() } else { plain }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_recognise_their_devices() {
        for (text, expected) in [
            ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1",
                "Safari on iPhone",
            ),
            (
                "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
                "Chrome on Android",
            ),
            ("curl/8.5.0", "curl 8.5.0"),
            ("Terraform/1.9 (+https://www.terraform.io)", "Terraform 1.9"),
            ("", "Unknown device"),
            ("((", "Unknown device"),
        ] {
            assert_eq!(name(Some(text)), expected, "{text}");
        }
        assert_eq!(name(None), "Unknown device");
    }
}
