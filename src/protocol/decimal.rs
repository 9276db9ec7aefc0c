//! Numbers as protocols write them.

use std::str::FromStr;

/// The number that `text` is when it is made of digits alone. The library's parser would take a
/// leading plus as well, which no protocol of ours allows.
pub fn parse_decimal<T: FromStr>(text: &str) -> Option<T> {
    let are_digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if are_digits { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_digits_are_a_number() {
        assert_eq!(parse_decimal("0"), Some(0u16));
        assert_eq!(parse_decimal("00065535"), Some(65_535u16));
        for wrong in ["", "+1", "-1", " 1", "1 ", "0x1", "1.0", "65536", "١"] {
            assert_eq!(parse_decimal::<u16>(wrong), None, "{wrong}");
        }
    }
}
