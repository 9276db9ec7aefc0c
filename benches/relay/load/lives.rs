//! Short lives: connect, one line, close.

use std::collections::HashMap;
use std::io::{self, Write};
use std::time::{Duration, Instant};

use super::loader::Load;
use crate::process::ports::{address_of, connect};
use crate::process::sample::Sample;
use crate::wire::to_driver::Event;

/// What a device says in its life.
pub const LINE: &[u8] = b"temperature=21.5\r\n";

/// Nothing happens for so long only when the relay has lost a connection.
pub const SILENCE_MAX: Duration = Duration::from_secs(5);

/// As many lives as a relay takes, so many at once.
pub fn live(load: &mut Load<'_>, at_once: u64) -> io::Result<Sample> {
    let (mut window, mut lives) = (load.window(), Lives::default());
    loop {
        if let Some(sample) = load.step(&mut window, lives.closed)? {
            return Ok(sample);
        }
        while lives.born < lives.closed + at_once {
            let mut device = connect(load.relay.device_port, address_of(lives.born))?;
            device.write_all(LINE)?;
            lives.born += 1;
        }
        load.wait(Duration::from_millis(5))?;
        let before = lives.closed;
        load.receive(|_, event| lives.handle(event))?;
        if lives.closed > before {
            lives.progress = Instant::now();
        } else if lives.progress.elapsed() > SILENCE_MAX {
            return Err(io::Error::other("the relay does not tell that a device has closed"));
        }
    }
}

struct Lives {
    born: u64,
    opened: u64,
    /// Bytes that came of those that are not closed yet, by id.
    lines: HashMap<u64, usize>,
    closed: u64,
    progress: Instant,
}

impl Default for Lives {
    fn default() -> Self {
        let (lines, progress) = (HashMap::new(), Instant::now());
        Self { born: 0, opened: 0, lines, closed: 0, progress }
    }
}

impl Lives {
    /// Each device is opened, says its line and is closed, in this order and once.
    fn handle(&mut self, event: Event<'_>) -> io::Result<()> {
        match event {
            Event::Opened(id) if id == self.opened => {
                self.opened += 1;
                self.lines.insert(id, 0);
                Ok(())
            }
            Event::Received(id, data) => {
                let said = self.lines.get_mut(&id).ok_or_else(|| wrong("RECEIVED"))?;
                let expected = LINE.get(*said..*said + data.len());
                *said += data.len();
                if expected == Some(data) { Ok(()) } else { Err(wrong("RECEIVED")) }
            }
            Event::Closed(id) if self.lines.remove(&id) == Some(LINE.len()) => {
                self.closed += 1;
                Ok(())
            }
            Event::Opened(_) => Err(wrong("OPENED")),
            Event::Closed(_) => Err(wrong("CLOSED")),
        }
    }
}

fn wrong(kind: &str) -> io::Error {
    io::Error::other(format!("a message {kind} that should not be"))
}
