//! What one message of a driver does: to a device, to a UDP peer, and what those see of it who watch.

use std::net::SocketAddr;
use std::time::Instant;

use log::debug;

use crate::collections::arena::Arena;
use crate::collections::budget::Budget;
use crate::collections::rate_limit::RateLimit;
use crate::collections::ready_queue::ReadyQueue;
use crate::limits::{DATAGRAM_MAX_BYTES, DEVICE_BACKLOG_BYTES, DRIVER_LINES_PER_SECOND};
use crate::net::Net;
use crate::net::outbox::BufferPool;
use crate::peers::device::{Device, EndedBy};
use crate::peers::driver::{Introduced, Name};
use crate::peers::figures::Count;
use crate::peers::keys::{DeviceKey, DriverKey, tag};
use crate::peers::port::{Port, Socket};
use crate::peers::udp_port::{Sent, Udp};
use crate::protocol::accept_list::parse_address;
use crate::protocol::envelope::Envelope;
use crate::protocol::message::{Kind, Message};

use super::monitor::Watchers;
use super::state::Counters;

/// What a message came to.
pub(super) enum Applied {
    Done,
    /// It was ignored, for this reason.
    Ignored(&'static str),
    /// It was done and filled the device's queue.
    Filled(DeviceKey),
}

/// What messages from a driver work on: all but the driver itself.
pub(super) struct MessageContext<'a, N: Net> {
    pub(super) port: Option<&'a mut Port<N>>,
    pub(super) net: &'a mut N,
    pub(super) devices: &'a mut Arena<tag::Device, Device<N::Stream>>,
    pub(super) dirty_devices: &'a mut ReadyQueue<tag::Device>,
    pub(super) buffers: &'a mut BufferPool,
    pub(super) counters: &'a mut Counters,
    pub(super) ignored_log: &'a mut RateLimit,
    /// What was passed on.
    pub(super) sent: Count,
    pub(super) watchers: Watchers<'a, N::Stream>,
    pub(super) budget: &'a mut Budget,
    pub(super) now: Instant,
}

impl<N: Net> MessageContext<'_, N> {
    /// Does what a message of a driver says.
    pub(super) fn apply(
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
                        self.show_datagram(message);
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
        let has_passed = match message.kind {
            Kind::Write => device.write(message.data, self.buffers),
            Kind::Close => device.finish_flushing(EndedBy::Driver, self.now),
            Kind::Opened | Kind::Closed | Kind::Received | Kind::Refused | Kind::LeftOut => false,
        };
        if has_passed && message.kind == Kind::Write {
            self.sent.add(message.data.len());
        }
        if let Some(port) = self.port.as_deref().filter(|port| !port.monitors.is_empty())
            && has_passed
        {
            let (costs, len) = ((&mut *self.buffers, &mut *self.budget), message.data.len());
            self.watchers.tell(&port.monitors, len, costs, |monitor, buffers| {
                monitor.tell(device.envelope(), message.kind, message.data, buffers);
            });
        }
        if device.outbox.len() < DEVICE_BACKLOG_BYTES {
            return Applied::Done;
        }
        // Nobody is held back because of bytes that the device has room for.
        self.budget.spend(1);
        let _ = device.flush(self.buffers, self.now);
        match device.outbox.len() < DEVICE_BACKLOG_BYTES {
            true => Applied::Done,
            false => Applied::Filled(key),
        }
    }

    /// Tells those who watch a UDP port of a datagram that was sent.
    fn show_datagram(&mut self, message: &Message<'_>) {
        let Some(port) = self.port.as_deref().filter(|port| !port.monitors.is_empty()) else {
            return;
        };
        let Some(address) = parse_address(message.ip_address) else { return };
        let envelope = Envelope::new(address, message.id_or_port);
        let (costs, len) = ((&mut *self.buffers, &mut *self.budget), message.data.len());
        self.watchers.tell(&port.monitors, len, costs, |monitor, buffers| {
            monitor.tell(&envelope, message.kind, message.data, buffers);
        });
    }

    /// Notes that a message was not done.
    pub(super) fn ignore(&mut self, driver: &Name, message: &Message<'_>, why: &str) {
        self.counters.ignored_messages += 1;
        // A driver can make thousands a second.
        let Some(left_out) = self.ignored_log.allow(DRIVER_LINES_PER_SECOND, self.now) else {
            return;
        };
        debug!(
            client_ip:% = driver.client_ip, left_out = left_out,
            request_id = driver.request_id.as_str(),
            event_source = driver.event_source(), token = driver.token_name();
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
