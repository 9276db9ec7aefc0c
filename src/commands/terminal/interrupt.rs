//! Ctrl-C, and SIGTERM: while there is a connection, it is closed in good order; while there is
//! none, there is nothing to close, and the process ends at once with success.
//!
//! That frees connecting and pausing from having to be interruptible. SIGHUP keeps its meaning,
//! so that a terminal that is closed ends the command.

use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level::pipe};

/// What was asked for by signals.
pub struct Interrupt {
    wake: UnixStream,
    asked: Arc<AtomicBool>,
    idle: Arc<AtomicBool>,
}

impl Interrupt {
    /// Takes over the signals.
    ///
    /// # Errors
    /// The system refuses a socket pair or a handler.
    pub fn install() -> io::Result<Self> {
        let (wake, wakes) = UnixStream::pair()?;
        wake.set_nonblocking(true)?;
        let (asked, idle) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
        for signal in [SIGINT, SIGTERM] {
            // Handlers run in this order: the second signal finds the flag set by the first.
            flag::register_conditional_shutdown(signal, 0, Arc::clone(&idle))?;
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&asked))?;
            flag::register(signal, Arc::clone(&asked))?;
            pipe::register(signal, wakes.try_clone()?)?;
        }
        Ok(Self { wake, asked, idle })
    }

    /// Becomes readable with the first signal, and stays so.
    pub fn wake(&self) -> &UnixStream {
        &self.wake
    }

    /// Whether there is a connection that a signal must leave time to close.
    pub fn set_connected(&self, connected: bool) {
        self.idle.store(!connected, Ordering::SeqCst);
    }

    /// Whether it is time to end.
    pub fn is_asked(&self) -> bool {
        self.asked.load(Ordering::SeqCst)
    }
}
