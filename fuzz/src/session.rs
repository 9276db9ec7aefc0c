//! A driver's whole session from arbitrary bytes: handshake, frames and messages, in slices that
//! the bytes decide, with a device connected that it may write to.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use dispatch::testing::limits::{Ceilings, MESSAGE_MAX_BYTES, PING_INTERVAL};
use dispatch::testing::protocol::accept_list::parse_address;
use dispatch::testing::protocol::message::{self, Kind};
use dispatch::testing::protocol::secret::Secret;
use dispatch::testing::protocol::tokens::Access;
use dispatch::testing::reactor::{MetricsSettings, Reactor, Settings};

use super::network::{Faults, Id, SimNet, Standing};
use super::rng::Rng;

const HTTP_PORT: u16 = 3_000;

const DEVICE_PORT: u16 = 6_001;

const DEVICE: &[u8] = b"10.0.0.9";

const HANDSHAKE: &[u8] = b"GET /api/server/tcp_dispatch?port=6001&accept=10.0.0.9 HTTP/1.1\r\n\
    Host: sim\r\nAuthorization: Bearer sim\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Longer than any timeout of a session that has ended.
const AFTERMATH: Duration = Duration::from_secs(200);

/// Turns in which everything must come to rest.
const TURNS_MAX: usize = 10_000;

/// What the bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    /// All that the driver sends, its request included.
    Request,
    /// What follows a good request.
    Frames,
    /// Messages, each in a good frame: a length in two bytes and then so many bytes.
    Messages,
}

/// Plays a driver's session. The first byte says what the others are, the next eight decide over
/// slices and faults.
///
/// # Panics
/// When an invariant does not hold, something is left at the end, or the device gets bytes that
/// no WRITE carried: a bug.
pub fn fuzz_session(bytes: &[u8]) {
    let Some((&layer, rest)) = bytes.split_first() else { return };
    let Some((seed, rest)) = rest.split_first_chunk::<8>() else { return };
    let layer = [Layer::Request, Layer::Frames, Layer::Messages][usize::from(layer) % 3];
    let mut session = Session::new(u64::from_be_bytes(*seed));
    match layer {
        Layer::Request => session.send(rest),
        Layer::Frames => {
            session.shake_hands();
            session.send(rest);
        }
        Layer::Messages => {
            session.shake_hands();
            session.send_messages(rest);
        }
    }
    session.end();
}

struct Session {
    reactor: Reactor<SimNet>,
    net: SimNet,
    now: Instant,
    random: Rng,
    driver: Id,
    device: Option<Id>,
    /// What the device got.
    got: Vec<u8>,
}

impl Session {
    fn new(seed: u64) -> Self {
        let net = SimNet::new(seed);
        let settings = Settings {
            access: Access::of_secret(&Secret::new("sim".into())),
            ceilings: Ceilings::default(),
            trusted_proxies: None,
            forbid_accept_all: false,
            allow_ports: None,
            ping_interval: PING_INTERVAL,
            version_json: "{}".into(),
            metrics: MetricsSettings::default(),
            descriptors: usize::MAX,
        };
        let now = Instant::now();
        let mut reactor = Reactor::new(net.clone(), settings, now);
        reactor
            .open_http_listener((Ipv4Addr::LOCALHOST, HTTP_PORT).into())
            .expect("the network is empty");
        let from = (Ipv4Addr::LOCALHOST, 1).into();
        let driver = net.wire().connect(HTTP_PORT, from).expect("its queue is empty");
        let random = Rng::new(seed);
        Self { reactor, net, now, random, driver, device: None, got: Vec::new() }
    }

    /// All at once: in slices with pauses it could take longer than a head may.
    fn shake_hands(&mut self) {
        let sent = self.net.wire().peer_write(self.driver, HANDSHAKE);
        assert_eq!(sent, HANDSHAKE.len(), "the network has room for it");
        self.settle();
        let address = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 9));
        self.device = self.net.wire().connect(DEVICE_PORT, (address, 1).into());
        assert!(self.device.is_some(), "the port is open once the 101 is there");
        self.settle();
        self.net.wire().faults = Faults { rough: true, ..Faults::default() };
    }

    /// Sends bytes in slices, and lets a moment pass now and then.
    fn send(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let len = 1 + self.random.below(bytes.len().min(4_000));
            let sent = self.net.wire().peer_write(self.driver, &bytes[..len]);
            bytes = &bytes[sent..];
            self.turn();
            if sent == 0 || self.random.chance(5) {
                self.settle();
                self.now += Duration::from_millis(self.random.below(6_000) as u64);
            }
        }
    }

    fn send_messages(&mut self, mut bytes: &[u8]) {
        let mut expected = Vec::new();
        let mut is_open = true;
        while let Some((len, rest)) = bytes.split_first_chunk::<2>() {
            let len = usize::from(u16::from_be_bytes(*len)).min(rest.len());
            let (message, rest) = rest.split_at(len);
            bytes = rest;
            is_open &= note_write(message, &mut expected);
            let mut frame = vec![0x82, 0x80 | 126];
            frame.extend_from_slice(&(len as u16).to_be_bytes());
            frame.extend_from_slice(&[0; 4]);
            frame.extend_from_slice(message);
            self.send(&frame);
        }
        self.settle();
        assert!(expected.starts_with(&self.got), "the device got what nobody wrote to it");
        assert!(!is_open || self.got == expected, "the device did not get all of it");
    }

    fn turn(&mut self) {
        let events = self.net.wire().poll();
        for (token, news) in events {
            self.reactor.handle_event(token, news);
        }
        self.reactor.step(self.now);
        self.reactor.check_invariants().unwrap_or_else(|what| panic!("{what}"));
        let mut wire = self.net.wire();
        let (_, standing) = wire.peer_read(self.driver, MESSAGE_MAX_BYTES);
        if standing != Standing::Open {
            wire.peer_close(self.driver);
        }
        if let Some(device) = self.device {
            let (bytes, standing) = wire.peer_read(device, MESSAGE_MAX_BYTES);
            self.got.extend_from_slice(&bytes);
            if standing != Standing::Open {
                wire.peer_close(device);
            }
        }
    }

    fn settle(&mut self) {
        for _ in 0..TURNS_MAX {
            let before = self.net.wire().activity();
            self.turn();
            let sleeps = self.reactor.poll_timeout(self.now) != Some(Duration::ZERO);
            let wire = self.net.wire();
            if sleeps && wire.activity() == before && !wire.has_events() {
                return;
            }
        }
        panic!("the session does not come to rest");
    }

    /// The driver hangs up; nothing may be left then.
    fn end(mut self) {
        self.net.wire().faults = Faults::default();
        self.net.wire().peer_finish(self.driver);
        let target = self.now + AFTERMATH;
        while self.now < target {
            self.settle();
            let sleep = self.reactor.poll_timeout(self.now).unwrap_or(AFTERMATH);
            self.now += sleep.max(Duration::from_millis(1));
        }
        self.settle();
        self.reactor.check_nothing_left().unwrap_or_else(|what| panic!("{what}"));
    }
}

/// Notes what a message writes to the device, the only one there, and says whether the session
/// goes on after it as before.
fn note_write(message: &[u8], expected: &mut Vec<u8>) -> bool {
    let Ok(message) = message::decode_of_driver(message) else { return false };
    let is_for_device =
        message.id_or_port == 0 && parse_address(message.ip_address) == parse_address(DEVICE);
    match message.kind {
        Kind::Write if is_for_device => expected.extend_from_slice(message.data),
        Kind::Write => {}
        Kind::Close => return !is_for_device,
        Kind::Opened | Kind::Closed | Kind::Received | Kind::Refused | Kind::LeftOut => {}
    }
    true
}

#[cfg(test)]
mod tests {
    use dispatch::testing::protocol::message::{Message, encode};

    use super::*;

    fn session(layer: u8, seed: u64, bytes: &[u8]) {
        let mut all = vec![layer];
        all.extend_from_slice(&seed.to_be_bytes());
        all.extend_from_slice(bytes);
        fuzz_session(&all);
    }

    fn messages(random: &mut Rng) -> Vec<u8> {
        let mut bytes = Vec::new();
        for _ in 0..random.below(6) {
            let kinds = [Kind::Opened, Kind::Write, Kind::Write, Kind::Write, Kind::Close];
            let kind = kinds[random.below(kinds.len())];
            let data = vec![random.number() as u8; random.below(20_000)];
            let data: &[u8] = if kind.carries_data() { &data } else { b"" };
            let id_or_port = random.below(8) as u64 / 7;
            let mut message = Vec::new();
            encode(&Message { kind, ip_address: DEVICE, id_or_port, data }, &mut message);
            if random.chance(10) {
                let at = random.below(message.len());
                message[at] ^= 1 << random.below(8);
            }
            bytes.extend_from_slice(&(message.len() as u16).to_be_bytes());
            bytes.extend_from_slice(&message);
        }
        bytes
    }

    #[test]
    fn sessions_of_random_messages_satisfy_the_fuzzed_properties() {
        let mut random = Rng::new(1);
        for seed in 0..100 {
            session(2, seed, &messages(&mut random));
        }
    }

    #[test]
    fn sessions_of_random_bytes_satisfy_the_fuzzed_properties() {
        let mut random = Rng::new(2);
        for seed in 0..60 {
            let bytes: Vec<u8> = (0..random.below(300)).map(|_| random.number() as u8).collect();
            session((seed % 2) as u8, seed, &bytes);
            let mut request = HANDSHAKE.to_vec();
            let at = random.below(request.len());
            request[at] ^= 1 << random.below(8);
            request.extend_from_slice(&bytes);
            session(0, seed, &request);
        }
    }
}
