//! What must be true of the world.

use std::collections::BTreeSet;

use dispatch::testing::protocol::http::registration::{PortKind, Protocol};

use crate::actors::addresses::FIRST_PEER_PORT;
use crate::actors::behaviour::Behaviour;
use crate::actors::device::Admission;
use crate::actors::driver::{DriverActor, Stage};
use crate::network::{Standing, is_unreachable};
use crate::pattern::Record;

use super::scenario::device_port;
use super::state::{Checked, Progress, World};

impl World {
    /// Datagrams arrive as they were written, in order.
    pub(super) fn check_sent_datagrams(&mut self) -> Checked {
        for port in 0..2 {
            let sent = self.net.wire().take_sent(device_port(port));
            for (to, data) in sent {
                if data == b"nonsense" {
                    continue;
                }
                let (record, len) = Record::decode(&data)?.ok_or("a datagram was cut")?;
                let right = len == data.len()
                    && to.port() == FIRST_PEER_PORT + record.reader as u16
                    && !is_unreachable(to.ip());
                if !right {
                    return Err(format!("{record:?} was sent to {to}"));
                }
                self.drivers[record.writer].note_sent(&record, to.ip())?;
            }
        }
        Ok(())
    }

    /// Who keeps to the rules is not closed.
    pub(super) fn check_no_unjust_close(&self) -> Checked {
        if self.stage != Progress::Serving {
            return Ok(());
        }
        for driver in &self.drivers {
            if let Stage::Refused(status) = driver.stage
                && ![409, 503].contains(&status)
                && !(driver.may_lack_token && [401, 403].contains(&status))
            {
                return Err(format!("driver {} was refused with {status}", driver.number));
            }
        }
        self.check_goodbyes()?;
        self.check_close_codes()
    }

    /// Devices that drivers know of are told of our end. To us, others may be in their handshake.
    fn check_goodbyes(&self) -> Checked {
        for device in self.devices.iter().filter(|device| device.was_cut) {
            let mut heard = self.drivers.iter().flat_map(|driver| driver.heard.values());
            if heard.any(|heard| heard.device == device.number) {
                return Err(format!("device {} was not told of our end", device.number));
            }
        }
        Ok(())
    }

    /// What drivers know, once everything is at rest and nobody has misbehaved any more.
    pub(super) fn check_state(&self) -> Checked {
        for driver in self.drivers.iter().filter(|driver| driver.is_sound()) {
            if !driver.has_sent_all() {
                return Err(format!("driver {} is not read any longer", driver.number));
            }
            for (id, heard) in &driver.heard {
                let device = &self.devices[heard.device];
                let (name, number) = (driver.number, device.number);
                if heard.is_open != device.is_open() && device.standing != Standing::Open {
                    return Err(format!("driver {name} thinks that {id} is open"));
                }
                let is_whole = device.behaviour == Behaviour::Correct
                    && device.closed_by.is_empty()
                    && !device.is_excused;
                let may_be_cut = !heard.is_open && !device.is_finishing;
                let must_be_heard = match device.reset_after {
                    Some(_) => device.closed_by.is_empty() && !device.is_excused,
                    None => is_whole && !may_be_cut,
                };
                if must_be_heard && !heard.reaches(device.sent) {
                    return Err(format!(
                        "driver {name} heard {} bytes of device {number}, which sent {}",
                        heard.len, device.sent
                    ));
                }
                self.check_written(driver, heard.device, heard.is_open)?;
            }
            self.check_opened(driver)?;
        }
        self.check_devices()?;
        self.check_at_rest()?;
        self.check_all_sent()?;
        self.check_ignored()?;
        self.check_figures()
    }

    /// Nothing lies about: everybody reads and everything can be sent.
    fn check_at_rest(&self) -> Checked {
        let waiting = self.net.wire().waiting_datagrams();
        let queued = self.reactor.queued_bytes();
        match waiting > 0 || queued > 0 {
            true => Err(format!("{waiting} datagrams lie unread and {queued} bytes unsent")),
            false => Ok(()),
        }
    }

    /// Datagrams are dropped only where too many wait.
    fn check_all_sent(&self) -> Checked {
        let mut sound = self.drivers.iter().filter(|driver| driver.is_sound());
        match sound.find(|driver| driver.sent_out != driver.to_send_out) {
            Some(driver) if !self.may_drop_datagrams && self.cuts == 0 => Err(format!(
                "{} of {} datagrams of driver {} were sent",
                driver.sent_out, driver.to_send_out, driver.number
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// What is ignored is counted.
    fn check_ignored(&self) -> Checked {
        let sound = self.drivers.iter().filter(|driver| driver.is_sound());
        let (sent, counted) =
            (sound.map(|d| d.nonsense).sum::<u64>(), self.reactor.counters().ignored_messages);
        match sent > counted {
            true => Err(format!("{sent} messages were to be ignored, and {counted} were")),
            false => Ok(()),
        }
    }

    /// What a driver wrote to a device that is still there has arrived.
    fn check_written(&self, driver: &DriverActor, device: usize, is_open: bool) -> Checked {
        let actor = &self.devices[device];
        let is_sound = actor.is_open() && is_open && actor.behaviour == Behaviour::Correct;
        let written = driver.written.get(&device).copied().unwrap_or(0);
        let got = actor.got.get(&driver.number).copied().unwrap_or(0);
        match is_sound && actor.closed_by.is_empty() && got != written {
            true => Err(format!(
                "device {device} got {got} of {written} records of driver {}",
                driver.number
            )),
            false => Ok(()),
        }
    }

    /// Each device that is there was announced to each driver that covers it.
    fn check_opened(&self, driver: &DriverActor) -> Checked {
        if driver.protocol == Protocol::Udp {
            return Ok(());
        }
        for device in self.devices.iter().filter(|device| device.is_open()) {
            let is_heard = driver.heard.values().any(|h| h.device == device.number && h.is_open);
            let covers = device.port == driver.port && driver.accept.covers(device.address);
            if covers && !is_heard && device.admission == Admission::Due {
                let (number, name) = (device.number, driver.number);
                return Err(format!("driver {name} does not know of device {number}"));
            }
        }
        Ok(())
    }

    /// A device that nobody covers is not left connected.
    fn check_devices(&self) -> Checked {
        for device in self.devices.iter().filter(|device| device.is_open()) {
            let covers = |driver: &DriverActor| {
                driver.stage == Stage::Live
                    && driver.protocol != Protocol::Udp
                    && driver.port == device.port
                    && driver.accept.covers(device.address)
            };
            if !self.drivers.iter().any(covers) {
                return Err(format!("nobody covers device {}, which is there", device.number));
            }
        }
        Ok(())
    }

    fn check_figures(&self) -> Checked {
        let statistics = self.reactor.statistics();
        for (figures, transport) in [
            (&statistics.tcp_listeners, PortKind::Stream),
            (&statistics.udp_listeners, PortKind::Datagram),
        ] {
            for port in (0..2).map(device_port) {
                let live = self.live_on(transport, port).count();
                let said = figures.get(&port).copied();
                if said.unwrap_or(0) != live || (live == 0 && said.is_some()) {
                    return Err(format!("{said:?} drivers on port {port}, truly {live}"));
                }
            }
        }
        for (&port, &said) in &statistics.tcp_clients {
            let protocols = self.live_on(PortKind::Stream, port).map(|driver| driver.protocol);
            if protocols.clone().min() != protocols.max() {
                return Err(format!("port {port} is served as TCP and as TLS"));
            }
            let known: BTreeSet<usize> = self
                .live_on(PortKind::Stream, port)
                .flat_map(|d| d.heard.values().filter(|h| h.is_open).map(|h| h.device))
                .collect();
            if said != known.len() {
                return Err(format!("{said} devices on port {port}, truly {}", known.len()));
            }
        }
        Ok(())
    }

    fn live_on(&self, kind: PortKind, port: u16) -> impl Iterator<Item = &DriverActor> + Clone {
        self.drivers.iter().filter(move |driver| {
            driver.stage == Stage::Live
                && driver.protocol.port_kind() == kind
                && driver.port == port
        })
    }
}
