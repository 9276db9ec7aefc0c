//! The harness: a dispatcher to start, drivers and devices to talk to it, and ways to wait.
//!
//! A test waits for what it expects, never for time to pass. Deadlines are generous, since they
//! matter only to a test that fails.

mod device;
mod driver;
mod elsewhere;
mod folder;
mod frame;
mod http;
mod ports;
mod server;
mod tls;

use std::io::Read;
use std::time::{Duration, Instant};

pub use device::{Device, Peer};
pub use driver::{
    Driver, DriverRequest, Event, Heard, Protocol, Tcp, Tls, Udp, encode, write_through,
};
pub use elsewhere::{Elsewhere, Link, ip};
pub use folder::Folder;
pub use frame::{BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT, masked};
pub use http::{Http, Response};
pub use ports::{allow_many_descriptors, free_port, has_ipv6, nothing_is_started, spawn};
pub use server::{Dispatch, UPGRADE};
pub use tls::{Authority, Bridge, OpenSsl, Pair, TlsDevice, TlsVersion, has_openssl, openssl};

/// How long anything may take before its test fails.
pub const DEADLINE: Duration = Duration::from_secs(20);

/// The same where a test does nothing but wait: so many times as long as DEADLINE_FACTOR says,
/// for a machine that is busy with other things.
pub fn patience() -> Duration {
    static FACTOR: std::sync::LazyLock<u32> = std::sync::LazyLock::new(|| {
        std::env::var("DEADLINE_FACTOR").map_or(1, |factor| factor.parse().expect("a number"))
    });
    DEADLINE * *FACTOR
}

/// As much as a driver can write to a device that reads nothing without being held back: more
/// than the kernel takes by itself, and less than dispatch queues.
pub const HELD_BYTES: usize = dispatch::limits::DEVICE_BACKLOG_BYTES - 65_536;

/// Asks again and again until the answer is yes.
#[track_caller]
pub fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let (begun, patience) = (Instant::now(), patience());
    while !holds() {
        assert!(begun.elapsed() < patience, "not within {patience:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Bytes that tell two streams apart, and a stream from itself shifted.
pub fn pattern(stream: u64, len: usize) -> Vec<u8> {
    let mut state = stream.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// Compares without printing megabytes when they differ.
#[track_caller]
pub fn assert_same_bytes(got: &[u8], wanted: &[u8]) {
    let differs = got.iter().zip(wanted).position(|(got, wanted)| got != wanted);
    assert_eq!(differs, None, "the bytes differ first at this place");
    assert_eq!(got.len(), wanted.len(), "as many bytes as were sent");
}

/// Reads exactly as many bytes and compares them.
#[track_caller]
pub fn expect_bytes(from: &mut impl Read, wanted: &[u8]) {
    let mut got = vec![0; wanted.len()];
    from.read_exact(&mut got).expect("the device gets its bytes");
    assert_same_bytes(&got, wanted);
}
