//! What fuzzing asserts. Each function takes any bytes and panics only for a bug of ours. The programs in `fuzz_targets` are
//! six lines around them. `tests/corpus.rs` has these files as well: `cargo test` runs their tests
//! and the committed corpora, and a finding becomes a file there.

mod certificate;
mod frames;
mod http;
mod message;
mod pem;
mod proxy_header;
mod session;
mod tokens;

// What `session` needs of the simulation.
#[path = "../../tests/simulation/network/mod.rs"]
#[allow(dead_code, unused_imports, reason = "a session needs a part of it")]
mod network;
#[path = "../../tests/simulation/rng.rs"]
#[allow(dead_code, reason = "a session needs a part of it")]
mod rng;

pub use certificate::fuzz_certificate;
pub use frames::fuzz_frames;
pub use http::{fuzz_query, fuzz_request_head};
pub use message::fuzz_message;
pub use pem::fuzz_pem;
pub use proxy_header::fuzz_proxy_header;
pub use session::fuzz_session;
pub use tokens::fuzz_tokens;

/// Takes any bytes, and panics for a bug of ours.
pub type Body = fn(&[u8]);

/// Every fuzz target by its name in `fuzz/`, with its body.
pub const TARGETS: [(&str, Body); 9] = [
    ("message", fuzz_message),
    ("frames", fuzz_frames),
    ("request_head", fuzz_request_head),
    ("query", fuzz_query),
    ("proxy_header", fuzz_proxy_header),
    ("pem", fuzz_pem),
    ("certificate", fuzz_certificate),
    ("session", fuzz_session),
    ("tokens", fuzz_tokens),
];
