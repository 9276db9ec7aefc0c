//! Devices: TCP connections from any loopback address.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpStream};

use socket2::SockRef;

use super::sockets::{self, SMALL_WINDOW};
use super::{assert_same_bytes, expect_bytes};

/// A device that is connected over TCP.
pub struct Device {
    stream: TcpStream,
}

impl Device {
    /// Connects from 127.0.0.1.
    #[track_caller]
    pub fn connect(port: u16) -> Self {
        Self::connect_from("127.0.0.1", port)
    }

    /// Connects from this loopback address, over IPv4 or IPv6 as it says.
    #[track_caller]
    pub fn connect_from(ip: &str, port: u16) -> Self {
        Self::try_connect(ip, port).expect("the device port is open")
    }

    /// Connects with a receive window so small that what it does not read stays with dispatch.
    #[track_caller]
    pub fn with_small_window(port: u16) -> Self {
        Self::try_connect_with("127.0.0.1", port, Some(SMALL_WINDOW))
            .expect("the device port is open")
    }

    pub fn try_connect(ip: &str, port: u16) -> io::Result<Self> {
        Self::try_connect_with(ip, port, None)
    }

    pub fn try_connect_with(ip: &str, port: u16, window: Option<usize>) -> io::Result<Self> {
        let ip: IpAddr = ip.parse().expect("a test names an address");
        let to = SocketAddr::new(sockets::loopback_of(ip), port);
        Ok(Self { stream: sockets::connect(to, Some(ip), window)? })
    }

    /// Reads at full speed from now on, after a time with a small window.
    pub fn widen_window(&mut self) {
        sockets::widen_window(&self.stream);
    }

    #[track_caller]
    pub fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).expect("dispatch takes the device's bytes");
    }

    /// Sends bytes of which the last is marked as urgent.
    #[track_caller]
    pub fn send_urgent(&mut self, bytes: &[u8]) {
        let sent = SockRef::from(&self.stream).send_out_of_band(bytes);
        assert_eq!(sent.expect("dispatch takes the device's bytes"), bytes.len());
    }

    /// Sends as much as fits into the buffers on the way, without waiting.
    #[track_caller]
    pub fn send_until_full(&mut self) {
        self.stream.set_nonblocking(true).expect("a socket can be non-blocking");
        while matches!(self.stream.write(&[7; 65_536]), Ok(1..)) {}
        self.stream.set_nonblocking(false).expect("a socket can be blocking");
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

    /// Passes when these bytes come, and then the orderly end of the stream.
    #[track_caller]
    pub fn expect_to_end(&mut self, wanted: &[u8]) {
        assert_same_bytes(&self.read_to_end(), wanted);
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
        sockets::reset(self.stream);
    }

    pub fn port(&self) -> u16 {
        self.stream.local_addr().unwrap().port()
    }

    /// The connection itself, for what the rest does not offer.
    pub fn stream(&mut self) -> &mut TcpStream {
        &mut self.stream
    }
}
