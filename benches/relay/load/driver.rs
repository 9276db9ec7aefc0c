//! One driver of the loader.

use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpStream as StdStream};
use std::time::Duration;

use mio::net::TcpStream;

use crate::process::ports::connect;
use crate::process::relay::Relay;
use crate::wire::nonblocking::waiting;
use crate::wire::pattern::Pattern;
use crate::wire::to_driver::{Event, Incoming};

/// A port is open within this time.
const OPEN_MAX: Duration = Duration::from_secs(30);

/// Connects a driver and waits until its port is open.
pub fn open_port(relay: &Relay, protocol: &str, port: u16) -> io::Result<(StdStream, Incoming)> {
    let mut stream = connect(relay.driver_port, Ipv4Addr::LOCALHOST)?;
    let mut incoming = Incoming::default();
    if let Some(request) = relay.request(protocol, port) {
        stream.set_read_timeout(Some(OPEN_MAX))?;
        stream.write_all(request.as_bytes())?;
        while !incoming.skip_head()? {
            incoming.fill(&mut stream)?;
        }
    }
    Ok((stream, incoming))
}

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
        let bytes = waiting(self.incoming.fill(&mut self.stream))?.unwrap_or(0);
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
        let Some(written) = waiting(self.stream.write(&self.outgoing[self.sent..]))? else {
            self.writable = false;
            return Ok(0);
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
