//! A port with its drivers and its devices, episode after episode: a driver comes, devices come
//! and go, other drivers listen for a while, and the driver leaves one way or another.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{iter, thread};

use super::ear::{Ear, Mouth, talk};
use super::gadget::Gadget;
use super::world::{Alarm, Chance, Ending, Plan, World};
use crate::util::{CLOSE, Device, Driver, Tcp, free_port, patience};

/// Devices at once, per port.
const SLOTS: usize = 6;

pub struct Station<'a> {
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

impl<'a> Station<'a> {
    pub fn new(world: &'a World) -> Self {
        Self { world, port: free_port() }
    }

    pub fn run(&self, mut chance: Chance) {
        let _alarm = Alarm(self.world);
        while !self.world.is_over() {
            self.episode(&mut chance);
            thread::sleep(chance.millis(100));
        }
    }

    fn episode(&self, chance: &mut Chance) {
        let leave = [Leave::Quiet, Leave::Quiet, Leave::Rude, Leave::Reset][chance.below(4)];
        let episode = self.world.new_episode();
        let mut driver = self.connect("127.0.0.1,127.0.0.2,::1");
        let (mouth, is_broken) = (Mouth::of(&driver), AtomicBool::new(false));
        let are_gone = AtomicBool::new(false);
        let (jobs, work) = mpsc::channel();
        let [ears, words, others, breaks] = [(); 4].map(|()| chance.fork());
        thread::scope(|scope| {
            let (mouth, flag) = (&mouth, &is_broken);
            let ear = self.ear(mouth, flag, ears);
            let ear = Ear { episode: Some(episode), jobs: Some(jobs), ..ear };
            let hearing = scope.spawn(|| {
                let _alarm = Alarm(self.world);
                ear.listen(&mut driver);
            });
            scope.spawn(move || {
                let _alarm = Alarm(self.world);
                talk(self.world, mouth, &work, flag, words);
            });
            scope.spawn(|| self.observe(&are_gone, others));
            if leave != Leave::Quiet {
                scope.spawn(move || self.break_off(episode, leave, mouth, flag, breaks));
            }
            self.let_devices_come(episode, chance);
            are_gone.store(true, Ordering::SeqCst);
            if leave == Leave::Quiet {
                self.await_ends(episode);
                // An uncovered device's OPENED may still be under way; its end is then, too.
                is_broken.store(true, Ordering::SeqCst);
                mouth.say(CLOSE, &1000u16.to_be_bytes());
            }
            hearing.join().unwrap();
        });
        drop(mouth);
        self.part(driver, leave == Leave::Reset);
        self.world.forget(episode);
    }

    fn connect(&self, accept: &str) -> Driver {
        self.world.figures.drivers.fetch_add(1, Ordering::Relaxed);
        self.world.dispatch.driver(Tcp, self.port).accept(accept).connect()
    }

    fn ear<'b>(&'b self, mouth: &'b Mouth, is_broken: &'b AtomicBool, chance: Chance) -> Ear<'b> {
        Ear {
            world: self.world,
            mouth,
            chance,
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

    fn let_devices_come(&self, episode: u64, chance: &mut Chance) {
        let count = chance.size(20);
        let slots: Vec<Chance> =
            iter::repeat_with(|| chance.fork()).take(count.min(SLOTS)).collect();
        thread::scope(|scope| {
            for mut chance in slots {
                scope.spawn(move || {
                    let _alarm = Alarm(self.world);
                    for _ in 0..count.div_ceil(SLOTS) {
                        if !self.world.is_broken(episode) {
                            self.device(episode, &mut chance);
                        }
                        thread::sleep(chance.millis(50));
                    }
                });
            }
        });
    }

    fn device(&self, episode: u64, chance: &mut Chance) {
        if chance.one_in(20) {
            return self.uncovered_device(episode);
        }
        let (stream, plan) = (self.world.new_stream(), plan(episode, chance));
        let ip = ["127.0.0.1", "127.0.0.2", "::1"][chance.below(3)];
        let is_narrow = plan.ending == Ending::Hog || chance.one_in(4);
        let window = is_narrow.then_some(4096);
        let Ok(device) = Device::try_from(ip, self.port, window) else {
            let is_broken = || self.world.is_broken(episode);
            return assert!(is_broken(), "the port is closed though its driver is there");
        };
        self.world.figures.devices.fetch_add(1, Ordering::Relaxed);
        self.world.note(stream, plan);
        Gadget { world: self.world, stream, plan }.run(device, chance);
    }

    /// One that no driver accepts: it is closed, and hears nothing.
    fn uncovered_device(&self, episode: u64) {
        match Device::try_from("127.0.0.77", self.port, None) {
            Ok(mut device) => device.expect_end(),
            Err(e) => assert!(self.world.is_broken(episode), "the port is closed: {e}"),
        }
    }

    // ---- Drivers ----------------------------------------------------------------------------

    /// Other drivers that hear some of the devices for a while.
    fn observe(&self, are_gone: &AtomicBool, mut chance: Chance) {
        let _alarm = Alarm(self.world);
        while !are_gone.load(Ordering::SeqCst) {
            let mut driver = self.connect("127.0.0.2");
            let (mouth, is_broken) = (Mouth::of(&driver), AtomicBool::new(false));
            let ear = self.ear(&mouth, &is_broken, chance.fork());
            thread::scope(|scope| {
                scope.spawn(|| {
                    let _alarm = Alarm(self.world);
                    ear.listen(&mut driver);
                });
                thread::sleep(chance.millis(1500));
                is_broken.store(true, Ordering::SeqCst);
                if chance.one_in(2) {
                    mouth.say(CLOSE, &1000u16.to_be_bytes());
                } else {
                    let _ = mouth.0.lock().unwrap().shutdown(std::net::Shutdown::Both);
                }
            });
            drop(mouth);
            self.part(driver, chance.one_in(2));
            thread::sleep(chance.millis(500));
        }
    }

    /// Breaks the episode off after a while.
    fn break_off(
        &self,
        episode: u64,
        leave: Leave,
        mouth: &Mouth,
        flag: &AtomicBool,
        mut chance: Chance,
    ) {
        thread::sleep(chance.millis(4000));
        self.world.break_off(episode);
        flag.store(true, Ordering::SeqCst);
        if leave == Leave::Rude {
            mouth.say(CLOSE, &1000u16.to_be_bytes());
        }
        if leave == Leave::Reset {
            let _ = mouth.0.lock().unwrap().shutdown(std::net::Shutdown::Both);
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

fn plan(episode: u64, chance: &mut Chance) -> Plan {
    let ending = match chance.below(100) {
        0..30 => Ending::Finish,
        30..50 => Ending::HalfClose,
        50..75 => Ending::Closed,
        75..99 => Ending::Reset,
        _ => Ending::Hog,
    };
    let up = chance.size(4 << 20).max(24);
    let down = chance.size(3 << 20);
    match ending {
        Ending::Hog => Plan { up: 24, down: 12 << 20, ending, episode, is_over: false },
        _ => Plan { up, down, ending, episode, is_over: false },
    }
}
