//! Watches that all drivers of a port are at one dispatcher.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use serde_json::Value;

use super::network::{DISPATCHERS, Network, Place, dispatcher};

const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A dispatcher that is cut off does not answer in this time, and others do.
const ANSWER_WITHIN: Duration = Duration::from_secs(1);

/// How many drivers each port of these kinds has; the kinds are named as in the statistics.
pub type DriversPerPort = [(&'static str, usize); 2];

/// The kind of port, and its number.
type Name = (&'static str, String);

/// How many drivers each port has, at each dispatcher that answers.
type Ports = BTreeMap<Name, BTreeMap<u8, usize>>;

pub struct Splits {
    seen: Arc<Mutex<Seen>>,
    over: Arc<AtomicBool>,
    watcher: Option<JoinHandle<()>>,
}

struct Seen {
    drivers_per_port: DriversPerPort,
    ports: Ports,
    found: Option<String>,
}

impl Splits {
    pub fn watch(network: &Arc<Network>, token: &str, drivers_per_port: DriversPerPort) -> Self {
        let seen = Seen { drivers_per_port, ports: Ports::new(), found: None };
        let (seen, over) = (Arc::new(Mutex::new(seen)), Arc::<AtomicBool>::default());
        let (network, token) = (Arc::clone(network), token.to_owned());
        let (noted, is_over) = (Arc::clone(&seen), Arc::clone(&over));
        let watcher = thread::spawn(move || {
            network.enter(Place::Balancer);
            while !is_over.load(Ordering::Relaxed) {
                let ports = ask_all(&token, drivers_per_port);
                noted.lock().unwrap_or_else(PoisonError::into_inner).note(ports);
                thread::sleep(LOOK_EVERY);
            }
        });
        Self { seen, over, watcher: Some(watcher) }
    }

    /// How many drivers there are at all dispatchers that answer.
    pub fn drivers(&self) -> usize {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.ports.values().flat_map(BTreeMap::values).sum()
    }

    /// How many ports each dispatcher has.
    pub fn ports(&self) -> BTreeMap<u8, usize> {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let mut counts = BTreeMap::new();
        for number in seen.ports.values().flat_map(BTreeMap::keys) {
            *counts.entry(*number).or_default() += 1;
        }
        counts
    }

    /// The first port that was seen to be split.
    pub fn found(&self) -> Option<String> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).found.clone()
    }
}

impl Seen {
    /// Dispatchers are asked one after the other, and a port may move meanwhile: it is split when
    /// it is found so twice in a row.
    fn note(&mut self, ports: Ports) {
        let is_split = |name| self.is_split(&ports, name) && self.is_split(&self.ports, name);
        let split = ports.keys().find(|&name| is_split(name));
        let found = split.map(|name| format!("{name:?} has drivers at {:?}", ports[name]));
        self.found = self.found.take().or(found);
        self.ports = ports;
    }

    /// Where one dispatcher has all drivers of a port, what others have are connections that are
    /// dead, of which they do not know yet because they were cut off.
    fn is_split(&self, ports: &Ports, name: &Name) -> bool {
        let all = self.drivers_per_port.iter().find(|(kind, _)| *kind == name.0);
        let all = all.map_or(0, |&(_, drivers)| drivers);
        ports.get(name).is_some_and(|at| at.len() > 1 && at.values().all(|&drivers| drivers < all))
    }
}

impl Drop for Splits {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = self.watcher.take().map(JoinHandle::join);
    }
}

fn ask_all(token: &str, kinds: DriversPerPort) -> Ports {
    let mut ports = Ports::new();
    for number in 1..=DISPATCHERS {
        let Some(statistics) = ask(number, token) else { continue };
        for (kind, _) in kinds {
            for (port, drivers) in statistics[kind].as_object().expect("an object") {
                let drivers = drivers.as_u64().expect("a count") as usize;
                ports.entry((kind, port.clone())).or_default().insert(number, drivers);
            }
        }
    }
    ports
}

fn ask(number: u8, token: &str) -> Option<Value> {
    let address = SocketAddr::from((dispatcher(number), 3000));
    let mut stream = TcpStream::connect_timeout(&address, ANSWER_WITHIN).ok()?;
    stream.set_read_timeout(Some(ANSWER_WITHIN)).ok()?;
    let request = format!(
        "GET /api/dispatch/v1 HTTP/1.0\r\nHost: d\r\nAuthorization: Bearer {token}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    serde_json::from_str(answer.split_once("\r\n\r\n")?.1).ok()
}
