//! What people use in dispatch's place: tunnels.
//!
//! Their clients take the place of the driver, and share the loader's CPU with it.

use std::io;

use crate::load::bench::Bench;
use crate::load::echo::{CHUNK, Echo};
use crate::load::flood::{Reads, from_devices};
use crate::load::lives::live;
use crate::load::loader::Load;
use crate::load::tunneled::Tunneled;
use crate::process::memory::peak_of;
use crate::process::peer::Peer;
use crate::process::sample::Sample;
use crate::process::subject::Subject;
use crate::process::window::Measured;
use crate::report::comparison::Samples;
use crate::report::table::Bar;

/// Whose turn it is.
#[derive(Clone, Copy)]
enum Contender {
    Dispatch,
    Peer(Peer),
}

/// What is asked of each.
#[derive(Clone, Copy)]
enum Task {
    /// So many devices send chunks of this size, as many as they can.
    Flood { devices: usize, chunk: usize },
    /// So many devices wait for an answer before they speak again.
    Echo { devices: usize },
    /// So many devices at once connect, say a line and close.
    Lives { at_once: u64 },
}

impl Task {
    /// Devices that are there from the beginning.
    fn devices(self) -> usize {
        match self {
            Self::Flood { devices, .. } | Self::Echo { devices } => devices,
            Self::Lives { .. } => 0,
        }
    }
}

/// All tasks, as they are described.
const TASKS: [(Task, &str); 7] = [
    (Task::Flood { devices: 1, chunk: 64 << 10 }, "1 x 64 KiB"),
    (Task::Flood { devices: 16, chunk: 64 << 10 }, "16 x 64 KiB"),
    (Task::Flood { devices: 16, chunk: 4 << 10 }, "16 x 4 KiB"),
    (Task::Echo { devices: 1 }, "echo of 1"),
    (Task::Echo { devices: 64 }, "echo of 64"),
    (Task::Lives { at_once: 1 }, "lives, 1 at once"),
    (Task::Lives { at_once: 32 }, "lives, 32 at once"),
];

/// Each peer beside dispatch, in alternating runs.
pub fn side_by_side(bench: &Bench) -> io::Result<()> {
    bench.title("peers: dispatch (left) and a tunnel in its place (right)");
    for peer in Peer::ALL {
        match peer.version() {
            Some(version) => {
                println!("{}: {version}", peer.name());
                TASKS.iter().try_for_each(|&(task, shape)| measure(bench, peer, task, shape))?;
            }
            None => println!("{}: NOT MEASURED, it is not installed", peer.name()),
        }
    }
    Ok(())
}

fn measure(bench: &Bench, peer: Peer, task: Task, shape: &str) -> io::Result<()> {
    let shape = format!("{}, {shape}", peer.name());
    if !bench.measures(&shape) {
        return Ok(());
    }
    let contenders = [Contender::Dispatch, Contender::Peer(peer)];
    let mut turn = Contender::Dispatch;
    let samples = bench.compare(&contenders, |contender| {
        turn = *contender;
        match turn {
            Contender::Dispatch => through_dispatch(bench, task),
            Contender::Peer(peer) => through_tunnel(bench, peer, task),
        }
    });
    match (samples, turn) {
        (Ok(samples), Contender::Dispatch | Contender::Peer(_)) => {
            print(bench, &shape, task, &samples);
        }
        (Err(error), Contender::Peer(_)) => println!("{shape}: FAILED, {error}"),
        (Err(error), Contender::Dispatch) => return Err(error),
    }
    Ok(())
}

fn through_tunnel(bench: &Bench, peer: Peer, task: Task) -> io::Result<Sample> {
    let mut tunneled = Tunneled::start(bench, peer)?.with_devices(task.devices())?;
    let sample = match task {
        Task::Flood { chunk, .. } => tunneled.flood(chunk)?,
        Task::Echo { .. } => tunneled.echo(CHUNK)?,
        Task::Lives { at_once } => tunneled.lives(at_once)?,
    };
    Ok(Sample { peak_bytes: tunneled.server_peak()?, ..sample })
}

fn through_dispatch(bench: &Bench, task: Task) -> io::Result<Sample> {
    let devices = task.devices();
    let mut load = Load::tcp(bench, &Subject::dispatch(&bench.options), 1, devices)?;
    let sample = match task {
        Task::Flood { chunk, .. } => from_devices(&mut load, devices, chunk, Reads::AtOnce)?,
        Task::Echo { .. } => Echo::new(&mut load).closed()?,
        Task::Lives { at_once } => live(&mut load, at_once)?,
    };
    Ok(Sample { peak_bytes: peak_of(load.relay.process())?, ..sample })
}

fn print(bench: &Bench, shape: &str, task: Task, samples: &Samples) {
    let row = |what: &str, figure: &dyn Fn(&Sample) -> f64| {
        bench.row(&format!("{shape}: {what}"), Bar::None, samples, figure);
    };
    match task {
        Task::Flood { chunk, .. } => {
            row("MB/s", &|sample| sample.rate() * chunk as f64 / 1e6);
            row("CPU s/GB", &|sample| sample.cost() * 1e3 / chunk as f64);
        }
        Task::Echo { .. } => {
            row("thousand trips/s", &|sample| sample.rate() / 1e3);
            row("p50 µs", &|sample| sample.percentile(0.5));
            row("p99 µs", &|sample| sample.percentile(0.99));
        }
        Task::Lives { .. } => row("thousand lives/s", &|sample| sample.rate() / 1e3),
    }
    row("peak MB", &|sample| sample.peak_bytes as f64 / 1e6);
}
