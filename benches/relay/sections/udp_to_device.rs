//! Datagrams to devices.
//!
//! Flat out, but never more on their way than find room in the devices' sockets: whatever is lost
//! then, the relay has lost.

use std::io;
use std::time::{Duration, Instant};

use crate::load::bench::Bench;
use crate::load::loader::Load;
use crate::load::receivers::Receivers;
use crate::options::Writes;
use crate::process::sample::Sample;
use crate::process::subject::Subject;
use crate::report::table::Bar;
use crate::wire::to_relay::Mask;

/// Datagrams on their way at once, at the most.
const ON_THEIR_WAY_MAX: usize = 2_048;

/// What a driver hands to the kernel at once, and what stands in front of each datagram in it.
const SEND_BYTES: usize = 64 << 10;
const HEADERS_BYTES: usize = 32;

/// What has not arrived after so long without another never will.
const LOST_AFTER: Duration = Duration::from_millis(500);

/// One or eight drivers of one port, to one device or many.
pub fn datagrams(bench: &Bench) -> io::Result<()> {
    bench.title("udp-to-device: drivers flat out, as many on their way as devices have room for");
    for (drivers, name) in [(1, "1 driver"), (8, "8 drivers")] {
        for devices in [1, 64] {
            for (size, bytes) in [(64, "64 B"), (1_400, "1,400 B")] {
                let name = format!("{name}, {devices} x {bytes}");
                if bench.measures(&name) {
                    Shape { name, drivers, devices, size }.measure(bench)?;
                }
            }
        }
    }
    Ok(())
}

struct Shape {
    name: String,
    drivers: usize,
    devices: usize,
    size: usize,
}

impl Shape {
    fn measure(&self, bench: &Bench) -> io::Result<()> {
        let subjects = Subject::pair_with(&bench.options, Subject::Baseline(Writes::Datagrams));
        let findings = bench.compare_and_count(
            &subjects,
            |subject| {
                let mut load = Load::start(bench, subject)?;
                let port = load.relay.device_port;
                (0..self.drivers).try_for_each(|_| load.join("udp", port)).map(|()| load)
            },
            |load| Flood::start(load, self)?.run(),
        )?;
        let (name, samples) = (&self.name, &findings.timed);
        let what = format!("{name}: thousand/s");
        bench.row(&what, Bar::None, samples, |sample| sample.rate() / 1e3);
        bench.row(&format!("{name}: CPU µs/datagram"), Bar::None, samples, Sample::cost);
        bench.row(&format!("{name}: % lost"), Bar::None, samples, |sample| sample.lost * 100.0);
        bench.row_of_calls(&format!("{name}: calls/datagram"), findings.counted.as_ref());
        Ok(())
    }
}

struct Flood<'r, 'b> {
    load: &'r mut Load<'b>,
    receivers: Receivers,
    mask: Mask,
    on_their_way_max: u64,
    per_send: u64,
    datagram: Vec<u8>,
    sent: u64,
    arrived: u64,
    lost: u64,
    progress: Instant,
}

impl<'r, 'b> Flood<'r, 'b> {
    fn start(load: &'r mut Load<'b>, shape: &Shape) -> io::Result<Self> {
        let receivers = Receivers::open(shape.devices, shape.drivers, shape.size)?;
        let on_their_way_max = receivers.room()?.min(ON_THEIR_WAY_MAX);
        let fit = SEND_BYTES / (HEADERS_BYTES + shape.size);
        Ok(Self {
            mask: load.bench.mask(),
            load,
            receivers,
            on_their_way_max: on_their_way_max as u64,
            per_send: fit.min(on_their_way_max / shape.drivers).max(1) as u64,
            datagram: Vec::new(),
            sent: 0,
            arrived: 0,
            lost: 0,
            progress: Instant::now(),
        })
    }

    fn run(mut self) -> io::Result<Sample> {
        let _stopped = self.load.bench.machine.without_loaders_spinner()?;
        let mut window = self.load.window();
        loop {
            if let Some(sample) = self.load.step(&mut window, self.arrived)? {
                return Ok(Sample { lost: self.lost as f64 / self.sent as f64, ..sample });
            }
            for driver in 0..self.load.drivers.len() {
                self.send(driver)?;
            }
            let more = self.receivers.receive(&self.load.bench.pattern)?;
            self.note(more);
            self.load.wait(Duration::ZERO)?;
        }
    }

    fn send(&mut self, driver: usize) -> io::Result<()> {
        let on_their_way = self.sent - self.arrived - self.lost;
        let fits = on_their_way + self.per_send <= self.on_their_way_max;
        if fits && self.load.drivers[driver].is_flushed() {
            (0..self.per_send).for_each(|_| self.write(driver));
        }
        self.load.drivers[driver].flush().map(drop)
    }

    fn write(&mut self, driver: usize) {
        let receiver = self.sent as usize % self.receivers.ports.len();
        self.receivers.make(&self.load.bench.pattern, driver, receiver, &mut self.datagram);
        let port = u64::from(self.receivers.ports[receiver]);
        let out = &mut self.load.drivers[driver].outgoing;
        self.mask.push_write(out, port, &self.datagram);
        self.sent += 1;
    }

    /// Counts what arrived, and gives up what has not for too long.
    fn note(&mut self, more: u64) {
        self.arrived += more;
        // What was given up may arrive after all.
        self.lost = self.lost.min(self.sent - self.arrived);
        if more > 0 || self.sent == self.arrived + self.lost {
            self.progress = Instant::now();
        } else if self.progress.elapsed() > LOST_AFTER {
            self.lost = self.sent - self.arrived;
        }
    }
}
