//! What systemd is told, as sd_notify(3) has it: that we serve, that we read files again, that we
//! stop, and, where it asks, that the loop still turns.
//!
//! Deliberately absent: status texts, the store for descriptors, longer timeouts. Nothing here
//! fails the server, and nothing here waits: a manager that does not listen learns nothing.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use log::warn;
use nix::time::{ClockId, clock_gettime};

use crate::limits::WATCHDOG_INTERVAL_MIN;

/// How to reach it; the default is that there is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NotifySettings {
    /// Its socket: a path, or an abstract name behind an `@`.
    pub socket: Option<PathBuf>,
    /// It restarts us when it has not heard of us for so long.
    pub watchdog: Option<Duration>,
}

/// Whoever started us and wants to know how we are.
pub struct ServiceManager {
    socket: Option<UnixDatagram>,
    watchdog: Option<Watchdog>,
}

struct Watchdog {
    interval: Duration,
    next: Instant,
}

impl ServiceManager {
    /// Connects to it, where there is one.
    pub fn open(settings: &NotifySettings, now: Instant) -> Self {
        let Some(path) = &settings.socket else { return Self { socket: None, watchdog: None } };
        let socket = connect(path).inspect_err(|error| {
            warn!("the service manager can't be told anything: {}: {error}", path.display());
        });
        let watchdog = settings.watchdog.map(|patience| Watchdog {
            // Twice in that time, as sd_watchdog_enabled(3) advises.
            interval: (patience / 2).max(WATCHDOG_INTERVAL_MIN),
            next: now,
        });
        Self { watchdog: watchdog.filter(|_| socket.is_ok()), socket: socket.ok() }
    }

    /// Drivers can be taken.
    pub fn tell_ready(&self) {
        self.tell("READY=1");
    }

    /// Files are read again; [`ServiceManager::tell_ready`] follows.
    pub fn tell_reloading(&self) {
        // It tells our READY from an earlier one by this time.
        let time = clock_gettime(ClockId::CLOCK_MONOTONIC).map_or(Duration::ZERO, Duration::from);
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={}", time.as_micros()));
    }

    /// We were asked to stop and do so.
    pub fn tell_stopping(&self) {
        self.tell("STOPPING=1");
    }

    /// Says that the loop turns, where it is time for that.
    pub fn handle_turn(&mut self, now: Instant) {
        let Some(watchdog) = self.watchdog.as_mut().filter(|watchdog| now >= watchdog.next) else {
            return;
        };
        watchdog.next = now + watchdog.interval;
        self.tell("WATCHDOG=1");
    }

    /// How long the loop may sleep, so that it can say that it turns.
    pub fn poll_timeout(&self, now: Instant) -> Option<Duration> {
        self.watchdog.as_ref().map(|watchdog| watchdog.next.saturating_duration_since(now))
    }

    fn tell(&self, what: &str) {
        // It has gone, or is behind: either way the next thing to tell may get there.
        let _ = self.socket.as_ref().map(|socket| socket.send(what.as_bytes()));
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let name = path.as_os_str().as_bytes();
    let address = match name.strip_prefix(b"@") {
        Some(abstract_name) => SocketAddr::from_abstract_name(abstract_name)?,
        None => SocketAddr::from_pathname(path)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.connect_addr(&address)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manager(watchdog: Option<Duration>, now: Instant) -> (UnixDatagram, ServiceManager) {
        let name = format!("dispatch-{}", crate::net::random::uuid().unwrap());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        socket.set_nonblocking(true).unwrap();
        let settings = NotifySettings { socket: Some(format!("@{name}").into()), watchdog };
        (socket, ServiceManager::open(&settings, now))
    }

    fn heard(socket: &UnixDatagram) -> Option<String> {
        let mut bytes = [0; 256];
        let len = socket.recv(&mut bytes).ok()?;
        Some(String::from_utf8(bytes[..len].to_vec()).unwrap())
    }

    #[test]
    fn it_is_told_what_we_do() {
        let (socket, manager) = manager(None, Instant::now());
        manager.tell_ready();
        manager.tell_reloading();
        manager.tell_stopping();
        assert_eq!(heard(&socket).as_deref(), Some("READY=1"));
        let reloading = heard(&socket).unwrap();
        let time = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(time.parse::<u64>().unwrap() > 0, "{reloading}");
        assert_eq!(heard(&socket).as_deref(), Some("STOPPING=1"));
    }

    #[test]
    fn the_watchdog_hears_of_us_twice_in_its_time() {
        let (second, start) = (Duration::from_secs(1), Instant::now());
        let (socket, mut manager) = manager(Some(2 * second), start);
        assert_eq!(manager.poll_timeout(start), Some(Duration::ZERO));
        for (seconds, expected) in [(0.0, true), (0.9, false), (1.0, true), (1.1, false)] {
            manager.handle_turn(start + second.mul_f64(seconds));
            let told = heard(&socket).is_some_and(|what| what == "WATCHDOG=1");
            assert_eq!(told, expected, "after {seconds} s");
        }
        assert_eq!(manager.poll_timeout(start + second), Some(second));
    }

    #[test]
    fn a_manager_that_does_not_ask_is_not_told_and_wakes_nobody() {
        let now = Instant::now();
        let (socket, mut quiet) = manager(None, now);
        quiet.handle_turn(now);
        assert_eq!((heard(&socket), quiet.poll_timeout(now)), (None, None));

        let absent = NotifySettings {
            socket: Some("/nonexistent/notify".into()),
            watchdog: Some(Duration::from_secs(1)),
        };
        for settings in [NotifySettings::default(), absent] {
            let mut manager = ServiceManager::open(&settings, now);
            manager.tell_ready();
            manager.handle_turn(now);
            assert_eq!(manager.poll_timeout(now), None);
        }
    }

    #[test]
    fn a_watchdog_without_patience_does_not_make_the_loop_spin() {
        let now = Instant::now();
        let (_socket, mut manager) = manager(Some(Duration::from_micros(1)), now);
        manager.handle_turn(now);
        assert_eq!(manager.poll_timeout(now), Some(WATCHDOG_INTERVAL_MIN));
    }
}
