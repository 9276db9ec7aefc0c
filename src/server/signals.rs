//! Signals as something that a poll loop can watch.
//!
//! The first SIGINT or SIGTERM asks to stop, SIGHUP to read files again; each wakes the loop
//! through a socket pair. A second SIGINT or SIGTERM ends the process inside of the signal
//! handler, so that it works even when the loop does not come round. SIGPIPE is ignored by
//! Rust's runtime already.

use std::io::{self, Read};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::{flag, low_level::pipe};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// End, in good order.
    Stop,
    /// Read the certificate files again.
    Reload,
}

/// The signals that arrived and were not yet taken.
pub struct Signals {
    wake: UnixStream,
    stop: Arc<AtomicBool>,
    reload: Arc<AtomicBool>,
}

impl Signals {
    /// Takes over SIGINT, SIGTERM and SIGHUP for the rest of the process.
    ///
    /// # Errors
    /// The system refuses a socket pair or a handler.
    pub fn install() -> io::Result<Self> {
        let (wake, wakes) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let signals = Self { wake, stop: Arc::default(), reload: Arc::default() };
        let stopping = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM] {
            // Handlers run in the order they are registered: the first signal finds the flag
            // unset and sets it, the second finds it set.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&stopping))?;
            flag::register(signal, Arc::clone(&stopping))?;
            flag::register(signal, Arc::clone(&signals.stop))?;
            pipe::register(signal, wakes.try_clone()?)?;
        }
        // The Crystal version switched its log level by these; they must not end this one.
        for signal in [SIGUSR1, SIGUSR2] {
            flag::register(signal, Arc::default())?;
        }
        flag::register(SIGHUP, Arc::clone(&signals.reload))?;
        pipe::register(SIGHUP, wakes)?;
        Ok(signals)
    }

    /// The end to watch for reading; it does not block. Nothing else must read from it.
    pub fn wake(&self) -> &UnixStream {
        &self.wake
    }

    /// The next signal; to be called until it gives `None` whenever [`Signals::wake`] is
    /// readable.
    #[must_use]
    pub fn poll_signal(&mut self) -> Option<Signal> {
        // Emptied before the flags are looked at: a signal in between wakes the loop again.
        self.empty_wake();
        if self.stop.swap(false, Ordering::SeqCst) {
            Some(Signal::Stop)
        } else if self.reload.swap(false, Ordering::SeqCst) {
            Some(Signal::Reload)
        } else {
            None
        }
    }

    fn empty_wake(&mut self) {
        // Larger than what the kernel holds of one-byte writes, so that one read empties it; what
        // it says does not matter, the flags do.
        let _ = self.wake.read(&mut [0; 4096]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use signal_hook::low_level::raise;
    use std::time::Duration;

    // One test for all, since signals belong to the whole process and a second SIGTERM ends it.
    #[test]
    fn signals_wake_the_watcher_and_are_told_once() {
        let mut signals = Signals::install().unwrap();
        assert_eq!(signals.poll_signal(), None);
        assert!(signals.wake().read(&mut [0]).is_err(), "it must not block");

        raise(SIGHUP).unwrap();
        signals.wake().set_nonblocking(false).unwrap();
        signals.wake().set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        signals.wake().read_exact(&mut [0]).unwrap();
        signals.wake().set_nonblocking(true).unwrap();
        assert_eq!(signals.poll_signal(), Some(Signal::Reload));
        assert_eq!(signals.poll_signal(), None);

        raise(SIGHUP).unwrap();
        raise(SIGTERM).unwrap();
        assert_eq!(signals.poll_signal(), Some(Signal::Stop), "to stop comes first");
        assert_eq!(signals.poll_signal(), Some(Signal::Reload));
        assert_eq!(signals.poll_signal(), None);
    }
}
