//! What the operator of a world has set up, as its seed decides.

use std::sync::Arc;

use rustls::ServerConfig;

use dispatch::testing::limits::{Ceilings, QUEUED_LEAST_BYTES};
use dispatch::testing::net::tls::{SelfSigned, device_config};
use dispatch::testing::protocol::http::registration::Protocol;

use crate::actors::line::KEY;
use crate::rng::Rng;

/// The port of HTTP.
pub(super) const HTTP_PORT: u16 = 3_000;

/// In so many of a hundred worlds one of the ports has TLS: handshakes take time.
const TLS_PERCENT: usize = 12;

/// The settings of a world.
pub struct Scenario {
    pub ceilings: Ceilings,
    pub has_tls: bool,
    pub has_https: bool,
}

impl Scenario {
    /// The settings that a seed names.
    pub fn of(seed: u64) -> Self {
        let mut rng = Rng::new(seed ^ 0x5151);
        let ceilings = ceilings(&mut rng);
        let has_tls = rng.chance(TLS_PERCENT);
        Self { ceilings, has_tls, has_https: has_tls && rng.chance(50) }
    }

    /// Whether so little may be queued that peers are cut off who did nothing wrong.
    pub(super) fn is_tight(&self) -> bool {
        self.ceilings.queued_bytes == QUEUED_LEAST_BYTES
    }

    /// What connections to a port speak.
    pub(super) fn protocol_of(&self, port: u16) -> Protocol {
        match self.has_tls && port == device_port(1) {
            true => Protocol::Tls,
            false => Protocol::Tcp,
        }
    }
}

/// The device port that `who` picks.
pub(super) fn device_port(who: usize) -> u16 {
    6_001 + (who % 2) as u16
}

/// In most worlds there is room for everybody, in some there is little of one thing.
fn ceilings(rng: &mut Rng) -> Ceilings {
    let plenty = Ceilings::default();
    match rng.below(20) {
        0 => Ceilings { drivers: 3, ports: 2, ..plenty },
        1 => Ceilings { devices: 4, devices_per_port: 3, ..plenty },
        2 => Ceilings { devices_per_address: 1, ..plenty },
        3 => Ceilings { accepts_per_second: 3, ..plenty },
        4..=6 => Ceilings { queued_bytes: QUEUED_LEAST_BYTES, ..plenty },
        _ => plenty,
    }
}

/// What our own listener shows in a world with HTTPS.
pub(super) fn https_config() -> Result<Arc<ServerConfig>, String> {
    device_config(Some(KEY), None, None, &mut SelfSigned::default())
        .map(|tls| tls.config)
        .map_err(|fault| fault.message)
}
