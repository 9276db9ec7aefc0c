//! Port numbers and descriptors for tests that run beside each other.

use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Child, Command};
use std::sync::{Mutex, Once, PoisonError, RwLock, RwLockReadGuard};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// Below the range that the system gives to outgoing connections, so that none of those can
/// take a port between the probe and its use.
const FIRST: u16 = 20_000;
const BLOCK_LEN: u16 = 250;
const BLOCKS: u16 = 48;

/// Ports that this process alone gives out. Another test process that runs at the same time finds
/// the first port of the block taken, and keeps out of all of it.
struct Block {
    _guard: TcpListener,
    first: u16,
}

/// The blocks of this process, and how many ports it gave out.
struct Blocks {
    owned: Vec<Block>,
    given: usize,
}

static GIVEN: Mutex<Blocks> = Mutex::new(Blocks { owned: Vec::new(), given: 0 });

/// A program that is being started holds a copy of every socket of this process for a moment, so
/// that a socket which was just closed still occupies its port. Starting a program takes this for
/// writing; counting on a closed socket takes it for reading.
static STARTING: RwLock<()> = RwLock::new(());

/// Keeps other tests from starting programs.
pub fn no_program_starts() -> RwLockReadGuard<'static, ()> {
    STARTING.read().unwrap_or_else(PoisonError::into_inner)
}

/// Starts a program, while no test counts on a port that was just closed.
pub fn spawn(command: &mut Command) -> std::io::Result<Child> {
    let _alone = STARTING.write().unwrap_or_else(PoisonError::into_inner);
    command.spawn()
}

/// A port that is free over TCP and UDP, and that no other test is given.
pub fn free_port() -> u16 {
    let mut blocks = GIVEN.lock().unwrap_or_else(PoisonError::into_inner);
    for _ in 0..u32::from(BLOCK_LEN) * u32::from(BLOCKS) {
        let port = blocks.next();
        let _quiet = no_program_starts();
        if is_free(port) {
            return port;
        }
    }
    panic!("no free port from {FIRST} on");
}

impl Blocks {
    /// The next port, whether it is free or not. Once no further block can be had, those that
    /// were given first come again.
    fn next(&mut self) -> u16 {
        let per_block = usize::from(BLOCK_LEN) - 1;
        if self.given >= self.owned.len() * per_block {
            match Block::claim() {
                Some(block) => self.owned.push(block),
                None => self.given = 0,
            }
        }
        let block = self.owned.get(self.given / per_block).expect("a block of ports can be had");
        let port = block.first + 1 + (self.given % per_block) as u16;
        self.given += 1;
        port
    }
}

impl Block {
    fn claim() -> Option<Self> {
        (0..BLOCKS).map(|n| FIRST + n * BLOCK_LEN).find_map(|first| {
            let guard = TcpListener::bind(("127.0.0.1", first)).ok()?;
            Some(Self { _guard: guard, first })
        })
    }
}

fn is_free(port: u16) -> bool {
    let addresses: [SocketAddr; 2] = [([0; 4], port).into(), ([0u16; 8], port).into()];
    addresses.iter().all(|&at| {
        let taken = std::io::ErrorKind::AddrInUse;
        TcpListener::bind(at).map_or_else(|e| e.kind() != taken, |_| true)
            && UdpSocket::bind(at).map_or_else(|e| e.kind() != taken, |_| true)
    })
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
