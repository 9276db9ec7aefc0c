//! Files of tokens.

/// An entry of the file for a token that is this text, with these lines besides.
pub fn token_entry(name: &str, token: &str, rules: &str) -> String {
    let sha256 = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
    let sha256: String = sha256.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("[[token]]\nname = \"{name}\"\nsha256 = \"{sha256}\"\n{rules}\n")
}
