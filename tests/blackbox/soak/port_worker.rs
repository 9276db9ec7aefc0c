//! A port with its drivers and its devices, episode after episode: a driver comes, devices come
//! and go, other drivers listen for a while, and the driver leaves one way or another.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{iter, thread};

use super::driver_reader::{DriverReader, DriverWriter, talk};
use super::soak_device::SoakDevice;
use super::world::{Ending, Plan, Rng, StopOnPanic, World};
use crate::harness::{CLOSE, Device, Driver, Tcp, free_port, patience};

/// Devices at once, per port.
const SLOTS: usize = 6;

pub struct PortWorker<'a> {
    pub world: &'a World,
    pub port: u16,
}

/// How the driver of an episode leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Leave {
    /// When all its devices are gone, with a Close.
    Quiet,
    /// Amid everything, with a Close.
    Rude,
    /// Amid everything, without a word.
    Reset,
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
        let leave = [Leave::Quiet, Leave::Quiet, Leave::Rude, Leave::Reset][rng.below(4)];
        let episode = self.world.new_episode();
        let mut driver = self.connect("127.0.0.1,127.0.0.2,::1");
        let (writer, is_broken) = (DriverWriter::of(&driver), AtomicBool::new(false));
        let are_gone = AtomicBool::new(false);
        let (jobs, work) = mpsc::channel();
        let [reading, words, others, breaks] = [(); 4].map(|()| rng.fork());
        thread::scope(|scope| {
            let (writer, flag) = (&writer, &is_broken);
            let reader = self.reader(writer, flag, reading);
            let reader = DriverReader { episode: Some(episode), jobs: Some(jobs), ..reader };
            let reading = scope.spawn(|| {
                let _stop = StopOnPanic(self.world);
                reader.run(&mut driver);
            });
            scope.spawn(move || {
                let _stop = StopOnPanic(self.world);
                talk(self.world, writer, &work, flag, words);
            });
            scope.spawn(|| self.observe(&are_gone, others));
            if leave != Leave::Quiet {
                scope.spawn(move || self.break_off(episode, leave, writer, flag, breaks));
            }
            self.let_devices_come(episode, rng);
            are_gone.store(true, Ordering::SeqCst);
            if leave == Leave::Quiet {
                self.await_ends(episode);
                // An uncovered device's OPENED may still be under way; its end is then, too.
                is_broken.store(true, Ordering::SeqCst);
                writer.say(CLOSE, &1000u16.to_be_bytes());
            }
            reading.join().unwrap();
        });
        drop(writer);
        self.part(driver, leave == Leave::Reset);
        self.world.forget(episode);
    }

    fn connect(&self, accept: &str) -> Driver {
        self.world.figures.drivers.fetch_add(1, Ordering::Relaxed);
        self.world.dispatch.driver(Tcp, self.port).accept(accept).connect()
    }

    fn reader<'b>(
        &'b self,
        writer: &'b DriverWriter,
        is_broken: &'b AtomicBool,
        rng: Rng,
    ) -> DriverReader<'b> {
        DriverReader {
            world: self.world,
            writer,
            rng,
            episode: None,
            is_broken,
            jobs: None,
            live: Default::default(),
            seen: Default::default(),
        }
    }

    fn part(&self, driver: Driver, resets: bool) {
        if resets { driver.reset() } else { drop(driver) }
    }

    // ---- Devices ----------------------------------------------------------------------------

    fn let_devices_come(&self, episode: u64, rng: &mut Rng) {
        let count = rng.size(20);
        let slots: Vec<Rng> = iter::repeat_with(|| rng.fork()).take(count.min(SLOTS)).collect();
        thread::scope(|scope| {
            for mut rng in slots {
                scope.spawn(move || {
                    let _stop = StopOnPanic(self.world);
                    for _ in 0..count.div_ceil(SLOTS) {
                        if !self.world.is_broken(episode) {
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
        let is_narrow = plan.ending == Ending::NeverReads || rng.one_in(4);
        let window = is_narrow.then_some(4096);
        let Ok(device) = Device::try_connect_with(ip, self.port, window) else {
            let is_broken = || self.world.is_broken(episode);
            return assert!(is_broken(), "the port is closed though its driver is there");
        };
        self.world.figures.devices.fetch_add(1, Ordering::Relaxed);
        self.world.note(stream, plan);
        SoakDevice { world: self.world, stream, plan }.run(device, rng);
    }

    /// One that no driver accepts: it is closed, and hears nothing.
    fn uncovered_device(&self, episode: u64) {
        match Device::try_connect("127.0.0.77", self.port) {
            Ok(mut device) => device.expect_end(),
            Err(e) => assert!(self.world.is_broken(episode), "the port is closed: {e}"),
        }
    }

    // ---- Drivers ----------------------------------------------------------------------------

    /// Other drivers that hear some of the devices for a while.
    fn observe(&self, are_gone: &AtomicBool, mut rng: Rng) {
        let _stop = StopOnPanic(self.world);
        while !are_gone.load(Ordering::SeqCst) {
            let mut driver = self.connect("127.0.0.2");
            let (writer, is_broken) = (DriverWriter::of(&driver), AtomicBool::new(false));
            let reader = self.reader(&writer, &is_broken, rng.fork());
            thread::scope(|scope| {
                scope.spawn(|| {
                    let _stop = StopOnPanic(self.world);
                    reader.run(&mut driver);
                });
                thread::sleep(rng.millis(1500));
                is_broken.store(true, Ordering::SeqCst);
                if rng.one_in(2) {
                    writer.say(CLOSE, &1000u16.to_be_bytes());
                } else {
                    let _ = writer.0.lock().unwrap().shutdown(std::net::Shutdown::Both);
                }
            });
            drop(writer);
            self.part(driver, rng.one_in(2));
            thread::sleep(rng.millis(500));
        }
    }

    /// Breaks the episode off after a while.
    fn break_off(
        &self,
        episode: u64,
        leave: Leave,
        writer: &DriverWriter,
        flag: &AtomicBool,
        mut rng: Rng,
    ) {
        thread::sleep(rng.millis(4000));
        self.world.break_off(episode);
        flag.store(true, Ordering::SeqCst);
        if leave == Leave::Rude {
            writer.say(CLOSE, &1000u16.to_be_bytes());
        }
        if leave == Leave::Reset {
            let _ = writer.0.lock().unwrap().shutdown(std::net::Shutdown::Both);
        }
    }

    /// Waits until the driver has heard every end that it must hear.
    fn await_ends(&self, episode: u64) {
        // All that is queued when the last device has gone is still to be heard.
        let until = Instant::now() + 15 * patience();
        while self.world.unheard(episode) > 0 {
            assert!(Instant::now() < until, "{} ends are not heard", self.world.unheard(episode));
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn plan(episode: u64, rng: &mut Rng) -> Plan {
    let ending = match rng.below(100) {
        0..30 => Ending::Finish,
        30..50 => Ending::HalfClose,
        50..75 => Ending::Closed,
        75..99 => Ending::Reset,
        _ => Ending::NeverReads,
    };
    let up = rng.size(4 << 20).max(24);
    let down = rng.size(3 << 20);
    match ending {
        Ending::NeverReads => Plan { up: 24, down: 12 << 20, ending, episode, is_over: false },
        _ => Plan { up, down, ending, episode, is_over: false },
    }
}
