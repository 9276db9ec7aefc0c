//! As many bytes as a relay takes, in one direction or the other.

use std::io;
use std::time::{Duration, Instant};

use super::loader::Load;
use crate::process::sample::Sample;
use crate::wire::to_relay::Mask;

/// Sends between two looks at the other end, where each is small.
const SENDS_PER_LOOK: usize = 16;

/// The same where each of many devices is to have its turn.
const SENDS_PER_LOOK_MAX: usize = 1_024;

/// Rounds between two questions to the kernel which devices can send again.
pub const ROUNDS_PER_WAIT: usize = 16;

/// Chunks from this size on begin with a relay that is behind.
const BEHIND_FROM_BYTES: usize = 4 << 10;

/// Rounds of sends that fill a standing relay's sockets at the most.
const FILLING_ROUNDS: usize = 1 << 16;

/// What a driver that has much to say hands to the kernel at once.
const SEND_BYTES: usize = 64 << 10;

/// How fast drivers read.
#[derive(Clone, Copy)]
pub enum Reads {
    /// As fast as they can.
    AtOnce,
    /// No more than so many bytes a second.
    Paced(f64),
}

impl Reads {
    /// How many bytes they may have read after so long.
    fn allowed(self, elapsed: Duration) -> u64 {
        match self {
            Self::AtOnce => u64::MAX,
            Self::Paced(rate) => (elapsed.as_secs_f64() * rate) as u64,
        }
    }

    /// For how long a loader that can do nothing may wait.
    fn look_again(self) -> Duration {
        match self {
            Self::AtOnce => Duration::from_millis(5),
            Self::Paced(_) => Duration::ZERO,
        }
    }
}

/// Sends chunks from each device in turn, and counts those that every driver got.
pub fn from_devices(
    load: &mut Load<'_>,
    devices: usize,
    chunk: usize,
    reads: Reads,
) -> io::Result<Sample> {
    let copies = (chunk * load.drivers.len()) as u64;
    if chunk >= BEHIND_FROM_BYTES {
        fall_behind(load, devices, chunk)?;
    }
    let sends = sends_per_look(devices);
    let (mut window, mut round, mut next) = (load.window(), 0, 0);
    let (started, before) = (Instant::now(), load.bytes_to_drivers);
    loop {
        if let Some(sample) = load.step(&mut window, load.bytes_to_drivers / copies)? {
            return Ok(sample);
        }
        let mut moved = 0;
        for _ in 0..sends {
            moved += load.send(next % devices, chunk)?;
            next += 1;
        }
        if load.bytes_to_drivers - before < reads.allowed(started.elapsed()) {
            moved += load.receive_checked()?;
        }
        round += 1;
        if moved == 0 {
            load.wait(reads.look_again())?;
        } else if round % ROUNDS_PER_WAIT == 0 {
            load.wait(Duration::ZERO)?;
        }
    }
}

/// Fills what takes bytes between the devices and a relay that stands still. A relay that keeps up
/// from the beginning gets each chunk by itself, and is measured at the pace at which the loader
/// can send them; one that is behind shows its own. Which of the two it becomes would be chance.
/// Small chunks are not for that: so many of them pile up that the kernel is busy merging them.
fn fall_behind(load: &mut Load<'_>, devices: usize, chunk: usize) -> io::Result<()> {
    let _stopped = load.relay.stop()?;
    fill(|| (0..devices).map(|id| load.send(id, chunk)).sum())
}

/// Rounds of sends until one finds no room.
pub fn fill(mut round: impl FnMut() -> io::Result<usize>) -> io::Result<()> {
    for _ in 0..FILLING_ROUNDS {
        if round()? == 0 {
            break;
        }
    }
    Ok(())
}

/// How often devices send between two looks at the other end: each has its turn.
pub fn sends_per_look(devices: usize) -> usize {
    SENDS_PER_LOOK.max(devices).min(SENDS_PER_LOOK_MAX)
}

/// How a driver sends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sends {
    /// Many messages in one send; the relay is the bottleneck.
    Together,
    /// One send for each message.
    Each,
}

/// Sends messages to each device in turn, and counts the chunks that came.
pub fn to_devices(load: &mut Load<'_>, chunk: usize, sends: Sends) -> io::Result<Sample> {
    let (mut window, mut source) = (load.window(), Source::new(load, chunk, sends));
    let looks = if sends == Sends::Each { SENDS_PER_LOOK } else { 1 };
    loop {
        if let Some(sample) = load.step(&mut window, load.bytes_to_devices / chunk as u64)? {
            return Ok(sample);
        }
        let mut moved = 0;
        for _ in 0..looks {
            if load.drivers[0].is_flushed() {
                source.fill(load);
            }
            moved += load.drivers[0].flush()?;
        }
        for id in 0..load.devices.len() {
            moved += load.read(id)?;
        }
        let pause = if moved == 0 { Duration::from_millis(5) } else { Duration::ZERO };
        load.wait(pause)?;
    }
}

/// Makes messages, to each device in turn.
struct Source {
    mask: Mask,
    chunk: usize,
    per_send: usize,
    next: usize,
}

impl Source {
    fn new(load: &Load<'_>, chunk: usize, sends: Sends) -> Self {
        let per_send = match sends {
            Sends::Together => (SEND_BYTES / chunk).max(1),
            Sends::Each => 1,
        };
        Self { mask: load.bench.mask(), chunk, per_send, next: 0 }
    }

    fn fill(&mut self, load: &mut Load<'_>) {
        for _ in 0..self.per_send {
            let id = self.next % load.devices.len();
            let device = &mut load.devices[id];
            let data = load.bench.pattern.slice(id as u64, device.sent, self.chunk);
            self.mask.push_write(&mut load.drivers[0].outgoing, id as u64, data);
            device.sent += self.chunk as u64;
            self.next += 1;
        }
    }
}
