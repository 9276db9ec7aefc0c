//! Devices, or any programs, that speak UDP.

use std::net::{IpAddr, SocketAddr, UdpSocket};

use super::{assert_same_bytes, patience, sockets};

pub struct UdpPeer {
    socket: UdpSocket,
}

impl UdpPeer {
    #[track_caller]
    pub fn bind(ip: &str) -> Self {
        let ip: IpAddr = ip.parse().expect("a test names an address");
        let socket = UdpSocket::bind((ip, 0)).expect("loopback can be bound");
        socket.set_read_timeout(Some(patience())).unwrap();
        Self { socket }
    }

    #[track_caller]
    pub fn send(&self, port: u16, datagram: &[u8]) {
        let ip = sockets::loopback_of(self.socket.local_addr().unwrap().ip());
        self.send_to(SocketAddr::new(ip, port), datagram);
    }

    #[track_caller]
    pub fn send_to(&self, to: SocketAddr, datagram: &[u8]) {
        let len = self.socket.send_to(datagram, to).expect("a datagram can be sent");
        assert_eq!(len, datagram.len());
    }

    /// Receives one datagram, which must be this one; gives the sender.
    #[track_caller]
    pub fn expect(&self, wanted: &[u8]) -> SocketAddr {
        let mut bytes = vec![0; 65_536];
        let (len, from) = self.socket.recv_from(&mut bytes).expect("a datagram arrives");
        assert_same_bytes(&bytes[..len], wanted);
        from
    }

    pub fn port(&self) -> u16 {
        self.socket.local_addr().unwrap().port()
    }

    /// Its port, as messages carry it.
    pub fn id(&self) -> u64 {
        u64::from(self.port())
    }
}
