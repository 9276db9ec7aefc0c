//! What the kernel tells of a process: its memory, and how often it woke up.

use std::fs::read_to_string;
use std::io;

use nix::unistd::Pid;

use super::relay::Relay;
use super::window::Measured;

/// Bytes of memory.
pub struct Memory {
    /// All pages that are there.
    pub resident: u64,
    /// The same, with shared pages counted in parts.
    pub proportional: u64,
}

impl Memory {
    /// What a relay has now.
    pub fn of(relay: &Relay) -> io::Result<Self> {
        let text = read_to_string(format!("/proc/{}/smaps_rollup", relay.process()))?;
        let resident = number_after(&text, "Rss:")? << 10;
        Ok(Self { resident, proportional: number_after(&text, "Pss:")? << 10 })
    }
}

/// How often a relay has waited, and was woken.
pub fn wake_ups(relay: &Relay) -> io::Result<u64> {
    let status = read_to_string(format!("/proc/{}/status", relay.process()))?;
    number_after(&status, "voluntary_ctxt_switches:")
}

/// The most memory that a process had, in bytes.
pub fn peak_of(process: Pid) -> io::Result<u64> {
    let status = read_to_string(format!("/proc/{process}/status"))?;
    Ok(number_after(&status, "VmHWM:")? << 10)
}

fn number_after(text: &str, name: &str) -> io::Result<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    number.ok_or_else(|| io::Error::other(format!("the kernel does not tell {name}")))
}
