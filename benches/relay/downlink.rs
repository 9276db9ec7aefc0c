//! From drivers to devices.

use std::io;
use std::time::Duration;

use super::Bench;
use super::measure::{Findings, Sample};
use super::rig::Rig;
use super::server::Subject;
use super::table::Bar;
use super::uplink::{CHUNKS, DEVICES, print_bulk};

/// What a driver that has much to say hands to the kernel at once.
const SEND_BYTES: usize = 64 << 10;

/// Sends between two looks at the devices, where each is small.
const SENDS_PER_LOOK: usize = 16;

/// How a driver sends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Sends {
    /// Many messages in one send; the relay is the bottleneck.
    Together,
    /// One send for each message.
    Each,
}

/// As many WRITE messages as the driver can, to each device in turn.
pub fn flat_out(bench: &Bench) -> io::Result<()> {
    bench.title("downlink: one driver flat out, 64 KiB a send; against the floor one by one");
    for (chunk, size) in CHUNKS {
        for devices in DEVICES {
            shape(bench, devices, chunk, size, Sends::Together)?;
        }
    }
    bench.title("downlink, one send for each message");
    shape(bench, 1, 64, "64 B", Sends::Each)?;
    shape(bench, 64, 64, "64 B", Sends::Each)
}

fn shape(bench: &Bench, devices: usize, chunk: usize, size: &str, sends: Sends) -> io::Result<()> {
    let shape = match sends {
        Sends::Together => format!("{devices} x {size}"),
        Sends::Each => format!("{devices} x {size} each"),
    };
    if !bench.measures(&shape) {
        return Ok(());
    }
    let mut findings = bench.compare_and_count(
        &Subject::all(&bench.options),
        |subject| Rig::tcp(bench, subject, 1, devices),
        |rig| flood(rig, chunk, sends),
    )?;
    let bar = match (chunk, sends) {
        (64, Sends::Together) => Bar::AtLeast(1.0),
        (4_096, _) => Bar::AtLeast(0.95),
        _ => Bar::None,
    };
    print_bulk(bench, &shape, chunk, bar, &findings);
    print_gathered(bench, &shape, chunk, &mut findings);
    Ok(())
}

/// The same figures of dispatch beside those of the floor that gathers.
fn print_gathered(bench: &Bench, shape: &str, chunk: usize, findings: &mut Findings) {
    if findings.timed.len() < 3 {
        return;
    }
    findings.leave_out(1);
    let samples = &findings.timed;
    bench.row(&format!("{shape}: MB/s, floor gathers"), Bar::None, samples, |sample| {
        sample.rate() * chunk as f64 / 1e6
    });
    let what = format!("{shape}: CPU µs/message, floor gathers");
    bench.row(&what, Bar::None, samples, Sample::cost);
    let what = format!("{shape}: calls/message, floor gathers");
    bench.row_of_calls(&what, findings.counted.as_ref());
}

/// Sends messages to each device in turn, and counts the chunks that came.
pub fn flood(rig: &mut Rig<'_>, chunk: usize, sends: Sends) -> io::Result<Sample> {
    let (mut window, mut source) = (rig.window(), Source::new(rig, chunk, sends));
    let looks = if sends == Sends::Each { SENDS_PER_LOOK } else { 1 };
    loop {
        if let Some(sample) = rig.step(&mut window, rig.bytes_down / chunk as u64)? {
            return Ok(sample);
        }
        let mut moved = 0;
        for _ in 0..looks {
            if rig.drivers[0].is_flushed() {
                source.fill(rig);
            }
            moved += rig.drivers[0].flush()?;
        }
        for id in 0..rig.devices.len() {
            moved += rig.read(id)?;
        }
        let pause = if moved == 0 { Duration::from_millis(5) } else { Duration::ZERO };
        rig.wait(pause)?;
    }
}

/// Makes messages, to each device in turn.
struct Source {
    mask: super::wire::Mask,
    chunk: usize,
    per_send: usize,
    next: usize,
}

impl Source {
    fn new(rig: &Rig<'_>, chunk: usize, sends: Sends) -> Self {
        let per_send = match sends {
            Sends::Together => (SEND_BYTES / chunk).max(1),
            Sends::Each => 1,
        };
        Self { mask: rig.bench.mask(), chunk, per_send, next: 0 }
    }

    fn fill(&mut self, rig: &mut Rig<'_>) {
        for _ in 0..self.per_send {
            let id = self.next % rig.devices.len();
            let device = &mut rig.devices[id];
            let data = rig.bench.pattern.slice(id as u64, device.sent, self.chunk);
            self.mask.push_write(&mut rig.drivers[0].outgoing, id as u64, data);
            device.sent += self.chunk as u64;
            self.next += 1;
        }
    }
}
