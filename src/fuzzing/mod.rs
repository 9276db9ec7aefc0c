//! What fuzzing asserts, in one place.
//!
//! Each function takes any bytes and panics only for a bug of ours. The targets in `fuzz/` are
//! six lines around them; as part of the crate they are compiled by CI, the committed corpora are
//! run through them by `cargo test`, and a finding becomes a file there.
//!
//! The body of `session`, which needs a network and a clock, belongs to the simulation and is
//! only named here.

mod certificate;
mod frames;
mod http;
mod message;
mod pem;
mod proxy_header;

pub use certificate::fuzz_certificate;
pub use frames::fuzz_frames;
pub use http::{fuzz_query, fuzz_request_head};
pub use message::fuzz_message;
pub use pem::fuzz_pem;
pub use proxy_header::fuzz_proxy_header;

pub use crate::simulation::fuzz_session;

/// Takes any bytes, and panics for a bug of ours.
pub type Body = fn(&[u8]);

/// Every fuzz target by its name in `fuzz/`, with its body.
pub const TARGETS: [(&str, Body); 8] = [
    ("message", fuzz_message),
    ("frames", fuzz_frames),
    ("request_head", fuzz_request_head),
    ("query", fuzz_query),
    ("proxy_header", fuzz_proxy_header),
    ("pem", fuzz_pem),
    ("certificate", fuzz_certificate),
    ("session", fuzz_session),
];
