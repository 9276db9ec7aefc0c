//! The bounds that an operator may set, and what they are where nobody does.

/// What an operator may set. Reaching one of them is a refusal with words, never a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceilings {
    /// Drivers connected at once.
    pub drivers: usize,
    /// Device ports open at once.
    pub ports: usize,
    /// Device connections at once, on all ports.
    pub devices: usize,
    /// Device connections at once on one port.
    pub devices_per_port: usize,
    /// Device connections at once from one address.
    pub devices_per_address: usize,
    /// Bytes queued altogether, in every direction.
    pub queued_bytes: usize,
    /// Device connections accepted per second and port.
    pub accepts_per_second: u32,
}

impl Ceilings {
    /// The defaults.
    pub const DEFAULT: Self = Self {
        drivers: 4_096,
        ports: 4_096,
        devices: 100_000,
        devices_per_port: 50_000,
        // Generous, since a NAT may hide a building.
        devices_per_address: 20_000,
        queued_bytes: 1 << 30,
        accepts_per_second: 50_000,
    };
}

impl Default for Ceilings {
    fn default() -> Self {
        Self::DEFAULT
    }
}

/// The least that an operator may allow to be queued: less, and one driver's ordinary backlog
/// would be all of it.
pub const QUEUED_LEAST_BYTES: usize = 1 << 20;
