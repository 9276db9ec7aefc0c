//! The network in production: mio's sockets behind the trait [`Net`].
//!
//! This is the only place that sets socket options. It knows no driver, no device and no limit
//! on how often it is called, it keeps no list of what it opened, and it never waits: the loop
//! that polls and reads mio's events is its owner's.

mod several;
mod tcp;
#[cfg(test)]
mod testing;
mod udp;

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use nix::libc::{EADDRNOTAVAIL, EAFNOSUPPORT};
use socket2::{Domain, Socket, Type};

use crate::limits::INTERRUPTIONS_MAX;
use crate::net::datagrams::DatagramBatch;
use crate::net::{Net, Token};

use several::Several;
pub use tcp::{Listener, Stream};
pub use udp::Udp;

/// Opens sockets and registers them with one `mio::Poll`.
///
/// Lives on the thread that made it.
pub struct Sockets {
    registry: mio::Registry,
    headers: udp::Headers,
    /// Where device ports are opened; nowhere in particular where there is none.
    device_addresses: Vec<IpAddr>,
    /// Listeners that were open before us, until they are asked for.
    inherited: Vec<(SocketAddr, std::net::TcpListener)>,
}

impl Sockets {
    /// Sockets whose events go to the poll that `registry` belongs to.
    pub fn new(registry: mio::Registry) -> Self {
        Self {
            registry,
            headers: udp::Headers::default(),
            device_addresses: Vec::new(),
            inherited: Vec::new(),
        }
    }

    /// With device ports on these local addresses instead of all. A port is opened on each of them
    /// or not at all.
    pub fn with_device_addresses(mut self, addresses: Vec<IpAddr>) -> Self {
        self.device_addresses = addresses;
        self
    }

    /// With these listeners, which are not opened when they are asked for by their addresses.
    ///
    /// # Errors
    /// The address of one can't be had.
    pub fn with_listeners(
        mut self,
        listeners: Vec<std::net::TcpListener>,
    ) -> io::Result<(Self, Vec<SocketAddr>)> {
        let named = listeners.into_iter().map(|listener| Ok((listener.local_addr()?, listener)));
        self.inherited = named.collect::<io::Result<_>>()?;
        let addresses = self.inherited.iter().map(|&(address, _)| address).collect();
        Ok((self, addresses))
    }

    fn take_inherited(&mut self, address: SocketAddr) -> Option<std::net::TcpListener> {
        let at = self.inherited.iter().position(|&(inherited, _)| inherited == address)?;
        Some(self.inherited.swap_remove(at).1)
    }

    /// The sockets of a device port.
    fn open_device_port<T>(
        &self,
        port: u16,
        open: impl Fn(SocketAddr) -> io::Result<T>,
    ) -> io::Result<Several<T>> {
        match &self.device_addresses[..] {
            [] => on_all_addresses(port, |address| Ok(Several::one(address.ip(), open(address)?))),
            addresses => Several::open(addresses, port, open),
        }
    }
}

impl Net for Sockets {
    type Stream = Stream;
    type Listener = Several<Listener>;
    type Udp = Several<Udp>;

    fn open_http(&mut self, address: SocketAddr, token: Token) -> io::Result<Self::Listener> {
        let listener = match self.take_inherited(address) {
            Some(inherited) => Listener::adopt(inherited)?,
            None => Listener::open(canonical(address))?,
        };
        let mut listener = Several::one(address.ip(), listener);
        listener.register(&self.registry, token)?;
        Ok(listener)
    }

    fn open_tcp(&mut self, port: u16, token: Token) -> io::Result<Self::Listener> {
        let mut listeners = self.open_device_port(port, Listener::open_for_devices)?;
        listeners.register(&self.registry, token)?;
        Ok(listeners)
    }

    fn open_udp(&mut self, port: u16, token: Token) -> io::Result<Self::Udp> {
        let mut sockets = self.open_device_port(port, Udp::open)?;
        sockets.register(&self.registry, token)?;
        Ok(sockets)
    }

    fn local_address(&self, listener: &Self::Listener) -> io::Result<SocketAddr> {
        listener.first()?.local_address()
    }

    /// Besides `WouldBlock` and what [`crate::net::is_exhaustion`] knows, the errors are about
    /// the one connection, which is gone then: `ECONNABORTED`, `EPROTO`, `EPERM` (a firewall
    /// rule) and so on. The next connection can be taken at once.
    fn accept(&mut self, listener: &Self::Listener) -> io::Result<(Stream, SocketAddr)> {
        listener.in_turn(Listener::accept)
    }

    fn watch(&mut self, stream: &mut Stream, token: Token) -> io::Result<()> {
        stream.watch(&self.registry, mio::Token(token.0))
    }

    /// An ICMP error that the system reports here (`ECONNREFUSED`, `EHOSTUNREACH`) takes the
    /// place of a batch once; the next call goes on with the datagrams.
    fn receive(&mut self, udp: &Self::Udp, batch: &mut DatagramBatch) -> io::Result<()> {
        udp.in_turn(|socket| socket.receive(&mut self.headers, batch))?;
        if udp.are_many() {
            batch.note_more();
        }
        Ok(())
    }

    /// Typical errors besides `WouldBlock`: `EMSGSIZE` for a datagram too large, `ENETUNREACH`
    /// and `EHOSTUNREACH` without a route, `EPERM` by a firewall rule, `EINVAL` for a link-local
    /// address without its scope, `EAFNOSUPPORT` for IPv6 where the host has none.
    fn send(
        &mut self,
        udp: &Self::Udp,
        from: Option<IpAddr>,
        to: SocketAddr,
        data: &[u8],
    ) -> io::Result<()> {
        udp.toward(from, to)?.send(from, to, data)
    }
}

/// Whether sockets can be bound to this address.
///
/// # Errors
/// The system's reason.
pub fn check_local(address: IpAddr) -> io::Result<()> {
    Udp::open((address, 0).into()).map(drop)
}

/// Opens `[::]:port`, which takes IPv4 as well, or `0.0.0.0:port` on a host without IPv6.
fn on_all_addresses<T>(port: u16, open: impl Fn(SocketAddr) -> io::Result<T>) -> io::Result<T> {
    match open((Ipv6Addr::UNSPECIFIED, port).into()) {
        Err(error) if lacks_ipv6(&error) => open((Ipv4Addr::UNSPECIFIED, port).into()),
        opened_or_failed => opened_or_failed,
    }
}

fn lacks_ipv6(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EAFNOSUPPORT | EADDRNOTAVAIL))
}

/// A non-blocking, close-on-exec socket for `address`, not bound yet. Only the IPv6 wildcard
/// takes IPv4 too, whatever `net.ipv6.bindv6only` says.
fn socket_for(address: SocketAddr, kind: Type) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), kind, None)?;
    socket.set_nonblocking(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(!address.ip().is_unspecified())?;
    }
    Ok(socket)
}

/// An IPv4-mapped IPv6 address as the IPv4 address that it is. Others keep their scope: a
/// link-local peer is not reached without it.
fn canonical(address: SocketAddr) -> SocketAddr {
    match address.ip().to_canonical() {
        IpAddr::V4(ip) => (ip, address.port()).into(),
        IpAddr::V6(_) => address,
    }
}

/// Repeats a call that a signal interrupted, for no event would. What is interrupted even after
/// that fails.
fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for _ in 0..INTERRUPTIONS_MAX {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            done => return done,
        }
    }
    call()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn without_ipv6(reason: i32) -> impl Fn(SocketAddr) -> io::Result<SocketAddr> {
        move |address| match address {
            SocketAddr::V4(_) => Ok(address),
            SocketAddr::V6(_) => Err(io::Error::from_raw_os_error(reason)),
        }
    }

    #[test]
    fn a_host_without_ipv6_gets_the_ipv4_wildcard() {
        for reason in [EAFNOSUPPORT, EADDRNOTAVAIL] {
            let opened = on_all_addresses(162, without_ipv6(reason)).unwrap();
            assert_eq!(opened, "0.0.0.0:162".parse().unwrap());
        }
    }

    #[test]
    fn any_other_failure_is_no_reason_to_leave_ipv6_out() {
        let error = on_all_addresses(162, without_ipv6(nix::libc::EADDRINUSE)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn a_mapped_address_is_ipv4_and_a_link_local_one_keeps_its_scope() {
        let mapped: SocketAddr = "[::ffff:10.0.0.1]:5".parse().unwrap();
        assert_eq!(canonical(mapped), "10.0.0.1:5".parse().unwrap());
        let link_local: SocketAddr = "[fe80::1%3]:5".parse().unwrap();
        assert_eq!(canonical(link_local), link_local);
    }

    fn interrupted(times: usize) -> (usize, io::Result<&'static str>) {
        let mut calls = 0;
        let outcome = uninterrupted(|| {
            calls += 1;
            if calls > times { Ok("done") } else { Err(io::ErrorKind::Interrupted.into()) }
        });
        (calls, outcome)
    }

    #[test]
    fn what_a_signal_interrupts_is_repeated_but_not_for_ever() {
        assert_eq!(interrupted(INTERRUPTIONS_MAX).1.unwrap(), "done");
        let (calls, outcome) = interrupted(usize::MAX);
        assert_eq!(outcome.unwrap_err().kind(), io::ErrorKind::Interrupted);
        assert_eq!(calls, INTERRUPTIONS_MAX + 1);
    }
}
