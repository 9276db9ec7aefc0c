//! Bytes from devices to drivers.

use crate::collections::arena::Arena;
use crate::collections::moment::Moment;
use crate::limits::{
    COPIES_PER_OPERATION, DEVICE_READ_BYTES, FAN_OUT_BYTES_PER_READ, FAN_OUT_READ_LEAST_BYTES,
};
use crate::net::connection::ReadOutcome;
use crate::net::outbox::BufferPool;
use crate::net::readiness::Readiness;
use crate::net::{Net, Stream};
use crate::peers::device::{Device, EndedBy, Life};
use crate::peers::driver::Driver;
use crate::peers::keys::{DeviceKey, DriverKey, tag};
use crate::protocol::envelope::FRAME_MAX_BYTES;

use super::Reactor;
use super::close::DeviceEnd;

/// How what a device says gets to those who hear it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It is read into the outbox of its only driver, and nobody watches.
    Straight(DriverKey),
    /// It is read into the scratch buffer, of which so many get a copy.
    Copied { copies: usize },
}

impl Way {
    /// How much is read at once.
    fn room(self) -> usize {
        match self {
            Self::Straight(_) => DEVICE_READ_BYTES,
            Self::Copied { copies } => fan_out_room(copies),
        }
    }
}

/// What a read of a device found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Nothing,
    /// Less than there was room for, so that its end may be next.
    Little,
    /// As much as there was room for.
    Much,
}

impl<N: Net> Reactor<N> {
    pub(super) fn handle_device_event(&mut self, key: DeviceKey, news: Readiness) {
        let Some(device) = self.devices.get_mut(key) else { return };
        device.connection.handle_ready(news);
        if news.is_readable() {
            self.ready.devices.insert(key);
        }
        if news.is_writable() && (!device.outbox.is_empty() || device.connection.wants_write()) {
            self.ready.dirty_devices.insert(key);
        }
    }

    /// Reads a device once; and again if that may find its end, which then needs no turn and no
    /// message of its own.
    pub(super) fn drive_device(&mut self, key: DeviceKey) {
        let mut said = self.read_device(key);
        if said == Said::Little && self.devices.get(key).is_some_and(|it| it.connection.is_ending())
        {
            said = self.read_device(key);
        }
        if said != Said::Nothing
            && self.devices.get(key).is_some_and(|it| it.connection.is_readable())
        {
            self.ready.devices.insert(key);
        }
    }

    /// Reads a device once, into the outboxes of the drivers that hear it.
    fn read_device(&mut self, key: DeviceKey) -> Said {
        let audience = self.take_audience(key);
        self.budget.spend(audience.len() as u32 / COPIES_PER_OPERATION);
        let said = self.read_for(key, &audience);
        self.give_back_audience(audience);
        said
    }

    fn read_for(&mut self, key: DeviceKey, audience: &[DriverKey]) -> Said {
        if audience.is_empty() {
            self.end_if_uncovered(key);
            return Said::Nothing;
        }
        if self.park_behind_congestion(key, audience) {
            return Said::Nothing;
        }
        let watchers = self.count_watchers(key);
        let way = match *audience {
            [only] if watchers == 0 => Way::Straight(only),
            [..] => Way::Copied { copies: audience.len() + watchers },
        };
        let Some(device) = self.devices.get_mut(key) else { return Said::Nothing };
        let outcome = match way {
            Way::Straight(only) => {
                read_into(device, only, &mut self.drivers, &mut self.buffers, self.moment)
            }
            Way::Copied { .. } => {
                device.read_frame(&mut self.scratch.frame, way.room(), self.moment)
            }
        };
        match outcome {
            Ok(ReadOutcome::Bytes(len)) => {
                return self.relay(key, audience, way, len);
            }
            Ok(ReadOutcome::Blocked) => self.await_device(key),
            Ok(ReadOutcome::End) => self.handle_device_end(key),
            Err(error) => self.end_device(key, DeviceEnd::ConnectionLost(error.to_string())),
        }
        Said::Nothing
    }

    /// A device that nobody hears is ended, unless a driver that covers it is about to be told of
    /// it; then it is read on.
    fn end_if_uncovered(&mut self, key: DeviceKey) {
        if !self.is_covered(key) {
            self.end_device(key, DeviceEnd::NoDriver);
        }
    }

    /// A frame was read from a device.
    fn relay(
        &mut self,
        key: DeviceKey,
        audience: &[DriverKey],
        way: Way,
        frame_len: usize,
    ) -> Said {
        self.budget.spend_bytes(frame_len);
        let Some(device) = self.devices.get(key) else { return Said::Nothing };
        if device.connection.wants_write() {
            self.ready.dirty_devices.insert(key);
        }
        let data_len = device.data_len(frame_len);
        if let Some(port) = self.ports.get_mut(device.port) {
            port.traffic.received.add(data_len);
        }
        match way {
            Way::Straight(only) => {
                if let Some(driver) = self.drivers.get_mut(only) {
                    driver.traffic.received.add(data_len);
                }
                self.relieve(only);
            }
            Way::Copied { .. } => {
                self.show_read_frame(key, frame_len);
                self.relay_to_many(audience, frame_len, data_len);
            }
        }
        if data_len < way.room() { Said::Little } else { Said::Much }
    }

    fn relay_to_many(&mut self, audience: &[DriverKey], frame_len: usize, data_len: usize) {
        self.budget.spend_bytes(frame_len * audience.len());
        for &key in audience {
            let Some(driver) = self.drivers.get_mut(key) else { continue };
            driver.outbox.extend(&mut self.buffers, &self.scratch.frame[..frame_len]);
            driver.traffic.received.add(data_len);
            self.relieve(key);
        }
    }

    /// A device that can't be written to any more ends once nothing more is to be read.
    fn await_device(&mut self, key: DeviceKey) {
        let Some(device) = self.devices.get(key) else { return };
        match device.life {
            Life::WriteClosed => {
                self.end_device(key, DeviceEnd::ConnectionLost("connection lost".into()))
            }
            Life::Open | Life::Flushing { .. } => {}
        }
    }

    fn handle_device_end(&mut self, key: DeviceKey) {
        let Some(device) = self.devices.get_mut(key) else { return };
        match device.life {
            Life::WriteClosed => {
                self.end_device(key, DeviceEnd::ConnectionLost("connection lost".into()))
            }
            Life::Open | Life::Flushing { .. } => {
                device.finish_flushing(EndedBy::Device, self.now);
                self.ready.dirty_devices.insert(key);
                self.rearm_device(key);
            }
        }
    }
}

/// How much is read of a device that so many drivers hear.
fn fan_out_room(audience: usize) -> usize {
    (FAN_OUT_BYTES_PER_READ / audience).clamp(FAN_OUT_READ_LEAST_BYTES, DEVICE_READ_BYTES)
}

/// Reads a device straight into the outbox of the one driver that covers it.
fn read_into<S: Stream>(
    device: &mut Device<S>,
    only: DriverKey,
    drivers: &mut Arena<tag::Driver, Driver<S>>,
    buffers: &mut BufferPool,
    now: Moment,
) -> std::io::Result<ReadOutcome> {
    let Some(driver) = drivers.get_mut(only) else { return Ok(ReadOutcome::Blocked) };
    let room = driver.outbox.room(buffers, FRAME_MAX_BYTES);
    let taken = device.read_frame(room, DEVICE_READ_BYTES, now);
    let len = match taken {
        Ok(ReadOutcome::Bytes(len)) => len,
        Ok(ReadOutcome::Blocked | ReadOutcome::End) | Err(_) => 0,
    };
    driver.outbox.commit(buffers, len);
    taken
}
