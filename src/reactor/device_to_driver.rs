//! Bytes from devices to drivers.

use crate::collections::arena::Arena;
use crate::collections::moment::Moment;
use crate::limits::{
    COPIES_PER_OPERATION, DEVICE_LONG_READ_BYTES, DEVICE_READ_BYTES, FAN_OUT_BYTES_PER_READ,
    FAN_OUT_READ_LEAST_BYTES,
};
use crate::net::connection::ReadOutcome;
use crate::net::outbox::BufferPool;
use crate::net::readiness::Readiness;
use crate::net::{Net, Stream};
use crate::peers::device::{Device, EndedBy, LastRead, Life};
use crate::peers::driver::Driver;
use crate::peers::keys::{DeviceKey, DriverKey, tag};
use crate::protocol::envelope::frame_max_bytes;

use super::Reactor;
use super::close::DeviceEnd;

/// How what a device says gets to those who hear it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    /// It is read into the outbox of its only driver, and nobody watches.
    Straight { to: DriverKey, room: usize },
    /// It is read into the scratch buffer, for copies.
    Copied { room: usize },
}

impl Way {
    /// How much is read at once.
    fn room(self) -> usize {
        match self {
            Self::Straight { room, .. } | Self::Copied { room } => room,
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
        let way = self.way(key, audience);
        let Some(device) = self.devices.get_mut(key) else { return Said::Nothing };
        let outcome = match way {
            Way::Straight { to, room } => {
                read_into(device, to, room, &mut self.drivers, &mut self.buffers, self.moment)
            }
            Way::Copied { room } => device.read_frame(&mut self.scratch.frame, room, self.moment),
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

    fn way(&self, key: DeviceKey, audience: &[DriverKey]) -> Way {
        let watchers = self.count_watchers(key);
        match *audience {
            [only] if watchers == 0 => Way::Straight { to: only, room: self.room(key, only) },
            [..] => Way::Copied { room: fan_out_room(audience.len() + watchers) },
        }
    }

    /// How much is read of a device straight into a driver's outbox: where it may be much, as much
    /// as brings that to its mark, and no less than an ordinary read.
    fn room(&self, key: DeviceKey, to: DriverKey) -> usize {
        match self.devices.get(key).map(|device| device.last_read) {
            None | Some(LastRead::Short) => DEVICE_READ_BYTES,
            Some(LastRead::Long) => {
                let queued = self.drivers.get(to).map_or(0, |driver| driver.outbox.len());
                DEVICE_LONG_READ_BYTES.saturating_sub(queued).max(DEVICE_READ_BYTES)
            }
        }
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
            Way::Straight { to, .. } => {
                if let Some(driver) = self.drivers.get_mut(to) {
                    driver.traffic.received.add(data_len);
                }
                self.relieve(to);
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
    to: DriverKey,
    room: usize,
    drivers: &mut Arena<tag::Driver, Driver<S>>,
    buffers: &mut BufferPool,
    now: Moment,
) -> std::io::Result<ReadOutcome> {
    let Some(driver) = drivers.get_mut(to) else { return Ok(ReadOutcome::Blocked) };
    let lent = driver.outbox.room(buffers, frame_max_bytes(room));
    let taken = device.read_frame(lent, room, now);
    let len = match taken {
        Ok(ReadOutcome::Bytes(len)) => len,
        Ok(ReadOutcome::Blocked | ReadOutcome::End) | Err(_) => 0,
    };
    driver.outbox.commit(buffers, len);
    taken
}

#[cfg(test)]
mod tests {
    use super::super::testing::reactor;
    use crate::limits::{Ceilings, DRIVER_BACKLOG_BYTES};
    use crate::net::connection::Connection;
    use crate::net::scripted::{Room, Scripted, ScriptedNet, Step, make_room, say};

    use super::*;

    /// More than is read at once.
    const MUCH: usize = 4 * DEVICE_LONG_READ_BYTES;

    /// A device with much to say, and its only driver.
    fn pair() -> (Reactor<ScriptedNet>, DeviceKey, DriverKey) {
        let mut reactor = reactor(Ceilings::default());
        let port = reactor.insert_tcp_port();
        let driver = reactor.insert_driver(port, "10.0.0.9");
        reactor.insert_devices(port, "10.0.0.9", 1);
        let device = reactor.devices.keys()[0];
        say(connection(&mut reactor, device), Step::bytes(&[7; MUCH]));
        (reactor, device, driver)
    }

    fn connection(
        reactor: &mut Reactor<ScriptedNet>,
        device: DeviceKey,
    ) -> &mut Connection<Scripted> {
        &mut reactor.devices.get_mut(device).unwrap().connection
    }

    /// How much one more read of the device brings.
    fn read(reactor: &mut Reactor<ScriptedNet>, device: DeviceKey) -> u64 {
        let before = reactor.devices.get(device).unwrap().traffic.received.bytes;
        reactor.read_device(device);
        reactor.devices.get(device).unwrap().traffic.received.bytes - before
    }

    /// What the driver takes.
    fn take(reactor: &mut Reactor<ScriptedNet>, driver: DriverKey, room: usize) {
        make_room(&mut reactor.drivers.get_mut(driver).unwrap().connection, room);
        reactor.flush_driver(driver);
    }

    #[test]
    fn a_device_that_says_much_is_read_in_large_pieces_from_the_second_on() {
        let (mut reactor, device, _) = pair();
        assert_eq!(read(&mut reactor, device), DEVICE_READ_BYTES as u64);
        reactor.flush();
        assert_eq!(read(&mut reactor, device), DEVICE_LONG_READ_BYTES as u64);
    }

    #[test]
    fn a_large_piece_brings_what_is_queued_for_the_driver_to_its_mark() {
        let (mut reactor, device, driver) = pair();
        reactor.drivers.get_mut(driver).unwrap().connection.socket().room = Room::Bytes(0);
        read(&mut reactor, device);
        let queued = reactor.drivers.get(driver).unwrap().outbox.len();
        assert_eq!(read(&mut reactor, device), (DRIVER_BACKLOG_BYTES - queued) as u64);
        assert_eq!(read(&mut reactor, device), 0, "it waits for its driver");
    }

    #[test]
    fn a_device_that_had_to_wait_is_read_in_small_pieces_again() {
        let (mut reactor, device, driver) = pair();
        reactor.drivers.get_mut(driver).unwrap().connection.socket().room = Room::Bytes(0);
        while read(&mut reactor, device) > 0 {}
        take(&mut reactor, driver, usize::MAX);
        assert_eq!(read(&mut reactor, device), DEVICE_READ_BYTES as u64);
    }
}
