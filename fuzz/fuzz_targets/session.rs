//! `session`: the body is in `src`.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| dispatch_fuzz::fuzz_session(bytes));
