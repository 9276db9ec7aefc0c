//! A tunnel under measurement: its server on the relay's CPU, its client on the loader's.

use std::fs::read_to_string;
use std::io;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use nix::unistd::Pid;

use super::machine::{LOADER_CPU, RELAY_CPU};
use super::memory::peak_of;
use super::peer::{Peer, Places};
use super::ports::{free_port, is_listening};
use super::running::{Running, Stopped, cpu_of, start_on};
use super::window::Measured;

/// Processes that a server has at the most: sshd has one for each client.
const FAMILY_MAX: usize = 16;

/// A tunnel that stands.
pub struct Tunnel {
    server: Running,
    _client: Running,
    _folder: Folder,
    /// Where devices connect.
    pub device_port: u16,
}

impl Tunnel {
    /// Starts both ends, and waits until devices can connect.
    pub fn start(peer: Peer, target: u16) -> io::Result<Self> {
        let folder = Folder::new()?;
        let control = peer.fixed_control().map_or_else(free_port, Ok)?;
        let at = Places { control, device: free_port()?, target };
        if is_listening(control)? {
            return Err(io::Error::other(format!("somebody listens at port {control} already")));
        }
        let mut server = start_on(RELAY_CPU, peer.server(at, &folder.0)?.stdout(Stdio::null()))?;
        server.wait_until_listening(at.control)?;
        let mut client = start_on(LOADER_CPU, peer.client(at, &folder.0)?.stdout(Stdio::null()))?;
        // The server listens there once the client asks for it.
        client.wait_until_listening(at.device)?;
        Ok(Self { server, _client: client, _folder: folder, device_port: at.device })
    }

    /// Has the server stand still while the result lives.
    pub fn stop(&self) -> io::Result<Vec<Stopped>> {
        family(self.server.pid()).into_iter().map(Stopped::new).collect()
    }

    /// The most memory that the server had, in bytes. What its processes share counts for each.
    pub fn server_peak(&self) -> io::Result<u64> {
        family(self.server.pid()).into_iter().map(peak_of).sum()
    }
}

impl Measured for Tunnel {
    fn cpu(&self) -> io::Result<Duration> {
        family(self.server.pid()).into_iter().map(cpu_of).sum()
    }

    fn process(&self) -> Pid {
        self.server.pid()
    }
}

/// A process and those that it started, which all run for as long as the tunnel stands.
fn family(first: Pid) -> Vec<Pid> {
    let mut all = vec![first];
    let mut at = 0;
    while at < all.len() && all.len() < FAMILY_MAX {
        let pid = all[at];
        let children = read_to_string(format!("/proc/{pid}/task/{pid}/children"));
        let children = children.unwrap_or_default();
        let numbers = children.split_whitespace().filter_map(|child| child.parse().ok());
        all.extend(numbers.map(Pid::from_raw));
        at += 1;
    }
    all
}

/// A folder that is removed at the end.
struct Folder(PathBuf);

impl Folder {
    fn new() -> io::Result<Self> {
        let name = format!("relay-peers-{}-{}", std::process::id(), free_port()?);
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir(&path)?;
        Ok(Self(path))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What stays behind are a few small files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
