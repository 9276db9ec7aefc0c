//! A driver of the simulation, and what it must hear.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use crate::accept::{AcceptList, parse_address};
use crate::message::{self, Kind, Message};
use crate::query::Protocol;

use super::device::{DeviceActor, Pace};
use super::pattern::{Record, stretch};
use super::random::Random;
use super::wire::{Id, Standing, Wire};

/// Peers of UDP ports have ports from here.
pub const FIRST_PEER_PORT: u16 = 5_000;

/// Whether a peer keeps to the rules, so that all must be well for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Conduct {
    /// It does, and never stops reading.
    Good,
    /// It does not; it may be cut off, and what it hears is still in order.
    Bad,
}

/// How far a driver has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It awaits the answer to its request.
    Asking,
    /// It is a WebSocket.
    Live,
    /// It was refused with this status.
    Refused(u16),
    /// Its connection has ended.
    Over,
}

/// One driver.
pub struct DriverActor {
    pub(super) id: Id,
    pub(super) number: usize,
    pub(super) port: u16,
    pub(super) protocol: Protocol,
    pub(super) accept: AcceptList,
    pub(super) conduct: Conduct,
    pub(super) stage: Stage,
    pub(super) pace: Pace,
    pub(super) answers: bool,
    /// It has said Close or hung up, or is about to.
    pub(super) is_leaving: bool,
    /// The code that we must close it with.
    pub(super) expected_code: Option<u16>,
    pub(super) close_code: Option<u16>,
    outgoing: VecDeque<u8>,
    incoming: Vec<u8>,
    pub(super) heard: BTreeMap<u64, Heard>,
    last_id: Option<u64>,
    /// Records written, by device.
    pub(super) written: BTreeMap<usize, u32>,
    /// By UDP peer, the number that its next datagram has at least.
    peers: BTreeMap<usize, u32>,
    pub(super) datagrams: u64,
    /// By UDP peer, the number that the next datagram to it has at least.
    to_peers: BTreeMap<usize, u32>,
    /// It did not read or answer for a while, and may have been closed for that.
    pub(super) was_slow: bool,
    /// What we had read of each device when the driver asked.
    read_before: Vec<usize>,
    live_since: u64,
}

/// What a driver heard of a device.
pub struct Heard {
    pub(super) device: usize,
    /// Where in the device's stream it may have begun to hear.
    starts: Vec<usize>,
    pub(super) len: usize,
    pub(super) is_open: bool,
}

impl Heard {
    /// Whether it heard the device's stream up to here.
    pub(super) fn reaches(&self, end: usize) -> bool {
        self.len == 0 || self.starts.iter().any(|start| start + self.len == end)
    }
}

impl DriverActor {
    pub(super) fn new(
        id: Id,
        number: usize,
        (protocol, port): (Protocol, u16),
        accept: AcceptList,
        read_before: Vec<usize>,
    ) -> Self {
        let mut driver = Self {
            id,
            number,
            port,
            protocol,
            accept,
            conduct: Conduct::Good,
            stage: Stage::Asking,
            pace: Pace::Full,
            answers: true,
            is_leaving: false,
            expected_code: None,
            close_code: None,
            outgoing: VecDeque::new(),
            incoming: Vec::new(),
            heard: BTreeMap::new(),
            last_id: None,
            written: BTreeMap::new(),
            peers: BTreeMap::new(),
            datagrams: 0,
            to_peers: BTreeMap::new(),
            was_slow: false,
            read_before,
            live_since: 0,
        };
        let request = driver.request();
        driver.outgoing.extend(request.as_bytes());
        driver
    }

    fn request(&self) -> String {
        let Self { protocol, port, accept, .. } = self;
        format!(
            "GET /api/dispatch/v1/{protocol}_dispatch?port={port}&accept={accept} HTTP/1.1\r\n\
             Host: sim\r\nAuthorization: Bearer sim\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
    }

    /// Whether nothing must go wrong for it.
    pub(super) fn is_sound(&self) -> bool {
        self.conduct == Conduct::Good && self.stage == Stage::Live && !self.is_leaving
    }

    /// Whether all that it wanted to send has been read.
    pub(super) fn has_sent_all(&self) -> bool {
        self.outgoing.is_empty()
    }

    /// Sends bytes as they are.
    pub(super) fn say_raw(&mut self, bytes: &[u8]) {
        self.outgoing.extend(bytes);
    }

    /// Sends a masked frame.
    pub(super) fn say(&mut self, first_byte: u8, payload: &[u8]) {
        // A mask of zeros spares the work where there is much of it.
        let mask = if payload.len() > 2_000 { [0; 4] } else { [0x5a, 0xa7, 0x3c, 0x01] };
        self.outgoing.push_back(first_byte);
        match payload.len() {
            short @ 0..126 => self.outgoing.push_back(0x80 | short as u8),
            middle @ 126..65_536 => {
                self.outgoing.push_back(0x80 | 126);
                self.outgoing.extend(&(middle as u16).to_be_bytes());
            }
            long => {
                self.outgoing.push_back(0x80 | 127);
                self.outgoing.extend(&(long as u64).to_be_bytes());
            }
        }
        self.outgoing.extend(&mask);
        match mask {
            [0, ..] => self.outgoing.extend(payload),
            _ => self.outgoing.extend(payload.iter().enumerate().map(|(at, b)| b ^ mask[at % 4])),
        }
    }

    /// Sends a message, in one frame or in fragments with a ping between.
    pub(super) fn say_message(&mut self, message: &Message<'_>, fragments: usize) {
        let mut bytes = Vec::new();
        message::encode(message, &mut bytes);
        if fragments < 2 {
            return self.say(0x82, &bytes);
        }
        let size = bytes.len() / fragments + 1;
        let count = bytes.chunks(size).count();
        for (at, part) in bytes.chunks(size).enumerate() {
            let opcode = if at == 0 { 2 } else { 0 };
            let last = if at + 1 == count { 0x80 } else { 0 };
            self.say(opcode | last, part);
            if at + 1 < count {
                self.say(0x89, b"between");
            }
        }
    }

    /// Writes a record to a device.
    pub(super) fn write(&mut self, id: u64, device: &DeviceActor, len: usize, fragments: usize) {
        let number = self.written.entry(device.number).or_default();
        let record = Record { writer: self.number, reader: device.number, number: *number };
        *number += 1;
        let text = device.address.to_string();
        self.say_message(
            &Message {
                kind: Kind::Write,
                ip_address: text.as_bytes(),
                id_or_port: id,
                data: &record.encode(len),
            },
            fragments,
        );
    }

    /// Sends and reads what the network allows.
    pub(super) fn pump(
        &mut self,
        wire: &mut Wire,
        devices: &[DeviceActor],
        turn: u64,
    ) -> Result<(), String> {
        if self.stage == Stage::Over {
            return Ok(());
        }
        self.send(wire);
        let Some(most) = self.pace.most() else { return Ok(()) };
        let (bytes, standing) = wire.peer_read(self.id, most);
        self.incoming.extend_from_slice(&bytes);
        self.hear(devices, turn)?;
        if standing != Standing::Open {
            wire.peer_close(self.id);
            self.stage = match self.stage {
                Stage::Refused(_) => self.stage,
                Stage::Asking | Stage::Live | Stage::Over => Stage::Over,
            };
        }
        Ok(())
    }

    fn send(&mut self, wire: &mut Wire) {
        if self.outgoing.is_empty() {
            return;
        }
        let len = match wire.random.chance(20) {
            true => 1 + wire.random.below(self.outgoing.len().min(300)),
            false => self.outgoing.len(),
        };
        let sent = wire.peer_write(self.id, &self.outgoing.make_contiguous()[..len]);
        self.outgoing.drain(..sent);
    }

    fn hear(&mut self, devices: &[DeviceActor], turn: u64) -> Result<(), String> {
        let incoming = std::mem::take(&mut self.incoming);
        let mut at = 0;
        if self.stage == Stage::Asking {
            at = self.hear_answer(&incoming, turn)?;
        }
        if self.stage == Stage::Live {
            while let Some((first, payload, len)) = frame_in(&incoming[at..])? {
                self.hear_frame(first, payload, devices)?;
                at += len;
            }
        }
        self.incoming = incoming[at..].to_vec();
        Ok(())
    }

    fn hear_answer(&mut self, bytes: &[u8], turn: u64) -> Result<usize, String> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
            return Ok(0);
        };
        let status = std::str::from_utf8(&bytes[9..12]).ok().and_then(|text| text.parse().ok());
        match status.ok_or("no status")? {
            101 => {
                self.stage = Stage::Live;
                self.live_since = turn;
                Ok(end + 4)
            }
            refused => {
                self.stage = Stage::Refused(refused);
                Ok(bytes.len())
            }
        }
    }

    fn hear_frame(
        &mut self,
        first: u8,
        payload: &[u8],
        devices: &[DeviceActor],
    ) -> Result<(), String> {
        if self.close_code.is_some() {
            return Err(format!("driver {} was sent a frame after Close", self.number));
        }
        match first {
            0x82 => {
                let message = message::decode(payload).map_err(|error| error.to_string())?;
                self.hear_message(&message, devices)
            }
            0x88 => {
                let code = payload.first_chunk().map_or(1005, |two| u16::from_be_bytes(*two));
                self.close_code = Some(code);
                if self.answers {
                    self.say(0x88, &code.to_be_bytes());
                }
                Ok(())
            }
            0x89 => {
                // As drivers of PlaceOS do.
                if self.answers {
                    self.say(0x8a, payload);
                    self.say(0x8a, payload);
                }
                Ok(())
            }
            0x8a => Ok(()),
            other => Err(format!("driver {} was sent a frame {other:#x}", self.number)),
        }
    }

    fn hear_message(
        &mut self,
        message: &Message<'_>,
        devices: &[DeviceActor],
    ) -> Result<(), String> {
        let address = parse_address(message.ip_address).ok_or("no address")?;
        if !self.accept.covers(address) {
            return Err(format!("driver {} heard of {address}, uncovered", self.number));
        }
        match (self.protocol, message.kind) {
            (Protocol::Udp, Kind::Received) => self.hear_datagram(message),
            (Protocol::Udp, kind) => Err(format!("{} on UDP", kind.name())),
            (Protocol::Tcp | Protocol::Tls, Kind::Opened) => {
                self.hear_opened(message.id_or_port, address, devices)
            }
            (Protocol::Tcp | Protocol::Tls, Kind::Received) => self.hear_bytes(message, devices),
            (Protocol::Tcp | Protocol::Tls, Kind::Closed) => {
                match self.heard.get_mut(&message.id_or_port) {
                    Some(heard) if heard.is_open => {
                        heard.is_open = false;
                        Ok(())
                    }
                    Some(_) | None => Err(format!("CLOSED of {} unopened", message.id_or_port)),
                }
            }
            (Protocol::Tcp | Protocol::Tls, kind) => Err(format!("{} from us", kind.name())),
        }
    }

    fn hear_opened(
        &mut self,
        id: u64,
        address: IpAddr,
        devices: &[DeviceActor],
    ) -> Result<(), String> {
        let number = self.number;
        if self.last_id.is_some_and(|last| id <= last) {
            return Err(format!("driver {number}: client id {id} after {:?}", self.last_id));
        }
        self.last_id = Some(id);
        let known = devices.iter().find(|d| d.address == address && d.port == self.port);
        let device = known.ok_or_else(|| format!("driver {number}: nobody is at {address}"))?;
        let starts = match device.connected_at > self.live_since {
            true => vec![0],
            false => {
                let first = self.read_before.get(device.number).copied().unwrap_or(0);
                (first.min(device.sent)..=device.sent).collect()
            }
        };
        self.heard.insert(id, Heard { device: device.number, starts, len: 0, is_open: true });
        Ok(())
    }

    fn hear_bytes(&mut self, message: &Message<'_>, devices: &[DeviceActor]) -> Result<(), String> {
        let (number, id, data) = (self.number, message.id_or_port, message.data);
        let heard = self.heard.get_mut(&id).filter(|heard| heard.is_open);
        let heard = heard.ok_or_else(|| format!("driver {number}: RECEIVED of {id} unopened"))?;
        let device = &devices[heard.device];
        if data.is_empty() {
            return Err(format!("driver {number}: an empty RECEIVED of {id}"));
        }
        let len = heard.len;
        // Where a driver that joined late began to hear may be later than what was sent by then.
        if len == 0 && heard.starts != [0] {
            let first = heard.starts.first().copied().unwrap_or(0);
            heard.starts = (first..=device.sent).collect();
        }
        heard.starts.retain(|start| {
            let from = start + len;
            from + data.len() <= device.sent
                && stretch(device.number, from, 1)[0] == data[0]
                && stretch(device.number, from, data.len()) == data
        });
        heard.len += data.len();
        match heard.starts.is_empty() {
            true => Err(format!(
                "driver {number}: {} bytes of device {} at {len} are not those that it sent",
                data.len(),
                device.number
            )),
            false => Ok(()),
        }
    }

    fn hear_datagram(&mut self, message: &Message<'_>) -> Result<(), String> {
        let (record, len) = Record::decode(message.data)?.ok_or("a datagram was cut")?;
        if len != message.data.len() {
            return Err("two datagrams in one RECEIVED".into());
        }
        let port = u64::from(FIRST_PEER_PORT) + record.writer as u64;
        if port != message.id_or_port {
            return Err(format!("a datagram of {port} is said to be of {}", message.id_or_port));
        }
        let next = self.peers.entry(record.writer).or_default();
        if record.number < *next {
            return Err(format!("datagram {} after {next} of {port}", record.number));
        }
        *next = record.number + 1;
        self.datagrams += 1;
        Ok(())
    }

    /// A datagram of its went out.
    pub(super) fn note_sent(&mut self, record: &Record) -> Result<(), String> {
        let next = self.to_peers.entry(record.reader).or_default();
        match record.number < *next {
            true => Err(format!("{record:?} went out after {next}")),
            false => {
                *next = record.number + 1;
                Ok(())
            }
        }
    }

    /// Whether a device is open to it.
    pub(super) fn has_devices(&self) -> bool {
        self.heard.values().any(|heard| heard.is_open)
    }

    /// The client ids that are open to it.
    pub(super) fn open_ids(&self) -> Vec<u64> {
        self.heard.iter().filter(|(_, heard)| heard.is_open).map(|(&id, _)| id).collect()
    }

    /// One of the client ids that are open to it.
    pub(super) fn pick_id(&self, random: &mut Random) -> Option<u64> {
        let open = self.open_ids();
        open.get(random.below(open.len())).copied()
    }
}

/// A first byte, a payload, and the length of the frame.
type Frame<'a> = (u8, &'a [u8], usize);

/// The first frame of what a server sent: its first byte, its payload, and its length in all.
fn frame_in(bytes: &[u8]) -> Result<Option<Frame<'_>>, String> {
    let &[first, second, ..] = bytes else { return Ok(None) };
    let (header, len) = match second {
        126 => match bytes.get(2..4) {
            Some(len) => (4, usize::from(u16::from_be_bytes([len[0], len[1]]))),
            None => return Ok(None),
        },
        127 => match bytes.get(2..10).and_then(|len| len.first_chunk::<8>()) {
            Some(len) => (10, u64::from_be_bytes(*len) as usize),
            None => return Ok(None),
        },
        masked if masked > 127 => return Err("a masked frame from us".into()),
        short => (2, usize::from(short)),
    };
    Ok(bytes.get(header..header + len).map(|payload| (first, payload, header + len)))
}
