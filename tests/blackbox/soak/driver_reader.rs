//! A driver of the soak: hears and checks everything, and writes to devices what they expect.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::net::TcpStream;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::Duration;

use crate::harness::message::{self, Kind, Message};

use super::stream::{Source, StreamChecker};
use super::world::{Ending, Rng, World};
use crate::harness::{BINARY, CLOSE, Driver, PING, PONG, encode, masked, patience};

/// What is to be written to a device.
pub struct Job {
    ip: String,
    id: u64,
    source: Source,
    left: usize,
    close: bool,
}

/// The sending side of a driver, shared by who writes and who answers pings.
pub struct DriverWriter(pub Mutex<TcpStream>);

impl DriverWriter {
    pub fn of(driver: &Driver) -> Self {
        Self(Mutex::new(driver.sender()))
    }

    /// Whether dispatch took it.
    pub fn say(&self, opcode: u8, payload: &[u8]) -> bool {
        self.0.lock().unwrap().write_all(&masked(true, opcode, payload)).is_ok()
    }
}

/// Reads a driver to its end.
pub struct DriverReader<'a> {
    pub world: &'a World,
    pub writer: &'a DriverWriter,
    pub rng: Rng,
    /// The episode whose devices it must hear from their first byte to their last.
    pub episode: Option<u64>,
    /// Set before the driver breaks off, from when on what it hears may be incomplete.
    pub is_broken: &'a AtomicBool,
    pub jobs: Option<Sender<Job>>,
    pub live: HashMap<u64, StreamChecker>,
    pub seen: HashSet<u64>,
}

impl DriverReader<'_> {
    /// Hears everything. A pause now and then lets the backlog grow to its mark.
    pub fn run(mut self, driver: &mut Driver) {
        driver.stream().set_read_timeout(Some(5 * patience())).unwrap();
        while let Some(frame) = driver.socket().frame() {
            match frame.opcode {
                BINARY => self.hear(&frame.payload),
                // Drivers in the field answer twice.
                PING => {
                    self.writer.say(PONG, &frame.payload);
                    self.writer.say(PONG, &frame.payload);
                }
                CLOSE => {
                    let code =
                        frame.payload.get(..2).map(|code| u16::from_be_bytes([code[0], code[1]]));
                    assert_eq!(code, Some(1000), "{:?}", String::from_utf8_lossy(&frame.payload));
                    break;
                }
                _ => {}
            }
            if self.rng.one_in(5000) {
                thread::sleep(self.rng.millis(3000));
            }
            if self.rng.one_in(500) {
                driver.socket().read_at_most(self.rng.size(65_536).max(16));
            }
        }
        let is_whole = self.live.is_empty() || self.is_broken.load(Ordering::SeqCst);
        assert!(is_whole, "the driver's connection ended by itself");
    }

    fn hear(&mut self, payload: &[u8]) {
        let Message { kind, ip_address, id_or_port: id, data } =
            message::decode(payload).expect("dispatch sends messages that decode");
        match kind {
            Kind::Opened => {
                assert!(self.seen.insert(id), "a second OPENED of id {id}");
                self.live.insert(id, StreamChecker::default());
            }
            Kind::Received => {
                let ip = String::from_utf8(ip_address.to_vec()).unwrap();
                self.hear_bytes(ip, id, data);
            }
            Kind::Closed => {
                let checker = self.live.remove(&id).expect("CLOSED of a device that is there");
                self.judge_end(&checker);
            }
            Kind::Write | Kind::Close => panic!("dispatch sent {kind:?}"),
        }
    }

    fn hear_bytes(&mut self, ip: String, id: u64, data: &[u8]) {
        let checker = self.live.get_mut(&id).expect("RECEIVED of a device that is there");
        let was_known = checker.place().is_some();
        checker.take(data);
        self.world.figures.bytes_up.fetch_add(data.len() as u64, Ordering::Relaxed);
        let Some(place) = checker.place().filter(|_| !was_known) else { return };
        let Some(plan) = self.world.plan(place.stream) else { return };
        if self.episode != Some(plan.episode) {
            return;
        }
        assert_eq!(place.start, 0, "stream {} is heard from its middle", place.stream);
        if let Some(jobs) = &self.jobs {
            let source = Source::new(place.stream | super::DOWN);
            let close = plan.ending == Ending::Closed;
            let _ = jobs.send(Job { ip, id, source, left: plan.down, close });
        }
    }

    fn judge_end(&self, checker: &StreamChecker) {
        let Some(place) = checker.place() else { return };
        let Some(plan) = self.world.plan(place.stream) else { return };
        assert!(place.end <= plan.up, "stream {} is too long", place.stream);
        let is_complete = matches!(plan.ending, Ending::Finish | Ending::HalfClose);
        if is_complete && !self.world.is_broken(plan.episode) {
            assert_eq!(place.end, plan.up, "stream {} ended early: {plan:?}", place.stream);
        }
        if self.episode == Some(plan.episode) {
            self.world.note_end(place.stream);
        }
    }
}

/// Writes to many devices by turns, in pieces of any size, until the driver is gone.
pub fn talk(
    world: &World,
    writer: &DriverWriter,
    jobs: &Receiver<Job>,
    is_broken: &AtomicBool,
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
            assert!(is_broken.load(Ordering::SeqCst), "dispatch does not read the driver");
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
        // To nobody: ignored, and no disturbance.
        writer.say(BINARY, &encode(Kind::Write, &job.ip, u64::MAX, b"lost"));
    }
    let len = rng.size(65_536).min(job.left);
    job.left -= len;
    world.figures.bytes_down.fetch_add(len as u64, Ordering::Relaxed);
    let data = job.source.next(len);
    let is_taken = writer.say(BINARY, &encode(Kind::Write, &job.ip, job.id, &data));
    if job.left == 0 && job.close {
        return is_taken && writer.say(BINARY, &encode(Kind::Close, &job.ip, job.id, b""));
    }
    is_taken
}
