//! A device of the soak: sends its stream, checks the one it is written, and ends as planned.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::DOWN;
use super::rng::Rng;
use super::stream::{Source, StreamChecker};
use super::world::{Plan, PlannedEnd, World};
use crate::harness::{Device, patience};

pub struct SoakDevice<'a> {
    pub world: &'a World,
    pub stream: u32,
    pub plan: Plan,
}

/// What the sending and the receiving half of a device know of each other.
#[derive(Default)]
struct Halves {
    received: AtomicUsize,
    is_over: AtomicBool,
}

impl SoakDevice<'_> {
    pub fn run(&self, mut device: Device, rng: &mut Rng) {
        let halves = Halves::default();
        let (mut up, mut down) = (rng.fork(), rng.fork());
        let mut sending = device.stream().try_clone().unwrap();
        device.stream().set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        thread::scope(|scope| {
            scope.spawn(|| self.send(&mut sending, &halves, &mut up));
            self.receive(device.stream(), &halves, &mut down);
        });
        drop(sending);
        if self.plan.end == PlannedEnd::Reset {
            device.reset();
        }
    }

    /// Sends what is planned, in pieces of any size, as fast as dispatch takes it or slowly.
    fn send(&self, stream: &mut TcpStream, halves: &Halves, rng: &mut Rng) {
        let mut source = Source::new(self.stream);
        let mut left = self.plan.up;
        let pause = if rng.one_in(3) { 20 } else { 1 };
        let resets_at = rng.below(left);
        while left > 0 && !self.must_stop(halves) {
            if self.plan.end == PlannedEnd::Reset && left <= resets_at {
                break;
            }
            // Enough at first to tell which stream it is.
            let least = if left == self.plan.up { 24 } else { 1 };
            let len = rng.size(100_000).max(least).min(left);
            if stream.write_all(&source.next(len)).is_err() {
                return;
            }
            left -= len;
            thread::sleep(rng.millis(pause));
        }
        self.end_sending(stream, halves, left);
    }

    fn end_sending(&self, stream: &TcpStream, halves: &Halves, left: usize) {
        match self.plan.end {
            // One that never reads ends by itself only if it was not cut off.
            PlannedEnd::Finish | PlannedEnd::NeverReads => {
                while halves.received.load(Ordering::Relaxed) < self.plan.down {
                    if self.must_stop(halves) {
                        return;
                    }
                    thread::sleep(Duration::from_millis(2));
                }
                let _ = stream.shutdown(Shutdown::Write);
            }
            PlannedEnd::HalfClose if left == 0 => drop(stream.shutdown(Shutdown::Write)),
            PlannedEnd::Reset => halves.is_over.store(true, Ordering::Relaxed),
            PlannedEnd::HalfClose | PlannedEnd::Closed => {}
        }
    }

    fn receive(&self, stream: &mut TcpStream, halves: &Halves, rng: &mut Rng) {
        let mut checker = StreamChecker::of(self.stream | DOWN);
        let started = Instant::now();
        self.read_nothing(halves);
        let bite = rng.size(65_536).max(512);
        let mut bytes = vec![0; bite];
        while !self.must_stop(halves) {
            match stream.read(&mut bytes) {
                Ok(0) => break,
                Ok(len) => {
                    checker.take(&bytes[..len]);
                    halves.received.fetch_add(len, Ordering::Relaxed);
                }
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                    assert!(
                        // Far longer than any of them needs.
                        started.elapsed() < 15 * patience(),
                        "stream {} stands still: {:?}, {} received",
                        self.stream,
                        self.plan,
                        halves.received.load(Ordering::Relaxed)
                    );
                }
                Err(_) => break,
            }
        }
        // One that was told to stop has not seen the end.
        let is_whole = !self.must_stop(halves);
        halves.is_over.store(true, Ordering::Relaxed);
        if is_whole {
            self.check_end(halves.received.load(Ordering::Relaxed));
        }
    }

    /// Reads nothing for longer than a device may hold back its driver.
    fn read_nothing(&self, halves: &Halves) {
        let until = Instant::now() + Duration::from_secs(7);
        while self.plan.end == PlannedEnd::NeverReads
            && Instant::now() < until
            && !self.must_stop(halves)
        {
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn check_end(&self, received: usize) {
        let Self { world, stream, plan } = self;
        assert!(received <= plan.down, "stream {stream}: {received} bytes, {plan:?}");
        let is_complete = matches!(plan.end, PlannedEnd::Finish | PlannedEnd::Closed);
        // The episode may have been broken off while this was looked at.
        if is_complete && received < plan.down && !world.is_aborted(plan.episode) {
            panic!("stream {stream} got {received} bytes only: {plan:?}");
        }
    }

    fn must_stop(&self, halves: &Halves) -> bool {
        halves.is_over.load(Ordering::Relaxed) || self.world.is_aborted(self.plan.episode)
    }
}
