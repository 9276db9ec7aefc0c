//! The tokens of the world: drivers have three of them, and the operator takes some back.

use std::sync::Arc;

use dispatch::testing::protocol::secret::Secret;
use dispatch::testing::protocol::tokens::{Access, Digest, file};

use crate::actors::behaviour::{Behaviour, Pace};
use crate::actors::device::DeviceActor;
use crate::actors::driver::{DriverActor, Stage};
use crate::history::Op;

use super::scenario::device_port;
use super::state::{Checked, World};

/// What a driver is closed with whose token no longer allows what it has.
const TOKEN_GONE: u16 = 1008;

/// The secret.
const SECRET: &str = "sim";

/// What drivers show, one after the other.
const TOKENS: [&str; 3] = [SECRET, "one", "two"];

/// A token of the file, and the port that it is for, if that is a single one.
pub(super) type Rule = (&'static str, Option<u16>);

/// What is in the file at first.
pub(super) const EVERYBODY: [Rule; 2] = [("one", None), ("two", None)];

/// The token of a driver.
pub(super) fn token_of(driver: usize) -> &'static str {
    TOKENS[driver % TOKENS.len()]
}

/// The tokens as the reactor gets them, by way of the file.
pub(super) fn access(rules: &[Rule]) -> Result<Access, String> {
    let mut text = "# tokens\n".to_owned();
    for (token, port) in rules {
        let digest = Digest::of(token);
        let entry = format!("name = \"{token}\"\nsha256 = \"{digest}\"\nroles = [\"driver\"]\n");
        text.push_str(&format!("[[token]]\n{entry}"));
        text.extend(port.map(|port| format!("ports = [\"{port}\"]\n")));
    }
    let tokens = file::parse(&text).map_err(|error| error.to_string())?;
    let tokens: Vec<_> = tokens.into_iter().map(Arc::new).collect();
    Ok(Access::new(Some(&Secret::new(SECRET.into())), &tokens, 0))
}

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

fn is_allowed(rules: &[Rule], driver: &DriverActor) -> bool {
    let allows = |(token, port): &Rule| {
        *token == driver.token && port.is_none_or(|port| port == driver.port)
    };
    driver.token == SECRET || rules.iter().any(allows)
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
