//! The receiving side of a driver of the soak: checks every message, and orders what its devices
//! expect.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Sender;
use std::thread;

use super::driver_writer::{DriverWriter, Job};
use super::rng::Rng;
use super::stream::{Source, StreamChecker};
use super::world::{PlannedEnd, World};
use crate::harness::message::{self, Kind, Message};
use crate::harness::{BINARY, CLOSE, Driver, PING, PONG, patience};

/// Reads a driver to its end.
pub struct DriverReader<'a> {
    pub world: &'a World,
    pub writer: &'a DriverWriter,
    pub rng: Rng,
    /// The episode whose devices it must see from their first byte to their last.
    pub episode: Option<u64>,
    /// Set before the driver breaks off; from then on what it receives may be incomplete.
    pub is_aborted: &'a AtomicBool,
    pub jobs: Option<Sender<Job>>,
    pub live: HashMap<u64, StreamChecker>,
    pub seen: HashSet<u64>,
}

impl DriverReader<'_> {
    /// Checks all that comes. A pause now and then lets the backlog grow to its mark.
    pub fn run(mut self, driver: &mut Driver) {
        driver.stream().set_read_timeout(Some(5 * patience())).unwrap();
        while let Some(frame) = driver.socket().frame() {
            match frame.opcode {
                BINARY => self.receive(&frame.payload),
                // Drivers in the field answer twice.
                PING => {
                    self.writer.send(PONG, &frame.payload);
                    self.writer.send(PONG, &frame.payload);
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
        let is_whole = self.live.is_empty() || self.is_aborted.load(Ordering::SeqCst);
        assert!(is_whole, "the driver's connection ended by itself");
    }

    fn receive(&mut self, payload: &[u8]) {
        let Message { kind, ip_address, id_or_port: id, data } =
            message::decode(payload).expect("dispatch sends messages that decode");
        match kind {
            Kind::Opened => {
                assert!(self.seen.insert(id), "a second OPENED of id {id}");
                self.live.insert(id, StreamChecker::default());
            }
            Kind::Received => {
                let ip = String::from_utf8(ip_address.to_vec()).unwrap();
                self.receive_bytes(ip, id, data);
            }
            Kind::Closed => {
                let checker = self.live.remove(&id).expect("CLOSED of a device that is there");
                self.check_end(&checker);
            }
            Kind::Write | Kind::Close | Kind::Refused | Kind::LeftOut => {
                panic!("dispatch sent {kind:?}")
            }
        }
    }

    fn receive_bytes(&mut self, ip: String, id: u64, data: &[u8]) {
        let checker = self.live.get_mut(&id).expect("RECEIVED of a device that is there");
        let was_known = checker.place().is_some();
        checker.take(data);
        self.world.figures.bytes_up.fetch_add(data.len() as u64, Ordering::Relaxed);
        let Some(place) = checker.place().filter(|_| !was_known) else { return };
        let Some(plan) = self.world.plan(place.stream) else { return };
        if self.episode != Some(plan.episode) {
            return;
        }
        assert_eq!(place.start, 0, "stream {} begins in its middle", place.stream);
        if let Some(jobs) = &self.jobs {
            let source = Source::new(place.stream | super::DOWN);
            let close = plan.end == PlannedEnd::Closed;
            let _ = jobs.send(Job { ip, id, source, left: plan.down, close });
        }
    }

    fn check_end(&self, checker: &StreamChecker) {
        let Some(place) = checker.place() else { return };
        let Some(plan) = self.world.plan(place.stream) else { return };
        assert!(place.end <= plan.up, "stream {} is too long", place.stream);
        let is_complete = matches!(plan.end, PlannedEnd::Finish | PlannedEnd::HalfClose);
        if is_complete && !self.world.is_aborted(plan.episode) {
            assert_eq!(place.end, plan.up, "stream {} ended early: {plan:?}", place.stream);
        }
        if self.episode == Some(plan.episode) {
            self.world.record_end(place.stream);
        }
    }
}
