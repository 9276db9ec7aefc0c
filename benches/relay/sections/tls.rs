//! TLS: devices' bytes and handshakes, beside a bare rustls loop.
//!
//! The loader has to encrypt, too, and is easily the slower one. So there is a bar on what one
//! second of the relay's CPU moves as well; MB/s say what both can do together. Below rustls the
//! bare loop has a buffer, without which the bar would be lower.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use crate::load::bench::Bench;
use crate::load::flood::{Reads, Sends, from_devices, to_devices};
use crate::load::handshake::{begin, close, finish, trusting};
use crate::load::loader::Load;
use crate::options::Direction;
use crate::process::ports::{address_of, connect};
use crate::process::sample::Sample;
use crate::process::subject::Subject;
use crate::report::table::Bar;
use crate::wire::to_driver::Event;

const CHUNK: usize = 64 << 10;

/// Nothing happens for so long only when the relay has lost a connection.
const SILENCE_MAX: Duration = Duration::from_secs(5);

/// Both directions flat out, then handshakes.
pub fn bulk_and_handshakes(bench: &Bench) -> io::Result<()> {
    bench.title("tls: one device flat out, 64 KiB a write; against a bare rustls loop");
    bulk(bench, Direction::DeviceToDriver, "to the driver")?;
    bulk(bench, Direction::DriverToDevice, "to the device")?;
    bench.title("tls: devices shake hands and close");
    handshakes(bench, 1)?;
    handshakes(bench, 8)
}

fn bulk(bench: &Bench, direction: Direction, name: &str) -> io::Result<()> {
    if !bench.measures(name) {
        return Ok(());
    }
    let samples = bench.compare(&subjects(bench, direction), |subject| {
        let mut load = Load::tls(bench, subject, 1)?;
        match direction {
            Direction::DeviceToDriver => from_devices(&mut load, 1, CHUNK, Reads::AtOnce),
            Direction::DriverToDevice => to_devices(&mut load, CHUNK, Sends::Together),
        }
    })?;
    bench.row(&format!("{name}: MB/s"), Bar::AtLeast(0.8), &samples, |sample| {
        megabytes(sample.rate())
    });
    let what = format!("{name}: MB per CPU s of the relay");
    let figure = |sample: &Sample| megabytes(sample.count / sample.relay_cpu);
    bench.row(&what, Bar::AtLeast(0.8), &samples, figure);
    Ok(())
}

fn handshakes(bench: &Bench, at_once: u64) -> io::Result<()> {
    let shape = format!("{at_once} at once");
    if !bench.measures(&shape) {
        return Ok(());
    }
    let samples = bench.compare(&subjects(bench, Direction::DeviceToDriver), |subject| {
        shake_hands(&mut Load::tls(bench, subject, 0)?, at_once)
    })?;
    bench.row(&format!("{shape}: handshakes/s"), Bar::None, &samples, Sample::rate);
    bench.row(&format!("{shape}: CPU µs/handshake"), Bar::None, &samples, Sample::cost);
    Ok(())
}

fn subjects(bench: &Bench, direction: Direction) -> Vec<Subject> {
    Subject::pair_with(&bench.options, Subject::BareTls(direction))
}

fn megabytes(chunks: f64) -> f64 {
    chunks * CHUNK as f64 / 1e6
}

/// The first flights of `at_once` devices are on their way at any time; each is then finished in
/// its turn, which is the order in which the bare loop takes them.
fn shake_hands(load: &mut Load<'_>, at_once: u64) -> io::Result<Sample> {
    let (config, mut window) = (trusting()?, load.window());
    let (mut begun, mut born, mut closed) = (VecDeque::new(), 0, 0);
    let mut progress = Instant::now();
    loop {
        if let Some(sample) = load.step(&mut window, closed)? {
            return Ok(sample);
        }
        while born < closed + at_once {
            let socket = connect(load.relay.device_port, address_of(born))?;
            begun.push_back(begin(&config, socket)?);
            born += 1;
        }
        if let Some(session) = begun.pop_front() {
            close(finish(session)?)?;
        }
        load.wait(if begun.is_empty() { Duration::from_millis(5) } else { Duration::ZERO })?;
        let more = count_closed(load)?;
        closed += more;
        if more > 0 {
            progress = Instant::now();
        } else if progress.elapsed() > SILENCE_MAX {
            return Err(io::Error::other("the relay does not tell that a device has closed"));
        }
    }
}

/// Devices that drivers were told have closed since.
fn count_closed(load: &mut Load<'_>) -> io::Result<u64> {
    let mut closed = 0;
    load.receive(|_, event| match event {
        Event::Opened(_) => Ok(()),
        Event::Closed(_) => {
            closed += 1;
            Ok(())
        }
        Event::Received(..) => Err(io::Error::other("a device said something")),
    })?;
    Ok(closed)
}
