//! What there is room for: drivers, as load balancers ask and as we tell a driver, and devices as
//! far as file descriptors go.

use std::time::Instant;

use crate::limits::{DESCRIPTORS_FOR_HTTP, DESCRIPTORS_OF_THE_PROCESS, EXHAUSTION_REMEMBERED};
use crate::net::Net;
use crate::protocol::http::refusal::Refusal;

use super::Reactor;
use super::shutdown::Phase;

impl<N: Net> Reactor<N> {
    /// Passes while drivers can be taken.
    pub(super) fn check_ready(&self) -> Result<(), Refusal> {
        self.check_room_for_driver()?;
        match self.is_exhausted() {
            true => {
                let why = "out of file descriptors; raise `ulimit -n` or LimitNOFILE";
                Err(Refusal::unavailable(why))
            }
            false => Ok(()),
        }
    }

    /// Whether a connection could not be accepted lately for want of descriptors.
    pub(super) fn is_exhausted(&self) -> bool {
        self.exhausted.is_some_and(|at| self.now < at + EXHAUSTION_REMEMBERED)
    }

    /// The same without a look at descriptors: a driver needs two, and there may be just as many.
    pub(super) fn check_room_for_driver(&self) -> Result<(), Refusal> {
        self.check_serving()?;
        match self.drivers.len() < self.settings.ceilings.drivers {
            true => Ok(()),
            false => Err(Refusal::unavailable("too many drivers (--max-drivers)")),
        }
    }

    /// Passes while dispatch does not stop.
    pub(super) fn check_serving(&self) -> Result<(), Refusal> {
        match self.phase {
            Phase::Serving => Ok(()),
            Phase::Draining { .. } | Phase::ClosingDrivers { .. } => {
                Err(Refusal::unavailable("dispatch is stopping"))
            }
        }
    }

    /// Whether a device leaves enough descriptors for health checks and drivers.
    pub(super) fn has_descriptor_for_device(&self) -> bool {
        self.descriptors_used() + DESCRIPTORS_FOR_HTTP < self.settings.descriptors
    }

    /// Descriptors that are in use, as far as we know of them.
    pub(super) fn descriptors_used(&self) -> usize {
        let devices = self.devices.len() + self.pending_devices.len() + self.closings.len();
        let drivers = self.drivers.len() + self.monitors.len();
        let others = self.http_clients.len() + self.http_listeners.len() + self.ports.len();
        DESCRIPTORS_OF_THE_PROCESS + devices + drivers + others
    }

    /// Notes that a connection could not be accepted for want of descriptors. Where more of them
    /// wait, this comes again after each pause.
    pub(super) fn note_exhaustion(&mut self, at: Instant) {
        self.exhausted = Some(at);
    }
}
