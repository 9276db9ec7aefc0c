//! Bytes from devices to drivers and back.

use std::net::SocketAddr;
use std::time::Instant;

use log::{debug, warn};
use tungstenite::protocol::frame::coding::{CloseCode, Control};

use crate::accept::parse_address;
use crate::arena::Arena;
use crate::connection::Taken;
use crate::device::{Device, Hold, Life};
use crate::driver::{Driver, Intake, Name};
use crate::envelope::{Envelope, FRAME_MAX_BYTES};
use crate::frames::{FrameError, Incoming, Input, control_frame};
use crate::keys::{DeviceKey, DriverKey, PortKey, tag};
use crate::limits::{
    DATAGRAM_MAX_BYTES, DEVICE_BACKLOG_BYTES, DEVICE_DRAINED_BYTES, DRIVER_BACKLOG_BYTES,
    WAKES_PER_FLUSH,
};
use crate::message::{self, DecodeError, Kind, Message};
use crate::net::{Net, Stream};
use crate::outbox::{Buffers, Flushed};
use crate::port::{Gate, Port, Sent, Socket, Udp, is_idle};
use crate::proxy::{self, Header};
use crate::readiness::Readiness;
use crate::worklist::Worklist;

use super::Reactor;
use super::reap::{Ending, Leave};

// ---- From devices to drivers ----------------------------------------------------------------

impl<N: Net> Reactor<N> {
    pub(super) fn handle_device_event(&mut self, key: DeviceKey, news: Readiness) {
        let Some(device) = self.devices.get_mut(key) else { return };
        device.connection.handle_ready(news);
        if news.is_readable() {
            self.work.devices.insert(key);
        }
        if news.is_writable() && (!device.outbox.is_empty() || device.connection.wants_write()) {
            self.work.dirty_devices.insert(key);
        }
    }

    /// Reads a device once, into the outboxes of the drivers that cover it.
    pub(super) fn drive_device(&mut self, key: DeviceKey) {
        if self.park_behind_congestion(key) {
            return;
        }
        let Some(device) = self.devices.get_mut(key) else { return };
        let taken = match device.audience[..] {
            [only] => read_into(device, only, &mut self.drivers, &mut self.buffers),
            _ => device.read_frame(&mut self.scratch.frame),
        };
        match taken {
            Ok(Taken::Bytes(len)) => self.hear(key, len),
            Ok(Taken::Blocked) => self.await_device(key),
            Ok(Taken::End) => self.handle_device_end(key),
            Err(error) => self.end_device(key, Ending::Broken(error.to_string())),
        }
    }

    /// Puts the device in line behind a driver of its audience that does not keep up.
    fn park_behind_congestion(&mut self, key: DeviceKey) -> bool {
        let Some(device) = self.devices.get_mut(key) else { return false };
        if device.parked_on.is_some() {
            return true;
        }
        for &driver_key in &device.audience {
            let Some(driver) = self.drivers.get_mut(driver_key) else { continue };
            if driver.is_congested() {
                driver.waiting.push_back(key);
                device.parked_on = Some(driver_key);
                return true;
            }
        }
        false
    }

    /// A frame was read from a device: into the outbox of its only driver, or else into the
    /// scratch buffer, from where every driver that covers it gets a copy.
    fn hear(&mut self, key: DeviceKey, frame_len: usize) {
        let Some(device) = self.devices.get(key) else { return };
        if device.connection.is_readable() {
            self.work.devices.insert(key);
        }
        if device.connection.wants_write() {
            self.work.dirty_devices.insert(key);
        }
        match device.audience[..] {
            [only] => self.relieve(only),
            _ => self.hear_many(device.audience.clone(), frame_len),
        }
    }

    fn hear_many(&mut self, audience: Vec<DriverKey>, frame_len: usize) {
        for key in audience {
            let Some(driver) = self.drivers.get_mut(key) else { continue };
            driver.outbox.extend(&mut self.buffers, &self.scratch.frame[..frame_len]);
            self.relieve(key);
        }
    }

    /// Sees to it that what is queued toward a driver gets written in this turn; at once if it
    /// is so much that devices would have to wait.
    pub(super) fn relieve(&mut self, key: DriverKey) {
        self.work.dirty_drivers.insert(key);
        let Some(driver) = self.drivers.get(key) else { return };
        if driver.is_congested() || driver.outbox.len() < DRIVER_BACKLOG_BYTES {
            return;
        }
        self.flush_driver(key);
    }

    /// A device that can't be written to any more ends once nothing more is to be read.
    fn await_device(&mut self, key: DeviceKey) {
        let Some(device) = self.devices.get(key) else { return };
        match device.life {
            Life::Receding { .. } => self.end_device(key, Ending::Broken("connection lost".into())),
            Life::Open | Life::Flushing { .. } => {}
        }
    }

    fn handle_device_end(&mut self, key: DeviceKey) {
        let Some(device) = self.devices.get_mut(key) else { return };
        match device.life {
            Life::Receding { .. } => self.end_device(key, Ending::Broken("connection lost".into())),
            Life::Open | Life::Flushing { .. } => {
                device.finish_flushing(self.now);
                self.work.dirty_devices.insert(key);
                self.rearm_device(key);
            }
        }
    }

    /// Receives one batch of datagrams, or accepts some connections.
    pub(super) fn drive_port(&mut self, key: PortKey) {
        match self.ports.get(key).map(|port| &port.socket) {
            Some(Socket::Stream(_)) => self.accept_devices(key),
            Some(Socket::Datagram(_)) => self.drive_udp(key),
            None => {}
        }
    }

    fn drive_udp(&mut self, key: PortKey) {
        let Self { ports, net, scratch, work, buffers, .. } = self;
        let Some(Port { socket: Socket::Datagram(udp), .. }) = ports.get_mut(key) else { return };
        udp.flush(net, buffers);
        let Gate::Open(socket) = &udp.gate else { return };
        match net.receive(socket, &mut scratch.datagrams) {
            Ok(()) if scratch.datagrams.is_full() => work.ports.insert(key),
            Ok(()) => {}
            Err(error) if is_idle(&error) => return,
            // An error is about one peer; there may be datagrams of others behind it.
            Err(_) => return work.ports.insert(key),
        }
        self.hear_datagrams(key);
    }

    fn hear_datagrams(&mut self, key: PortKey) {
        let datagrams = std::mem::take(&mut self.scratch.datagrams);
        for (from, data) in datagrams.iter() {
            match self.settings.is_trusted_proxy(from.ip()) {
                true => self.hear_proxied_datagram(key, from, data),
                false => self.hear_direct_datagram(key, from, data),
            }
        }
        self.scratch.datagrams = datagrams;
    }

    /// Hears a datagram with a PROXY header in front of it.
    fn hear_proxied_datagram(&mut self, key: PortKey, proxy: SocketAddr, datagram: &[u8]) {
        match proxy::parse_datagram(datagram) {
            Ok((Header::Proxied(device), data)) => {
                if let Some(Port { socket: Socket::Datagram(udp), .. }) = self.ports.get_mut(key) {
                    udp.note_proxy(device, proxy);
                }
                self.hear_datagram(key, device, data);
            }
            Ok((Header::Local, _)) => {}
            Err(error) => self.refuse(key, proxy.ip(), &error.to_string()),
        }
    }

    fn hear_direct_datagram(&mut self, key: PortKey, from: SocketAddr, data: &[u8]) {
        if let Some(Port { socket: Socket::Datagram(udp), .. }) = self.ports.get_mut(key) {
            udp.note_direct(from);
        }
        self.hear_datagram(key, from, data);
    }

    fn hear_datagram(&mut self, key: PortKey, from: SocketAddr, data: &[u8]) {
        let Some(port) = self.ports.get(key) else { return };
        let peer = from.ip().to_canonical();
        let mut audience = std::mem::take(&mut self.scratch.audience);
        audience.extend(port.subscribers.covering(peer));
        if audience.is_empty() {
            self.refuse(key, peer, "no driver accepts datagrams from it");
        }
        let envelope = Envelope::new(peer, u64::from(from.port()));
        for driver in audience.drain(..) {
            self.queue_datagram(driver, &envelope, data);
        }
        self.scratch.audience = audience;
    }

    /// Queues a datagram toward a driver, or drops it where the driver does not keep up: unlike
    /// a device's connection, a UDP socket can't be told to wait.
    fn queue_datagram(&mut self, key: DriverKey, envelope: &Envelope, data: &[u8]) {
        let Some(driver) = self.drivers.get_mut(key) else { return };
        if driver.is_congested() {
            driver.count_dropped_datagram();
            self.counters.dropped_datagrams += 1;
            return;
        }
        let room = driver.outbox.room(&mut self.buffers, envelope.frame_len(data.len()));
        let len = envelope.frame(Kind::Received, data, room);
        driver.outbox.commit(&mut self.buffers, len);
        self.relieve(key);
    }
}

/// Reads a device straight into the outbox of the one driver that covers it.
fn read_into<S: Stream>(
    device: &mut Device<S>,
    only: DriverKey,
    drivers: &mut Arena<tag::Driver, Driver<S>>,
    buffers: &mut Buffers,
) -> std::io::Result<Taken> {
    let Some(driver) = drivers.get_mut(only) else { return Ok(Taken::Blocked) };
    let taken = device.read_frame(driver.outbox.room(buffers, FRAME_MAX_BYTES));
    let len = match taken {
        Ok(Taken::Bytes(len)) => len,
        Ok(Taken::Blocked | Taken::End) | Err(_) => 0,
    };
    driver.outbox.commit(buffers, len);
    taken
}

// ---- From drivers to devices ----------------------------------------------------------------

/// Why a driver is closed in the middle of what it sent.
enum Misstep {
    Frame(FrameError),
    Message(DecodeError),
}

/// What dealing with some input came to.
enum Dealt {
    /// All of it was dealt with.
    All,
    /// A device has enough for now; the rest must wait.
    Held { by: DeviceKey, rest: Vec<u8> },
    /// The driver said goodbye.
    Closed(Option<CloseCode>),
}

/// What a message came to.
enum Applied {
    Done,
    /// It was ignored, for this reason.
    Ignored(&'static str),
    /// It was done and filled the device's queue.
    Filled(DeviceKey),
}

/// What messages from a driver work on: all but the driver itself.
struct Desk<'a, N: Net> {
    port: Option<&'a mut Port<N>>,
    net: &'a mut N,
    devices: &'a mut Arena<tag::Device, Device<N::Stream>>,
    dirty_devices: &'a mut Worklist<tag::Device>,
    buffers: &'a mut Buffers,
    ignored: &'a mut u64,
    now: Instant,
}

impl<N: Net> Reactor<N> {
    pub(super) fn handle_driver_event(&mut self, key: DriverKey, news: Readiness) {
        let Some(driver) = self.drivers.get_mut(key) else { return };
        driver.connection.handle_ready(news);
        if news.is_readable() {
            self.work.drivers.insert(key);
        }
        if news.is_writable() && (!driver.outbox.is_empty() || driver.connection.wants_write()) {
            self.work.dirty_drivers.insert(key);
        }
    }

    /// Reads a driver once and does what it says.
    pub(super) fn drive_driver(&mut self, key: DriverKey) {
        let Some(driver) = self.drivers.get_mut(key) else { return };
        if let Intake::HeldBy(_) = driver.intake {
            return;
        }
        match driver.read(&mut self.scratch.read, &mut self.buffers, self.now) {
            Ok(Taken::Bytes(len)) => self.deal(key, len),
            Ok(Taken::Blocked) => {}
            Ok(Taken::End) => self.remove_driver(key, Leave::Lost("the driver hung up".into())),
            Err(error) => self.remove_driver(key, Leave::Lost(error.to_string())),
        }
    }

    /// Deals with `len` bytes in the read buffer.
    fn deal(&mut self, key: DriverKey, len: usize) {
        let Self { drivers, ports, net, devices, work, buffers, scratch, counters, .. } = self;
        let Some(driver) = drivers.get_mut(key) else { return };
        let held_before = driver.frames.held_bytes();
        let mut desk = Desk {
            port: ports.get_mut(driver.port),
            net,
            devices,
            dirty_devices: &mut work.dirty_devices,
            buffers,
            ignored: &mut counters.ignored_messages,
            now: self.now,
        };
        let dealt = deal_with(key, driver, &mut scratch.read[..len], &mut desk);
        // What was dealt with is held no longer, even if nothing is read for a while.
        driver.frames.forget_lent();
        buffers.count_held(held_before, driver.frames.held_bytes());
        if !driver.outbox.is_empty() {
            work.dirty_drivers.insert(key);
        }
        if driver.is_readable() {
            work.drivers.insert(key);
        }
        match dealt {
            Ok(Dealt::All) => {}
            Ok(Dealt::Held { by, rest }) => self.hold(key, by, &rest),
            Ok(Dealt::Closed(code)) => self.remove_driver(key, Leave::Bye(code)),
            Err(misstep) => self.remove_driver(key, misstep.into()),
        }
    }

    /// Does not read a driver on until a device has taken more of what was written to it.
    pub(super) fn hold(&mut self, key: DriverKey, by: DeviceKey, rest: &[u8]) {
        let Some(device) = self.devices.get_mut(by) else { return };
        let hold = device
            .hold
            .get_or_insert_with(|| Box::new(Hold { since: self.now, drivers: Vec::new() }));
        hold.drivers.push(key);
        if let Some(driver) = self.drivers.get_mut(key) {
            driver.put_back(rest, &mut self.buffers);
            driver.intake = Intake::HeldBy(by);
        }
        self.rearm_device(by);
    }

    /// Writes what is queued toward a device.
    pub(super) fn flush_device(&mut self, key: DeviceKey) {
        let Some(device) = self.devices.get_mut(key) else { return };
        let flushed = device.flush(&mut self.buffers, self.now);
        if flushed != Flushed::All && device.connection.is_writable() {
            self.work.dirty_devices.insert(key);
        }
        if device.outbox.len() <= DEVICE_DRAINED_BYTES {
            self.release_hold(key);
        }
        match (self.devices.get(key).map(|device| device.life), flushed) {
            (Some(Life::Flushing { .. }), Flushed::All) => self.end_device(key, Ending::Orderly),
            (Some(Life::Receding { .. }), Flushed::All) => self.work.devices.insert(key),
            (Some(Life::Open | Life::Flushing { .. } | Life::Receding { .. }) | None, _) => {}
        }
        self.rearm_device(key);
    }

    /// Reads the drivers again that a device has held back.
    fn release_hold(&mut self, key: DeviceKey) {
        let Some(hold) = self.devices.get_mut(key).and_then(|device| device.hold.take()) else {
            return;
        };
        self.release_drivers(&hold.drivers);
    }

    /// Reads these drivers again.
    pub(super) fn release_drivers(&mut self, keys: &[DriverKey]) {
        for &key in keys {
            let Some(driver) = self.drivers.get_mut(key) else { continue };
            driver.release(self.now);
            self.work.drivers.insert(key);
            self.rearm_driver(key);
        }
    }

    /// Writes what is queued toward a driver and, when it keeps up, lets its devices on.
    pub(super) fn flush_driver(&mut self, key: DriverKey) {
        let Some(driver) = self.drivers.get_mut(key) else { return };
        let was_congested = driver.is_congested();
        match driver.flush(&mut self.buffers) {
            Ok(Flushed::Part(_)) if driver.connection.is_writable() => {
                self.work.dirty_drivers.insert(key);
            }
            Ok(Flushed::Part(_) | Flushed::All) => {}
            Err(error) => return self.remove_driver(key, Leave::Lost(error.to_string())),
        }
        // Not only devices fill an outbox: so do pongs, and devices that come and go in silence.
        driver.note_backlog(self.now);
        match (was_congested, driver.is_congested()) {
            (false, true) => self.rearm_driver(key),
            (true, false) => {
                self.log_dropped_datagrams(key);
                self.rearm_driver(key);
            }
            (false, false) | (true, true) => {}
        }
        self.wake_waiting(key);
    }

    /// Says how many datagrams a driver missed while it did not keep up.
    fn log_dropped_datagrams(&mut self, key: DriverKey) {
        let Some(driver) = self.drivers.get_mut(key) else { return };
        let dropped = driver.take_dropped_datagrams();
        if dropped > 0 {
            warn!(
                request_id = driver.name.request_id.as_str(),
                event_source = driver.name.event_source.as_str(), dropped_datagrams = dropped;
                "{dropped} datagrams were dropped because the driver did not read"
            );
        }
    }

    /// Lets some of the devices on that wait for a driver. Not all at once: the first few fill
    /// its backlog again.
    fn wake_waiting(&mut self, key: DriverKey) {
        let Some(driver) = self.drivers.get_mut(key) else { return };
        if driver.waiting.is_empty() || driver.is_congested() {
            return;
        }
        let woken = driver.waiting.len().min(WAKES_PER_FLUSH);
        let woken: Vec<DeviceKey> = driver.waiting.drain(..woken).collect();
        if !driver.waiting.is_empty() {
            self.work.dirty_drivers.insert(key);
        }
        self.unpark(woken);
    }

    /// Reads these devices again, before those that did not have to wait.
    pub(super) fn unpark(&mut self, keys: Vec<DeviceKey>) {
        for &key in &keys {
            if let Some(device) = self.devices.get_mut(key) {
                device.parked_on = None;
            }
        }
        self.work.devices.insert_first(keys);
    }
}

impl From<Misstep> for Leave {
    fn from(misstep: Misstep) -> Self {
        match misstep {
            Misstep::Frame(error) => Leave::Close(error.close_code(), error.to_string()),
            Misstep::Message(error) => Leave::Close(CloseCode::Invalid, error.to_string()),
        }
    }
}

/// Does what a driver says in `bytes`, message by message.
fn deal_with<N: Net>(
    key: DriverKey,
    driver: &mut Driver<N::Stream>,
    bytes: &mut [u8],
    desk: &mut Desk<'_, N>,
) -> Result<Dealt, Misstep> {
    let mut input = Input::new(bytes);
    while let Some(incoming) = driver.frames.poll(&mut input).map_err(Misstep::Frame)? {
        match incoming {
            Incoming::Binary(bytes) => {
                let message = message::decode(bytes).map_err(Misstep::Message)?;
                match desk.apply(key, &message) {
                    Applied::Done => {}
                    Applied::Ignored(why) => desk.ignore(&driver.name, &message, why),
                    Applied::Filled(by) => {
                        return Ok(Dealt::Held { by, rest: input.rest().to_vec() });
                    }
                }
            }
            // Only the latest of several pings need be answered (RFC 6455 section 5.5.3), and a
            // driver that does not read its pongs must not make them pile up.
            Incoming::Ping(_) if driver.outbox.len() >= DRIVER_BACKLOG_BYTES => {}
            Incoming::Ping(payload) => {
                driver.outbox.extend(desk.buffers, &control_frame(Control::Pong, payload));
            }
            Incoming::Pong => {}
            Incoming::Close(code) => return Ok(Dealt::Closed(code)),
        }
    }
    Ok(Dealt::All)
}

impl<N: Net> Desk<'_, N> {
    fn apply(&mut self, driver: DriverKey, message: &Message<'_>) -> Applied {
        match message.kind {
            Kind::Opened | Kind::Closed | Kind::Received => {
                return Applied::Ignored("only WRITE and CLOSE are for drivers to send");
            }
            Kind::Write | Kind::Close => {}
        }
        match self.port.as_deref_mut().map(|port| &mut port.socket) {
            Some(Socket::Stream(listener)) => {
                let device = listener.devices.get(&message.id_or_port).copied();
                self.apply_to_device(driver, device, message)
            }
            Some(Socket::Datagram(udp)) => send_datagram(udp, self.net, self.buffers, message),
            None => Applied::Ignored("the port is closed"),
        }
    }

    fn apply_to_device(
        &mut self,
        driver: DriverKey,
        device: Option<DeviceKey>,
        message: &Message<'_>,
    ) -> Applied {
        let Some(key) = device else {
            return Applied::Ignored("no device has this client id");
        };
        let Some(device) = self.devices.get_mut(key) else {
            return Applied::Ignored("no device has this client id");
        };
        if !device.audience.contains(&driver) {
            return Applied::Ignored("the driver's accept list does not cover this device");
        }
        if !device.is_addressed(message.ip_address) {
            return Applied::Ignored("the ip_address is not that of the client id");
        }
        self.dirty_devices.insert(key);
        match message.kind {
            Kind::Write => device.write(message.data, self.buffers),
            Kind::Close => device.finish_flushing(self.now),
            Kind::Opened | Kind::Closed | Kind::Received => {}
        }
        if device.outbox.len() < DEVICE_BACKLOG_BYTES {
            return Applied::Done;
        }
        // Nobody is held back because of bytes that the device has room for.
        let _ = device.flush(self.buffers, self.now);
        match device.outbox.len() < DEVICE_BACKLOG_BYTES {
            true => Applied::Done,
            false => Applied::Filled(key),
        }
    }

    fn ignore(&mut self, driver: &Name, message: &Message<'_>, why: &str) {
        *self.ignored += 1;
        debug!(
            request_id = driver.request_id.as_str(),
            event_source = driver.event_source.as_str();
            "{} for id or port {} ignored: {why}", message.kind.name(), message.id_or_port
        );
    }
}

fn send_datagram<N: Net>(
    udp: &mut Udp<N>,
    net: &mut N,
    buffers: &mut Buffers,
    message: &Message<'_>,
) -> Applied {
    if message.kind == Kind::Close {
        return Applied::Ignored("CLOSE means nothing on a UDP port");
    }
    let Some(address) = parse_address(message.ip_address) else {
        return Applied::Ignored("the ip_address is no IP address");
    };
    let port = match u16::try_from(message.id_or_port) {
        Ok(port) if port != 0 => port,
        Ok(_) | Err(_) => return Applied::Ignored("the UDP port is not in 1 to 65535"),
    };
    if message.data.len() > DATAGRAM_MAX_BYTES {
        return Applied::Ignored("a datagram has at most 65507 bytes");
    }
    match udp.send(net, buffers, SocketAddr::new(address, port), message.data) {
        Sent::Accepted => Applied::Done,
        Sent::Dropped => Applied::Ignored("the network can't take more datagrams at present"),
        Sent::Refused => Applied::Ignored("the network refused the datagram"),
    }
}
