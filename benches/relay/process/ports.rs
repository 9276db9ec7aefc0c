//! Ports and addresses on loopback, so that neither runs out.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU16, Ordering};

/// Where relays listen.
const PORTS: std::ops::Range<u16> = 10_000..19_000;

/// A port on which nobody listens. It is below those that the kernel gives to outgoing
/// connections: one of these, even ended, would keep the relay from opening it.
pub fn free_port() -> io::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    for _ in PORTS {
        let nth = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(std::process::id() as u16);
        let port = PORTS.start + nth % (PORTS.end - PORTS.start);
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::other("no port is free"))
}

/// Whether the kernel lists a listener on the port. A connection would tell, too, but the baseline
/// would take it for a driver.
pub fn is_listening(port: u16) -> io::Result<bool> {
    let wanted = format!("0100007F:{port:04X}");
    let listed = std::fs::read_to_string("/proc/net/tcp")?;
    Ok(listed.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next() == Some(&wanted) && fields.nth(1) == Some("0A")
    }))
}

/// One of many loopback addresses, since each has ports for a few seconds only.
pub fn address_of(nth: u64) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 0, (nth % 200) as u8 + 2)
}

/// A loopback address for this one alone, as each device of a building has its own.
pub fn own_address_of(nth: usize) -> Ipv4Addr {
    Ipv4Addr::from_bits(Ipv4Addr::new(127, 1, 0, 0).to_bits() + nth as u32)
}

/// Connects to a relay.
pub fn connect(to: u16, from: Ipv4Addr) -> io::Result<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    if from != Ipv4Addr::LOCALHOST {
        socket.bind(&SocketAddr::from((from, 0)).into())?;
    }
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, to)).into())?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}
