//! UDP: one socket per port, read many datagrams at a time with `recvmmsg`.
//!
//! That saves system calls, and only them: where one costs 84 ns, as measured on a small virtual
//! machine, a datagram of a flood takes 250 ns either way, and a lone one 490 instead of 400.
//!
//! Sending is one datagram per call. There is no segmentation offload (GRO, GSO): the senders
//! are devices that send one small datagram now and then, not streams over UDP.

use std::io::{self, IoSlice, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsRawFd, RawFd};

use mio::event::Source;
use mio::net::UdpSocket;
use nix::cmsg_space;
use nix::libc::{
    EADDRNOTAVAIL, EAFNOSUPPORT, EINVAL, ENETUNREACH, in_addr, in_pktinfo, in6_addr, in6_pktinfo,
};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, MultiHeaders, SockaddrIn, SockaddrIn6,
    SockaddrLike, SockaddrStorage, recvmmsg, sendmsg, setsockopt, sockopt,
};
use socket2::{Socket, Type};

use super::{canonical, socket_for, uninterrupted};
use crate::limits::{DATAGRAM_BATCH, DATAGRAM_RECEIVE_BUFFER_BYTES};
use crate::net::datagrams::{Arrival, DatagramBatch};

/// A UDP socket that shares its port with nobody.
pub struct Udp {
    socket: UdpSocket,
    family: Family,
}

/// How the system writes the addresses of a socket.
#[derive(Clone, Copy)]
enum Family {
    V4,
    /// IPv6, and IPv4 as mapped addresses.
    V6,
}

/// What `recvmmsg` is given besides the buffers; made once, used for every socket.
///
/// One set per family: the system writes the lengths of an address and of what it says beside it
/// over the room that was offered for them, so a set that was used for IPv4 would cut what IPv6
/// needs.
pub(super) struct Headers {
    v4: MultiHeaders<SockaddrIn>,
    v6: MultiHeaders<SockaddrIn6>,
}

impl Default for Headers {
    fn default() -> Self {
        Self {
            v4: MultiHeaders::preallocate(DATAGRAM_BATCH, Some(cmsg_space!(in_pktinfo))),
            v6: MultiHeaders::preallocate(DATAGRAM_BATCH, Some(cmsg_space!(in6_pktinfo))),
        }
    }
}

impl Udp {
    /// Binds to exactly `address`.
    pub(super) fn open(address: SocketAddr) -> io::Result<Self> {
        let socket = socket_for(address, Type::DGRAM)?;
        socket.set_broadcast(true)?;
        ask_for_receive_buffer(&socket);
        let family = if address.is_ipv4() { Family::V4 } else { Family::V6 };
        family.ask_for_local_addresses(&socket)?;
        socket.bind(&address.into())?;
        Ok(Self { socket: UdpSocket::from_std(socket.into()), family })
    }

    pub(super) fn source(&mut self) -> &mut impl Source {
        &mut self.socket
    }

    pub(super) fn receive(
        &self,
        headers: &mut Headers,
        batch: &mut DatagramBatch,
    ) -> io::Result<()> {
        let fd = self.socket.as_raw_fd();
        let mut receive_batch = || match self.family {
            Family::V4 => {
                receive(fd, &mut headers.v4, batch, |from| SocketAddrV4::from(from).into())
            }
            Family::V6 => {
                receive(fd, &mut headers.v6, batch, |from| SocketAddrV6::from(from).into())
            }
        };
        uninterrupted(|| self.socket.try_io(&mut receive_batch))
    }

    pub(super) fn send(&self, from: Option<IpAddr>, to: SocketAddr, data: &[u8]) -> io::Result<()> {
        let to = self.family.spell(to);
        if let Some(from) = from {
            match uninterrupted(|| self.send_from(from, to, data)) {
                // The address is ours no longer, or none to send from.
                Err(error) if is_no_source(&error) => {}
                sent => return sent,
            }
        }
        // The system takes a datagram whole or not at all, so the count says nothing.
        uninterrupted(|| self.socket.send_to(data, to)).map(drop)
    }

    fn send_from(&self, from: IpAddr, to: SocketAddr, data: &[u8]) -> io::Result<()> {
        let data = [IoSlice::new(data)];
        let to = SockaddrStorage::from(to);
        let (v4, v6) = (packet_info_v4(from), packet_info_v6(from));
        let source = match self.family {
            Family::V4 => ControlMessage::Ipv4PacketInfo(&v4),
            Family::V6 => ControlMessage::Ipv6PacketInfo(&v6),
        };
        let fd = self.socket.as_raw_fd();
        let send = || Ok(sendmsg(fd, &data, &[source], MsgFlags::MSG_DONTWAIT, Some(&to))?);
        self.socket.try_io(send).map(drop)
    }
}

fn is_no_source(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(EINVAL | EADDRNOTAVAIL | ENETUNREACH | EAFNOSUPPORT))
}

/// An IPv6 address stands for none here: a socket of this family never heard it.
fn packet_info_v4(from: IpAddr) -> in_pktinfo {
    let ip = match from {
        IpAddr::V4(ip) => ip,
        IpAddr::V6(_) => Ipv4Addr::UNSPECIFIED,
    };
    let address = in_addr { s_addr: u32::from_ne_bytes(ip.octets()) };
    in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: address, ipi_addr: in_addr { s_addr: 0 } }
}

fn packet_info_v6(from: IpAddr) -> in6_pktinfo {
    let ip = match from {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    in6_pktinfo { ipi6_addr: in6_addr { s6_addr: ip.octets() }, ipi6_ifindex: 0 }
}

impl Family {
    /// The system then says of each datagram which address of ours it came to.
    fn ask_for_local_addresses(self, socket: &Socket) -> io::Result<()> {
        match self {
            Family::V4 => setsockopt(socket, sockopt::Ipv4PacketInfo, &true)?,
            Family::V6 => setsockopt(socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
        Ok(())
    }

    /// An address in the form that a socket of this family takes.
    fn spell(self, address: SocketAddr) -> SocketAddr {
        match (self, canonical(address)) {
            (Family::V6, SocketAddr::V4(v4)) => (v4.ip().to_ipv6_mapped(), v4.port()).into(),
            (Family::V4 | Family::V6, address) => address,
        }
    }
}

/// Asks for a large buffer and takes what is granted: with less, datagrams are lost sooner in a
/// burst, which UDP allows, and the port is of use all the same.
fn ask_for_receive_buffer(socket: &Socket) {
    let _ = socket.set_recv_buffer_size(DATAGRAM_RECEIVE_BUFFER_BYTES);
}

/// Fills `batch` with one system call.
///
/// No datagram is cut, since a slot is larger than any; should one be, its beginning is taken.
fn receive<A: SockaddrLike + Copy>(
    fd: RawFd,
    headers: &mut MultiHeaders<A>,
    batch: &mut DatagramBatch,
    sender: fn(A) -> SocketAddr,
) -> io::Result<()> {
    let (mut slots, filled) = batch.refill();
    // Made for each call, which costs 20 ns: what outlives the call cannot borrow from a batch
    // that is lent for it.
    let mut buffers: [_; DATAGRAM_BATCH] =
        std::array::from_fn(|_| [IoSliceMut::new(slots.next().unwrap_or_default())]);
    let received = recvmmsg(fd, headers, &mut buffers, MsgFlags::MSG_DONTWAIT, None)?;
    filled.extend(received.map(|one| Arrival {
        from: canonical(one.address.map_or(NOBODY, sender)),
        to: one.cmsgs().ok().and_then(|mut all| all.find_map(|one| local_address(&one))),
        len: one.bytes,
    }));
    Ok(())
}

/// The address that a datagram came to, unless it is one for many.
fn local_address(message: &ControlMessageOwned) -> Option<IpAddr> {
    let address = match message {
        ControlMessageOwned::Ipv4PacketInfo(info) => {
            IpAddr::V4(Ipv4Addr::from(info.ipi_spec_dst.s_addr.to_ne_bytes()))
        }
        ControlMessageOwned::Ipv6PacketInfo(info) => {
            IpAddr::V6(Ipv6Addr::from(info.ipi6_addr.s6_addr)).to_canonical()
        }
        _ => return None,
    };
    let is_for_many = address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST);
    (!is_for_many && !address.is_unspecified()).then_some(address)
}

/// Stands for a sender that the system did not name, which does not happen with UDP.
const NOBODY: SocketAddr = SocketAddr::V4(SocketAddrV4::new(Ipv4Addr::UNSPECIFIED, 0));

#[cfg(test)]
mod tests {
    use std::io::ErrorKind;

    use socket2::SockRef;

    use super::super::several::Several;
    use super::super::testing::{Harness, TOKEN, has_ipv6};
    use super::*;
    use crate::limits::DATAGRAM_MAX_BYTES;
    use crate::net::Net;

    struct Fixture {
        harness: Harness,
        udp: Several<Udp>,
        batch: DatagramBatch,
        peer: std::net::UdpSocket,
    }

    /// A port of ours, and a peer that sends to it over the loopback address `ip`.
    fn fixture(ip: &str) -> Fixture {
        let mut harness = Harness::new();
        let udp = harness.sockets.open_udp(0, TOKEN).unwrap();
        with_peer(harness, udp, ip)
    }

    fn with_peer(harness: Harness, udp: Several<Udp>, ip: &str) -> Fixture {
        let peer = std::net::UdpSocket::bind(format!("{ip}:0")).unwrap();
        peer.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        peer.connect(format!("{ip}:{}", port_of(&udp))).unwrap();
        Fixture { harness, udp, batch: DatagramBatch::with_room(), peer }
    }

    fn port_of(udp: &Several<Udp>) -> u16 {
        udp.first().unwrap().socket.local_addr().unwrap().port()
    }

    impl Fixture {
        fn receive(&mut self) -> Vec<(SocketAddr, Vec<u8>)> {
            let Self { harness, udp, batch, .. } = self;
            harness.wait(|sockets| sockets.receive(udp, batch)).unwrap();
            let all = (0..).map_while(|index| self.batch.get(index));
            all.map(|(it, data)| (it.from, data.to_vec())).collect()
        }

        fn answers(&mut self) {
            self.peer.send(b"question").unwrap();
            let from = self.peer.local_addr().unwrap();
            assert_eq!(self.receive(), [(from, b"question".to_vec())]);
            self.harness.sockets.send(&self.udp, None, from, b"answer").unwrap();
            let mut answer = [0; 16];
            let len = self.peer.recv(&mut answer).unwrap();
            assert_eq!(&answer[..len], b"answer");
        }
    }

    #[test]
    fn one_port_serves_both_families_and_shows_ipv4_as_ipv4() {
        let mut fixture = fixture("127.0.0.1");
        fixture.answers();
        if has_ipv6("one_port_serves_both_families") {
            let mut fixture = with_peer(fixture.harness, fixture.udp, "[::1]");
            fixture.answers();
        }
    }

    #[test]
    fn a_socket_for_ipv4_alone_serves_ipv4() {
        let harness = Harness::new();
        let any = Ipv4Addr::UNSPECIFIED;
        let mut udp = Several::one(any.into(), Udp::open((any, 0).into()).unwrap());
        udp.register(&harness.sockets.registry, TOKEN).unwrap();
        let mut fixture = with_peer(harness, udp, "127.0.0.1");
        fixture.answers();
        let to = "[::1]:9".parse().unwrap();
        let error = fixture.harness.sockets.send(&fixture.udp, None, to, b"x").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(nix::libc::EAFNOSUPPORT));
    }

    #[test]
    fn the_smallest_and_the_largest_datagram_arrive_whole() {
        let mut fixture = fixture("127.0.0.1");
        let largest: Vec<u8> = (0..DATAGRAM_MAX_BYTES).map(|i| i as u8).collect();
        for data in [&b""[..], &largest, b""] {
            fixture.peer.send(data).unwrap();
            assert!(fixture.receive().iter().map(|(_, seen)| &seen[..]).eq([data]));
        }
    }

    #[test]
    fn the_largest_datagram_of_ipv6_is_not_cut() {
        if !has_ipv6("the_largest_datagram_of_ipv6_is_not_cut") {
            return;
        }
        let mut fixture = fixture("[::1]");
        fixture.peer.send(&[7; 65_527]).unwrap();
        assert_eq!(fixture.receive()[0].1, [7; 65_527]);
    }

    #[test]
    fn the_largest_datagram_is_sent_whole_and_a_larger_one_is_an_error() {
        let mut fixture = fixture("127.0.0.1");
        let to = fixture.peer.local_addr().unwrap();
        let data = [9; DATAGRAM_MAX_BYTES + 1];
        fixture.harness.sockets.send(&fixture.udp, None, to, &data[1..]).unwrap();
        let mut seen = vec![0; DATAGRAM_MAX_BYTES + 1];
        assert_eq!(fixture.peer.recv(&mut seen).unwrap(), DATAGRAM_MAX_BYTES);
        let error = fixture.harness.sockets.send(&fixture.udp, None, to, &data).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(nix::libc::EMSGSIZE));
        fixture.answers();
    }

    #[test]
    fn forty_datagrams_take_two_receives_and_stay_in_order() {
        let mut fixture = fixture("127.0.0.1");
        // The system may hand them over one by one when it is busy, so a few tries are allowed
        // for the sizes; the order must be right every time.
        for _ in 0..100 {
            (0..40u8).for_each(|i| assert_eq!(fixture.peer.send(&[i]).unwrap(), 1));
            let (mut sizes, mut seen) = (vec![], vec![]);
            while seen.len() < 40 {
                let batch = fixture.receive();
                assert_eq!(fixture.batch.may_have_more(), batch.len() == DATAGRAM_BATCH);
                sizes.push(batch.len());
                seen.extend(batch.into_iter().map(|(_, data)| data[0]));
            }
            assert!(seen.into_iter().eq(0..40));
            if sizes == [DATAGRAM_BATCH, 40 - DATAGRAM_BATCH] {
                return;
            }
        }
        panic!("forty datagrams never came in two receives");
    }

    #[test]
    fn an_empty_socket_would_block_and_leaves_no_old_datagrams() {
        let mut fixture = fixture("127.0.0.1");
        fixture.answers();
        let error = fixture.harness.sockets.receive(&fixture.udp, &mut fixture.batch).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::WouldBlock);
        assert_eq!(fixture.batch.get(0), None);
    }

    #[test]
    fn a_datagram_to_a_closed_port_does_not_disturb_the_socket() {
        let mut fixture = fixture("127.0.0.1");
        let gone = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        for _ in 0..3 {
            fixture.harness.sockets.send(&fixture.udp, None, gone, b"anybody?").unwrap();
        }
        fixture.answers();
    }

    #[test]
    fn a_broadcast_is_sent() {
        let mut fixture = fixture("127.0.0.1");
        assert!(SockRef::from(&fixture.udp.first().unwrap().socket).broadcast().unwrap());
        // The broadcast address of the loopback network; our own port hears it as well.
        let to = ([127, 255, 255, 255], port_of(&fixture.udp)).into();
        fixture.harness.sockets.send(&fixture.udp, None, to, b"who is?").unwrap();
        assert_eq!(fixture.receive()[0].1, b"who is?");
    }

    #[test]
    fn a_port_is_shared_with_nobody() {
        let mut harness = Harness::new();
        for address in ["0.0.0.0:0", "127.0.0.1:0"] {
            let other = socket_for(address.parse().unwrap(), Type::DGRAM).unwrap();
            other.set_reuse_address(true).unwrap();
            other.bind(&address.parse::<SocketAddr>().unwrap().into()).unwrap();
            let port = other.local_addr().unwrap().as_socket().unwrap().port();
            let error = harness.sockets.open_udp(port, TOKEN).map(drop).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::AddrInUse, "{address}");
        }
        let udp = harness.sockets.open_udp(0, TOKEN).unwrap();
        let again = harness.sockets.open_udp(port_of(&udp), TOKEN).map(drop).unwrap_err();
        assert_eq!(again.kind(), ErrorKind::AddrInUse);
    }

    #[test]
    fn the_receive_buffer_is_no_smaller_than_the_default() {
        let mut harness = Harness::new();
        let plain = socket_for("0.0.0.0:0".parse().unwrap(), Type::DGRAM).unwrap();
        let udp = harness.sockets.open_udp(0, TOKEN).unwrap();
        let granted = SockRef::from(&udp.first().unwrap().socket).recv_buffer_size().unwrap();
        assert!(granted >= plain.recv_buffer_size().unwrap(), "{granted}");
    }

    #[test]
    fn an_answer_leaves_from_the_address_that_the_datagram_came_to() {
        let ours = "127.0.0.7";
        let mut harness = Harness::new();
        let udp = harness.sockets.open_udp(0, TOKEN).unwrap();
        let peer = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.set_read_timeout(Some(std::time::Duration::from_secs(20))).unwrap();
        let mut batch = DatagramBatch::with_room();
        for _ in 0..3 {
            peer.send_to(b"question", format!("{ours}:{}", port_of(&udp))).unwrap();
            harness.wait(|sockets| sockets.receive(&udp, &mut batch)).unwrap();
            let (arrival, _) = batch.get(0).unwrap();
            assert_eq!(arrival.to, Some(ours.parse().unwrap()));
            harness.sockets.send(&udp, arrival.to, arrival.from, b"answer").unwrap();
            let (_, from) = peer.recv_from(&mut [0; 16]).unwrap();
            assert_eq!(from.ip().to_string(), ours);
        }
    }

    #[test]
    fn an_address_that_is_not_ours_is_no_reason_not_to_answer() {
        let mut fixture = fixture("127.0.0.1");
        let to = fixture.peer.local_addr().unwrap();
        for from in ["203.0.113.7", "2001:db8::7"] {
            let from = Some(from.parse().unwrap());
            fixture.harness.sockets.send(&fixture.udp, from, to, b"answer").unwrap();
            assert_eq!(fixture.peer.recv(&mut [0; 16]).unwrap(), 6);
        }
    }
}
