//! A reactor over a scripted network, for unit tests of what no peer can be made to do.

use std::time::{Duration, Instant};

use crate::limits::{Ceilings, PING_INTERVAL};
use crate::net::scripted::ScriptedNet;
use crate::peers::port::{Port, Socket};
use crate::peers::udp_port::Udp;
use crate::protocol::http::registration::Protocol;
use crate::protocol::secret::Secret;

use crate::peers::keys::PortKey;

use super::{Reactor, Settings};

pub(super) fn reactor(ceilings: Ceilings) -> Reactor<ScriptedNet> {
    let settings = Settings {
        secret: Secret::new("own".into()),
        ceilings,
        trusted_proxies: None,
        forbid_accept_all: false,
        allow_ports: None,
        ping_interval: PING_INTERVAL,
        version_json: "{}".into(),
        descriptors: usize::MAX,
    };
    Reactor::new(ScriptedNet::default(), settings, Instant::now())
}

impl Reactor<ScriptedNet> {
    /// An open UDP port without a driver.
    pub(super) fn insert_udp_port(&mut self) -> PortKey {
        let socket = Socket::Datagram(Udp::new(()));
        let port = Port::new(162, Protocol::Udp, socket, self.moment);
        let inserted: Result<_, std::convert::Infallible> =
            self.ports.try_insert_with(|_| Ok(port));
        let Ok(key) = inserted;
        key
    }

    /// One turn, so much later.
    pub(super) fn step_after(&mut self, time: Duration) {
        self.step(self.now + time);
    }
}
