//! UDP devices that send, and what came of it.

use std::io::{self, IoSlice};
use std::net::{Ipv4Addr, UdpSocket};
use std::os::fd::AsRawFd;

use nix::sys::socket::{ControlMessage, MsgFlags, sendmsg};

use super::driver::Link;
use crate::wire::pattern::Pattern;
use crate::wire::to_driver::Event;

/// Devices that send.
pub const SENDERS: usize = 8;

/// Datagrams that a sender hands over at once, for the kernel to take apart (UDP_SEGMENT): one
/// system call for each would let the loader give out long before the relay.
pub const BURST: u64 = 8;

/// What was sent from where, and what came of it.
pub struct Senders {
    sockets: Vec<UdpSocket>,
    /// By local port, the sender's number.
    numbers: Vec<usize>,
    sent: Vec<u64>,
    burst: Vec<u8>,
    size: usize,
}

impl Senders {
    /// Sockets that send datagrams of `size` bytes to a port.
    pub fn open(port: u16, size: usize) -> io::Result<Self> {
        let (mut sockets, mut numbers) = (Vec::new(), vec![usize::MAX; 1 << 16]);
        for number in 0..SENDERS {
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
            socket.connect((Ipv4Addr::LOCALHOST, port))?;
            numbers[usize::from(socket.local_addr()?.port())] = number;
            sockets.push(socket);
        }
        let burst = vec![0; BURST as usize * size];
        Ok(Self { sockets, numbers, sent: vec![0; SENDERS], burst, size })
    }

    /// One burst; each datagram begins with the sender's count, which is also its place in the
    /// sender's pattern.
    pub fn send(&mut self, pattern: &Pattern, nth: u64) -> io::Result<()> {
        let sender = nth as usize % SENDERS;
        for datagram in self.burst.chunks_exact_mut(self.size) {
            self.sent[sender] += 1;
            let number = self.sent[sender];
            datagram[..8].copy_from_slice(&number.to_be_bytes());
            datagram[8..].copy_from_slice(pattern.slice(sender as u64, number, self.size - 8));
        }
        let each = [ControlMessage::UdpGsoSegments(&(self.size as u16))];
        let (socket, burst) = (self.sockets[sender].as_raw_fd(), [IoSlice::new(&self.burst)]);
        sendmsg::<()>(socket, &burst, &each, MsgFlags::empty(), None)?;
        Ok(())
    }

    /// Checks what a driver got; some may be missing, none may come twice or late.
    pub fn check(
        &self,
        pattern: &Pattern,
        link: &mut Link<'_>,
        event: Event<'_>,
    ) -> io::Result<()> {
        let Event::Received(port, data) = event else {
            return Err(io::Error::other("a datagram port told of a connection"));
        };
        let sender = self.numbers.get(port as usize).copied().unwrap_or(usize::MAX);
        let known = link.received.get_mut(sender);
        let (Some(last), Some((number, rest))) = (known, data.split_first_chunk()) else {
            return Err(io::Error::other("a datagram that nobody sent"));
        };
        let number = u64::from_be_bytes(*number);
        if number <= *last || data.len() != self.size {
            return Err(io::Error::other("a datagram came twice, late or cut"));
        }
        *last = number;
        pattern.check(sender as u64, number, rest)
    }
}
