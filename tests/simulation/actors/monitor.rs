//! An operator who watches a port.
//!
//! What devices send and drivers write tells where it comes from, so that a monitor knows by itself
//! whether anything is missing, repeated or out of order, unless it was told that something was left
//! out.

use std::collections::BTreeMap;

use dispatch::testing::protocol::http::registration::PortKind;
use dispatch::testing::protocol::message::{self, Kind, Message};
use dispatch::testing::reactor::Traffic;

use crate::actors::behaviour::{Behaviour, Pace};
use crate::actors::frames::{frame_in, status_in};
use crate::actors::line::Line;
use crate::network::{Id, Standing, Wire};
use crate::pattern::{self, Record};

/// So many bytes of a device are enough to tell from where in its stream they are.
const TELLING_BYTES: usize = 8;

/// How far a monitor has got.
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

/// What a monitor knows of a device.
#[derive(Debug)]
enum Place {
    /// It said too little yet to tell where in its stream that is.
    Unknown(Vec<u8>),
    /// Its next byte is there in the pattern.
    At(usize),
    /// It is gone.
    Closed,
}

/// One monitor.
pub struct MonitorActor {
    line: Line,
    pub kind: PortKind,
    pub port: u16,
    pub stage: Stage,
    pub pace: Pace,
    pub behaviour: Behaviour,
    pub close_code: Option<u16>,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
    devices: BTreeMap<u64, Place>,
    /// By writer and reader, the number that the next record has at least.
    records: BTreeMap<(usize, usize), u32>,
    /// What it was told of.
    pub heard: Traffic,
    /// Messages that it was told were left out.
    pub left_out: u64,
    /// At the last rest, what had passed, what it had heard of that, and how much was left out.
    pub compared: Option<(Traffic, Traffic, u64)>,
}

impl MonitorActor {
    pub fn new(line: Line, kind: PortKind, port: u16) -> Self {
        let protocol = match kind {
            PortKind::Stream => "tcp",
            PortKind::Datagram => "udp",
        };
        let request = format!(
            "GET /api/dispatch/v1/ports/{protocol}/{port}/monitor HTTP/1.1\r\nHost: sim\r\n\
             Authorization: Bearer sim\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        Self {
            line,
            kind,
            port,
            stage: Stage::Asking,
            pace: Pace::Full,
            behaviour: Behaviour::Correct,
            close_code: None,
            outgoing: request.into_bytes(),
            incoming: Vec::new(),
            devices: BTreeMap::new(),
            records: BTreeMap::new(),
            heard: Traffic::default(),
            left_out: 0,
            compared: None,
        }
    }

    /// Its connection.
    pub fn id(&self) -> Id {
        self.line.id()
    }

    /// Says something, which must be ignored.
    pub fn say(&mut self, first_byte: u8, payload: &[u8]) {
        self.outgoing.extend_from_slice(&[first_byte, 0x80 | payload.len() as u8, 0, 0, 0, 0]);
        self.outgoing.extend_from_slice(payload);
    }

    /// Sends and reads what the network allows.
    pub fn pump(&mut self, wire: &mut Wire) -> Result<(), String> {
        if self.stage == Stage::Over {
            return Ok(());
        }
        let sent = self.line.send(wire, &self.outgoing);
        self.outgoing.drain(..sent);
        let Some(most) = self.pace.most() else { return Ok(()) };
        let (bytes, standing) = self.line.receive(wire, most)?;
        self.incoming.extend_from_slice(&bytes);
        self.check_input()?;
        if standing != Standing::Open {
            wire.peer_close(self.id());
            self.stage = match self.stage {
                Stage::Refused(_) => self.stage,
                Stage::Asking | Stage::Live | Stage::Over => self.end()?,
            };
        }
        Ok(())
    }

    fn end(&self) -> Result<Stage, String> {
        let is_just = self.close_code.is_some() || self.behaviour == Behaviour::Faulty;
        match self.stage == Stage::Live && !is_just {
            true => Err(format!("the monitor of port {} was cut off", self.port)),
            false => Ok(Stage::Over),
        }
    }

    fn check_input(&mut self) -> Result<(), String> {
        let incoming = std::mem::take(&mut self.incoming);
        let mut at = 0;
        if self.stage == Stage::Asking {
            match status_in(&incoming)? {
                Some((101, len)) => (self.stage, at) = (Stage::Live, len),
                Some((status, _)) => (self.stage, at) = (Stage::Refused(status), incoming.len()),
                None => {}
            }
        }
        if self.stage == Stage::Live {
            while let Some((first, payload, len)) = frame_in(&incoming[at..])? {
                self.check_frame(first, payload)?;
                at += len;
            }
        }
        self.incoming = incoming[at..].to_vec();
        Ok(())
    }

    fn check_frame(&mut self, first: u8, payload: &[u8]) -> Result<(), String> {
        match (first, self.close_code) {
            (_, Some(_)) => Err("a monitor was sent a frame after Close".into()),
            (0x82, None) => {
                let message = message::decode(payload).map_err(|error| error.to_string())?;
                let name = message.kind.name();
                self.check_message(&message).map_err(|why| format!("a monitor's {name}: {why}"))
            }
            (0x88, None) => {
                let code = payload.first_chunk().map_or(1005, |two| u16::from_be_bytes(*two));
                self.close_code = Some(code);
                self.say(0x88, &code.to_be_bytes());
                Ok(())
            }
            (0x89, None) => {
                self.say(0x8a, payload);
                Ok(())
            }
            (0x8a, None) => Ok(()),
            (other, None) => Err(format!("a monitor was sent a frame {other:#x}")),
        }
    }

    fn check_message(&mut self, message: &Message<'_>) -> Result<(), String> {
        let is_udp = self.kind == PortKind::Datagram;
        match message.kind {
            Kind::Received => self.heard.received.add(message.data.len()),
            Kind::Write => self.heard.sent.add(message.data.len()),
            Kind::LeftOut => return self.note_left_out(message.id_or_port),
            Kind::Opened | Kind::Closed | Kind::Close if is_udp => {
                return Err("there are no connections".into());
            }
            Kind::Opened => return self.check_opened(message.id_or_port),
            Kind::Closed => return self.check_closed(message.id_or_port),
            Kind::Close | Kind::Refused => return Ok(()),
        }
        match message.kind == Kind::Received && !is_udp {
            true => self.check_bytes(message.id_or_port, message.data),
            // Datagrams may be lost on their way to us, and nonsense goes out as one.
            false if is_udp => Record::decode(message.data).map(drop),
            false => self.check_record(message.data),
        }
    }

    fn check_opened(&mut self, id: u64) -> Result<(), String> {
        match self.devices.insert(id, Place::Unknown(Vec::new())) {
            Some(known) => Err(format!("device {id} is there already: {known:?}")),
            None => Ok(()),
        }
    }

    fn check_closed(&mut self, id: u64) -> Result<(), String> {
        match self.devices.insert(id, Place::Closed) {
            Some(Place::Closed) => Err(format!("device {id} is gone already")),
            Some(Place::Unknown(_) | Place::At(_)) | None => Ok(()),
        }
    }

    fn check_bytes(&mut self, id: u64, data: &[u8]) -> Result<(), String> {
        let place = self.devices.entry(id).or_insert(Place::Unknown(Vec::new()));
        match place {
            Place::Closed => return Err(format!("device {id} is gone")),
            Place::At(at) if pattern::is_at(*at, data) => *at += data.len(),
            Place::At(at) => return Err(format!("bytes of device {id} are missing at {at}")),
            Place::Unknown(bytes) => {
                bytes.extend_from_slice(data);
                if bytes.len() >= TELLING_BYTES {
                    let at = pattern::find(bytes).ok_or("bytes that no device sent")?;
                    *place = Place::At(at + bytes.len());
                }
            }
        }
        Ok(())
    }

    fn check_record(&mut self, data: &[u8]) -> Result<(), String> {
        let (record, len) = Record::decode(data)?.ok_or("a record was cut")?;
        let next = self.records.entry((record.writer, record.reader)).or_default();
        if record.number < *next || len != data.len() {
            return Err(format!("{record:?} after {next}"));
        }
        *next = record.number + 1;
        Ok(())
    }

    fn note_left_out(&mut self, count: u64) -> Result<(), String> {
        if count == 0 {
            return Err("nothing was left out".into());
        }
        self.left_out += count;
        self.devices.clear();
        Ok(())
    }

    /// Compares what it heard since the last time that the world was at rest with what passed.
    pub fn compare(&mut self, passed: Traffic) -> Result<(), String> {
        if self.pace != Pace::Full || self.stage != Stage::Live {
            self.compared = None;
            return Ok(());
        }
        let now = (passed, self.heard, self.left_out);
        match self.compared.replace(now) {
            Some((passed_before, heard_before, left_out)) if left_out == self.left_out => {
                let truly = passed.since(passed_before);
                let heard = self.heard.since(heard_before);
                match truly == heard {
                    true => Ok(()),
                    false => Err(format!("a monitor heard {heard:?} of {truly:?}")),
                }
            }
            Some(_) | None => Ok(()),
        }
    }
}
