//! Several dispatchers behind HAProxy: whatever becomes of one of them, its ports go to another as
//! a whole, and drivers and devices are soon back.

mod gaps;
mod network;
mod peers;
mod programs;
mod splits;

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crate::harness::{Dispatch, Tcp, Udp, eventually};
use crate::parts::{has, report};

use gaps::Longest;
use network::{DISPATCHERS, Network, PROXY, Place, dispatcher, in_field};
use peers::Peers;
use programs::Balancer;
use splits::Splits;

const TOKEN: &str = "of-all-three";

const TCP_PORTS: std::ops::RangeInclusive<u16> = 6001..=6012;

/// They must not come to different dispatchers.
const DRIVERS_PER_TCP_PORT: usize = 2;

const UDP_PORTS: std::ops::RangeInclusive<u16> = 6101..=6103;

const DRIVERS: usize = DRIVERS_PER_TCP_PORT * 12 + 3;

const DRIVER_BACK_WITHIN: Duration = Duration::from_secs(2);

const DEVICE_BACK_WITHIN: Duration = Duration::from_secs(5);

/// Longer than a move may take; then everybody is where they stay.
const SETTLED_AFTER: Duration = Duration::from_secs(6);

/// What does not concern anybody is watched for so long.
const QUIET_FOR: Duration = Duration::from_secs(3);

/// The three dispatchers, where they run.
struct Site {
    network: Arc<Network>,
    dispatchers: Vec<Option<Dispatch>>,
}

impl Site {
    fn start(&mut self, number: u8) {
        let namespace = self.network.namespace(Place::Dispatcher(number));
        let address = format!("{}:3000", dispatcher(number));
        let setup = Dispatch::setup().through(&["ip", "netns", "exec", &namespace]).token(TOKEN);
        let setup = setup.env("LOG_LEVEL", "info");
        let setup = setup.args(&["-b", &address, "--trusted-proxies", &PROXY.to_string()]);
        self.dispatchers[usize::from(number) - 1] = Some(setup.start());
    }

    /// Sends a signal to a dispatcher, and waits for its end.
    fn end(&mut self, number: u8, signal: &str) {
        let mut dispatch = self.dispatchers[usize::from(number) - 1].take().expect("it runs");
        dispatch.signal(signal);
        dispatch.expect_exit();
    }
}

/// Drivers and devices at work, and what is seen of them. The peers end first.
struct Trial {
    peers: Peers,
    splits: Splits,
    balancer: Balancer,
    site: Site,
}

impl Trial {
    /// Starts everything; where this machine does not allow that, the calling test is skipped.
    fn start() -> Option<Self> {
        let network = Arc::new(Network::new(DRIVERS as u8 + 1)?);
        let mut site = Site { network: Arc::clone(&network), dispatchers: vec![None, None, None] };
        (1..=DISPATCHERS).for_each(|number| site.start(number));
        let balancer = Balancer::start(&network);
        let kinds = [("tcp_listeners", DRIVERS_PER_TCP_PORT), ("udp_listeners", 1)];
        let splits = Splits::watch(&network, TOKEN, kinds);
        let mut peers = Peers::new(network, TOKEN);
        let tcp = TCP_PORTS.flat_map(|port| [(Tcp, port); DRIVERS_PER_TCP_PORT]);
        for ((protocol, port), address) in tcp.chain(UDP_PORTS.map(|port| (Udp, port))).zip(2..) {
            peers.add(protocol, port, in_field(address));
        }
        let trial = Self { peers, splits, balancer, site };
        eventually("all are connected", || trial.splits.drivers() == DRIVERS && trial.is_calm());
        let ports = trial.splits.ports();
        report(&format!("the longest gaps; at first, ports by dispatcher are {ports:?}"));
        Some(trial)
    }

    /// Whether nobody is in a gap that lasts.
    fn is_calm(&self) -> bool {
        self.peers.forget_gaps();
        thread::sleep(Duration::from_millis(500));
        self.peers.devices.longest().gap < Duration::from_millis(400)
    }

    /// Lets something happen that has drivers and devices come again.
    fn moves(&mut self, what: &str, event: impl FnOnce(&mut Self)) {
        let (drivers, devices) = self.observe(what, SETTLED_AFTER, event);
        assert!(drivers.losses > 0, "{what}: nobody was there");
        assert!(drivers.gap <= DRIVER_BACK_WITHIN, "{what}: {drivers}");
        assert!(devices.gap <= DEVICE_BACK_WITHIN, "{what}: {devices}");
    }

    /// Lets something happen that nobody is to notice.
    fn disturbs_nobody(&mut self, what: &str, event: impl FnOnce(&mut Self)) {
        let (drivers, devices) = self.observe(what, QUIET_FOR, event);
        assert_eq!((drivers.losses, devices.losses), (0, 0), "{what}");
    }

    fn observe(
        &mut self,
        what: &str,
        time: Duration,
        event: impl FnOnce(&mut Self),
    ) -> (Longest, Longest) {
        eventually("nobody is left where it was", || self.splits.drivers() == DRIVERS);
        self.peers.forget_gaps();
        event(self);
        thread::sleep(time);
        let (drivers, devices) = (self.peers.drivers.longest(), self.peers.devices.longest());
        let ports = self.splits.ports();
        report(&format!("{what}: drivers {drivers}; devices {devices}; ports {ports:?}"));
        assert_eq!(self.splits.found(), None, "{what}");
        (drivers, devices)
    }
}

#[test]
#[ignore = "takes 50 s, and needs root, haproxy, nftables, socat and iproute2"]
fn drivers_and_devices_are_soon_with_another_dispatcher_and_no_port_is_split() {
    if !has(&["ip", "haproxy", "nft", "socat", "sysctl"]) {
        return;
    }
    let Some(mut trial) = Trial::start() else { return };
    trial.moves("one stops", |trial| trial.site.end(1, "TERM"));
    trial.disturbs_nobody("it returns", |trial| trial.site.start(1));
    trial.moves("one is killed", |trial| trial.site.end(2, "KILL"));
    trial.disturbs_nobody("it returns", |trial| trial.site.start(2));
    trial.moves("one is cut off", |trial| trial.site.network.cut(3));
    trial.disturbs_nobody("its link is mended", |trial| trial.site.network.mend(3));
    trial.disturbs_nobody("HAProxy is reloaded", |trial| trial.balancer.reload());
    trial.moves("one stops after that", |trial| trial.site.end(1, "TERM"));
    upgrade_the_rest(&mut trial);
}

/// As docs/operating.md has it: a port that moves goes to a dispatcher that is upgraded.
fn upgrade_the_rest(trial: &mut Trial) {
    trial.disturbs_nobody("the others are to get no more ports", |trial| {
        trial.balancer.command("set weight drivers/d2 0");
        trial.balancer.command("set weight drivers/d3 0");
        trial.site.start(1);
    });
    let before = trial.splits.ports();
    trial.moves("the next one stops", |trial| trial.site.end(3, "TERM"));
    let after = trial.splits.ports();
    assert_eq!((after.get(&1), after.get(&2)), (before.get(&3), before.get(&2)));
}
