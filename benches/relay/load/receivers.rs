//! UDP devices that receive, and what came of what drivers sent them.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use mio::net::UdpSocket;
use mio::{Events, Interest, Poll, Token};
use socket2::SockRef;

use crate::wire::nonblocking::waiting;
use crate::wire::pattern::Pattern;

/// What each socket asks the kernel for.
const ROOM_BYTES: usize = 4 << 20;

/// What a datagram takes of that beside twice its data, at the most.
const OVERHEAD_BYTES: usize = 1 << 10;

/// A datagram begins with the count of those from its driver to its receiver.
const COUNT_BYTES: usize = 8;

/// Datagrams to devices, of one size.
pub struct Receivers {
    poll: Poll,
    events: Events,
    sockets: Vec<UdpSocket>,
    /// Their ports.
    pub ports: Vec<u16>,
    size: usize,
    /// By driver and receiver, how many were sent.
    sent: Vec<u64>,
    /// By driver and receiver, the count of the last one that came.
    last: Vec<u64>,
    scratch: Vec<u8>,
}

impl Receivers {
    /// Sockets for datagrams of `size` bytes from each of the drivers.
    pub fn open(receivers: usize, drivers: usize, size: usize) -> io::Result<Self> {
        let (poll, mut sockets, mut ports) = (Poll::new()?, Vec::new(), Vec::new());
        for number in 0..receivers {
            let mut socket = UdpSocket::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
            SockRef::from(&socket).set_recv_buffer_size(ROOM_BYTES)?;
            poll.registry().register(&mut socket, Token(number), Interest::READABLE)?;
            ports.push(socket.local_addr()?.port());
            sockets.push(socket);
        }
        let (events, none) = (Events::with_capacity(receivers), vec![0; receivers * drivers]);
        let scratch = vec![0; size + 1];
        Ok(Self { poll, events, sockets, ports, size, sent: none.clone(), last: none, scratch })
    }

    /// How many datagrams find room whoever they are for.
    pub fn room(&self) -> io::Result<usize> {
        let bytes = SockRef::from(&self.sockets[0]).recv_buffer_size()?;
        Ok(bytes / (2 * self.size + OVERHEAD_BYTES))
    }

    /// Makes the next datagram from a driver to a receiver.
    pub fn make(&mut self, pattern: &Pattern, driver: usize, receiver: usize, out: &mut Vec<u8>) {
        let stream = driver * self.sockets.len() + receiver;
        self.sent[stream] += 1;
        let count = self.sent[stream];
        out.clear();
        out.extend_from_slice(&((driver as u64) << 48 | count).to_be_bytes());
        out.extend_from_slice(pattern.slice(stream as u64, count, self.size - COUNT_BYTES));
    }

    /// Reads what has come to all of them, each datagram checked; says how many.
    pub fn receive(&mut self, pattern: &Pattern) -> io::Result<u64> {
        self.poll.poll(&mut self.events, Some(Duration::ZERO))?;
        let mut received = 0;
        let ready: Vec<usize> = self.events.iter().map(|event| event.token().0).collect();
        for receiver in ready {
            while let Some(length) = waiting(self.sockets[receiver].recv(&mut self.scratch))? {
                self.check(pattern, receiver, length)?;
                received += 1;
            }
        }
        Ok(received)
    }

    /// Some may be missing, none may come twice or late.
    fn check(&mut self, pattern: &Pattern, receiver: usize, length: usize) -> io::Result<()> {
        let Some((head, rest)) = self.scratch[..length].split_first_chunk::<COUNT_BYTES>() else {
            return Err(io::Error::other("a datagram was cut"));
        };
        let head = u64::from_be_bytes(*head);
        let (driver, count) = ((head >> 48) as usize, head & ((1 << 48) - 1));
        let stream = driver * self.sockets.len() + receiver;
        let last = self.last.get_mut(stream);
        let last = last.ok_or_else(|| io::Error::other("a datagram that nobody sent"))?;
        if count <= *last || length != self.size {
            return Err(io::Error::other("a datagram came twice, late or cut"));
        }
        *last = count;
        pattern.check(stream as u64, count, rest)
    }
}
