//! How fast dispatch is, measured against the least that a relay must do.
//!
//! ```text
//! cargo bench                                  everything, in about seven minutes
//! cargo bench -- uplink echo                   two sections
//! cargo bench -- downlink --runs 7 --seconds 3
//! cargo bench -- --against ../old/dispatch     two builds against each other
//! ```
//!
//! The released binary runs as a process of its own on CPU 0; this process, on CPU 1, is the
//! loader: all drivers and devices at once. The *floor* ([`floor`]) takes the binary's place in
//! every other run. Every byte is compared with what was sent ([`pattern`]); a run with a wrong
//! byte ends everything. Each figure is the median of several runs, and beside it stands how busy
//! the CPUs of relay and loader were: where the loader's was at 100 % and the relay's was not,
//! it is the loader's figure, and only the CPU time for each message says something of the relay.
//!
//! A loopback send costs little while the receiver is awake and several times as much when it has
//! to be woken; figures at a rate are mostly the price of waking up, those flat out are not.
//!
//! System calls for each message are counted in one more run of each shape ([`syscalls`]).
//!
//! The spinners that keep the CPUs awake give way to relay and loader, but not to programs of
//! other sessions (the kernel shares a CPU among sessions first). On a machine with other work
//! the column `others` says so, and the figures are not worth much.
//!
//! With TCP a chunk boundary means nothing: a relay that is behind finds several chunks in one
//! read. Hence uplink figures count chunks as they were sent, one system call each.
#![forbid(unsafe_code)]

mod bare_tls;
mod churn;
mod downlink;
mod echo;
mod floor;
mod idle;
mod machine;
mod measure;
mod options;
mod pattern;
mod rig;
mod server;
mod syscalls;
mod table;
mod tls;
mod udp;
mod uplink;
mod wire;

use std::io;
use std::process::ExitCode;

use clap::Parser;

use floor::Toward;
use machine::Machine;
use options::{Options, Role};
use pattern::{Pattern, Random};
use syscalls::Counter;
use wire::Mask;

/// What every section needs.
pub struct Bench {
    options: Options,
    machine: Machine,
    pattern: Pattern,
    /// What counts system calls, if anything here does.
    counter: Option<Counter>,
}

type Section = fn(&Bench) -> io::Result<()>;

const SECTIONS: [(&str, Section); 10] = [
    ("uplink", uplink::flat_out),
    ("uplink-rate", uplink::at_a_rate),
    ("downlink", downlink::flat_out),
    ("echo", echo::both_loops),
    ("udp", udp::datagrams),
    ("fanout", uplink::fan_out),
    ("churn", churn::short_lives),
    ("idle", idle::crowds),
    ("linear", uplink::among_idle),
    ("tls", tls::bulk_and_handshakes),
];

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match options.role {
        None => measure(options),
        Some(Role::Spin) => {
            machine::spin();
            Ok(())
        }
        Some(Role::Floor { driver_port, device_port, gather }) => {
            let toward = if gather { Toward::Gathered } else { Toward::OneByOne };
            floor::serve(driver_port, device_port, toward)
        }
        Some(Role::Tls { driver_port, device_port, way }) => {
            bare_tls::serve(driver_port, device_port, way)
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("relay benchmark: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(options: Options) -> io::Result<()> {
    if let Some(unknown) = options.sections.iter().find(|asked| !is_section(asked)) {
        return Err(io::Error::other(format!("no section {unknown}; see --help")));
    }
    idle::raise_open_files()?;
    let machine = Machine::prepare(!options.no_spin)?;
    let counter = Counter::find()?;
    match counter {
        Some(counter) => println!("system calls are counted by {}", counter.name()),
        None => println!(
            "warning: system calls are NOT COUNTED: neither perf nor strace is here and may look \
             into other processes"
        ),
    }
    let bench = Bench { options, machine, pattern: Pattern::default(), counter };
    bench.print_header();
    for (_, section) in SECTIONS.iter().filter(|(name, _)| bench.options.wants(name)) {
        section(&bench)?;
    }
    Ok(())
}

fn is_section(asked: &str) -> bool {
    SECTIONS.iter().any(|(name, _)| *name == asked)
}

impl Bench {
    fn mask(&self) -> Mask {
        match self.options.random_mask {
            true => Mask::Random(Random::default()),
            false => Mask::Zero,
        }
    }

    /// Whether a shape was asked for, by its description.
    fn measures(&self, shape: &str) -> bool {
        shape.contains(&self.options.only)
    }
}
