//! Bounds of tokens and of guessing them.

use std::time::Duration;

/// A secret with fewer characters is warned of: it can be guessed.
pub const SECRET_SHORT_CHARACTERS: usize = 16;

/// Longest secret, in a variable or a file; it must fit in a request head.
pub const SECRET_MAX_BYTES: usize = 4 << 10;

/// Tokens of a file: each that is offered is compared with all of them.
pub const TOKENS_MAX: usize = 1_024;

/// Largest file of tokens: as many as there may be, with room for their rules and for comments. It
/// is read and understood in one turn.
pub const TOKENS_FILE_MAX_BYTES: usize = 512 << 10;

/// Longest name of a token; it stands in each log line about its drivers.
pub const TOKEN_NAME_MAX_BYTES: usize = 64;

/// Random bytes of a token that is made here: nobody guesses so many.
pub const TOKEN_BYTES: usize = 32;

/// A file that has changed is read when it has been left alone for so long, so that it is not read
/// half written.
pub const FILE_SETTLED: Duration = Duration::from_millis(200);

/// A file that goes on changing is read after so long all the same. What a change takes away must
/// be gone within two seconds.
pub const FILE_UNSETTLED_MAX: Duration = Duration::from_millis(1_000);

/// Reads of what the kernel tells of files in one turn; what is left of it is read once things have
/// settled.
pub const FILE_READS_PER_TURN: usize = 64;

/// Links that lead from one to the next before the file of tokens is reached.
pub const FILE_LINKS_MAX: usize = 16;

/// Wrong tokens that an address (IPv6: a /64) has at once. Several drivers with an old token behind
/// one address come back together; a token of 16 random characters is not found with so few.
pub const WRONG_TOKENS_MAX: u32 = 100;

/// An address gets one of them back in this time: 20 a second, so that whoever shares it waits for
/// a moment only.
pub const WRONG_TOKEN_INTERVAL: Duration = Duration::from_millis(50);

/// What an address without any is told to wait, in whole seconds as HTTP has it.
pub const WRONG_TOKENS_RETRY_AFTER_SECONDS: u32 = 1;

/// Addresses whose wrong tokens are remembered.
pub const WRONG_TOKEN_ADDRESSES: usize = 4_096;

const _: () = {
    assert!(SECRET_MAX_BYTES < super::HEAD_MAX_BYTES, "a token must fit in a request head");
    assert!(FILE_SETTLED.as_millis() < FILE_UNSETTLED_MAX.as_millis());
    assert!(FILE_UNSETTLED_MAX.as_millis() < 1_500, "and closing drivers takes its time too");
    assert!(WRONG_TOKEN_INTERVAL.as_millis() < 1_000 * WRONG_TOKENS_RETRY_AFTER_SECONDS as u128);
};
