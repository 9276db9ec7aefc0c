//! A driver's whole session from arbitrary bytes.

/// Placeholder.
pub fn fuzz_session(_bytes: &[u8]) {}
