//! The SHA-256 of a token, which stands for it.

use std::fmt;

use ring::digest::{SHA256, SHA256_OUTPUT_LEN, digest};
use subtle::ConstantTimeEq;

/// A SHA-256.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Digest([u8; SHA256_OUTPUT_LEN]);

impl Digest {
    /// That of a text.
    pub fn of(text: &str) -> Self {
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        bytes.copy_from_slice(digest(&SHA256, text.as_bytes()).as_ref());
        Self(bytes)
    }

    /// The one that is written in these hexadecimal digits.
    pub fn parse(hex: &str) -> Option<Self> {
        let digits = hex.as_bytes();
        if digits.len() != 2 * SHA256_OUTPUT_LEN {
            return None;
        }
        let mut bytes = [0; SHA256_OUTPUT_LEN];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Some(Self(bytes))
    }

    /// Whether it is the same, in a time that does not tell how much of it is.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

fn digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}

/// In hexadecimal digits.
impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A short token can be guessed from it, so it is not shown by accident.
impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(digest)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From FIPS 180-2.
    const OF_ABC: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

    #[test]
    fn it_is_the_sha_256_that_other_programs_print() {
        assert_eq!(Digest::of("abc").to_string(), OF_ABC);
        assert_eq!(Digest::parse(OF_ABC), Some(Digest::of("abc")));
        assert_eq!(Digest::parse(&OF_ABC.to_uppercase()), Some(Digest::of("abc")));
        assert!(Digest::of("abc").matches(&Digest::of("abc")));
        assert!(!Digest::of("abc").matches(&Digest::of("abd")));
    }

    #[test]
    fn what_is_no_digest_is_not_taken_for_one() {
        for wrong in ["", &OF_ABC[1..], &format!("{OF_ABC}0"), &OF_ABC.replace('b', "g"), "é"] {
            assert_eq!(Digest::parse(wrong), None, "{wrong}");
        }
        assert_eq!(Digest::parse(&OF_ABC.replacen("ba", "+1", 1)), None);
    }

    #[test]
    fn it_is_not_shown_by_accident() {
        assert_eq!(format!("{:?}", Digest::of("abc")), "(digest)");
    }
}
