//! The sending side of a driver of the soak: what its devices expect, and answers to pings.

use std::io::Write;
use std::net::{Shutdown, TcpStream};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

use super::rng::Rng;
use super::stream::Source;
use super::world::World;
use crate::harness::message::Kind;
use crate::harness::{BINARY, CLOSE, Driver, encode, masked};

/// What is to be written to a device.
pub struct Job {
    pub ip: String,
    pub id: u64,
    pub source: Source,
    pub left: usize,
    /// Whether a CLOSE follows.
    pub close: bool,
}

/// The sending side of a driver, shared by the thread that writes and the one that answers pings.
pub struct DriverWriter(Mutex<TcpStream>);

impl DriverWriter {
    pub fn of(driver: &Driver) -> Self {
        Self(Mutex::new(driver.sender()))
    }

    /// Whether dispatch took it.
    pub fn send(&self, opcode: u8, payload: &[u8]) -> bool {
        self.0.lock().unwrap().write_all(&masked(true, opcode, payload)).is_ok()
    }

    /// Leaves in order.
    pub fn close(&self) {
        self.send(CLOSE, &1000u16.to_be_bytes());
    }

    /// Ends the connection without a word.
    pub fn break_off(&self) {
        let _ = self.0.lock().unwrap().shutdown(Shutdown::Both);
    }
}

/// Writes to many devices by turns, in pieces of any size, until the driver is gone.
pub fn write_jobs(
    world: &World,
    writer: &DriverWriter,
    jobs: &Receiver<Job>,
    is_aborted: &AtomicBool,
    mut rng: Rng,
) {
    let mut active: Vec<Job> = Vec::new();
    loop {
        let patience = if active.is_empty() { Duration::from_millis(100) } else { Duration::ZERO };
        match jobs.recv_timeout(patience) {
            Ok(job) => active.push(job),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if active.is_empty() {
            continue;
        }
        let at = rng.below(active.len());
        if !write_some(world, writer, &mut active[at], &mut rng) {
            assert!(is_aborted.load(Ordering::SeqCst), "dispatch does not read the driver");
            return;
        }
        if active[at].left == 0 {
            active.swap_remove(at);
        }
    }
}

/// One WRITE, and the CLOSE behind the last one where one is planned. Whether dispatch took it.
fn write_some(world: &World, writer: &DriverWriter, job: &mut Job, rng: &mut Rng) -> bool {
    if rng.one_in(200) {
        // To no device: ignored, and no disturbance.
        writer.send(BINARY, &encode(Kind::Write, &job.ip, u64::MAX, b"lost"));
    }
    let len = rng.size(65_536).min(job.left);
    job.left -= len;
    world.figures.bytes_down.fetch_add(len as u64, Ordering::Relaxed);
    let data = job.source.next(len);
    let is_taken = writer.send(BINARY, &encode(Kind::Write, &job.ip, job.id, &data));
    if job.left == 0 && job.close {
        return is_taken && writer.send(BINARY, &encode(Kind::Close, &job.ip, job.id, b""));
    }
    is_taken
}
