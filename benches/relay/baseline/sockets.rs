//! What mio's sockets lack for the baseline.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::fd::AsFd;

use mio::net::{TcpListener, TcpStream, UdpSocket};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use crate::wire::nonblocking::waiting;

/// With a queue that takes a burst, which mio's own listener does not have.
pub fn listen(at: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&at.into())?;
    socket.listen(4096)?;
    Ok(TcpListener::from_std(socket.into()))
}

/// Writes all of it, and waits for room where there is none.
pub fn write_whole(stream: &mut TcpStream, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        match waiting(stream.write(bytes))? {
            Some(written) => bytes = &bytes[written..],
            None => wait_for_room(stream)?,
        }
    }
    Ok(())
}

/// Sends a datagram, and waits for room where there is none.
pub fn send_whole(socket: &UdpSocket, datagram: &[u8], to: SocketAddr) -> io::Result<()> {
    while waiting(socket.send_to(datagram, to))?.is_none() {
        wait_for_room(socket)?;
    }
    Ok(())
}

fn wait_for_room(socket: &impl AsFd) -> io::Result<()> {
    let mut room = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
    poll(&mut room, PollTimeout::from(1_000u16))?;
    Ok(())
}
