//! A relay under measurement, as a process of its own.

use std::io;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::unistd::Pid;

use super::machine::RELAY_CPU;
use super::ports::{free_port, is_listening};
use super::running::{Running, Stopped, start_on};
use super::subject::Subject;
use super::window::Measured;

/// A relay that does not listen after this long never will.
const START_MAX: Duration = Duration::from_secs(10);

/// A relay that runs.
pub struct Relay {
    process: Running,
    subject: Subject,
    /// Where drivers connect.
    pub driver_port: u16,
    /// Where devices connect.
    pub device_port: u16,
}

impl Relay {
    /// Starts a relay on its CPU and waits until it listens.
    pub fn start(subject: &Subject) -> io::Result<Self> {
        let (driver_port, device_port) = (free_port()?, free_port()?);
        let mut command = subject.command(driver_port, device_port)?;
        // It logs as it would in production, to somewhere that takes everything.
        command.stdout(Stdio::null());
        let process = start_on(RELAY_CPU, &mut command)?;
        let mut relay = Self { process, subject: subject.clone(), driver_port, device_port };
        relay.wait_until_it_listens()?;
        Ok(relay)
    }

    /// Has it stand still while the result lives.
    pub fn stop(&self) -> io::Result<Stopped> {
        self.process.stop()
    }

    /// What a driver must say first, if anything.
    pub fn request(&self, protocol: &str, port: u16) -> Option<String> {
        self.subject.request(protocol, port)
    }

    fn wait_until_it_listens(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + START_MAX;
        // Trying with the device port would make the baseline count a device.
        while !is_listening(self.driver_port)? {
            if let Some(status) = self.process.0.try_wait()? {
                return Err(io::Error::other(format!("the relay ended at once: {status}")));
            }
            if Instant::now() > deadline {
                return Err(io::Error::other("the relay does not listen"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Measured for Relay {
    fn cpu(&self) -> io::Result<Duration> {
        self.process.cpu()
    }

    fn process(&self) -> Pid {
        self.process.pid()
    }
}
