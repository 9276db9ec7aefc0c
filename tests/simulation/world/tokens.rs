//! The operator takes tokens back, and gives them again.

use crate::actors::behaviour::{Behaviour, Pace};
use crate::actors::device::DeviceActor;
use crate::actors::driver::{DriverActor, Stage};
use crate::history::Op;

use super::scenario::device_port;
use super::state::{Checked, World};
use super::token_rules::{EVERYBODY, access, is_allowed};

/// What a driver is closed with whose token no longer allows what it has.
const TOKEN_GONE: u16 = 1008;

impl World {
    /// The operator takes tokens back, or gives them again.
    pub(super) fn change_tokens(&mut self, op: &Op) -> Checked {
        self.rules = match op.amount % 5 {
            0 => Vec::new(),
            1 => vec![("one", None)],
            2 => vec![("one", None), ("two", Some(device_port(0)))],
            3 => vec![("one", Some(device_port(1))), ("two", Some(device_port(1)))],
            _ => EVERYBODY.to_vec(),
        };
        self.reactor.set_access(access(&self.rules)?);
        let Self { drivers, devices, rules, .. } = self;
        for driver in drivers.iter_mut().filter(|driver| !is_allowed(rules, driver)) {
            match driver.stage {
                Stage::Asking => driver.may_lack_token = true,
                Stage::Live => expect_its_end(driver, devices),
                Stage::Refused(_) | Stage::Over => {}
            }
        }
        Ok(())
    }

    /// One that has asked does not know yet whether it was taken before its token was.
    pub(super) fn note_ends_by_token(&mut self) {
        let Self { drivers, devices, .. } = self;
        for driver in drivers.iter_mut().filter(|driver| driver.close_code == Some(TOKEN_GONE)) {
            if driver.may_lack_token && driver.behaviour == Behaviour::Correct {
                expect_its_end(driver, devices);
            }
        }
    }

    /// Whether a driver's token allows what it asks for.
    pub(super) fn is_allowed(&self, driver: &DriverActor) -> bool {
        is_allowed(&self.rules, driver)
    }
}

/// It is closed with the code for that, unless it was about to be closed for something else. What
/// it has said and we have not read is lost.
fn expect_its_end(driver: &mut DriverActor, devices: &mut [DeviceActor]) {
    driver.expected_code = driver.is_sound().then_some(TOKEN_GONE);
    driver.was_slow |= driver.pace != Pace::Full;
    (driver.behaviour, driver.is_leaving) = (Behaviour::Faulty, true);
    driver.is_to_be_told = false;
    devices.iter_mut().for_each(|device| device.expect_nothing_of(driver.number));
}
