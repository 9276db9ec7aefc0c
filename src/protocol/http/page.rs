//! The status page: one HTML file that asks for a token and then shows what `/ports` knows.
//!
//! It loads nothing from anywhere, and its policy lets it talk to this server alone and run no
//! script but its own. Deliberately absent: a build step, and any figure within the page itself.

/// The page.
pub const HTML: &str = include_str!("page.html");

/// What goes with it. The hashes are those of its one script and its one style, so that nothing
/// else that might get into the page is ever run; a test keeps them true.
pub const FIELDS: [(&str, &str); 5] = [
    ("Content-Type", "text/html; charset=utf-8"),
    (
        "Content-Security-Policy",
        "default-src 'none'; \
         script-src 'sha256-Uu5H4iv9+OTAUf9cmWGOEVpJF25RK2G1ThpTKd2PcvA='; \
         style-src 'sha256-ZnKv+4xIdGmrRA4/AInN8vS04Jn3ahuq1i5mxBmIXgk='; \
         img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'",
    ),
    // A browser asks again each time: after an upgrade nobody has yesterday's page.
    ("Cache-Control", "no-cache"),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "no-referrer"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(tag: &str) -> &'static str {
        let (start, end) = (format!("<{tag}>"), format!("</{tag}>"));
        let (_, rest) = HTML.split_once(&start).expect(tag);
        let (text, rest) = rest.split_once(&end).expect(tag);
        assert!(!rest.contains(&start), "more than one {tag}");
        text
    }

    fn base64(bytes: &[u8]) -> String {
        const DIGITS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let digits = |chunk: &[u8]| {
            let bits = (0..3).fold(0, |bits, i| bits << 8 | u32::from(*chunk.get(i).unwrap_or(&0)));
            [18, 12, 6, 0].map(|shift| char::from(DIGITS[(bits >> shift & 63) as usize]))
        };
        let mut text: String = bytes.chunks(3).flat_map(digits).collect();
        let padding = (3 - bytes.len() % 3) % 3;
        text.truncate(text.len() - padding);
        text + &"=".repeat(padding)
    }

    fn policy() -> &'static str {
        FIELDS.into_iter().find(|(name, _)| *name == "Content-Security-Policy").unwrap().1
    }

    #[test]
    fn the_policy_names_the_hashes_of_the_script_and_the_style() {
        for tag in ["script", "style"] {
            let digest = ring::digest::digest(&ring::digest::SHA256, inside(tag).as_bytes());
            let source = format!("{tag}-src 'sha256-{}';", base64(digest.as_ref()));
            assert!(policy().contains(&source), "the policy needs {source}");
        }
    }

    #[test]
    fn the_policy_allows_nothing_unsafe() {
        assert!(policy().starts_with("default-src 'none'; "));
        assert!(!policy().contains("unsafe") && !policy().contains('*'));
        assert!(!policy().contains("http") && !policy().contains("  "));
    }

    #[test]
    fn the_page_loads_nothing_and_writes_no_markup() {
        let html = HTML.replace("http://www.w3.org/2000/svg", "");
        for word in ["http://", "https://", " src=", "@import", "url(", " style=", "innerHTML"] {
            assert!(!html.contains(word), "{word}");
        }
        for word in ["outerHTML", "insertAdjacent", "document.write", "eval(", "localStorage"] {
            assert!(!html.contains(word), "{word}");
        }
    }

    #[test]
    fn base64_is_base64() {
        for (bytes, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v")] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
    }
}
