//! Packets that carry what was seen as it would pass on a wire.
//!
//! A monitor sees messages, not packets. What it does not see is made up, and the same each time:
//! acknowledgements, sequence numbers from 0, and for TCP the device's port, which is made of its
//! id. Data of TLS ports is in the clear. Pure.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use etherparse::{IpHeaders, PacketBuilder, PacketBuilderStep};

use crate::commands::client::event::{Device, Event};
use crate::limits::CAPTURE_STREAMS_MAX;
use crate::protocol::http::registration::PortKind;
use crate::protocol::message::Kind;

/// Longest piece of TCP data in a packet, which with its headers must stay below 64 KiB.
const SEGMENT_MAX_BYTES: usize = 60_000;

/// The port of the device with the id 0.
const DEVICE_PORTS: u16 = 10_000;

/// Ports for devices; after as many they are used again.
const DEVICE_PORTS_COUNT: u64 = 50_000;

/// The window of both sides, which nothing goes by.
const WINDOW: u16 = u16::MAX;

/// Time to live of packets.
const HOPS: u8 = 64;

/// The addresses that are reserved for examples, where the server's own is of the other family.
const EXAMPLES: (Ipv4Addr, Ipv6Addr) =
    (Ipv4Addr::new(192, 0, 2, 1), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1));

/// Makes packets of what happens on a port.
#[derive(Debug)]
pub struct Packets {
    kind: PortKind,
    server: IpAddr,
    port: u16,
    streams: HashMap<Device, Stream>,
}

/// A connection: what either side would send next.
#[derive(Debug, Clone, Copy)]
struct Stream {
    device_next: u32,
    server_next: u32,
    first_to_end: Side,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Device,
    Server,
}

impl Side {
    const fn other(self) -> Self {
        match self {
            Side::Device => Side::Server,
            Side::Server => Side::Device,
        }
    }
}

/// What a packet of TCP says besides its data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flag {
    Syn,
    SynAck,
    Ack,
    Push,
    Fin,
}

impl Stream {
    /// One whose beginning was not seen.
    const JOINED: Stream = Stream { device_next: 1, server_next: 1, first_to_end: Side::Device };

    fn next(&mut self, side: Side) -> &mut u32 {
        match side {
            Side::Device => &mut self.device_next,
            Side::Server => &mut self.server_next,
        }
    }
}

impl Packets {
    /// For a port of the server at this address.
    pub fn new(kind: PortKind, server: IpAddr, port: u16) -> Self {
        Self { kind, server: server.to_canonical(), port, streams: HashMap::new() }
    }

    /// Hands on the packets that stand for an event; none for what passes no wire.
    ///
    /// # Errors
    /// That of `emit`.
    pub fn handle_event(
        &mut self,
        event: &Event<'_>,
        mut emit: impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let Event::Device { kind, device, data } = event else { return Ok(()) };
        match self.kind {
            PortKind::Datagram => self.datagram(*kind, *device, data, &mut emit),
            PortKind::Stream => self.segments(*kind, *device, data, &mut emit),
        }
    }

    fn datagram(
        &self,
        kind: Kind,
        device: Device,
        data: &[u8],
        emit: &mut impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let side = match kind {
            Kind::Received => Side::Device,
            Kind::Write => Side::Server,
            Kind::Opened | Kind::Closed | Kind::Close | Kind::Refused | Kind::LeftOut => {
                return Ok(());
            }
        };
        // A server that names a port that there is none of is not worth an end of it all.
        let remote_port = u16::try_from(device.id_or_port).unwrap_or_default();
        let (from, to) = directed(side, remote_port, self.port);
        let mut packet = Vec::new();
        let built = self.ip(side, device.ip).udp(from, to).write(&mut packet, data);
        // The same for data that no datagram can hold.
        if built.is_ok() { emit(&packet) } else { Ok(()) }
    }

    fn segments(
        &mut self,
        kind: Kind,
        device: Device,
        data: &[u8],
        emit: &mut impl FnMut(&[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let known = self.streams.remove(&device);
        let mut stream = known.unwrap_or(Stream::JOINED);
        let mut send = |stream: &mut Stream, side, flag, data: &[u8]| {
            emit(&self.segment(stream, device, side, flag, data))
        };
        match kind {
            Kind::Opened => {
                stream = Stream { device_next: 0, server_next: 0, ..Stream::JOINED };
                send(&mut stream, Side::Device, Flag::Syn, b"")?;
                send(&mut stream, Side::Server, Flag::SynAck, b"")?;
                send(&mut stream, Side::Device, Flag::Ack, b"")?;
            }
            Kind::Received | Kind::Write => {
                let side = if kind == Kind::Write { Side::Server } else { Side::Device };
                for piece in data.chunks(SEGMENT_MAX_BYTES) {
                    send(&mut stream, side, Flag::Push, piece)?;
                    send(&mut stream, side.other(), Flag::Ack, b"")?;
                }
            }
            Kind::Close => stream.first_to_end = Side::Server,
            Kind::Refused | Kind::LeftOut => {}
            Kind::Closed => {
                let side = stream.first_to_end;
                send(&mut stream, side, Flag::Fin, b"")?;
                send(&mut stream, side.other(), Flag::Fin, b"")?;
                send(&mut stream, side, Flag::Ack, b"")?;
                return Ok(());
            }
        }
        self.remember(device, stream);
        Ok(())
    }

    /// Where CLOSED was left out, a stream stays; there are never more than this.
    fn remember(&mut self, device: Device, stream: Stream) {
        if self.streams.len() >= CAPTURE_STREAMS_MAX {
            self.streams.clear();
        }
        self.streams.insert(device, stream);
    }

    fn segment(
        &self,
        stream: &mut Stream,
        device: Device,
        side: Side,
        flag: Flag,
        data: &[u8],
    ) -> Vec<u8> {
        let (sequence, acknowledged) = (*stream.next(side), *stream.next(side.other()));
        let (from, to) = directed(side, device_port(device), self.port);
        let tcp = self.ip(side, device.ip).tcp(from, to, sequence, WINDOW);
        let tcp = match flag {
            Flag::Syn => tcp.syn(),
            Flag::SynAck => tcp.syn().ack(acknowledged),
            Flag::Ack => tcp.ack(acknowledged),
            Flag::Push => tcp.psh().ack(acknowledged),
            Flag::Fin => tcp.fin().ack(acknowledged),
        };
        let counted = match flag {
            Flag::Syn | Flag::SynAck | Flag::Fin => 1,
            Flag::Ack | Flag::Push => data.len() as u32,
        };
        *stream.next(side) = sequence.wrapping_add(counted);
        let mut packet = Vec::with_capacity(tcp.size(data.len()));
        tcp.write(&mut packet, data).expect("a Vec takes it, and a piece of data fits");
        packet
    }

    fn ip(&self, side: Side, device: IpAddr) -> PacketBuilderStep<IpHeaders> {
        match (device, self.server) {
            (IpAddr::V4(device), IpAddr::V4(server)) => ipv4(side, device, server),
            (IpAddr::V4(device), IpAddr::V6(_)) => ipv4(side, device, EXAMPLES.0),
            (IpAddr::V6(device), IpAddr::V6(server)) => ipv6(side, device, server),
            (IpAddr::V6(device), IpAddr::V4(_)) => ipv6(side, device, EXAMPLES.1),
        }
    }
}

fn ipv4(side: Side, device: Ipv4Addr, server: Ipv4Addr) -> PacketBuilderStep<IpHeaders> {
    let (from, to) = directed(side, device, server);
    PacketBuilder::ipv4(from.octets(), to.octets(), HOPS)
}

fn ipv6(side: Side, device: Ipv6Addr, server: Ipv6Addr) -> PacketBuilderStep<IpHeaders> {
    let (from, to) = directed(side, device, server);
    PacketBuilder::ipv6(from.octets(), to.octets(), HOPS)
}

/// From where to where.
fn directed<T>(from: Side, device: T, server: T) -> (T, T) {
    match from {
        Side::Device => (device, server),
        Side::Server => (server, device),
    }
}

fn device_port(device: Device) -> u16 {
    DEVICE_PORTS + (device.id_or_port % DEVICE_PORTS_COUNT) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use etherparse::{SlicedPacket, TransportSlice};

    const SERVER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn device(ip: &str, id_or_port: u64) -> Device {
        Device { ip: ip.parse().unwrap(), id_or_port }
    }

    fn packets(packets: &mut Packets, kind: Kind, device: Device, data: &[u8]) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        let event = Event::Device { kind, device, data };
        packets
            .handle_event(&event, |packet| {
                all.push(packet.to_vec());
                Ok(())
            })
            .unwrap();
        all
    }

    /// Source port, sequence and acknowledgement numbers, and data of a segment.
    fn parts(packet: &[u8]) -> (u16, u32, u32, Vec<u8>) {
        let sliced = SlicedPacket::from_ip(packet).unwrap();
        let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("{sliced:?}") };
        let numbers = (tcp.sequence_number(), tcp.acknowledgment_number());
        (tcp.source_port(), numbers.0, numbers.1, tcp.payload().to_vec())
    }

    #[test]
    fn sequence_numbers_follow_the_data() {
        for ip in ["10.0.0.9", "2001:db8::9"] {
            let (mut all, device) = (Packets::new(PortKind::Stream, SERVER, 6001), device(ip, 7));
            let mut seen = Vec::new();
            for (kind, data) in [
                (Kind::Opened, &b""[..]),
                (Kind::Received, b"hello"),
                (Kind::Write, b"hi"),
                (Kind::Received, b"x"),
                (Kind::Closed, b""),
            ] {
                seen.extend(packets(&mut all, kind, device, data).iter().map(|one| parts(one)));
            }
            let numbers: Vec<_> =
                seen.iter().map(|(port, seq, ack, _)| (*port, *seq, *ack)).collect();
            let (here, there) = (6001, 10_007);
            let expected = [
                (there, 0, 0),
                (here, 0, 1),
                (there, 1, 1),
                (there, 1, 1),
                (here, 1, 6),
                (here, 1, 6),
                (there, 6, 3),
                (there, 6, 3),
                (here, 3, 7),
                (there, 7, 3),
                (here, 3, 8),
                (there, 8, 4),
            ];
            assert_eq!(numbers, expected, "{ip}");
            assert!(all.streams.is_empty());
        }
    }

    #[test]
    fn what_a_driver_ends_the_server_ends() {
        let (mut all, device) = (Packets::new(PortKind::Stream, SERVER, 6001), device("::1", 0));
        packets(&mut all, Kind::Opened, device, b"");
        assert!(packets(&mut all, Kind::Close, device, b"").is_empty());
        assert_eq!(parts(&packets(&mut all, Kind::Closed, device, b"")[0]).0, 6001);
    }

    #[test]
    fn long_data_goes_in_pieces() {
        let (mut all, device) = (Packets::new(PortKind::Stream, SERVER, 1), device("::1", 0));
        let data = vec![7; 3 * SEGMENT_MAX_BYTES + 1];
        let sent = packets(&mut all, Kind::Write, device, &data);
        assert!(sent.iter().all(|packet| packet.len() < 1 << 16));
        let carried: Vec<_> = sent.iter().flat_map(|packet| parts(packet).3).collect();
        assert_eq!(carried, data);
    }

    #[test]
    fn a_datagram_is_a_packet() {
        let mut all = Packets::new(PortKind::Datagram, SERVER, 162);
        for (ip, kind, ports) in
            [("10.0.0.9", Kind::Received, (50_000, 162)), ("::1", Kind::Write, (162, 50_000))]
        {
            let sent = packets(&mut all, kind, device(ip, 50_000), b"trap");
            let [packet] = &sent[..] else { panic!("{sent:?}") };
            let sliced = SlicedPacket::from_ip(packet).unwrap();
            let Some(TransportSlice::Udp(udp)) = sliced.transport else { panic!("{sliced:?}") };
            assert_eq!((udp.source_port(), udp.destination_port()), ports);
            assert_eq!(udp.payload(), b"trap");
        }
        let largest = vec![0; 65_507];
        assert_eq!(packets(&mut all, Kind::Received, device("10.0.0.9", 1), &largest).len(), 1);
        let impossible = vec![0; 70_000];
        assert!(packets(&mut all, Kind::Write, device("::1", 1), &impossible).is_empty());
    }

    #[test]
    fn what_passes_no_wire_is_no_packet() {
        let mut all = Packets::new(PortKind::Stream, SERVER, 1);
        let refused = Event::Refused { ip: SERVER, remote_port: 1, reason: "not accepted".into() };
        for event in [Event::LeftOut(3), refused] {
            all.handle_event(&event, |_| panic!("{event:?}")).unwrap();
        }
    }

    #[test]
    fn streams_that_never_end_are_forgotten() {
        let mut all = Packets::new(PortKind::Stream, SERVER, 1);
        for id in 0..=CAPTURE_STREAMS_MAX as u64 {
            packets(&mut all, Kind::Close, device("::1", id), b"");
        }
        assert!(all.streams.len() <= CAPTURE_STREAMS_MAX);
    }
}
