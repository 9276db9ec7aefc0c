//! A relay under measurement, as a process of its own.

use std::io;
use std::process::Stdio;
use std::time::Duration;

use nix::unistd::Pid;

use super::machine::RELAY_CPU;
use super::ports::free_port;
use super::running::{Running, Stopped, start_on};
use super::subject::Subject;
use super::window::Measured;

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
        let mut process = start_on(RELAY_CPU, &mut command)?;
        // Trying with the device port would make the baseline count a device.
        process.wait_until_listening(driver_port)?;
        Ok(Self { process, subject: subject.clone(), driver_port, device_port })
    }

    /// Has it stand still while the result lives.
    pub fn stop(&self) -> io::Result<Stopped> {
        self.process.stop()
    }

    /// What a driver must say first, if anything.
    pub fn request(&self, protocol: &str, port: u16) -> Option<String> {
        self.subject.request(protocol, port)
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
