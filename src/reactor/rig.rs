//! A reactor over a scripted network, for unit tests of what no peer can be made to do.

use std::time::{Duration, Instant};

use crate::limits::Ceilings;
use crate::port::{Port, Socket, Udp};
use crate::query::Protocol;
use crate::routes::Subscribers;
use crate::scripted::ScriptedNet;
use crate::secret::Secret;
use crate::throttle::Throttle;
use crate::timers::Armed;

use super::{PortKey, Reactor, Settings};

pub(super) fn reactor(ceilings: Ceilings) -> Reactor<ScriptedNet> {
    let settings = Settings {
        secret: Secret::new("own".into()),
        ceilings,
        trusted_proxies: Vec::new(),
        forbid_accept_all: false,
        version_json: "{}".into(),
    };
    Reactor::new(ScriptedNet::default(), settings, Instant::now())
}

impl Reactor<ScriptedNet> {
    /// An open UDP port without a driver.
    pub(super) fn insert_udp_port(&mut self) -> PortKey {
        self.ports.insert(Port {
            number: 162,
            protocol: Protocol::Udp,
            subscribers: Subscribers::default(),
            socket: Socket::Datagram(Udp::new(())),
            refusals: Throttle::default(),
            armed: Armed::default(),
        })
    }

    /// One turn, so much later.
    pub(super) fn step_after(&mut self, time: Duration) {
        self.step(self.now + time);
    }
}
