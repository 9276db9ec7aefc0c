//! The machine: which process runs where, and what keeps its CPUs awake.
//!
//! On a small virtual machine waking a halted CPU costs more than all that is measured here. So
//! the relay has CPU 0 for itself and the loader CPU 1, and on each a process of the lowest
//! priority (`SCHED_IDLE`) spins, which gives way to anything else at once. Its time counts for
//! nobody; what of the two CPUs is then in nobody's account was taken by others. The loader's
//! spinner pauses while the loader spins itself: if a spinner gets but its 0.3 per cent, in slices
//! of some milliseconds, then these are the 99th percentile.

use std::io;
use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use super::running::{Running, Stopped, pin, start_on};
use crate::options::Role;

/// Where the relay runs.
pub const RELAY_CPU: usize = 0;
/// Where the loader runs, and the client of a tunnel.
pub const LOADER_CPU: usize = 1;

/// A spinner ends by itself after this long, should nobody end it.
const SPIN_MAX: Duration = Duration::from_secs(3_600);

/// Spinners on both CPUs, the loader's last, or none.
pub struct Machine {
    spinners: Vec<Running>,
}

impl Machine {
    /// Pins this process, which is the loader, and starts the spinners.
    pub fn prepare(spin: bool) -> io::Result<Self> {
        if std::thread::available_parallelism()?.get() < 2 {
            println!("warning: one CPU only; relay and loader take turns on it");
            return Ok(Self { spinners: Vec::new() });
        }
        pin(LOADER_CPU)?;
        let spinners = match spin {
            true => [RELAY_CPU, LOADER_CPU].into_iter().map(spinner).collect(),
            false => Ok(Vec::new()),
        };
        let spinners = spinners.unwrap_or_else(|error: io::Error| {
            println!("warning: no spinners ({error}); waking CPUs is part of what is measured");
            Vec::new()
        });
        Ok(Self { spinners })
    }

    /// CPU time of the spinners; `None` when there are none, and what others took is unknown.
    pub fn spun(&self) -> io::Result<Option<Duration>> {
        let all = self.spinners.iter().map(Running::cpu).collect::<io::Result<Vec<_>>>()?;
        Ok((!all.is_empty()).then(|| all.iter().sum()))
    }

    /// For a loader that never waits, and so needs nobody to keep its CPU awake.
    pub fn without_loaders_spinner(&self) -> io::Result<Option<Stopped>> {
        self.spinners.last().map(Running::stop).transpose()
    }
}

fn spinner(cpu: usize) -> io::Result<Running> {
    let mut command = Command::new("chrt");
    command.args(["--idle", "0"]).arg(std::env::current_exe()?).args(Role::Spin.arguments());
    start_on(cpu, &mut command)
}

/// Spins until the process that started it is gone.
pub fn spin() {
    let (started, parent) = (Instant::now(), std::os::unix::process::parent_id());
    while started.elapsed() < SPIN_MAX && std::os::unix::process::parent_id() == parent {
        (0..100_000).for_each(|_| std::hint::spin_loop());
    }
}

/// Lets this process have as many connections as it may; the relay raises its own limit.
pub fn raise_open_files() -> io::Result<()> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?)
}

/// How many descriptors a process may have.
pub fn open_files_max() -> io::Result<usize> {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE)?;
    Ok(usize::try_from(hard).unwrap_or(usize::MAX))
}
