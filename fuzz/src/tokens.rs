//! What fuzzing asserts of the file of tokens.

use std::sync::Arc;

use dispatch::testing::limits::{TOKEN_NAME_MAX_BYTES, TOKENS_MAX};
use dispatch::testing::protocol::accept_list::AcceptList;
use dispatch::testing::protocol::http::registration::PortKind;
use dispatch::testing::protocol::tokens::{Access, Role, Standing, Token, file};

/// A word that is as long as this may be a token, or its digest. None of ours is.
const MAY_BE_A_TOKEN: usize = 24;

/// Any text is a list of tokens that mean something, or an error with a line of that text which
/// does not repeat what may be a token.
///
/// # Panics
/// When that does not hold: a bug.
pub fn fuzz_tokens(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match file::parse(text) {
        Ok(tokens) => check_tokens(tokens),
        Err(error) => {
            let lines = text.split('\n').count();
            assert!((1..=lines).contains(&error.line), "line {} of {lines}", error.line);
            check_harmless(&error.to_string(), text);
        }
    }
}

fn check_harmless(shown: &str, text: &str) {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_+/=".contains(c);
    let words = text.split(|c| !is_part(c)).filter(|word| word.len() >= MAY_BE_A_TOKEN);
    for word in words {
        assert!(!shown.contains(word), "an error repeats what may be a token: {shown}");
    }
    assert!(!shown.contains(char::is_control), "an error is no line: {shown:?}");
}

fn check_tokens(tokens: Vec<Token>) {
    assert!(tokens.len() <= TOKENS_MAX, "{} tokens", tokens.len());
    let tokens: Vec<_> = tokens.into_iter().map(Arc::new).collect();
    let everything = AcceptList::parse("0.0.0.0/0,::/0").expect("it is a list");
    for token in &tokens {
        let name = token.name().expect("only the secret has no name");
        assert!(file::is_name(name) && name.len() <= TOKEN_NAME_MAX_BYTES, "{name:?}");
        assert!(Role::ALL.into_iter().any(|role| token.roles().include(role)), "no role");
        let refused = token.check_driver(PortKind::Stream, 1, &everything);
        check_refusal(token, &refused);
        let ends = token.expires();
        let before = Access::new(None, std::slice::from_ref(token), i64::MIN);
        assert!(matches!(before.judge_again(token), Standing::Valid(_)));
        let after = Access::new(None, std::slice::from_ref(token), ends.unwrap_or(i64::MAX));
        let is_valid = matches!(after.judge_again(token), Standing::Valid(_));
        assert_eq!(is_valid, ends.is_none(), "it ends when its time has come");
    }
    let all = Access::new(None, &tokens, i64::MIN);
    assert!(matches!(all.judge(""), Standing::Unknown), "nothing is a token");
}

/// A rule that forbids says whose it is, and what forbids nothing is no rule.
fn check_refusal(token: &Token, refused: &Result<(), String>) {
    match refused {
        Ok(()) => {
            assert!(token.roles().include(Role::Driver));
            assert!(token.covers_port(PortKind::Stream, 1));
        }
        Err(why) => assert!(why.contains(token.name().unwrap_or_default()), "{why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_files_satisfy_the_fuzzed_properties() {
        for text in [
            "",
            "#",
            "token = 1",
            "token = [[]]",
            "[[token.token]]",
            "[[token]]\n[[token]]",
            "token = [{name='a'}, {}]",
            "a\r\n\r\nb = 'c'\r",
            "\u{feff}[[token]]",
            "[[token]]\nexpires = 9999-12-31T23:59:60+23:59",
        ] {
            fuzz_tokens(text.as_bytes());
        }
    }
}
