//! What happens in the world, operation by operation.

use std::time::Duration;

use dispatch::testing::limits::SHUTDOWN_MAX;

use crate::history::{Op, SystemAction, Time, What};
use crate::rng::Rng;

use super::scenario::device_port;
use super::state::{Checked, Progress, World};

impl World {
    /// Lets something happen, and then a turn.
    pub fn apply(&mut self, op: &Op) -> Checked {
        self.rng = Rng::new(op.seed);
        self.net.wire().rng = Rng::new(op.seed ^ 1);
        match op.what {
            What::Driver(action) => self.apply_to_driver(action, op)?,
            What::Device(action) => self.apply_to_device(action, op)?,
            What::Datagrams(action) => self.apply_to_datagrams(action, op),
            What::Client(action) => self.apply_to_client(action, op)?,
            What::Monitor(action) => self.apply_to_monitor(action, op)?,
            What::System(action) => self.apply_to_system(action, op)?,
            What::Passes(time) => self.pass(time, op.amount as u64)?,
            What::Shutdown => self.shut_down(),
        }
        self.turn()
    }

    fn apply_to_system(&mut self, action: SystemAction, op: &Op) -> Checked {
        let net = self.net.clone();
        let mut wire = net.wire();
        let faults = &mut wire.faults;
        match action {
            SystemAction::DescriptorsRunOut => faults.exhausted = true,
            SystemAction::DescriptorsReturn => faults.exhausted = false,
            SystemAction::PortIsTaken => faults.taken = Some(device_port(op.who)),
            SystemAction::PortIsFree => faults.taken = None,
            SystemAction::WatchingFails => faults.unwatchable = true,
            SystemAction::WatchingWorks => faults.unwatchable = false,
            SystemAction::GetsRough => faults.rough = true,
            SystemAction::GetsSmooth => faults.rough = false,
            SystemAction::TokensChange => {
                drop(wire);
                return self.change_tokens(op);
            }
        }
        Ok(())
    }

    fn pass(&mut self, time: Time, amount: u64) -> Checked {
        match time {
            Time::Moment => self.advance(Duration::from_millis(amount % 400)),
            Time::Seconds => self.advance(Duration::from_millis(amount % 12_000)),
            Time::Minutes => self.advance(Duration::from_secs(amount % 200)),
            Time::UntilRest => {
                self.settle()?;
                self.check_monitors()
            }
        }
    }

    /// We are told to stop.
    pub fn shut_down(&mut self) {
        if self.stage == Progress::Serving {
            self.stage = Progress::Stopping { by: self.now + SHUTDOWN_MAX };
            // What drivers have sent and nobody has read yet is not queued.
            self.devices.iter_mut().for_each(|device| device.is_excused = true);
            for driver in &mut self.drivers {
                driver.is_to_be_told = driver.is_sound();
            }
            self.reactor.handle_shutdown(self.now);
        }
    }
}
