//! What a driver of the simulation must hear, and must not.

use std::net::IpAddr;

use dispatch::testing::protocol::accept_list::parse_address;
use dispatch::testing::protocol::http::registration::Protocol;
use dispatch::testing::protocol::message::{self, Kind, Message};

use crate::actors::addresses::{BALANCED_PEER, FIRST_PEER_PORT};
use crate::actors::device::DeviceActor;
use crate::actors::frames::{frame_in, status_in};
use crate::pattern::{Record, stretch};

use super::actor::{DriverActor, Stage};
use super::heard::Heard;

impl DriverActor {
    pub(super) fn check_input(&mut self, devices: &[DeviceActor], turn: u64) -> Result<(), String> {
        let incoming = std::mem::take(&mut self.incoming);
        let mut at = 0;
        if self.stage == Stage::Asking {
            at = self.check_answer(&incoming, turn)?;
        }
        if self.stage == Stage::Live {
            while let Some((first, payload, len)) = frame_in(&incoming[at..])? {
                self.check_frame(first, payload, devices)?;
                at += len;
            }
        }
        self.incoming = incoming[at..].to_vec();
        Ok(())
    }

    fn check_answer(&mut self, bytes: &[u8], turn: u64) -> Result<usize, String> {
        let Some((status, len)) = status_in(bytes)? else { return Ok(0) };
        match status {
            101 => {
                self.stage = Stage::Live;
                self.live_since = turn;
                Ok(len)
            }
            refused => {
                self.stage = Stage::Refused(refused);
                Ok(bytes.len())
            }
        }
    }

    fn check_frame(
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
                self.check_message(&message, devices)
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
            0x8a => {
                self.last_pong = payload.to_vec();
                Ok(())
            }
            other => Err(format!("driver {} was sent a frame {other:#x}", self.number)),
        }
    }

    fn check_message(
        &mut self,
        message: &Message<'_>,
        devices: &[DeviceActor],
    ) -> Result<(), String> {
        let address = parse_address(message.ip_address).ok_or("no address")?;
        if !self.accept.covers(address) {
            return Err(format!("driver {} heard of {address}, uncovered", self.number));
        }
        match (self.protocol, message.kind) {
            (Protocol::Udp, Kind::Received) => self.check_datagram(message),
            (Protocol::Udp, kind) => Err(format!("{} on UDP", kind.name())),
            (Protocol::Tcp | Protocol::Tls, Kind::Opened) => {
                self.check_opened(message.id_or_port, address, devices)
            }
            (Protocol::Tcp | Protocol::Tls, Kind::Received) => self.check_bytes(message, devices),
            (Protocol::Tcp | Protocol::Tls, Kind::Closed) => {
                self.check_closed(message.id_or_port, devices)
            }
            (Protocol::Tcp | Protocol::Tls, kind) => Err(format!("{} from us", kind.name())),
        }
    }

    fn check_opened(
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
        if !device.may_be_known() {
            return Err(format!(
                "driver {number} heard of device {}, which is not in",
                device.number
            ));
        }
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

    fn check_closed(&mut self, id: u64, devices: &[DeviceActor]) -> Result<(), String> {
        let number = self.number;
        let heard = self.heard.get_mut(&id).filter(|heard| heard.is_open);
        let heard = heard.ok_or_else(|| format!("driver {number}: CLOSED of {id} unopened"))?;
        heard.is_open = false;
        match devices[heard.device].may_be_closed() {
            true => Ok(()),
            false => Err(format!("device {} was closed for no reason", heard.device)),
        }
    }

    fn check_bytes(
        &mut self,
        message: &Message<'_>,
        devices: &[DeviceActor],
    ) -> Result<(), String> {
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

    fn check_datagram(&mut self, message: &Message<'_>) -> Result<(), String> {
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
        if record.writer == BALANCED_PEER {
            let written = self.written.get(&BALANCED_PEER).copied().unwrap_or(0);
            self.balanced_from.get_or_insert(written);
        }
        Ok(())
    }
}
