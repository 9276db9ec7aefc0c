//! A small network of namespaces: three machines for dispatchers, one for the balancer between
//! them and the field, and the field, where devices and drivers are. All of it goes with its test.

use std::fs::File;
use std::net::Ipv4Addr;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, setns};

use crate::harness::{ip, skipped, spawn, test_name};

/// The balancer, as devices and drivers know it.
pub const BALANCER: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);

/// The balancer, as dispatchers know it.
pub const PROXY: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);

pub const DISPATCHERS: u8 = 3;

/// A machine of the network.
#[derive(Debug, Clone, Copy)]
pub enum Place {
    Balancer,
    Field,
    /// From 1 on.
    Dispatcher(u8),
}

pub struct Network {
    /// Tells it from those of other test processes.
    name: String,
}

/// The address of a dispatcher.
pub fn dispatcher(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, 0, 10 + number)
}

/// An address of the field.
pub fn in_field(number: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 78, 1, number)
}

impl Network {
    /// Makes it with so many addresses in the field; where this machine does not allow that, the
    /// calling test is skipped.
    pub fn new(addresses: u8) -> Option<Self> {
        let network = Self { name: format!("dispatch{}", std::process::id()) };
        match network.make(addresses) {
            Ok(()) => Some(network),
            Err(args) => {
                skipped(&test_name(), &format!("no `ip {args}` here, which needs root"));
                None
            }
        }
    }

    /// The name of its namespace.
    pub fn namespace(&self, place: Place) -> String {
        match place {
            Place::Balancer => format!("{}-balancer", self.name),
            Place::Field => format!("{}-field", self.name),
            Place::Dispatcher(number) => format!("{}-{number}", self.name),
        }
    }

    /// Puts the calling thread there for the rest of its life.
    pub fn enter(&self, place: Place) {
        let path = format!("/run/netns/{}", self.namespace(place));
        let namespace = File::open(path).expect("it was made");
        setns(namespace, CloneFlags::CLONE_NEWNET).expect("its maker may enter it");
    }

    /// Loses all that goes to a dispatcher and comes from it, without a word.
    pub fn cut(&self, number: u8) {
        self.set_link(number, "down");
    }

    pub fn mend(&self, number: u8) {
        self.set_link(number, "up");
    }

    fn set_link(&self, number: u8, state: &str) {
        let balancer = self.namespace(Place::Balancer);
        assert!(ip(&format!("-n {balancer} link set to{number} {state}")), "the link exists");
    }

    fn places() -> impl Iterator<Item = Place> {
        [Place::Balancer, Place::Field].into_iter().chain((1..=DISPATCHERS).map(Place::Dispatcher))
    }

    fn make(&self, addresses: u8) -> Result<(), String> {
        for place in Self::places() {
            run(format!("netns add {}", self.namespace(place)))?;
            run(format!("-n {} link set lo up", self.namespace(place)))?;
        }
        let balancer = self.namespace(Place::Balancer);
        run(format!("-n {balancer} link add name inside type bridge"))?;
        run(format!("-n {balancer} address add {PROXY}/24 dev inside"))?;
        run(format!("-n {balancer} link set inside up"))?;
        for number in 1..=DISPATCHERS {
            let place = Place::Dispatcher(number);
            self.link(place, &format!("to{number}"), &format!("{}/24", dispatcher(number)))?;
            run(format!("-n {balancer} link set to{number} master inside"))?;
            let namespace = self.namespace(place);
            run(format!("-n {namespace} route add default via {PROXY}"))?;
        }
        self.link(Place::Field, "outside", &format!("{}/16", in_field(1)))?;
        run(format!("-n {balancer} address add {BALANCER}/16 dev outside"))?;
        for number in 2..=addresses {
            let field = self.namespace(Place::Field);
            run(format!("-n {field} address add {}/16 dev net", in_field(number)))?;
        }
        run_in(&balancer, "sysctl -q -w net.ipv4.ip_forward=1")
    }

    /// Joins a place to the balancer, whose interface has this name; there it is `net`.
    fn link(&self, place: Place, interface: &str, address: &str) -> Result<(), String> {
        let (balancer, namespace) = (self.namespace(Place::Balancer), self.namespace(place));
        run(format!(
            "-n {balancer} link add {interface} type veth peer name net netns {namespace}"
        ))?;
        run(format!("-n {balancer} link set {interface} up"))?;
        run(format!("-n {namespace} address add {address} dev net"))?;
        run(format!("-n {namespace} link set net up"))
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for place in Self::places() {
            ip(&format!("netns del {}", self.namespace(place)));
        }
    }
}

fn run(args: String) -> Result<(), String> {
    if ip(&args) { Ok(()) } else { Err(args) }
}

fn run_in(namespace: &str, words: &str) -> Result<(), String> {
    let mut command = Command::new("ip");
    command.args(["netns", "exec", namespace]).args(words.split(' ')).stderr(Stdio::null());
    let done = spawn(&mut command).and_then(|mut child| child.wait());
    if done.is_ok_and(|status| status.success()) { Ok(()) } else { Err(words.to_owned()) }
}
