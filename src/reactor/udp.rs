//! Datagrams from UDP peers to drivers.
//!
//! A batch of large datagrams that thousands of drivers hear is more than a turn may do: then it is
//! relayed in several, and no other port receives meanwhile.

use std::io;
use std::net::SocketAddr;

use log::{debug, warn};

use crate::limits::{COPIES_PER_OPERATION, DATAGRAM_SENDS_PER_STEP, EXHAUSTION_PAUSE};
use crate::net::Net;
use crate::net::datagrams::Arrival;
use crate::peers::keys::{DriverKey, PortKey, Source};
use crate::peers::port::{Port, Socket};
use crate::peers::refused::Reason;
use crate::peers::udp_port::Received;
use crate::protocol::envelope::Envelope;
use crate::protocol::message::Kind;
use crate::protocol::proxy_header::{self, Header};

use super::Reactor;

/// How far a batch of datagrams has been relayed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Relaying {
    port: PortKey,
    /// Those before this one are done.
    datagram: usize,
    /// The last driver that got this one.
    after: Option<DriverKey>,
}

impl Relaying {
    fn next(self) -> Self {
        Self { datagram: self.datagram + 1, after: None, ..self }
    }
}

impl<N: Net> Reactor<N> {
    /// Receives one batch of datagrams, or accepts some connections.
    pub(super) fn drive_port(&mut self, key: PortKey) {
        match self.ports.get(key).map(|port| &port.socket) {
            Some(Socket::Stream(_)) => self.accept_devices(key),
            Some(Socket::Datagram(_)) => self.drive_udp(key),
            None => {}
        }
    }

    fn drive_udp(&mut self, key: PortKey) {
        match self.relaying {
            Some(relaying) if relaying.port == key => return self.relay_datagrams(relaying),
            // Its datagrams lie where ours would go.
            Some(relaying) if self.ports.get(relaying.port).is_some() => {
                return self.ready.ports.insert(key);
            }
            Some(_) | None => {}
        }
        let Self { ports, net, scratch, ready, buffers, budget, .. } = self;
        let Some(udp) = ports.get_mut(key).and_then(Port::udp_mut) else { return };
        let sent = udp.flush(net, buffers, DATAGRAM_SENDS_PER_STEP);
        budget.spend(sent);
        if sent == DATAGRAM_SENDS_PER_STEP {
            ready.ports.insert(key);
        }
        match udp.receive(net, &mut scratch.datagrams) {
            Received::Some => ready.ports.insert(key),
            Received::Last => {}
            Received::Blocked => return,
            Received::Disturbed => return ready.ports.insert(key),
            Received::Broken(error) => return self.pause_receiving(key, &error),
        }
        self.relay_datagrams(Relaying { port: key, datagram: 0, after: None });
    }

    fn pause_receiving(&mut self, key: PortKey, error: &io::Error) {
        let Some(port) = self.ports.get_mut(key) else { return };
        let number = port.number;
        if let Some(left_out) = self.log_limits.exhaustion.allow(1, self.now) {
            warn!(
                server_protocol = "udp", server_port = number, left_out = left_out;
                "nothing can be received on UDP port {number} at present: {error}"
            );
        }
        let then = self.now + EXHAUSTION_PAUSE;
        self.timers.set(Source::Port(key), &mut port.armed, Some(then));
    }

    /// Relays what is left of a batch, as far as there is work to spend.
    fn relay_datagrams(&mut self, mut at: Relaying) {
        let datagrams = std::mem::take(&mut self.scratch.datagrams);
        while let Some((arrival, data)) = datagrams.get(at.datagram) {
            at = match self.settings.is_trusted_proxy(arrival.from.ip()) {
                true => self.relay_proxied_datagram(at, arrival, data),
                false => self.relay_direct_datagram(at, arrival, data),
            };
            if self.budget.is_spent() {
                break;
            }
        }
        self.relaying = datagrams.get(at.datagram).map(|_| at);
        self.scratch.datagrams = datagrams;
        if self.relaying.is_some() {
            self.ready.ports.insert(at.port);
        }
    }

    /// Hears a datagram with a PROXY header in front of it.
    fn relay_proxied_datagram(
        &mut self,
        at: Relaying,
        arrival: Arrival,
        datagram: &[u8],
    ) -> Relaying {
        let proxy = arrival.from;
        match proxy_header::parse_datagram(datagram) {
            Ok((Header::Proxied(device), data)) => {
                if let Some(udp) = self.ports.get_mut(at.port).and_then(Port::udp_mut) {
                    udp.note_proxy(device, proxy);
                }
                return self.relay_datagram(at, device, arrival, data);
            }
            Ok((Header::Local, _)) => debug!(
                remote_ip:% = proxy.ip();
                "a datagram of the load balancer {} itself is ignored", proxy.ip()
            ),
            Err(error) => {
                self.refuse(at.port, proxy, Reason::ProxyHeader, &error.to_string());
            }
        }
        self.budget.spend(1);
        at.next()
    }

    fn relay_direct_datagram(&mut self, at: Relaying, arrival: Arrival, data: &[u8]) -> Relaying {
        if let Some(udp) = self.ports.get_mut(at.port).and_then(Port::udp_mut) {
            udp.note_direct(arrival.from);
        }
        self.relay_datagram(at, arrival.from, arrival, data)
    }

    /// Relays what a device said, whose datagram may have come by way of a load balancer.
    fn relay_datagram(
        &mut self,
        at: Relaying,
        from: SocketAddr,
        arrival: Arrival,
        data: &[u8],
    ) -> Relaying {
        let peer = from.ip().to_canonical();
        let mut audience = std::mem::take(&mut self.scratch.audience);
        if let Some(port) = self.ports.get(at.port) {
            audience.extend(port.subscribers.covering(peer));
        }
        // Nearly always they are in order already.
        audience.sort_unstable();
        let envelope = Envelope::new(peer, u64::from(from.port()));
        let done = match at.after {
            Some(last) => audience.partition_point(|driver| *driver <= last),
            None => {
                self.note_datagram(at.port, from, arrival, data, !audience.is_empty());
                if !audience.is_empty() {
                    self.show(at.port, &envelope, Kind::Received, data);
                }
                0
            }
        };
        let last = self.queue_datagrams(&audience[done..], &envelope, data);
        self.give_back_audience(audience);
        last.map_or(at.next(), |last| Relaying { after: Some(last), ..at })
    }

    /// Counts a datagram, and remembers how its sender is reached; or turns it away.
    fn note_datagram(
        &mut self,
        key: PortKey,
        from: SocketAddr,
        arrival: Arrival,
        data: &[u8],
        is_covered: bool,
    ) {
        if !is_covered {
            let peer = SocketAddr::new(from.ip().to_canonical(), from.port());
            let why = "no driver accepts datagrams from it";
            self.budget.spend(1);
            return self.refuse(key, peer, Reason::NotAccepted, why);
        }
        let Some(port) = self.ports.get_mut(key) else { return };
        port.traffic.received.add(data.len());
        if let Some(udp) = port.udp_mut() {
            udp.note_scope(from);
            udp.note_local(arrival.from, arrival.to);
        }
    }

    /// Queues a datagram toward drivers. Gives the last that got it where there is no work left to
    /// spend and others are left.
    fn queue_datagrams(
        &mut self,
        audience: &[DriverKey],
        envelope: &Envelope,
        data: &[u8],
    ) -> Option<DriverKey> {
        let mut left = audience.len();
        for some in audience.chunks(COPIES_PER_OPERATION as usize) {
            self.budget.spend(1);
            self.budget.spend_bytes(some.len() * data.len());
            some.iter().for_each(|&driver| self.queue_datagram(driver, envelope, data));
            left -= some.len();
            if left > 0 && self.budget.is_spent() {
                return some.last().copied();
            }
        }
        None
    }

    /// Queues a datagram toward a driver, or drops it where the driver does not keep up: unlike
    /// a device's connection, a UDP socket can't be told to wait.
    fn queue_datagram(&mut self, key: DriverKey, envelope: &Envelope, data: &[u8]) {
        let Some(driver) = self.drivers.get_mut(key) else { return };
        if driver.is_congested() {
            driver.count_dropped_datagram();
            self.counters.datagrams_dropped.driver_slow += 1;
            return;
        }
        let room = driver.outbox.room(&mut self.buffers, envelope.frame_len(data.len()));
        let len = envelope.frame(Kind::Received, data, room);
        driver.outbox.commit(&mut self.buffers, len);
        driver.traffic.received.add(data.len());
        self.relieve(key);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::testing::reactor;
    use crate::limits::{BYTES_PER_OPERATION, Ceilings, PORT_OPERATIONS, RECEIVE_FAILURES_MAX};
    use crate::net::scripted::ScriptedNet;

    use super::*;

    /// How many drivers have heard so many datagrams.
    fn who_heard(reactor: &Reactor<ScriptedNet>, datagrams: u64) -> usize {
        let heard = reactor.drivers.iter().map(|(_, driver)| driver.traffic.received.messages);
        heard.filter(|messages| *messages == datagrams).count()
    }

    #[test]
    fn large_datagrams_go_to_some_of_many_drivers_in_each_turn_and_to_each_once() {
        const DRIVERS: usize = 500;
        const BYTES: usize = 60_000;
        let mut reactor = reactor(Ceilings::default());
        let key = reactor.insert_udp_port();
        for _ in 0..DRIVERS {
            reactor.insert_driver(key, "10.0.0.0/8");
        }
        let peer = "10.0.0.9:5000".parse().unwrap();
        reactor.net.arriving.extend([(peer, vec![b'1'; BYTES]), (peer, vec![b'2'; BYTES])]);
        reactor.ready.ports.insert(key);
        let some_of_them = PORT_OPERATIONS as usize * BYTES_PER_OPERATION / BYTES + 8;
        for turn in 1..=3 {
            reactor.step_after(Duration::ZERO);
            let heard = who_heard(&reactor, 1);
            assert!((1..=turn * some_of_them).contains(&heard), "{heard} after {turn}");
        }
        reactor.finish_work();
        assert_eq!(who_heard(&reactor, 2), DRIVERS);
        assert_eq!(reactor.ports.get(key).unwrap().traffic.received.messages, 2);
    }

    #[test]
    fn a_port_that_closes_while_a_datagram_is_relayed_keeps_no_other_from_receiving() {
        let mut reactor = reactor(Ceilings::default());
        let (closing, other) = (reactor.insert_udp_port(), reactor.insert_udp_port());
        reactor.insert_driver(other, "10.0.0.0/8");
        reactor.relaying = Some(Relaying { port: closing, datagram: 0, after: None });
        let _ = reactor.ports.remove(closing);
        reactor.net.arriving.push_back(("10.0.0.9:5000".parse().unwrap(), b"heard".to_vec()));
        reactor.ready.ports.insert(other);
        reactor.step_after(Duration::ZERO);
        assert_eq!((who_heard(&reactor, 1), reactor.relaying), (1, None));
    }

    #[test]
    fn a_socket_that_goes_on_to_fail_does_not_keep_the_loop_turning() {
        let mut reactor = reactor(Ceilings::default());
        let key = reactor.insert_udp_port();
        reactor.net.receive_failures = u32::MAX;
        reactor.ready.ports.insert(key);
        for _ in 0..=RECEIVE_FAILURES_MAX {
            assert_eq!(reactor.poll_timeout(reactor.now), Some(Duration::ZERO));
            reactor.step_after(Duration::ZERO);
        }
        assert_eq!(reactor.poll_timeout(reactor.now), Some(EXHAUSTION_PAUSE));
        reactor.step_after(EXHAUSTION_PAUSE);
        assert_eq!(reactor.poll_timeout(reactor.now), Some(EXHAUSTION_PAUSE), "it tried once");
        reactor.net.receive_failures = 0;
        reactor.step_after(EXHAUSTION_PAUSE);
        assert_eq!(reactor.poll_timeout(reactor.now), None, "it is well again");
    }
}
