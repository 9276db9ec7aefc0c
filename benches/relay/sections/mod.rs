//! What is measured: the shapes of each section, their bars and their rows.
//!
//! A section imports no other; what two of them share is in `bulk` or a layer below.
//!
//! Deliberately absent: how a load is made, and how a figure comes about.

mod bulk;
mod churn;
mod crowds;
mod device_to_driver;
mod device_to_driver_rate;
mod driver_to_device;
mod echo;
mod fanout;
mod idle;
mod linear;
mod peers;
mod scale;
mod tls;
mod udp;
mod udp_to_device;

use std::io;

use crate::load::bench::Bench;
use crate::options::{Options, Section};

/// Measures what was asked for.
pub fn run(options: Options) -> io::Result<()> {
    let bench = Bench::prepare(options)?;
    match bench.counter {
        Some(counter) => println!("system calls are counted by {}", counter.name()),
        None => println!(
            "warning: system calls are NOT COUNTED: neither perf nor strace is here and may look \
             into other processes"
        ),
    }
    bench.print_header();
    bench.options.sections().try_for_each(|section| measure(&bench, section))
}

fn measure(bench: &Bench, section: Section) -> io::Result<()> {
    match section {
        Section::DeviceToDriver => device_to_driver::flat_out(bench),
        Section::DeviceToDriverPaced => device_to_driver::paced(bench),
        Section::DeviceToDriverRate => device_to_driver_rate::at_a_rate(bench),
        Section::DriverToDevice => driver_to_device::flat_out(bench),
        Section::Echo => echo::both_loops(bench),
        Section::Udp => udp::datagrams(bench),
        Section::UdpToDevice => udp_to_device::datagrams(bench),
        Section::Fanout => fanout::many_drivers(bench),
        Section::Churn => churn::short_lives(bench),
        Section::Idle => idle::crowds(bench),
        Section::Linear => linear::among_idle(bench),
        Section::Tls => tls::bulk_and_handshakes(bench),
        Section::Peers => peers::side_by_side(bench),
        Section::Scale => scale::numbers_of_devices(bench),
        Section::Crowds => crowds::beside_a_bystander(bench),
    }
}
