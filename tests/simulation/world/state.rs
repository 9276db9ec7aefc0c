//! What a world is made of.

use std::net::Ipv4Addr;
use std::time::Instant;

use dispatch::testing::limits::PING_INTERVAL;
use dispatch::testing::protocol::accept_list::AcceptList;
use dispatch::testing::reactor::{Gauges, MetricsSettings, Reactor, Settings};

use crate::actors::addresses::{PROXY, UDP_PEERS};
use crate::actors::client::ClientActor;
use crate::actors::device::DeviceActor;
use crate::actors::driver::DriverActor;
use crate::actors::monitor::MonitorActor;
use crate::network::SimNet;
use crate::rng::Rng;

use super::accept_rates::AcceptRates;
use super::scenario::{HTTP_PORT, Scenario, https_config};
use super::token_rules::{EVERYBODY, Rule, access};

/// `Err` says what is wrong: a bug.
pub(super) type Checked = Result<(), String>;

/// Everything.
pub struct World {
    pub(super) reactor: Reactor<SimNet>,
    pub(super) net: SimNet,
    pub(super) now: Instant,
    pub(super) rng: Rng,
    pub(super) turn: u64,
    pub(super) drivers: Vec<DriverActor>,
    pub(super) devices: Vec<DeviceActor>,
    pub(super) clients: Vec<ClientActor>,
    pub(super) monitors: Vec<MonitorActor>,
    /// By UDP peer, how many datagrams it has sent.
    pub(super) datagrams_sent: [u32; UDP_PEERS],
    pub(super) stage: Progress,
    /// The sum of what was stuck in each turn.
    pub(super) gauges: Gauges,
    pub(super) scenario: Scenario,
    /// More datagrams were written at once than may wait.
    pub(super) may_drop_datagrams: bool,
    /// Peers that were cut off because too much was queued.
    pub(super) cuts: u64,
    /// Since when more is queued than may be.
    pub(super) over_since: Option<Instant>,
    pub(super) accept_rates: AcceptRates,
    /// The tokens that are in force, beside the secret.
    pub(super) rules: Vec<Rule>,
}

/// Whether the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    Serving,
    Stopping { by: Instant },
}

impl World {
    /// A world with nobody in it but us; the seed decides over the faults of its network.
    pub fn new(scenario: Scenario, seed: u64) -> Result<Self, String> {
        let net = SimNet::new(seed);
        let settings = Settings {
            access: access(&EVERYBODY)?,
            ceilings: scenario.ceilings,
            trusted_proxies: AcceptList::parse(&PROXY.to_string()).ok(),
            forbid_accept_all: false,
            allow_ports: None,
            ping_interval: PING_INTERVAL,
            version_json: "{}".into(),
            metrics: MetricsSettings::default(),
            descriptors: usize::MAX,
        };
        let now = Instant::now();
        let mut reactor = Reactor::new(net.clone(), settings, now);
        let listener = (Ipv4Addr::LOCALHOST, HTTP_PORT).into();
        reactor.open_http_listener(listener).map_err(|error| error.to_string())?;
        if scenario.has_https {
            reactor.set_https(https_config()?, None);
        }
        Ok(Self {
            reactor,
            net,
            now,
            rng: Rng::new(seed),
            turn: 0,
            drivers: Vec::new(),
            devices: Vec::new(),
            clients: Vec::new(),
            monitors: Vec::new(),
            datagrams_sent: [0; UDP_PEERS],
            stage: Progress::Serving,
            gauges: Gauges::default(),
            scenario,
            may_drop_datagrams: false,
            cuts: 0,
            over_since: None,
            accept_rates: AcceptRates::default(),
            rules: EVERYBODY.to_vec(),
        })
    }
}
