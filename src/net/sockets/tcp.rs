//! TCP: listeners with their options, and the streams accepted from them.
//!
//! Nothing here connects: dispatch is only ever connected to.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};

use mio::event::Source;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use socket2::{SockRef, Socket, TcpKeepalive, Type};

use super::{canonical, socket_for, uninterrupted};
use crate::limits::{KEEPALIVE_INTERVAL, KEEPALIVE_PROBES, LISTEN_BACKLOG, USER_TIMEOUT};
use crate::net;

/// A socket that accepts TCP connections.
pub struct Listener(TcpListener);

impl Listener {
    /// Binds to exactly `address` and listens.
    pub(super) fn open(address: SocketAddr) -> io::Result<Self> {
        let socket = socket_for(address, Type::STREAM)?;
        // Lets a port open again while connections of the last listener are in TIME_WAIT. A
        // port on which somebody listens stays refused on Linux.
        socket.set_reuse_address(true)?;
        set_stream_options(&socket)?;
        socket.bind(&address.into())?;
        socket.listen(LISTEN_BACKLOG)?;
        Ok(Self(TcpListener::from_std(socket.into())))
    }

    /// The same for devices: a connection ends whose peer acknowledges nothing, since keepalive is
    /// silent while something is on its way. Drivers are pinged instead.
    pub(super) fn open_for_devices(address: SocketAddr) -> io::Result<Self> {
        let listener = Self::open(address)?;
        #[cfg(target_os = "linux")]
        SockRef::from(&listener.0).set_tcp_user_timeout(Some(USER_TIMEOUT))?;
        Ok(listener)
    }

    /// Takes over a socket that listens already.
    pub(super) fn adopt(listener: std::net::TcpListener) -> io::Result<Self> {
        listener.set_nonblocking(true)?;
        let socket = Socket::from(listener);
        set_stream_options(&socket)?;
        Ok(Self(TcpListener::from_std(socket.into())))
    }

    pub(super) fn source(&mut self) -> &mut impl Source {
        &mut self.0
    }

    pub(super) fn local_address(&self) -> io::Result<SocketAddr> {
        self.0.local_addr()
    }

    pub(super) fn accept(&self) -> io::Result<(Stream, SocketAddr)> {
        let (socket, peer) = self.0.accept()?;
        // Linux hands the listener's options down, which saves five system calls per connection.
        if cfg!(not(target_os = "linux")) {
            set_stream_options(&SockRef::from(&socket))?;
        }
        Ok((Stream { socket, registration: Registration::None }, canonical(peer)))
    }
}

/// Small messages leave at once, and a peer that vanished is noticed.
fn set_stream_options(socket: &Socket) -> io::Result<()> {
    let keepalive = TcpKeepalive::new()
        .with_time(KEEPALIVE_INTERVAL)
        .with_interval(KEEPALIVE_INTERVAL)
        .with_retries(KEEPALIVE_PROBES);
    socket.set_tcp_keepalive(&keepalive)?;
    // Urgent data is ordinary data in its place.
    socket.set_out_of_band_inline(true)?;
    socket.set_tcp_nodelay(true)
}

/// An accepted TCP connection.
pub struct Stream {
    socket: TcpStream,
    registration: Registration,
}

/// Urgent data is announced by itself, since it makes reads end early.
#[cfg(target_os = "linux")]
const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE).add(Interest::PRIORITY);
#[cfg(not(target_os = "linux"))]
const INTEREST: Interest = Interest::READABLE.add(Interest::WRITABLE);

/// Whether the poll knows a stream; mio wants different calls for the first time and later.
#[derive(Clone, Copy)]
enum Registration {
    None,
    Done,
}

impl Stream {
    pub(super) fn watch(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        match self.registration {
            Registration::None => registry.register(&mut self.socket, token, INTEREST)?,
            Registration::Done => registry.reregister(&mut self.socket, token, INTEREST)?,
        }
        self.registration = Registration::Done;
        Ok(())
    }
}

impl net::Stream for Stream {
    fn peek(&mut self, into: &mut [u8]) -> io::Result<usize> {
        uninterrupted(|| self.socket.peek(into))
    }

    fn finish(&mut self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Write)
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        uninterrupted(|| self.socket.read(buffer))
    }
}

impl Write for Stream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        uninterrupted(|| self.socket.write(data))
    }

    /// Does nothing: there is no buffer between us and the system.
    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;
    use std::time::Duration;

    use super::super::several::Several;
    use super::super::testing::{Harness, TOKEN, has_ipv6};
    use super::*;
    use crate::net::{self, Net, Stream as _};

    fn open(harness: &mut Harness) -> (Several<Listener>, u16) {
        let listener = harness.sockets.open_tcp(0, TOKEN).unwrap();
        let port = harness.sockets.local_address(&listener).unwrap().port();
        (listener, port)
    }

    fn connect(
        harness: &mut Harness,
        listener: &Several<Listener>,
        to: SocketAddr,
    ) -> (std::net::TcpStream, Stream) {
        let client = std::net::TcpStream::connect(to).unwrap();
        client.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let (stream, peer) = harness.wait(|sockets| sockets.accept(listener)).unwrap();
        assert_eq!(peer, client.local_addr().unwrap());
        (client, stream)
    }

    fn local(port: u16) -> SocketAddr {
        ([127, 0, 0, 1], port).into()
    }

    #[test]
    fn one_listener_takes_both_families_and_shows_ipv4_as_ipv4() {
        let mut harness = Harness::new();
        let (listener, port) = open(&mut harness);
        connect(&mut harness, &listener, local(port));
        if has_ipv6("one_listener_takes_both_families") {
            connect(&mut harness, &listener, format!("[::1]:{port}").parse().unwrap());
        }
        let error = harness.sockets.accept(&listener).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn a_port_on_which_another_program_listens_is_in_use() {
        let mut harness = Harness::new();
        for address in ["0.0.0.0:0", "127.0.0.1:0", "[::1]:0", "[::]:0"] {
            if address.starts_with('[') && !has_ipv6("a_port_on_which_another_program_listens") {
                continue;
            }
            // The standard library sets SO_REUSEADDR too, so both sides have it.
            let other = std::net::TcpListener::bind(address).unwrap();
            let port = other.local_addr().unwrap().port();
            let error = harness.sockets.open_tcp(port, TOKEN).map(drop).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse, "{address}");
        }
    }

    #[test]
    fn a_port_of_ours_cannot_be_opened_twice() {
        let mut harness = Harness::new();
        let (_listener, port) = open(&mut harness);
        let again = harness.sockets.open_tcp(port, TOKEN).map(drop).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AddrInUse);
        let http = harness.sockets.open_http(local(port), TOKEN).map(drop).unwrap_err();
        assert_eq!(http.kind(), ErrorKind::AddrInUse);
        let other = std::net::TcpListener::bind(local(port)).unwrap_err();
        assert_eq!(other.kind(), ErrorKind::AddrInUse);
    }

    #[test]
    fn a_port_opens_again_at_once_after_we_ended_its_connections() {
        let mut harness = Harness::new();
        let (listener, port) = open(&mut harness);
        let (mut client, mut stream) = connect(&mut harness, &listener, local(port));
        // The side that ends first is the one that keeps the port in TIME_WAIT.
        stream.finish().unwrap();
        assert_eq!(client.read(&mut [0; 8]).unwrap(), 0);
        drop(client);
        harness.wait(|_| stream_end(&mut stream)).unwrap();
        drop((stream, listener));

        let plain = socket_for("0.0.0.0:0".parse().unwrap(), Type::STREAM).unwrap();
        let refused = plain.bind(&local(port).into()).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::AddrInUse, "the port should be in TIME_WAIT");
        let listener = harness.sockets.open_tcp(port, TOKEN).unwrap();
        connect(&mut harness, &listener, local(port));
    }

    fn stream_end(stream: &mut Stream) -> io::Result<()> {
        assert_eq!(stream.read(&mut [0; 8])?, 0);
        Ok(())
    }

    #[test]
    fn accepted_streams_have_the_options_of_their_listener() {
        let mut harness = Harness::new();
        let (listener, port) = open(&mut harness);
        let (_client, stream) = connect(&mut harness, &listener, local(port));
        let socket = SockRef::from(&stream.socket);
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), KEEPALIVE_INTERVAL);
        assert_eq!(socket.tcp_keepalive_interval().unwrap(), KEEPALIVE_INTERVAL);
        assert_eq!(socket.tcp_keepalive_retries().unwrap(), KEEPALIVE_PROBES);
        #[cfg(target_os = "linux")]
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(USER_TIMEOUT));
        assert!(socket.out_of_band_inline().unwrap());
        assert!(socket.nonblocking().unwrap());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn sockets_are_not_inherited_by_child_processes() {
        let mut harness = Harness::new();
        let (listener, port) = open(&mut harness);
        let (_client, stream) = connect(&mut harness, &listener, local(port));
        assert!(closes_on_exec(&listener.first().unwrap().0));
        assert!(closes_on_exec(&stream.socket));
    }

    #[cfg(target_os = "linux")]
    fn closes_on_exec(socket: &impl std::os::fd::AsRawFd) -> bool {
        let about = format!("/proc/self/fdinfo/{}", socket.as_raw_fd());
        let about = std::fs::read_to_string(about).unwrap();
        let flags = about.lines().find_map(|line| line.strip_prefix("flags:")).unwrap();
        i32::from_str_radix(flags.trim(), 8).unwrap() & nix::libc::O_CLOEXEC != 0
    }

    #[test]
    fn http_is_bound_to_exactly_the_address_given() {
        let mut harness = Harness::new();
        let v4 = harness.sockets.open_http("127.0.0.1:0".parse().unwrap(), TOKEN).unwrap();
        let v4 = harness.sockets.local_address(&v4).unwrap();
        assert_eq!(v4.ip(), local(0).ip());
        let mapped =
            harness.sockets.open_http("[::ffff:127.0.0.1]:0".parse().unwrap(), TOKEN).unwrap();
        assert_eq!(harness.sockets.local_address(&mapped).unwrap().ip(), local(0).ip());
    }

    #[test]
    fn http_on_one_ipv6_address_leaves_ipv4_alone() {
        if !has_ipv6("http_on_one_ipv6_address_leaves_ipv4_alone") {
            return;
        }
        let mut harness = Harness::new();
        // Another test may have the port on IPv4 by chance, so a few ports are tried.
        let both_opened = (0..20).any(|_| {
            let v6 = harness.sockets.open_http("[::1]:0".parse().unwrap(), TOKEN).unwrap();
            let port = harness.sockets.local_address(&v6).unwrap().port();
            harness.sockets.open_http(local(port), TOKEN).is_ok()
        });
        assert!(both_opened);
    }

    #[test]
    fn http_on_the_ipv6_wildcard_takes_ipv4_too() {
        if !has_ipv6("http_on_the_ipv6_wildcard_takes_ipv4_too") {
            return;
        }
        let mut harness = Harness::new();
        let listener = harness.sockets.open_http("[::]:0".parse().unwrap(), TOKEN).unwrap();
        let port = harness.sockets.local_address(&listener).unwrap().port();
        connect(&mut harness, &listener, local(port));
    }

    #[test]
    fn a_stream_is_announced_when_watched_and_again_under_another_token() {
        let mut harness = Harness::new();
        let (listener, port) = open(&mut harness);
        let (mut client, mut stream) = connect(&mut harness, &listener, local(port));
        harness.sockets.watch(&mut stream, net::Token(100)).unwrap();
        assert_eq!(harness.wait_for(net::Token(100)), (false, true));
        client.write_all(b"x").unwrap();
        assert_eq!(harness.wait_for(net::Token(100)), (true, true));
        harness.sockets.watch(&mut stream, net::Token(200)).unwrap();
        assert_eq!(harness.wait_for(net::Token(200)), (true, true));
    }
}
