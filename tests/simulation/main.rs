//! The whole reactor over a simulated network and clock, in random histories that a seed names.
//!
//! Drivers join, leave, stall, send garbage and reset; devices connect, flood, half-close and
//! reset; reads and writes come short; events come late, in any order or for nothing; descriptors
//! run out; time jumps. After each turn the reactor's own invariants are checked
//! ([`Reactor::check_invariants`]), and what every driver and device hears is compared with what
//! was said.
//!
//! A failure prints its seed and the shortest history that still fails. It replays with
//!
//! ```sh
//! SEED=… STEPS=… cargo test --test simulation replay -- --nocapture
//! ```
//!
//! In some histories a port has TLS, or HTTP has; in some an operator allows little of something:
//! drivers, devices, connections a second, queued bytes. Drivers have several tokens, of which an
//! operator takes some back.
//!
//! [`Reactor::check_invariants`]: dispatch::testing::reactor::Reactor::check_invariants

mod actors;
mod history;
mod network;
mod pattern;
mod report;
mod rng;
mod runner;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use dispatch::testing::reactor::Gauges;

use dispatch::testing::limits::{Ceilings, QUEUED_LEAST_BYTES};

use history::{DatagramAction, DeviceAction, DriverAction, Op, Time, What};
use report::Report;
use runner::run;
use world::{Scenario, World};

const ASKS: What = What::Driver(DriverAction::Asks);
const WRITES_MUCH: What = What::Driver(DriverAction::WritesMuch);
const CONNECTS: What = What::Device(DeviceAction::Connects);
const RESTS: What = What::Passes(Time::UntilRest);

/// Histories that `cargo test` runs; `HISTORIES` sets another number.
const HISTORIES: u64 = 1_500;

/// Operations of a history; `STEPS` sets another number.
const STEPS: usize = 30;

/// A thread gives up after so many failures: finding the shortest history of each takes time.
const FAILURES_SHOWN: usize = 3;

fn number(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number: {text}")))
}

#[test]
fn nothing_is_lost_and_nobody_gets_in_whatever_happens() {
    let histories = number("HISTORIES").unwrap_or(HISTORIES);
    let first = number("FIRST_SEED").unwrap_or(1);
    let steps = number("STEPS").map_or(STEPS, |steps| steps as usize);
    let next = AtomicU64::new(first);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let work = || run_until(&next, first + histories, steps);
    let sums = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    let mut all = Report::default();
    sums.iter().for_each(|(sum, _)| all.add(sum));
    let failures: usize = sums.iter().map(|(_, failures)| failures).sum();
    println!("{histories} histories of {steps} steps: {all:?}");
    assert_eq!(failures, 0, "seeds failed");
    if histories >= HISTORIES && steps == STEPS {
        assert_everything_happened(&all);
    }
}

/// A simulation in which nothing gets stuck and nobody is turned away shows nothing.
fn assert_everything_happened(all: &Report) {
    let Report {
        tls_devices,
        told_slow,
        told_of_token,
        overload_cuts,
        watched,
        left_out,
        gauges,
        ..
    } = *all;
    let Gauges { congested, parked, holding, pending_devices, closings } = gauges;
    let stuck = [congested, parked, holding, pending_devices, closings];
    assert!(stuck.iter().all(|&count| count > 0), "{all:?}");
    assert!(tls_devices > 0 && told_slow > 0 && overload_cuts > 0, "{all:?}");
    assert!(watched > 0 && left_out > 0 && told_of_token > 0, "{all:?}");
}

/// Runs the seeds that no other thread has taken.
fn run_until(next: &AtomicU64, end: u64, steps: usize) -> (Report, usize) {
    let (mut sum, mut failures) = (Report::default(), 0);
    while failures < FAILURES_SHOWN {
        let seed = next.fetch_add(1, Ordering::Relaxed);
        if seed >= end {
            break;
        }
        match run(seed, steps) {
            Ok(report) => sum.add(&report),
            Err(failure) => {
                println!("{failure}\n");
                failures += 1;
            }
        }
    }
    (sum, failures)
}

/// `SEED=… STEPS=… cargo test --test simulation replay -- --nocapture`
#[test]
fn replay() {
    let Some(seed) = number("SEED") else { return };
    let steps = number("STEPS").map_or(STEPS, |steps| steps as usize);
    match run(seed, steps) {
        Ok(report) => println!("seed {seed}: {report:?}"),
        Err(failure) => panic!("{failure}"),
    }
}

/// Plays a history in a world with such ceilings: what happens, to whom, how much of it, and the
/// seed that decides over the rest.
fn plays_well(ceilings: Ceilings, history: &[(What, usize, usize, u64)]) {
    plays_well_in(Scenario { ceilings, has_tls: false, has_https: false }, history);
}

/// The same, where one of the ports has TLS.
fn plays_well_over_tls(ceilings: Ceilings, history: &[(What, usize, usize, u64)]) {
    plays_well_in(Scenario { ceilings, has_tls: true, has_https: false }, history);
}

fn plays_well_in(scenario: Scenario, history: &[(What, usize, usize, u64)]) {
    let mut world = World::new(scenario, 1).unwrap();
    for &(what, who, amount, seed) in history {
        world.apply(&Op { what, who, amount, seed }).unwrap();
    }
    world.finish().unwrap();
}

#[test]
fn connections_whose_proxy_header_is_awaited_count_for_the_ceilings() {
    let ceilings = Ceilings { devices: 4, devices_per_port: 3, ..Ceilings::default() };
    let connect = [3, 13, 23, 33, 43, 53].map(|amount| (CONNECTS, 0, amount, amount as u64));
    plays_well(ceilings, &[&[(ASKS, 0, 1, 1)][..], &connect].concat());
}

#[test]
fn datagrams_that_wait_are_forgotten_where_they_are_too_much_in_all() {
    let ceilings = Ceilings { queued_bytes: QUEUED_LEAST_BYTES, ..Ceilings::default() };
    plays_well(
        ceilings,
        &[
            (ASKS, 0, 0, 1),
            (ASKS, 1, 0, 2),
            (RESTS, 0, 0, 3),
            (What::Datagrams(DatagramAction::AreBlocked), 0, 0, 4),
            (WRITES_MUCH, 0, 0, 5),
            (WRITES_MUCH, 1, 0, 6),
            (RESTS, 0, 0, 7),
            (What::Passes(Time::Seconds), 0, 5_000, 8),
        ],
    );
}

#[test]
fn a_gathered_message_is_not_counted_after_it_was_processed() {
    plays_well(
        Ceilings::default(),
        &[
            (ASKS, 22_264, 7_341, 14_613_810_612_432_754_440),
            (RESTS, 0, 0, 1),
            (CONNECTS, 27_100, 22_669, 6_363_923_365_733_284_587),
            (WRITES_MUCH, 3_945, 364, 15_996_150_075_767_192_700),
            (What::Driver(DriverAction::IsFlooded), 59_901, 32_130, 4_163_140_018_681_688_385),
        ],
    );
}

/// Many devices of one port have much to say to a driver that reads slowly.
#[test]
fn a_crowd_that_waits_for_a_slow_driver_is_served_in_turn() {
    let mut history = vec![(ASKS, 0, 1, 1), (RESTS, 0, 0, 2)];
    for seed in 3..9 {
        history.push((What::Device(DeviceAction::ManyConnect), 0, 1, seed));
        history.push((RESTS, 0, 0, seed));
    }
    let flood = (What::Driver(DriverAction::IsFlooded), 0, 6, 10);
    plays_well(Ceilings::default(), &[&history[..], &[flood; 3], &[(RESTS, 0, 0, 11)]].concat());
}

#[test]
fn half_made_handshakes_take_no_more_room_than_may_be_queued() {
    let ceilings = Ceilings { queued_bytes: QUEUED_LEAST_BYTES, ..Ceilings::default() };
    let many = What::Device(DeviceAction::ManyConnectAndVanish);
    let ask = (ASKS, 1, 31_473, 2_845_599_911_275_706_880);
    plays_well_over_tls(ceilings, &[ask, (RESTS, 0, 0, 1), (many, 1, 51_698, 1)]);
}
