//! What drivers say: bytes to devices, datagrams to UDP peers.

use std::io;
use std::net::SocketAddr;
use std::time::Instant;

use log::debug;
use tungstenite::protocol::frame::coding::{CloseCode, Control};

use crate::collections::arena::Arena;
use crate::collections::budget::Budget;
use crate::collections::rate_limit::RateLimit;
use crate::collections::ready_queue::ReadyQueue;
use crate::limits::{
    COPIES_PER_OPERATION, DATAGRAM_MAX_BYTES, DEVICE_BACKLOG_BYTES, DRIVER_BACKLOG_BYTES,
    DRIVER_LINES_PER_SECOND, FRAMES_PER_STEP,
};
use crate::net::Net;
use crate::net::connection::ReadOutcome;
use crate::net::outbox::BufferPool;
use crate::net::readiness::Readiness;
use crate::peers::device::{Device, EndedBy, HoldReason};
use crate::peers::driver::{Driver, Intake, Introduced, Leftover, Name, Outlet};
use crate::peers::figures::Count;
use crate::peers::keys::{DeviceKey, DriverKey, tag};
use crate::peers::port::{Port, Socket};
use crate::peers::udp_port::{Sent, Udp};
use crate::protocol::accept_list::parse_address;
use crate::protocol::message::{self, DecodeError, Kind, Message};
use crate::protocol::websocket::{FrameError, Incoming, Input, control_frame};

use super::Reactor;
use super::close::DriverEnd;
use super::state::Counters;

/// Why a driver is closed in the middle of what it sent.
enum DriverError {
    Frame(FrameError),
    Message(DecodeError),
}

/// What dealing with some input came to.
enum Processed {
    /// All of it was dealt with.
    All,
    /// The rest of this many bytes comes with the next turn.
    More { rest: usize },
    /// A device has enough at present; the rest must wait.
    Held { by: DeviceKey, rest: usize },
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
struct MessageContext<'a, N: Net> {
    port: Option<&'a mut Port<N>>,
    net: &'a mut N,
    devices: &'a mut Arena<tag::Device, Device<N::Stream>>,
    dirty_devices: &'a mut ReadyQueue<tag::Device>,
    buffers: &'a mut BufferPool,
    counters: &'a mut Counters,
    ignored_log: &'a mut RateLimit,
    /// What was passed on.
    sent: Count,
    budget: &'a mut Budget,
    now: Instant,
}

impl<N: Net> Reactor<N> {
    pub(super) fn handle_driver_event(&mut self, key: DriverKey, news: Readiness) {
        let Some(driver) = self.drivers.get_mut(key) else { return };
        driver.connection.handle_ready(news);
        if news.is_readable() {
            self.ready.drivers.insert(key);
        }
        if news.is_writable() && (!driver.outbox.is_empty() || driver.connection.wants_write()) {
            self.ready.dirty_drivers.insert(key);
        }
    }

    /// Does what a driver says: what is left over, or else what one read brings.
    pub(super) fn drive_driver(&mut self, key: DriverKey) {
        let Some(driver) = self.drivers.get_mut(key) else { return };
        if let Intake::HeldBy(_) = driver.intake {
            return;
        }
        if !driver.leftover.is_empty() {
            let mut leftover = std::mem::take(&mut driver.leftover);
            self.buffers.count_held(leftover.len(), 0);
            let processed = self.process(key, leftover.rest_mut());
            leftover.keep_last(rest_of(&processed));
            return self.finish_step(key, processed, leftover);
        }
        let (outcome, is_rest) = match driver.frames.wants_rest() {
            true => (driver.read_rest(&mut self.buffers, self.now), true),
            false => (driver.read(&mut self.scratch.read, self.now), false),
        };
        match outcome {
            Ok(ReadOutcome::Bytes(len)) if is_rest => self.process_rest(key, len),
            Ok(ReadOutcome::Bytes(len)) => self.process_read(key, len),
            Ok(ReadOutcome::Blocked) => self.await_driver(key),
            Ok(ReadOutcome::End) => {
                self.remove_driver(key, DriverEnd::ConnectionLost("the driver hung up".into()));
            }
            Err(error) => self.remove_driver(key, DriverEnd::ConnectionLost(error.to_string())),
        }
    }

    /// A driver that can't be written to any more ends once nothing more is to be read.
    fn await_driver(&mut self, key: DriverKey) {
        match self.drivers.get(key).map(|driver| driver.outlet) {
            Some(Outlet::Broken(why)) => {
                let why = io::Error::from(why).to_string();
                self.remove_driver(key, DriverEnd::ConnectionLost(why));
            }
            Some(Outlet::Open) | None => {}
        }
    }

    /// Deals with `len` bytes in the read buffer.
    fn process_read(&mut self, key: DriverKey, len: usize) {
        let mut read = std::mem::take(&mut self.scratch.read);
        self.budget.spend_bytes(len);
        let processed = self.process(key, &mut read[..len]);
        let rest = read[len - rest_of(&processed)..len].to_vec();
        self.scratch.read = read;
        self.finish_step(key, processed, Leftover::of(rest));
    }

    /// Deals with a message, if the bytes that were read to where it is gathered complete it.
    fn process_rest(&mut self, key: DriverKey, len: usize) {
        self.budget.spend_bytes(len);
        let processed = self.process(key, &mut []);
        self.finish_step(key, processed, Leftover::default());
    }

    fn process(&mut self, key: DriverKey, bytes: &mut [u8]) -> Result<Processed, DriverError> {
        let Self {
            drivers, ports, net, devices, ready, buffers, counters, log_limits, budget, ..
        } = self;
        let Some(driver) = drivers.get_mut(key) else { return Ok(Processed::All) };
        let held_before = driver.frames.held_bytes();
        let mut context = MessageContext {
            port: ports.get_mut(driver.port),
            net,
            devices,
            dirty_devices: &mut ready.dirty_devices,
            buffers,
            counters,
            ignored_log: &mut log_limits.ignored_messages,
            sent: Count::default(),
            budget,
            now: self.now,
        };
        let processed = process_messages(key, driver, bytes, &mut context);
        let MessageContext { port, sent, .. } = context;
        driver.traffic.sent.add_all(sent);
        if let Some(port) = port {
            port.traffic.sent.add_all(sent);
        }
        // What was dealt with is held no longer, even if nothing is read for a while.
        driver.frames.forget_lent();
        buffers.count_held(held_before, driver.frames.held_bytes());
        processed
    }

    fn finish_step(
        &mut self,
        key: DriverKey,
        processed: Result<Processed, DriverError>,
        leftover: Leftover,
    ) {
        let Some(driver) = self.drivers.get_mut(key) else { return };
        self.buffers.count_held(0, leftover.len());
        driver.leftover = leftover;
        if !driver.outbox.is_empty() {
            self.ready.dirty_drivers.insert(key);
        }
        if driver.is_readable() {
            self.ready.drivers.insert(key);
        }
        match processed {
            Ok(Processed::All | Processed::More { .. }) => {}
            Ok(Processed::Held { by, .. }) => self.hold(key, by, HoldReason::full(self.now)),
            Ok(Processed::Closed(code)) => self.remove_driver(key, DriverEnd::ByDriver(code)),
            Err(error) => self.remove_driver(key, error.into()),
        }
    }
}

/// How many bytes at the end of the input were not dealt with.
fn rest_of(processed: &Result<Processed, DriverError>) -> usize {
    match processed {
        Ok(Processed::More { rest } | Processed::Held { rest, .. }) => *rest,
        Ok(Processed::All | Processed::Closed(_)) | Err(_) => 0,
    }
}

impl From<DriverError> for DriverEnd {
    fn from(error: DriverError) -> Self {
        match error {
            DriverError::Frame(error) => DriverEnd::ByUs(error.close_code(), error.to_string()),
            DriverError::Message(error) => DriverEnd::ByUs(CloseCode::Invalid, error.to_string()),
        }
    }
}

/// Does what a driver says in `bytes`, message by message.
fn process_messages<N: Net>(
    key: DriverKey,
    driver: &mut Driver<N::Stream>,
    bytes: &mut [u8],
    context: &mut MessageContext<'_, N>,
) -> Result<Processed, DriverError> {
    let mut input = Input::new(bytes, FRAMES_PER_STEP);
    while let Some(incoming) = driver.frames.poll(&mut input).map_err(DriverError::Frame)? {
        match incoming {
            Incoming::Binary(bytes) => {
                let message = message::decode_of_driver(bytes).map_err(DriverError::Message)?;
                match context.apply(key, driver.introduced, &message) {
                    Applied::Done => {}
                    Applied::Ignored(why) => context.ignore(&driver.name, &message, why),
                    Applied::Filled(by) => {
                        context
                            .budget
                            .spend((FRAMES_PER_STEP - input.frames_left()) / COPIES_PER_OPERATION);
                        return Ok(Processed::Held { by, rest: input.rest().len() });
                    }
                }
            }
            // Only the latest of several pings need be answered (RFC 6455 section 5.5.3), and a
            // driver that does not read its pongs must not make them pile up.
            Incoming::Ping(_) if driver.outbox.len() >= DRIVER_BACKLOG_BYTES => {}
            Incoming::Ping(payload) => {
                driver.outbox.extend(context.buffers, &control_frame(Control::Pong, payload));
            }
            Incoming::Pong => {}
            Incoming::Close(code) => return Ok(Processed::Closed(code)),
        }
    }
    context.budget.spend((FRAMES_PER_STEP - input.frames_left()) / COPIES_PER_OPERATION);
    match input.rest().len() {
        0 => Ok(Processed::All),
        rest => Ok(Processed::More { rest }),
    }
}

impl<N: Net> MessageContext<'_, N> {
    fn apply(
        &mut self,
        driver: DriverKey,
        introduced: Introduced,
        message: &Message<'_>,
    ) -> Applied {
        match message.kind {
            Kind::Opened | Kind::Closed | Kind::Received | Kind::Refused | Kind::LeftOut => {
                return Applied::Ignored("only WRITE and CLOSE are for drivers to send");
            }
            Kind::Write | Kind::Close => {}
        }
        let Some(port) = self.port.as_deref_mut() else {
            return Applied::Ignored("the port is closed");
        };
        match &mut port.socket {
            Socket::Stream(listener) => {
                let Some(&key) = listener.devices.get(&message.id_or_port) else {
                    return Applied::Ignored("no device has this client id");
                };
                let Some(device) = self.devices.get(key) else {
                    return Applied::Ignored("no device has this client id");
                };
                let covers = port.subscribers.covers(driver, device.address);
                if !covers || !introduced.includes(device.id) {
                    return Applied::Ignored("the driver's accept list does not cover this device");
                }
                self.apply_to_device(key, message)
            }
            Socket::Datagram(udp) => {
                self.budget.spend(1);
                match send_datagram(udp, self.net, self.buffers, message) {
                    Ok(Sent::Accepted) => {
                        self.sent.add(message.data.len());
                        Applied::Done
                    }
                    Ok(Sent::Dropped) => {
                        self.counters.datagrams_dropped.send_queue_full += 1;
                        Applied::Ignored("the network can't take more datagrams at present")
                    }
                    Ok(Sent::Refused) => Applied::Ignored("the network refused the datagram"),
                    Err(why) => Applied::Ignored(why),
                }
            }
        }
    }

    fn apply_to_device(&mut self, key: DeviceKey, message: &Message<'_>) -> Applied {
        let Some(device) = self.devices.get_mut(key) else {
            return Applied::Ignored("no device has this client id");
        };
        if !device.is_addressed(message.ip_address) {
            return Applied::Ignored("the ip_address is not that of the client id");
        }
        self.dirty_devices.insert(key);
        match message.kind {
            Kind::Write => {
                if device.write(message.data, self.buffers) {
                    self.sent.add(message.data.len());
                }
            }
            Kind::Close => device.finish_flushing(EndedBy::Driver, self.now),
            Kind::Opened | Kind::Closed | Kind::Received | Kind::Refused | Kind::LeftOut => {}
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
        self.counters.ignored_messages += 1;
        // A driver can make thousands a second.
        let Some(left_out) = self.ignored_log.allow(DRIVER_LINES_PER_SECOND, self.now) else {
            return;
        };
        debug!(
            client_ip:% = driver.client_ip, left_out = left_out,
            request_id = driver.request_id.as_str(),
            event_source = driver.event_source();
            "{} for id or port {} ignored: {why}", message.kind.name(), message.id_or_port
        );
    }
}

fn send_datagram<N: Net>(
    udp: &mut Udp<N>,
    net: &mut N,
    buffers: &mut BufferPool,
    message: &Message<'_>,
) -> Result<Sent, &'static str> {
    if message.kind == Kind::Close {
        return Err("CLOSE means nothing on a UDP port");
    }
    let Some(address) = parse_address(message.ip_address) else {
        return Err("the ip_address is no IP address");
    };
    let port = match u16::try_from(message.id_or_port) {
        Ok(port) if port != 0 => port,
        Ok(_) | Err(_) => return Err("the UDP port is not in 1 to 65535"),
    };
    if message.data.len() > DATAGRAM_MAX_BYTES {
        return Err("a datagram has at most 65507 bytes");
    }
    Ok(udp.send(net, buffers, SocketAddr::new(address, port), message.data))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::reactor;
    use crate::limits::Ceilings;
    use crate::net::scripted::{Step, say};

    use super::*;

    /// A WRITE of one byte to a UDP peer, with a mask that changes nothing.
    const WRITE: &[u8] = b"\x82\x97\0\0\0\0\x0310.0.0.9\0\0\0\0\0\0\0\0\x07\0\0\0\x01!";

    #[test]
    fn tiny_messages_by_the_thousand_are_sent_some_in_each_turn() {
        let mut reactor = reactor(Ceilings::default());
        reactor.net.room = usize::MAX;
        let port = reactor.insert_udp_port();
        let driver = reactor.insert_driver(port, "10.0.0.0/8");
        let flood = WRITE.repeat(5_000);
        say(&mut reactor.drivers.get_mut(driver).unwrap().connection, Step::bytes(&flood));
        reactor.ready.drivers.insert(driver);
        let mut sent = 0;
        while sent < 5_000 {
            reactor.step_after(Duration::ZERO);
            let now = reactor.net.sent.len();
            assert!((1..=FRAMES_PER_STEP as usize).contains(&(now - sent)), "{now} after {sent}");
            sent = now;
        }
        reactor.finish_work();
        assert_eq!(reactor.queued_bytes(), 0);
    }
}
