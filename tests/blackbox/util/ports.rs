//! Port numbers and descriptors for tests that run beside each other.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Once, PoisonError, RwLock, RwLockReadGuard};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Below the range that the system gives to outgoing connections, so that none of those can
/// take the port between the probe and its use.
const FIRST: u32 = 20_000;
const COUNT: u32 = 12_000;

static GIVEN: AtomicU32 = AtomicU32::new(0);

/// A program that is being started holds a copy of every socket of this process for a moment,
/// so that one which was just closed still occupies its port. Who starts a program writes here,
/// who counts on a closed socket reads.
static SPAWNING: RwLock<()> = RwLock::new(());

/// Keeps other tests from starting programs.
pub fn nothing_is_started() -> RwLockReadGuard<'static, ()> {
    SPAWNING.read().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a program, while nobody counts on a port that was just closed.
pub fn spawn(command: &mut Command) -> std::io::Result<Child> {
    let _alone = SPAWNING.write().unwrap_or_else(PoisonError::into_inner);
    command.spawn()
}

/// A port that nobody uses, over TCP or UDP, and that no other test is given.
pub fn free_port() -> u16 {
    for _ in 0..COUNT {
        let given = GIVEN.fetch_add(1, Ordering::Relaxed);
        let start = std::process::id().wrapping_mul(131);
        let port = (FIRST + start.wrapping_add(given) % COUNT) as u16;
        let _quiet = nothing_is_started();
        if is_free(port) {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {}", FIRST + COUNT);
}

fn is_free(port: u16) -> bool {
    let addresses: [SocketAddr; 2] = [([0; 4], port).into(), ([0u16; 8], port).into()];
    addresses.iter().all(|&at| {
        let taken = std::io::ErrorKind::AddrInUse;
        TcpListener::bind(at).map_or_else(|e| e.kind() != taken, |_| true)
            && UdpSocket::bind(at).map_or_else(|e| e.kind() != taken, |_| true)
    })
}

/// Whether this machine has IPv6; a test that needs it is left out, loudly, where not.
pub fn has_ipv6() -> bool {
    let has = TcpListener::bind("[::1]:0").is_ok();
    if !has {
        eprintln!("SKIPPED: this machine has no IPv6");
    }
    has
}

/// Lets this process, and the servers it starts from now on, open as many files as the system
/// permits.
pub fn allow_many_descriptors() {
    static RAISED: Once = Once::new();
    RAISED.call_once(|| {
        let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("the limit can be asked for");
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("up to the hard limit is allowed");
    });
}
