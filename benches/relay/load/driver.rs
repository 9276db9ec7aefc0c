//! One driver of the loader.

use std::io::{self, Write};

use mio::net::TcpStream;

use crate::wire::pattern::Pattern;
use crate::wire::to_driver::{Event, Incoming};

/// One driver.
pub struct Driver {
    stream: TcpStream,
    incoming: Incoming,
    /// What is to be sent, and how much of it was.
    pub outgoing: Vec<u8>,
    sent: usize,
    /// Whether something has come since it was read last.
    pub readable: bool,
    pub(super) writable: bool,
    /// Bytes that it has received of each device.
    pub received: Vec<u64>,
}

/// What a handler of messages may use of the driver that got them.
pub struct Link<'a> {
    /// Bytes that it has received of each device.
    pub received: &'a mut Vec<u64>,
    /// What is to be sent.
    pub outgoing: &'a mut Vec<u8>,
}

impl Driver {
    /// One whose port is open, and what came with the answer that said so.
    pub fn new(stream: TcpStream, incoming: Incoming) -> Self {
        let (outgoing, received) = (Vec::new(), Vec::new());
        Self { stream, incoming, outgoing, sent: 0, readable: true, writable: true, received }
    }

    /// Reads once, and hands over what came; says how many bytes.
    pub fn receive(
        &mut self,
        handle: &mut impl FnMut(&mut Link<'_>, Event<'_>) -> io::Result<()>,
    ) -> io::Result<usize> {
        let bytes = match self.incoming.fill(&mut self.stream) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(error) => return Err(error),
        };
        self.readable = false;
        let mut link = Link { received: &mut self.received, outgoing: &mut self.outgoing };
        while let Some(event) = self.incoming.next()? {
            handle(&mut link, event)?;
        }
        Ok(bytes)
    }

    /// Whether nothing is left to be sent.
    pub fn is_flushed(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Sends what there is; says how many bytes.
    pub fn flush(&mut self) -> io::Result<usize> {
        if self.outgoing.is_empty() || !self.writable {
            return Ok(0);
        }
        let written = match self.stream.write(&self.outgoing[self.sent..]) {
            Ok(written) => written,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                self.writable = false;
                return Ok(0);
            }
            Err(error) => return Err(error),
        };
        self.sent += written;
        if self.sent == self.outgoing.len() {
            self.outgoing.clear();
            self.sent = 0;
        }
        Ok(written)
    }
}

impl Link<'_> {
    /// Compares what a device's bytes should be with what came.
    pub fn check(&mut self, pattern: &Pattern, id: u64, data: &[u8]) -> io::Result<()> {
        let received = &mut self.received[id as usize];
        pattern.check(id, *received, data)?;
        *received += data.len() as u64;
        Ok(())
    }
}
