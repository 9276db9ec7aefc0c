//! A driver: what it is, and what it says.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use dispatch::testing::protocol::accept_list::AcceptList;
use dispatch::testing::protocol::http::registration::Protocol;
use dispatch::testing::protocol::message::{self, Kind, Message};

use crate::actors::addresses::{BALANCED_PEER, PROXY};
use crate::actors::behaviour::{Behaviour, Pace};
use crate::actors::device::DeviceActor;
use crate::actors::line::{KEY, Line};
use crate::network::{Id, Standing, Wire};
use crate::pattern::Record;
use crate::rng::Rng;

use super::heard::Heard;

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
    line: Line,
    pub number: usize,
    pub port: u16,
    pub protocol: Protocol,
    pub accept: AcceptList,
    pub token: &'static str,
    /// Its token did not allow what it asked for, at some time before it was answered.
    pub may_lack_token: bool,
    pub behaviour: Behaviour,
    pub stage: Stage,
    pub pace: Pace,
    pub answers: bool,
    /// It has said Close or hung up, or is about to.
    pub is_leaving: bool,
    /// It was there when we began to stop, and must be told.
    pub is_to_be_told: bool,
    /// The code that we must close it with.
    pub expected_code: Option<u16>,
    pub close_code: Option<u16>,
    outgoing: VecDeque<u8>,
    pub(super) incoming: Vec<u8>,
    pub heard: BTreeMap<u64, Heard>,
    pub(super) last_id: Option<u64>,
    /// Records written, by device.
    pub written: BTreeMap<usize, u32>,
    /// By UDP peer, the number that its next datagram has at least.
    pub(super) peers: BTreeMap<usize, u32>,
    pub datagrams: u64,
    /// By UDP peer, the number that the next datagram to it has at least.
    to_peers: BTreeMap<usize, u32>,
    /// It did not read or answer for a while, and may have been closed for that.
    pub was_slow: bool,
    /// What we had read of each device when the driver asked.
    pub(super) read_before: Vec<usize>,
    pub(super) live_since: u64,
    pub(super) last_pong: Vec<u8>,
    /// From this record on, what it writes to the peer behind the load balancer goes back the way
    /// that it has heard it by.
    pub(super) balanced_from: Option<u32>,
    /// Datagrams that it wrote to where they can be sent, and those of its that were sent.
    pub to_send_out: u64,
    pub sent_out: u64,
    /// Messages sent that must be ignored.
    pub nonsense: u64,
}

impl DriverActor {
    pub fn new(
        line: Line,
        number: usize,
        (protocol, port, token): (Protocol, u16, &'static str),
        accept: AcceptList,
        read_before: Vec<usize>,
    ) -> Self {
        let mut driver = Self {
            line,
            number,
            port,
            protocol,
            accept,
            token,
            may_lack_token: false,
            behaviour: Behaviour::Correct,
            stage: Stage::Asking,
            pace: Pace::Full,
            answers: true,
            is_leaving: false,
            is_to_be_told: false,
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
            last_pong: Vec::new(),
            balanced_from: None,
            to_send_out: 0,
            sent_out: 0,
            nonsense: 0,
        };
        let request = driver.request();
        driver.outgoing.extend(request.as_bytes());
        driver
    }

    fn request(&self) -> String {
        let Self { protocol, port, accept, token, .. } = self;
        let key = match protocol {
            Protocol::Tcp | Protocol::Udp => String::new(),
            Protocol::Tls => format!("&private_key={}", utf8_percent_encode(KEY, NON_ALPHANUMERIC)),
        };
        format!(
            "GET /api/dispatch/v1/{protocol}_dispatch?port={port}&accept={accept}{key} HTTP/1.1\r\n\
             Host: sim\r\nAuthorization: Bearer {token}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
    }

    /// Its connection.
    pub fn id(&self) -> Id {
        self.line.id()
    }

    /// Whether nothing must go wrong for it.
    pub fn is_sound(&self) -> bool {
        self.behaviour == Behaviour::Correct && self.stage == Stage::Live && !self.is_leaving
    }

    /// Whether all that it wanted to send has been read.
    pub fn has_sent_all(&self) -> bool {
        self.outgoing.is_empty() && self.line.is_flushed()
    }

    /// Sends bytes as they are.
    pub fn say_raw(&mut self, bytes: &[u8]) {
        self.outgoing.extend(bytes);
    }

    /// Sends a masked frame.
    pub fn say(&mut self, first_byte: u8, payload: &[u8]) {
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
    pub fn say_message(&mut self, message: &Message<'_>, fragments: usize) {
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
    pub fn write(&mut self, id: u64, device: &DeviceActor, len: usize, fragments: usize) {
        let number = self.written.entry(device.number).or_default();
        let record = Record { writer: self.number, reader: device.number, number: *number };
        *number += 1;
        let text = device.address.to_string();
        let (kind, ip_address, data) = (Kind::Write, text.as_bytes(), &record.encode(len)[..]);
        self.say_message(&Message { kind, ip_address, id_or_port: id, data }, fragments);
    }

    /// Says something about a device, in one frame.
    pub fn say_to(&mut self, id: u64, device: &DeviceActor, kind: Kind, data: &[u8]) {
        let text = device.address.to_string();
        let (ip_address, id_or_port) = (text.as_bytes(), id);
        self.say_message(&Message { kind, ip_address, id_or_port, data }, 1);
    }

    /// It does not read any longer, and may be closed for that.
    pub fn stop_reading(&mut self) {
        (self.behaviour, self.pace) = (Behaviour::Faulty, Pace::Stalled);
        self.was_slow = true;
    }

    /// Sends and reads what the network allows.
    pub fn pump(
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
        let (bytes, standing) = self.line.receive(wire, most)?;
        self.incoming.extend_from_slice(&bytes);
        self.check_input(devices, turn)?;
        if standing != Standing::Open {
            wire.peer_close(self.id());
            self.stage = match self.stage {
                Stage::Refused(_) => self.stage,
                Stage::Asking | Stage::Live | Stage::Over => Stage::Over,
            };
        }
        Ok(())
    }

    fn send(&mut self, wire: &mut Wire) {
        let len = match wire.rng.chance(20) {
            true => self.outgoing.len().min(1 + wire.rng.below(300)),
            false => self.outgoing.len(),
        };
        let sent = self.line.send(wire, &self.outgoing.make_contiguous()[..len]);
        self.outgoing.drain(..sent);
    }

    /// Pings once more, to be answered with this number.
    pub fn ping(&mut self, number: u64) {
        self.say(0x89, &number.to_be_bytes());
    }

    /// Whether it has the pong of that ping.
    pub fn is_answered(&self, number: u64) -> bool {
        self.last_pong == number.to_be_bytes()
    }

    /// A datagram of its went out, to this address.
    pub fn note_sent(&mut self, record: &Record, to: IpAddr) -> Result<(), String> {
        let must_return = record.reader == BALANCED_PEER
            && self.balanced_from.is_some_and(|first| record.number >= first);
        if must_return && to != PROXY {
            return Err(format!("{record:?} went to {to}, past the load balancer"));
        }
        self.sent_out += 1;
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
    pub fn has_devices(&self) -> bool {
        self.heard.values().any(|heard| heard.is_open)
    }

    /// The client ids that are open to it.
    pub fn open_ids(&self) -> Vec<u64> {
        self.heard.iter().filter(|(_, heard)| heard.is_open).map(|(&id, _)| id).collect()
    }

    /// One of the client ids that are open to it.
    pub fn pick_id(&self, rng: &mut Rng) -> Option<u64> {
        let open = self.open_ids();
        open.get(rng.below(open.len())).copied()
    }
}
