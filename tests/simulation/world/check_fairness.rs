//! Who waits is served in turn.

use dispatch::testing::protocol::http::registration::Protocol;

use crate::actors::device::DeviceActor;
use crate::actors::driver::Stage;
use crate::network::{Id, Overtaking};

use super::state::{Checked, World};

impl World {
    /// Of devices that the same drivers hear, none is read again and again while another waits.
    pub(super) fn check_fairness(&mut self) -> Checked {
        let overtakings = self.net.wire().reading_order.take_overtakings();
        // Where little may be queued, some are paused so that others can get on.
        if self.scenario.is_tight() {
            return Ok(());
        }
        overtakings.iter().try_for_each(|overtaking| self.check_overtaking(overtaking))
    }

    fn check_overtaking(&self, overtaking: &Overtaking) -> Checked {
        let waiting = self.device_heard(overtaking.waiting);
        let overtaker = self.device_heard(overtaking.overtaker);
        let (Some(waiting), Some(overtaker)) = (waiting, overtaker) else { return Ok(()) };
        let (audience, other) = (self.audience(waiting), self.audience(overtaker));
        match audience == other {
            true => Err(format!(
                "device {} waited while device {} was read again and again, and drivers {audience:?} hear both",
                waiting.number, overtaker.number
            )),
            false => Ok(()),
        }
    }

    /// The device with this connection, if drivers have heard of it.
    pub(super) fn device_heard(&self, id: Id) -> Option<&DeviceActor> {
        let device = self.devices.iter().find(|device| device.id() == id)?;
        let mut heard = self.drivers.iter().flat_map(|driver| driver.heard.values());
        heard.any(|heard| heard.device == device.number && heard.is_open).then_some(device)
    }

    fn audience(&self, device: &DeviceActor) -> Vec<usize> {
        let hears = self.drivers.iter().filter(|driver| {
            driver.stage == Stage::Live
                && driver.protocol != Protocol::Udp
                && driver.port == device.port
                && driver.accept.covers(device.address)
        });
        hears.map(|driver| driver.number).collect()
    }
}
