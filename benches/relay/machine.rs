//! The machine: which process runs where, and how much of a CPU each took.
//!
//! On a small virtual machine waking a halted CPU costs more than all that is measured here. So
//! the relay has CPU 0 for itself and the loader CPU 1, and on each a process of the lowest
//! priority (`SCHED_IDLE`) spins, which gives way to anything else at once. Its time counts for
//! nobody; what of the two CPUs is then in nobody's account was taken by others. The loader's
//! spinner pauses while the loader spins itself: if a spinner gets but its 0.3 per cent, in slices
//! of some milliseconds, then these are the 99th percentile.

use std::io;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use super::options::Role;

/// Where the relay runs.
pub const RELAY_CPU: usize = 0;
/// Where the loader runs.
pub const LOADER_CPU: usize = 1;

/// A spinner ends by itself after this long, should nobody end it.
const SPIN_MAX: Duration = Duration::from_secs(1_200);

/// A process that ends when this is dropped, however that comes about.
pub struct Running(pub Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process that stands still while this lives.
pub struct Stopped(Pid);

impl Drop for Stopped {
    fn drop(&mut self) {
        // One that has ended needs no waking.
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

impl Running {
    /// Has it stand still while the result lives.
    pub fn stop(&self) -> io::Result<Stopped> {
        kill(self.pid(), Signal::SIGSTOP)?;
        Ok(Stopped(self.pid()))
    }

    /// CPU time that it has taken so far.
    pub fn cpu(&self) -> io::Result<Duration> {
        cpu_of(self.pid())
    }

    /// Its number.
    pub fn pid(&self) -> Pid {
        Pid::from_raw(self.0.id() as i32)
    }
}

/// CPU time that a process has taken so far, user and system.
pub fn cpu_of(process: Pid) -> io::Result<Duration> {
    let clock: ClockId = clock_getcpuclockid(process)?;
    Ok(clock_gettime(clock)?.into())
}

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
    command.args(["--idle", "0"]).arg(std::env::current_exe()?).args(Role::SPIN);
    start_on(cpu, &mut command)
}

/// Starts a process on one CPU. It inherits the place, so that even its start happens there.
pub fn start_on(cpu: usize, command: &mut Command) -> io::Result<Running> {
    let before = sched_getaffinity(Pid::from_raw(0))?;
    // Where there is one CPU only, everything stays where it is.
    let _ = pin(cpu);
    let child = command.stdin(Stdio::null()).spawn();
    sched_setaffinity(Pid::from_raw(0), &before)?;
    child.map(Running)
}

fn pin(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}

/// Spins until whoever started it is gone.
pub fn spin() {
    let (started, parent) = (Instant::now(), std::os::unix::process::parent_id());
    while started.elapsed() < SPIN_MAX && std::os::unix::process::parent_id() == parent {
        (0..100_000).for_each(|_| std::hint::spin_loop());
    }
}
