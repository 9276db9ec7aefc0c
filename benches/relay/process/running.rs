//! Processes that were started here, each on one CPU, and what they have taken of it.

use std::io;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::signal::{Signal, kill};
use nix::time::{ClockId, clock_getcpuclockid, clock_gettime};
use nix::unistd::Pid;

use super::ports::is_listening;

/// A process that does not listen after this long never will.
const START_MAX: Duration = Duration::from_secs(10);

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

impl Stopped {
    /// Has a process stand still.
    pub fn new(process: Pid) -> io::Result<Self> {
        kill(process, Signal::SIGSTOP)?;
        Ok(Self(process))
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        // One that has ended needs no waking.
        let _ = kill(self.0, Signal::SIGCONT);
    }
}

impl Running {
    /// Has it stand still while the result lives.
    pub fn stop(&self) -> io::Result<Stopped> {
        Stopped::new(self.pid())
    }

    /// Waits until somebody listens at a port, as this process is to. A connection would tell, too,
    /// but some take each for a device.
    pub fn wait_until_listening(&mut self, port: u16) -> io::Result<()> {
        let deadline = Instant::now() + START_MAX;
        while !is_listening(port)? {
            if let Some(status) = self.0.try_wait()? {
                return Err(io::Error::other(format!("a process ended at once: {status}")));
            }
            if Instant::now() > deadline {
                return Err(io::Error::other(format!("a process does not listen at port {port}")));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
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

/// Starts a process on one CPU. It inherits the place, so that even its start happens there.
pub fn start_on(cpu: usize, command: &mut Command) -> io::Result<Running> {
    let before = sched_getaffinity(Pid::from_raw(0))?;
    // Where there is one CPU only, everything stays where it is.
    let _ = pin(cpu);
    let child = command.stdin(Stdio::null()).spawn();
    sched_setaffinity(Pid::from_raw(0), &before)?;
    child.map(Running)
}

/// Binds this thread to one CPU.
pub fn pin(cpu: usize) -> io::Result<()> {
    let mut set = CpuSet::new();
    set.set(cpu)?;
    Ok(sched_setaffinity(Pid::from_raw(0), &set)?)
}
