//! How fast dispatch is, measured against the least that a relay must do.
//!
//! ```text
//! cargo bench                                  everything, in about a quarter of an hour
//! cargo bench -- device-to-driver echo         two sections
//! cargo bench -- driver-to-device --runs 7 --seconds 3
//! cargo bench -- --against ../old/dispatch     two builds against each other
//! ```
//!
//! The released binary runs as a process of its own on CPU 0; this process, on CPU 1, is the
//! loader: all drivers and devices at once. The [`baseline`] takes the binary's place in every
//! other run. Every byte is compared with what was sent ([`wire::pattern`]); a run with a wrong
//! byte ends everything. Each figure is the median of several runs, and beside it stands how busy
//! the CPUs of relay and loader were: where the loader's was at 100 % and the relay's was not,
//! it is the loader's figure, and only the CPU time for each message says something of the relay.
//!
//! A loopback send costs little while the receiver is awake and several times as much when it has
//! to be woken; figures at a rate are mostly the price of waking up, those flat out are not.
//!
//! System calls for each message are counted in one more run of each shape
//! ([`process::system_calls`]).
//!
//! The spinners that keep the CPUs awake give way to relay and loader, but not to programs of
//! other sessions (the kernel shares a CPU among sessions first). On a machine with other work
//! the column `others` says so, and the figures are not worth much.
//!
//! With TCP a chunk boundary means nothing: a relay that is behind finds several chunks in one
//! read. Hence figures from devices count chunks as they were sent, one system call each.
//!
//! An import points down this list, never up or sideways in a circle:
//!
//! ```text
//! main       which role this process has
//! sections   what is measured, and its rows
//! report     runs in turns, medians, the table
//! load       all drivers and devices of a relay, in one thread
//! process    relays and their CPUs, and what the kernel tells of them
//! baseline   the relays that dispatch is measured against
//! wire       the bytes that are said
//! options    what can be asked
//! ```
#![forbid(unsafe_code)]

mod baseline;
mod load;
mod options;
mod process;
mod report;
mod sections;
mod wire;

use std::io;
use std::process::ExitCode;

use clap::Parser;

use baseline::{bare_tls, relay};
use options::{Options, Role};
use process::machine;

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match &options.role {
        None => sections::run(options),
        Some(role) => play(role),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("relay benchmark: {error}");
            ExitCode::FAILURE
        }
    }
}

fn play(role: &Role) -> io::Result<()> {
    match *role {
        Role::Spin => {
            machine::spin();
            Ok(())
        }
        Role::Baseline { driver_port, device_port, writes } => {
            relay::serve(driver_port, device_port, writes)
        }
        Role::Tls { driver_port, device_port, direction } => {
            bare_tls::serve(driver_port, device_port, direction)
        }
    }
}
