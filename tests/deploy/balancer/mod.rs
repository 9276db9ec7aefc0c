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

use network::{DISPATCHERS, Network, PROXY, Place, dispatcher, in_field};
use peers::Peers;
use programs::Balancer;
use splits::Splits;

const TOKEN: &str = "of-all-three";

const TCP_PORTS: std::ops::RangeInclusive<u16> = 6001..=6012;

/// They must not come to different dispatchers.
const DRIVERS_PER_TCP_PORT: usize = 2;

const UDP_PORTS: std::ops::RangeInclusive<u16> = 6101..=6103;

const DRIVER_BACK_WITHIN: Duration = Duration::from_secs(2);

const DEVICE_BACK_WITHIN: Duration = Duration::from_secs(5);

/// Longer than a move may take; then everybody is where they stay.
const SETTLED_AFTER: Duration = Duration::from_secs(6);

/// What does not concern anybody is watched for so long.
const QUIET_FOR: Duration = Duration::from_secs(3);

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

#[test]
#[ignore = "takes 40 s, and needs root, haproxy, nftables, socat and iproute2"]
fn drivers_and_devices_are_soon_with_another_dispatcher_and_no_port_is_split() {
    if !has(&["ip", "haproxy", "nft", "socat", "sysctl"]) {
        return;
    }
    let expected = DRIVERS_PER_TCP_PORT * TCP_PORTS.len() + UDP_PORTS.len();
    let Some(network) = Network::new(expected as u8 + 1) else { return };
    let network = Arc::new(network);
    let mut site = Site { network: Arc::clone(&network), dispatchers: vec![None, None, None] };
    (1..=DISPATCHERS).for_each(|number| site.start(number));
    let balancer = Balancer::start(&network);
    let kinds = [("tcp_listeners", DRIVERS_PER_TCP_PORT), ("udp_listeners", 1)];
    let splits = Splits::watch(&network, TOKEN, kinds);
    let mut peers = Peers::new(&network, TOKEN);
    let mut free = (2..).map(in_field);
    for port in TCP_PORTS {
        for _ in 0..DRIVERS_PER_TCP_PORT {
            peers.add(Tcp, port, free.next().expect("there is no end"));
        }
    }
    for port in UDP_PORTS {
        peers.add(Udp, port, free.next().expect("there is no end"));
    }
    eventually("all are connected", || splits.drivers() == expected && is_calm(&peers));
    report(&format!("longest gaps; at first, ports by dispatcher are {:?}", splits.ports()));

    let observe = |what: &str, time: Duration, event: &mut dyn FnMut()| {
        eventually("nobody is left where it was", || splits.drivers() == expected);
        peers.drivers.forget();
        peers.devices.forget();
        event();
        thread::sleep(time);
        let (drivers, devices) = (peers.drivers.longest(), peers.devices.longest());
        let ports = splits.ports();
        report(&format!("{what}: drivers {drivers}; devices {devices}; ports {ports:?}"));
        assert_eq!(splits.found(), None, "{what}");
        (drivers, devices)
    };
    let moved = |what: &str, event: &mut dyn FnMut()| {
        let (drivers, devices) = observe(what, SETTLED_AFTER, event);
        assert!(drivers.losses > 0, "{what}: nobody was there");
        assert!(drivers.gap <= DRIVER_BACK_WITHIN, "{what}: {drivers}");
        assert!(devices.gap <= DEVICE_BACK_WITHIN, "{what}: {devices}");
    };
    let undisturbed = |what: &str, event: &mut dyn FnMut()| {
        let (drivers, devices) = observe(what, QUIET_FOR, event);
        assert_eq!((drivers.losses, devices.losses), (0, 0), "{what}");
    };
    moved("one stops", &mut || site.end(1, "TERM"));
    undisturbed("it returns", &mut || site.start(1));
    moved("one is killed", &mut || site.end(2, "KILL"));
    undisturbed("it returns", &mut || site.start(2));
    moved("one is cut off", &mut || network.cut(3));
    undisturbed("its link is mended", &mut || network.mend(3));
    undisturbed("HAProxy is reloaded", &mut || balancer.reload());
    moved("one stops after that", &mut || site.end(1, "TERM"));
    // The upgrade of docs/operating.md: a port that moves goes to one that is upgraded.
    undisturbed("the others are to get no more ports", &mut || {
        balancer.command("set weight drivers/d2 0");
        balancer.command("set weight drivers/d3 0");
        site.start(1);
    });
    let before = splits.ports();
    moved("the next one stops", &mut || site.end(3, "TERM"));
    let after = splits.ports();
    assert_eq!((after.get(&1), after.get(&2)), (before.get(&3), before.get(&2)));
}

/// Whether nobody is in a gap that lasts.
fn is_calm(peers: &Peers) -> bool {
    peers.drivers.forget();
    peers.devices.forget();
    thread::sleep(Duration::from_millis(500));
    peers.devices.longest().gap < Duration::from_millis(400)
}
