//! A port with its drivers and its devices, episode after episode: a driver comes, devices come
//! and go, other drivers join for a while, and the driver leaves one way or another.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{iter, thread};

use super::driver_reader::DriverReader;
use super::driver_writer::{DriverWriter, write_jobs};
use super::rng::Rng;
use super::soak_device::SoakDevice;
use super::world::{Plan, PlannedEnd, StopOnPanic, World};
use crate::harness::{Device, Driver, Tcp, free_port, patience};

/// Devices at once, per port.
const SLOTS: usize = 6;

pub struct PortWorker<'a> {
    pub world: &'a World,
    pub port: u16,
}

/// How the driver of an episode leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum DriverEnd {
    /// When all its devices are gone, with a Close.
    AfterDevices,
    /// In the middle of everything, with a Close.
    EarlyClose,
    /// In the middle of everything, without a word.
    EarlyReset,
}

impl<'a> PortWorker<'a> {
    pub fn new(world: &'a World) -> Self {
        Self { world, port: free_port() }
    }

    pub fn run(&self, mut rng: Rng) {
        let _stop = StopOnPanic(self.world);
        while !self.world.is_over() {
            self.episode(&mut rng);
            thread::sleep(rng.millis(100));
        }
    }

    fn episode(&self, rng: &mut Rng) {
        let leave = [
            DriverEnd::AfterDevices,
            DriverEnd::AfterDevices,
            DriverEnd::EarlyClose,
            DriverEnd::EarlyReset,
        ][rng.below(4)];
        let episode = self.world.new_episode();
        let mut driver = self.connect("127.0.0.1,127.0.0.2,::1");
        let (writer, is_aborted) = (DriverWriter::of(&driver), AtomicBool::new(false));
        let are_gone = AtomicBool::new(false);
        let (jobs, work) = mpsc::channel();
        let [reading, writing, others, aborting] = [(); 4].map(|()| rng.fork());
        thread::scope(|scope| {
            let (writer, flag) = (&writer, &is_aborted);
            let reader = self.reader(writer, flag, reading);
            let reader = DriverReader { episode: Some(episode), jobs: Some(jobs), ..reader };
            let reading = scope.spawn(|| {
                let _stop = StopOnPanic(self.world);
                reader.run(&mut driver);
            });
            scope.spawn(move || {
                let _stop = StopOnPanic(self.world);
                write_jobs(self.world, writer, &work, flag, writing);
            });
            scope.spawn(|| self.run_observers(&are_gone, others));
            if leave != DriverEnd::AfterDevices {
                scope.spawn(move || self.abort(episode, leave, writer, flag, aborting));
            }
            self.run_devices(episode, rng);
            are_gone.store(true, Ordering::SeqCst);
            if leave == DriverEnd::AfterDevices {
                self.wait_for_ends(episode);
                // An uncovered device's OPENED may still be under way; its end is then, too.
                is_aborted.store(true, Ordering::SeqCst);
                writer.close();
            }
            reading.join().unwrap();
        });
        drop(writer);
        self.disconnect(driver, leave == DriverEnd::EarlyReset);
        self.world.forget(episode);
    }

    fn connect(&self, accept: &str) -> Driver {
        self.world.figures.drivers.fetch_add(1, Ordering::Relaxed);
        self.world.dispatch.driver(Tcp, self.port).accept(accept).connect()
    }

    fn reader<'b>(
        &'b self,
        writer: &'b DriverWriter,
        is_aborted: &'b AtomicBool,
        rng: Rng,
    ) -> DriverReader<'b> {
        DriverReader {
            world: self.world,
            writer,
            rng,
            episode: None,
            is_aborted,
            jobs: None,
            live: Default::default(),
            seen: Default::default(),
        }
    }

    fn disconnect(&self, driver: Driver, resets: bool) {
        if resets { driver.reset() } else { drop(driver) }
    }

    // ---- Devices ----------------------------------------------------------------------------

    fn run_devices(&self, episode: u64, rng: &mut Rng) {
        let count = rng.size(20);
        let slots: Vec<Rng> = iter::repeat_with(|| rng.fork()).take(count.min(SLOTS)).collect();
        thread::scope(|scope| {
            for mut rng in slots {
                scope.spawn(move || {
                    let _stop = StopOnPanic(self.world);
                    for _ in 0..count.div_ceil(SLOTS) {
                        if !self.world.is_aborted(episode) {
                            self.device(episode, &mut rng);
                        }
                        thread::sleep(rng.millis(50));
                    }
                });
            }
        });
    }

    fn device(&self, episode: u64, rng: &mut Rng) {
        if rng.one_in(20) {
            return self.uncovered_device(episode);
        }
        let (stream, plan) = (self.world.new_stream(), plan(episode, rng));
        let ip = ["127.0.0.1", "127.0.0.2", "::1"][rng.below(3)];
        let has_small_window = plan.end == PlannedEnd::NeverReads || rng.one_in(4);
        let window = has_small_window.then_some(4096);
        let Ok(device) = Device::try_connect_with(ip, self.port, window) else {
            let is_aborted = || self.world.is_aborted(episode);
            return assert!(is_aborted(), "the port is closed though its driver is there");
        };
        self.world.figures.devices.fetch_add(1, Ordering::Relaxed);
        self.world.record(stream, plan);
        SoakDevice { world: self.world, stream, plan }.run(device, rng);
    }

    /// One that no driver accepts: it is closed, and receives nothing.
    fn uncovered_device(&self, episode: u64) {
        match Device::try_connect("127.0.0.77", self.port) {
            Ok(mut device) => device.expect_end(),
            Err(e) => assert!(self.world.is_aborted(episode), "the port is closed: {e}"),
        }
    }

    // ---- Drivers ----------------------------------------------------------------------------

    /// Other drivers that accept some of the devices for a while.
    fn run_observers(&self, are_gone: &AtomicBool, mut rng: Rng) {
        let _stop = StopOnPanic(self.world);
        while !are_gone.load(Ordering::SeqCst) {
            let mut driver = self.connect("127.0.0.2");
            let (writer, is_aborted) = (DriverWriter::of(&driver), AtomicBool::new(false));
            let reader = self.reader(&writer, &is_aborted, rng.fork());
            thread::scope(|scope| {
                scope.spawn(|| {
                    let _stop = StopOnPanic(self.world);
                    reader.run(&mut driver);
                });
                thread::sleep(rng.millis(1500));
                is_aborted.store(true, Ordering::SeqCst);
                if rng.one_in(2) {
                    writer.close();
                } else {
                    writer.break_off();
                }
            });
            drop(writer);
            self.disconnect(driver, rng.one_in(2));
            thread::sleep(rng.millis(500));
        }
    }

    /// Breaks the episode off after a while.
    fn abort(
        &self,
        episode: u64,
        leave: DriverEnd,
        writer: &DriverWriter,
        flag: &AtomicBool,
        mut rng: Rng,
    ) {
        thread::sleep(rng.millis(4000));
        self.world.abort(episode);
        flag.store(true, Ordering::SeqCst);
        if leave == DriverEnd::EarlyClose {
            writer.close();
        }
        if leave == DriverEnd::EarlyReset {
            writer.break_off();
        }
    }

    /// Waits until the driver has seen every end that it must see.
    fn wait_for_ends(&self, episode: u64) {
        // All that is queued when the last device has gone is still to be received.
        let until = Instant::now() + 15 * patience();
        while self.world.unseen_ends(episode) > 0 {
            assert!(
                Instant::now() < until,
                "{} ends were not seen",
                self.world.unseen_ends(episode)
            );
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn plan(episode: u64, rng: &mut Rng) -> Plan {
    let end = match rng.below(100) {
        0..30 => PlannedEnd::Finish,
        30..50 => PlannedEnd::HalfClose,
        50..75 => PlannedEnd::Closed,
        75..99 => PlannedEnd::Reset,
        _ => PlannedEnd::NeverReads,
    };
    let up = rng.size(4 << 20).max(24);
    let down = rng.size(3 << 20);
    match end {
        PlannedEnd::NeverReads => Plan { up: 24, down: 12 << 20, end, episode, is_over: false },
        _ => Plan { up, down, end, episode, is_over: false },
    }
}
