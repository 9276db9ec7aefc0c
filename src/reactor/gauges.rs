//! How much is stuck, so that the simulation can tell that it gets things stuck.

use crate::limits::DEVICE_DRAINED_BYTES;
use crate::net::Net;
use crate::peers::device::Device;
use crate::peers::figures::Traffic;
use crate::protocol::http::registration::PortKind;

use super::Reactor;

/// What is stuck.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Gauges {
    /// Drivers that do not keep up.
    pub congested: usize,
    /// Devices that wait for such a driver.
    pub parked: usize,
    /// Devices that hold drivers back because their own queue is full.
    pub holding: usize,
    /// Connections that no driver may know of yet.
    pub pending_devices: usize,
    /// Connections that are being ended.
    pub closings: usize,
}

impl<N: Net> Reactor<N> {
    /// How much is stuck at present.
    pub fn gauges(&self) -> Gauges {
        let is_full = |device: &Device<_>| device.outbox.len() > DEVICE_DRAINED_BYTES;
        let devices = self.devices.iter().map(|(_, device)| device);
        let holds = devices.filter(|device| device.hold.is_some() && is_full(device));
        Gauges {
            congested: self.drivers.iter().filter(|(_, driver)| driver.is_congested()).count(),
            parked: self.drivers.iter().map(|(_, driver)| driver.waiting.len()).sum(),
            holding: holds.count(),
            pending_devices: self.pending_devices.len(),
            closings: self.closings.len(),
        }
    }

    /// What passed on a port, where it is open.
    pub fn traffic(&self, kind: PortKind, number: u16) -> Option<Traffic> {
        let port = self.ports.find(kind, number).and_then(|key| self.ports.get(key));
        port.map(|port| port.traffic)
    }
}
