//! A reactor over a scripted network, for unit tests of what no peer can be made to do.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::limits::{Ceilings, PING_INTERVAL};
use crate::net::outbox::Outbox;
use crate::net::scripted::{Scripted, ScriptedNet};
use crate::peers::driver::{Driver, Introduced, Name};
use crate::peers::keys::{DriverKey, PortKey};
use crate::peers::port::{Listener, Port, Socket};
use crate::peers::udp_port::Udp;
use crate::protocol::accept_list::AcceptList;
use crate::protocol::http::registration::Protocol;
use crate::protocol::secret::Secret;
use crate::protocol::tokens::Access;

use super::{MetricsSettings, Reactor, Settings};

pub(super) fn reactor(ceilings: Ceilings) -> Reactor<ScriptedNet> {
    let settings = Settings {
        access: Access::of_secret(&Secret::new("own".into())),
        ceilings,
        trusted_proxies: None,
        forbid_accept_all: false,
        allow_ports: None,
        ping_interval: PING_INTERVAL,
        version_json: "{}".into(),
        metrics: MetricsSettings::default(),
        descriptors: usize::MAX,
    };
    Reactor::new(ScriptedNet::default(), settings, Instant::now())
}

impl Reactor<ScriptedNet> {
    /// An open UDP port without a driver.
    pub(super) fn insert_udp_port(&mut self) -> PortKey {
        let socket = Socket::Datagram(Box::new(Udp::new(())));
        self.insert_port(Port::new(162, Protocol::Udp, socket, self.moment))
    }

    /// An open TCP port without a driver.
    pub(super) fn insert_tcp_port(&mut self) -> PortKey {
        let socket = Socket::Stream(Listener::new((), None));
        self.insert_port(Port::new(6001, Protocol::Tcp, socket, self.moment))
    }

    /// A driver of a port, which was told of the devices that are there.
    pub(super) fn insert_driver(&mut self, port: PortKey, accept: &str) -> DriverKey {
        let client_ip = "127.0.0.1".parse().unwrap();
        let name = Name { request_id: "id".into(), client_ip, module: None, token: None };
        let (connection, outbox) = (Scripted::connect([]), Outbox::default());
        let driver =
            Driver::new(connection, outbox, port, Vec::new(), name, PING_INTERVAL, self.now);
        let key = self.drivers.insert(driver);
        let accept = AcceptList::parse(accept).unwrap();
        self.ports.get_mut(port).unwrap().subscribers.add(key, accept);
        self.drivers.get_mut(key).unwrap().introduced = Introduced::All;
        self.rearm_driver(key);
        key
    }

    /// Devices of a port that their drivers know of.
    pub(super) fn insert_devices(&mut self, port: PortKey, ip: &str, count: usize) {
        for _ in 0..count {
            let peer = SocketAddr::new(ip.parse().unwrap(), 50_000);
            self.admit(port, Scripted::connect([]), peer);
        }
        self.finish_work();
    }

    /// Turns until nothing is left to do at once.
    pub(super) fn finish_work(&mut self) {
        for _ in 0..10_000 {
            if self.poll_timeout(self.now) != Some(Duration::ZERO) {
                return;
            }
            self.step_after(Duration::ZERO);
        }
        panic!("the work never ends");
    }

    fn insert_port(&mut self, port: Port<ScriptedNet>) -> PortKey {
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
