//! Devices: TCP connections from any loopback address, and UDP peers.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};

use socket2::{Domain, SockRef, Socket, Type};

use super::expect_bytes;

/// A device that is connected over TCP.
pub struct Device {
    stream: TcpStream,
}

impl Device {
    /// Connects from 127.0.0.1.
    #[track_caller]
    pub fn connect(port: u16) -> Self {
        Self::from("127.0.0.1", port)
    }

    /// Connects from this loopback address, over IPv4 or IPv6 as it says.
    #[track_caller]
    pub fn from(ip: &str, port: u16) -> Self {
        Self::try_from(ip, port, None).expect("the device port is open")
    }

    /// Connects with a receive window so small that what it does not read stays with dispatch.
    #[track_caller]
    pub fn with_small_window(port: u16) -> Self {
        Self::try_from("127.0.0.1", port, Some(4096)).expect("the device port is open")
    }

    pub fn try_from(ip: &str, port: u16, window: Option<usize>) -> std::io::Result<Self> {
        let ip: IpAddr = ip.parse().expect("a test names an address");
        let to = if ip.is_ipv4() { "127.0.0.1".parse().unwrap() } else { loopback_v6() };
        let socket = Socket::new(domain(ip), Type::STREAM, None)?;
        if let Some(bytes) = window {
            socket.set_recv_buffer_size(bytes)?;
        }
        if ip.is_ipv4() && !ip.is_unspecified() {
            socket.bind(&SocketAddr::new(ip, 0).into())?;
        }
        socket.connect(&SocketAddr::new(to, port).into())?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(super::patience()))?;
        stream.set_write_timeout(Some(super::patience()))?;
        Ok(Self { stream })
    }

    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("dispatch takes the device's bytes");
    }

    /// Reads exactly as many bytes and compares them.
    #[track_caller]
    pub fn expect(&mut self, wanted: &[u8]) {
        expect_bytes(&mut self.stream, wanted);
    }

    /// Everything up to the orderly end of the stream.
    #[track_caller]
    pub fn read_to_end(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        self.stream.read_to_end(&mut bytes).expect("the device's stream ends in order");
        bytes
    }

    /// Passes when the connection is over and no byte came before.
    #[track_caller]
    pub fn expect_end(&mut self) {
        match self.stream.read(&mut [0; 64]) {
            Ok(0) => {}
            Ok(len) => panic!("{len} bytes came instead of the end"),
            Err(e) if e.kind() == ErrorKind::ConnectionReset => {}
            Err(e) => panic!("the connection stays: {e}"),
        }
    }

    /// Passes when the connection is over, whatever came before.
    #[track_caller]
    pub fn expect_end_after_anything(&mut self) {
        let mut bytes = [0; 65_536];
        loop {
            match self.stream.read(&mut bytes) {
                Ok(0) => return,
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::ConnectionReset => return,
                Err(e) => panic!("the connection stays: {e}"),
            }
        }
    }

    /// Ends its own side; it can still read.
    pub fn finish(&mut self) {
        self.stream.shutdown(Shutdown::Write).expect("the device can end its side");
    }

    /// Breaks off the connection.
    pub fn reset(self) {
        reset(self.stream);
    }

    pub fn port(&self) -> u16 {
        self.stream.local_addr().unwrap().port()
    }

    /// The connection itself, for what the rest does not offer.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }
}

/// A device, or any program, that speaks UDP.
pub struct Peer {
    socket: UdpSocket,
}

impl Peer {
    #[track_caller]
    pub fn at(ip: &str) -> Self {
        let ip: IpAddr = ip.parse().expect("a test names an address");
        let socket = UdpSocket::bind((ip, 0)).expect("loopback can be bound");
        socket.set_read_timeout(Some(super::patience())).unwrap();
        Self { socket }
    }

    #[track_caller]
    pub fn send(&self, port: u16, datagram: &[u8]) {
        let own = self.socket.local_addr().unwrap().ip();
        let to = if own.is_ipv4() { "127.0.0.1".parse().unwrap() } else { loopback_v6() };
        let len = self.socket.send_to(datagram, (to, port)).expect("a datagram can be sent");
        assert_eq!(len, datagram.len());
    }

    /// Receives one datagram, which must be this one; gives the sender.
    #[track_caller]
    pub fn expect(&self, wanted: &[u8]) -> SocketAddr {
        let mut bytes = vec![0; 65_536];
        let (len, from) = self.socket.recv_from(&mut bytes).expect("a datagram arrives");
        super::assert_same_bytes(&bytes[..len], wanted);
        from
    }

    pub fn port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }

    pub fn id(&self) -> u64 {
        u64::from(self.port())
    }
}

/// Closes a connection so that the other end sees a reset.
pub fn reset(stream: TcpStream) {
    SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(stream);
}

fn domain(ip: IpAddr) -> Domain {
    if ip.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 }
}

fn loopback_v6() -> IpAddr {
    IpAddr::V6(Ipv6Addr::LOCALHOST)
}
