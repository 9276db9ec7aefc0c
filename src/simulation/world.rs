//! A world around the reactor: its drivers, devices, peers and clients, and what must be true of
//! them.

mod acts;
mod truth;

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use crate::limits::Ceilings;
use crate::reactor::{Reactor, Settings};
use crate::secret::Secret;

use super::Report;
use super::client::ClientActor;
use super::device::DeviceActor;
use super::driver::DriverActor;
use super::net::SimNet;
use super::random::Random;

/// The port of HTTP.
pub const HTTP_PORT: u16 = 3_000;

/// Where the only trusted load balancer is.
const PROXY: Ipv4Addr = Ipv4Addr::new(10, 255, 255, 1);

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
    pub(super) random: Random,
    pub(super) turn: u64,
    pub(super) drivers: Vec<DriverActor>,
    pub(super) devices: Vec<DeviceActor>,
    pub(super) clients: Vec<ClientActor>,
    /// By UDP peer, how many datagrams it has sent.
    pub(super) datagrams_sent: [u32; 4],
    pub(super) stage: Progress,
    pub(super) strain: Report,
}

/// Whether the program runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    Serving,
    Stopping { by: Instant },
}

impl World {
    pub(super) fn new(seed: u64) -> Result<Self, String> {
        let net = SimNet::new(seed);
        let mut random = Random::new(seed ^ 0x5151);
        let ceilings = match random.chance(20) {
            true => Ceilings { devices_per_port: 3, drivers: 3, ports: 2, ..Ceilings::default() },
            false => Ceilings::default(),
        };
        let settings = Settings {
            secret: Secret::new("sim".into()),
            ceilings,
            trusted_proxies: vec![IpAddr::V4(PROXY).into()],
            forbid_accept_all: false,
            version_json: "{}".into(),
        };
        let now = Instant::now();
        let mut reactor = Reactor::new(net.clone(), settings, now);
        let door = (Ipv4Addr::LOCALHOST, HTTP_PORT).into();
        reactor.open_door(door).map_err(|error| error.to_string())?;
        Ok(Self {
            reactor,
            net,
            now,
            random,
            turn: 0,
            drivers: Vec::new(),
            devices: Vec::new(),
            clients: Vec::new(),
            datagrams_sent: [0; 4],
            stage: Progress::Serving,
            strain: Report::default(),
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
        self.strain.add(&Report { strain: self.reactor.strain(), ..Report::default() });
        let mut wire = self.net.wire();
        for driver in &mut self.drivers {
            driver.pump(&mut wire, &self.devices, self.turn)?;
        }
        for device in &mut self.devices {
            device.pump(&mut wire)?;
        }
        self.clients.iter_mut().for_each(|client| client.pump(&mut wire));
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
