//! Where a page leads afterwards, when the request says so: to a path of ours, and nowhere else.

/// A path of our own; anything that could lead elsewhere becomes the start.
pub(in crate::web) fn own_path(next: &str) -> &str {
    // Nothing but what a header may hold: paths of ours are plain letters. Browsers read a backslash as a slash.
    let plain = next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\');
    let own = plain && next.starts_with('/') && !next.starts_with("//");
    if own { next } else { "/" }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Where a browser would go from the login, by the URL Standard.
    fn leads_to(path: &str) -> reqwest::Url {
        reqwest::Url::parse("https://panel.example.org/login").unwrap().join(path).unwrap()
    }

    #[test]
    fn a_login_leads_nowhere_else() {
        assert_eq!(own_path("/wallet?after=1"), "/wallet?after=1");
        for elsewhere in [
            "",
            "/",
            "//evil.example",
            "https://evil.example",
            "/\\evil.example",
            "/\t/evil.example",
            "javascript:alert(1)",
            "/\u{1}",
            "/é",
        ] {
            assert_eq!(own_path(elsewhere), "/", "{elsewhere}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_a_browser_stays_here(
            next in prop_oneof![
                any::<String>(),
                "[/\\\\:@?#. \t\r\na-c%]{0,12}",
                "(/|//|\\\\|/\\\\|https:|/\t/|///)?[a-z.]{1,8}(/[a-z]{0,4})?",
            ]
        ) {
            let path = own_path(&next);
            let url = leads_to(path);
            prop_assert_eq!(url.origin().ascii_serialization(), "https://panel.example.org", "{:?}", next);
            prop_assert!(axum::http::HeaderValue::from_str(path).is_ok());
        }
    }
}
