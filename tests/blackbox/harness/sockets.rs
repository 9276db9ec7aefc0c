//! TCP connections as a test wants them.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};

use super::patience;

/// A receive window so small that what is not read stays with dispatch.
pub const SMALL_WINDOW: usize = 4096;

/// Connects, from this address where one is given, and gives up reads and writes that take too
/// long.
pub fn connect(
    to: SocketAddr,
    from: Option<IpAddr>,
    window: Option<usize>,
) -> io::Result<TcpStream> {
    let domain = if to.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
    let socket = Socket::new(domain, Type::STREAM, None)?;
    if let Some(bytes) = window {
        socket.set_recv_buffer_size(bytes)?;
    }
    if let Some(ip) = from {
        socket.bind(&SocketAddr::new(ip, 0).into())?;
    }
    socket.connect(&to.into())?;
    let stream = TcpStream::from(socket);
    set_patience(&stream)?;
    Ok(stream)
}

pub fn set_patience(stream: &TcpStream) -> io::Result<()> {
    stream.set_read_timeout(Some(patience()))?;
    stream.set_write_timeout(Some(patience()))
}

/// Gives a connection with a small window a larger one, so that the rest is read in fewer rounds.
pub fn widen_window(stream: &TcpStream) {
    SockRef::from(stream).set_recv_buffer_size(1 << 20).expect("a window can grow");
}

/// Closes a connection so that the other end sees a reset.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(Duration::ZERO)).expect("a TCP socket can linger");
    drop(stream);
}

/// Where a device or peer with this address reaches us: loopback of the same family.
pub fn loopback_of(own: IpAddr) -> IpAddr {
    match own {
        IpAddr::V4(_) => [127, 0, 0, 1].into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
    }
}
