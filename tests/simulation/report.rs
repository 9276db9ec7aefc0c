//! What histories came to.

use dispatch::testing::reactor::Gauges;

/// What a history came to.
#[derive(Debug, Clone, Copy, Default)]
pub struct Report {
    /// Turns of the loop.
    pub turns: u64,
    /// Drivers that were taken.
    pub drivers: usize,
    /// Devices that some driver heard of.
    pub devices: usize,
    /// Bytes that drivers heard.
    pub heard_bytes: usize,
    /// Those of the devices that spoke TLS.
    pub tls_devices: usize,
    /// Drivers that were told that they read too slowly.
    pub told_slow: usize,
    /// Drivers that were told that their token no longer allows what they have.
    pub told_of_token: usize,
    /// Connections cut off because too much was queued in all.
    pub overload_cuts: u64,
    /// Messages of devices that monitors were told of.
    pub watched: u64,
    /// Messages that they were told were left out.
    pub left_out: u64,
    /// The sum of what was stuck in each turn.
    pub gauges: Gauges,
}

impl Report {
    /// Adds what another history came to.
    pub fn add(&mut self, other: &Report) {
        self.turns += other.turns;
        self.drivers += other.drivers;
        self.devices += other.devices;
        self.heard_bytes += other.heard_bytes;
        self.tls_devices += other.tls_devices;
        self.told_slow += other.told_slow;
        self.told_of_token += other.told_of_token;
        self.overload_cuts += other.overload_cuts;
        self.watched += other.watched;
        self.left_out += other.left_out;
        self.gauges = sum(self.gauges, other.gauges);
    }
}

/// The sum of what was stuck at two times.
pub fn sum(one: Gauges, other: Gauges) -> Gauges {
    Gauges {
        congested: one.congested + other.congested,
        parked: one.parked + other.parked,
        holding: one.holding + other.holding,
        pending_devices: one.pending_devices + other.pending_devices,
        closings: one.closings + other.closings,
    }
}
