//! A world around the reactor: its drivers, devices, peers and clients, and what must be true of
//! them.

mod acts;
mod bounds;
mod devices;
mod drivers;
mod ending;
mod terms;
mod truth;

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use dispatch::testing::protocol::accept_list::AcceptList;
use dispatch::testing::protocol::secret::Secret;
use dispatch::testing::reactor::{Reactor, Settings};

use crate::actors::client::ClientActor;
use crate::actors::device::DeviceActor;
use crate::actors::driver::{DriverActor, PROXY};
use crate::network::Id;
use crate::network::SimNet;
use crate::report::Report;
use crate::rng::Rng;

use bounds::Window;
use terms::{Terms, https_config};

/// The port of HTTP.
pub const HTTP_PORT: u16 = 3_000;

/// Turns in which the world must come to rest.
const SETTLE_TURNS: usize = 20_000;

/// Turns in a row that may be asked for though nothing happens.
const IDLE_TURNS: usize = 64;

type Checked = Result<(), String>;

/// Everything.
pub struct World {
    pub(super) reactor: Reactor<SimNet>,
    pub(super) net: SimNet,
    pub(super) now: Instant,
    pub(super) random: Rng,
    pub(super) turn: u64,
    pub(super) drivers: Vec<DriverActor>,
    pub(super) devices: Vec<DeviceActor>,
    pub(super) clients: Vec<ClientActor>,
    /// By UDP peer, how many datagrams it has sent.
    pub(super) datagrams_sent: [u32; 4],
    pub(super) stage: Progress,
    pub(super) gauges: Report,
    terms: Terms,
    /// More datagrams were written at once than may wait.
    may_drop_datagrams: bool,
    /// Peers that were cut off because too much was queued.
    cuts: u64,
    over_since: Option<Instant>,
    accepts: BTreeMap<Id, Window>,
}

/// Whether the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    Serving,
    Stopping { by: Instant },
}

impl World {
    pub(super) fn new(seed: u64) -> Result<Self, String> {
        let mut random = Rng::new(seed ^ 0x5151);
        let terms = Terms::new(&mut random);
        Self::under(terms, seed)
    }

    fn under(terms: Terms, seed: u64) -> Result<Self, String> {
        let net = SimNet::new(seed);
        let settings = Settings {
            secret: Secret::new("sim".into()),
            ceilings: terms.ceilings,
            trusted_proxies: AcceptList::parse(&PROXY.to_string()).ok(),
            forbid_accept_all: false,
            version_json: "{}".into(),
        };
        let now = Instant::now();
        let mut reactor = Reactor::new(net.clone(), settings, now);
        let listener = (Ipv4Addr::LOCALHOST, HTTP_PORT).into();
        reactor.open_http_listener(listener).map_err(|error| error.to_string())?;
        if terms.has_https {
            reactor.set_https(https_config()?);
        }
        Ok(Self {
            reactor,
            net,
            now,
            random: Rng::new(seed),
            turn: 0,
            drivers: Vec::new(),
            devices: Vec::new(),
            clients: Vec::new(),
            datagrams_sent: [0; 4],
            stage: Progress::Serving,
            gauges: Report::default(),
            terms,
            may_drop_datagrams: false,
            cuts: 0,
            over_since: None,
            accepts: BTreeMap::new(),
        })
    }

    /// One turn of the loop, and of everybody else.
    pub(super) fn turn(&mut self) -> Checked {
        if self.reactor.is_over(self.now) {
            return Ok(());
        }
        self.turn += 1;
        let events = self.net.wire().poll();
        for (token, news) in events {
            self.reactor.handle_event(token, news);
        }
        self.reactor.step(self.now);
        self.reactor.check_invariants()?;
        self.check_bounds()?;
        self.gauges.add(&Report { gauges: self.reactor.gauges(), ..Report::default() });
        let mut wire = self.net.wire();
        for driver in &mut self.drivers {
            driver.pump(&mut wire, &self.devices, self.turn)?;
        }
        for device in &mut self.devices {
            device.pump(&mut wire)?;
        }
        for client in &mut self.clients {
            client.pump(&mut wire)?;
        }
        drop(wire);
        self.check_sent_datagrams()?;
        self.check_nobody_wronged()
    }

    /// Turns until nothing happens any more without time passing.
    pub(super) fn settle(&mut self) -> Checked {
        let mut idle = 0;
        for _ in 0..SETTLE_TURNS {
            let before = self.net.wire().activity();
            self.turn()?;
            if self.reactor.is_over(self.now) {
                return Ok(());
            }
            let sleeps = self.reactor.poll_timeout(self.now) != Some(Duration::ZERO);
            let is_quiet = self.net.wire().activity() == before;
            if sleeps && is_quiet && !self.net.wire().has_events() {
                return Ok(());
            }
            idle = if is_quiet { idle + 1 } else { 0 };
            if idle > IDLE_TURNS {
                return Err("the loop turns and turns though nothing happens".into());
            }
        }
        Err("the world does not come to rest".into())
    }

    /// Lets time pass, waking up whenever the reactor asks for it.
    pub(super) fn advance(&mut self, by: Duration) -> Checked {
        let target = self.now + by;
        for _ in 0..SETTLE_TURNS {
            self.settle()?;
            if self.reactor.is_over(self.now) {
                return Ok(());
            }
            let next = self.reactor.poll_timeout(self.now).map(|sleep| self.now + sleep);
            match next {
                Some(at) if at < target => {
                    // A loop that is busy elsewhere comes late, to several deadlines at once.
                    let most = if self.random.chance(5) { 2_500_000 } else { 900 };
                    let late = Duration::from_micros(self.random.below(most) as u64);
                    self.now = at + late;
                }
                Some(_) | None => {
                    self.now = self.now.max(target);
                    return self.settle();
                }
            }
        }
        Err("the reactor asks to be woken too often".into())
    }
}

/// The port that `who` picks.
fn device_port(who: usize) -> u16 {
    6_001 + (who % 2) as u16
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{Op, What};
    use dispatch::testing::limits::{Ceilings, QUEUED_LEAST_BYTES};

    /// Plays a history in a world with such ceilings. What happens, to whom, and how much of it.
    fn plays_well(ceilings: Ceilings, history: &[(What, usize, usize)]) {
        let terms = Terms { ceilings, has_tls: false, has_https: false };
        let mut world = World::under(terms, 1).unwrap();
        for (seed, &(what, who, amount)) in (1..).zip(history) {
            world.apply(&Op { what, who, amount, seed }).unwrap();
        }
        world.end_well().unwrap();
    }

    #[test]
    fn connections_whose_proxy_header_is_awaited_count_for_the_ceilings() {
        let ceilings = Ceilings { devices: 4, devices_per_port: 3, ..Ceilings::default() };
        let connect = [3, 13, 23, 33, 43, 53].map(|amount| (What::DeviceConnects, 0, amount));
        plays_well(ceilings, &[&[(What::DriverAsks, 0, 1)][..], &connect].concat());
    }

    #[test]
    fn datagrams_that_wait_are_forgotten_where_they_are_too_much_in_all() {
        let ceilings = Ceilings { queued_bytes: QUEUED_LEAST_BYTES, ..Ceilings::default() };
        plays_well(
            ceilings,
            &[
                (What::DriverAsks, 0, 0),
                (What::DriverAsks, 1, 0),
                (What::Settles, 0, 0),
                (What::DatagramsBlocked, 0, 0),
                (What::DriverWritesMuch, 0, 0),
                (What::DriverWritesMuch, 1, 0),
                (What::Settles, 0, 0),
                (What::Seconds, 0, 5_000),
            ],
        );
    }
}
