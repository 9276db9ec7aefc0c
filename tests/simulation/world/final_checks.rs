//! The end of a history: what must be true once everybody behaves, and that nothing is left.

use std::time::Duration;

use dispatch::testing::limits::{SHUTDOWN_DRAIN_MAX, SHUTDOWN_MAX};
use dispatch::testing::protocol::http::registration::Protocol;

use crate::actors::behaviour::{Behaviour, Pace};
use crate::actors::driver::{DriverActor, Stage};
use crate::network::Faults;
use crate::report::Report;

use super::state::{Checked, Progress, World};

/// All that stalls or does not answer is over after so long: the longest timeout is 75 s.
const ALL_TIMEOUTS: Duration = Duration::from_secs(160);

/// More than the network holds for most devices, so that some of it waits with us.
const LAST_WRITE_BYTES: usize = 60_000;

/// Devices that each driver writes so much to.
const LAST_WRITES: usize = 5;

impl World {
    /// Everybody behaves from now on; at the end nothing may be left.
    pub fn finish(&mut self) -> Checked {
        self.stop_faults();
        if self.stage == Progress::Serving {
            self.advance(ALL_TIMEOUTS)?;
            self.check_codes()?;
            self.check_state()?;
            self.check_monitors()?;
            self.check_pongs()?;
            self.check_last_words()?;
            self.check_monitors()?;
            self.check_leaving()?;
        }
        self.check_stopping()
    }

    fn stop_faults(&mut self) {
        let mut wire = self.net.wire();
        wire.faults = Faults::default();
        wire.set_datagrams_blocked(false);
        drop(wire);
        for driver in &mut self.drivers {
            driver.pace = Pace::Full;
        }
        for device in &mut self.devices {
            device.pace = Pace::Full;
        }
        for monitor in &mut self.monitors {
            monitor.pace = Pace::Full;
        }
    }

    fn check_codes(&self) -> Checked {
        for driver in &self.drivers {
            let (code, expected) = (driver.close_code, driver.expected_code);
            if expected.is_some() && code != expected {
                // It may have been closed before, for not reading or not answering.
                let is_slow = matches!(code, Some(1013)) || (code.is_none() && driver.was_slow);
                if !is_slow {
                    return Err(format!("closed with {code:?} instead of {expected:?}"));
                }
            }
        }
        self.clients.iter().try_for_each(|client| client.check())
    }

    /// Every ping has its pong.
    fn check_pongs(&mut self) -> Checked {
        let number = self.turn;
        self.drivers.iter_mut().filter(|d| d.is_sound()).for_each(|driver| driver.ping(number));
        self.settle()?;
        let mut sound = self.drivers.iter().filter(|driver| driver.is_sound());
        match sound.find(|driver| !driver.is_answered(number)) {
            Some(driver) => Err(format!("driver {} has no pong", driver.number)),
            None => Ok(()),
        }
    }

    /// Devices end their side while they are written to and do not read. They still get it all,
    /// and drivers hear all that they said.
    fn check_last_words(&mut self) -> Checked {
        self.devices.iter_mut().for_each(|device| device.pace = Pace::Stalled);
        for driver in self.drivers.iter_mut().filter(|driver| driver.is_sound()) {
            for id in driver.open_ids().into_iter().take(LAST_WRITES) {
                let device = driver.heard[&id].device;
                driver.write(id, &self.devices[device], LAST_WRITE_BYTES, 1);
            }
        }
        self.settle()?;
        let open: Vec<usize> =
            self.devices.iter().filter(|d| d.is_open()).map(|d| d.number).collect();
        self.devices.iter_mut().for_each(|device| device.is_finishing = true);
        self.settle()?;
        self.devices.iter_mut().for_each(|device| device.pace = Pace::Full);
        self.settle()?;
        for driver in self.drivers.iter().filter(|driver| driver.is_sound()) {
            open.iter().try_for_each(|&device| self.check_last_written(driver, device))?;
        }
        self.check_state()
    }

    fn check_last_written(&self, driver: &DriverActor, device: usize) -> Checked {
        let actor = &self.devices[device];
        let is_promised = actor.behaviour == Behaviour::Correct
            && actor.closed_by.is_empty()
            && !actor.is_excused;
        let written = driver.written.get(&device).copied().unwrap_or(0);
        let got = actor.got.get(&driver.number).copied().unwrap_or(0);
        match driver.protocol != Protocol::Udp && is_promised && got < written {
            true => Err(format!("device {device} ended and got {got} of {written} records")),
            false => Ok(()),
        }
    }

    /// The drivers leave, and with them all the rest.
    fn check_leaving(&mut self) -> Checked {
        for driver in &mut self.drivers {
            if driver.stage == Stage::Live {
                driver.is_leaving = true;
                driver.say(0x88, &1000u16.to_be_bytes());
            }
        }
        self.clients.iter().for_each(|client| self.net.wire().peer_close(client.id()));
        self.advance(ALL_TIMEOUTS)?;
        self.reactor.check_nothing_left()?;
        match self.net.wire().held_by_us() {
            0 => Ok(()),
            held => Err(format!("{held} sockets were not closed")),
        }
    }

    fn check_stopping(&mut self) -> Checked {
        self.shut_down();
        let Progress::Stopping { by } = self.stage else { return Ok(()) };
        self.settle()?;
        while !self.reactor.is_over(self.now) {
            let next = self.reactor.poll_timeout(self.now).ok_or("it never stops")?;
            if self.now > by {
                return Err("it takes too long to stop".into());
            }
            self.now += next.max(Duration::from_millis(1));
            self.settle()?;
        }
        let is_in_time = self.now + SHUTDOWN_MAX < by + SHUTDOWN_DRAIN_MAX;
        let stays =
            |driver: &&DriverActor| driver.behaviour == Behaviour::Correct && !driver.is_leaving;
        for driver in self.drivers.iter().filter(|driver| driver.is_to_be_told).filter(stays) {
            if is_in_time && driver.has_devices() {
                return Err("a driver was told of our end before that of its devices".into());
            }
            if driver.close_code != Some(1001) && self.cuts == 0 {
                return Err(format!("a driver was told {:?} and not 1001", driver.close_code));
            }
        }
        Ok(())
    }

    pub fn report(&self) -> Report {
        let heard = || self.drivers.iter().flat_map(|driver| driver.heard.values());
        let by_tls = |driver: &&DriverActor| driver.protocol == Protocol::Tls;
        Report {
            turns: self.turn,
            drivers: self.drivers.iter().filter(|d| !d.heard.is_empty()).count(),
            devices: heard().count(),
            heard_bytes: heard().map(|heard| heard.len).sum(),
            tls_devices: self.drivers.iter().filter(by_tls).map(|d| d.heard.len()).sum(),
            told_slow: self.drivers.iter().filter(|d| d.close_code == Some(1013)).count(),
            told_of_token: self.drivers.iter().filter(|d| d.close_code == Some(1008)).count(),
            overload_cuts: self.cuts,
            watched: self.monitors.iter().map(|m| m.heard.received.messages).sum(),
            left_out: self.monitors.iter().map(|m| m.left_out).sum(),
            gauges: self.gauges,
        }
    }
}
