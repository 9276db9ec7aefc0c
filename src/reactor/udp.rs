//! Datagrams from UDP peers to drivers.

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
        self.relay_datagrams(key);
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

    fn relay_datagrams(&mut self, key: PortKey) {
        let datagrams = std::mem::take(&mut self.scratch.datagrams);
        for (arrival, data) in datagrams.iter() {
            match self.settings.is_trusted_proxy(arrival.from.ip()) {
                true => self.relay_proxied_datagram(key, arrival, data),
                false => self.relay_direct_datagram(key, arrival, data),
            }
        }
        self.scratch.datagrams = datagrams;
    }

    /// Hears a datagram with a PROXY header in front of it.
    fn relay_proxied_datagram(&mut self, key: PortKey, arrival: Arrival, datagram: &[u8]) {
        let proxy = arrival.from;
        match proxy_header::parse_datagram(datagram) {
            Ok((Header::Proxied(device), data)) => {
                if let Some(udp) = self.ports.get_mut(key).and_then(Port::udp_mut) {
                    udp.note_proxy(device, proxy);
                }
                self.relay_datagram(key, device, arrival, data);
            }
            Ok((Header::Local, _)) => debug!(
                remote_ip:% = proxy.ip();
                "a datagram of the load balancer {} itself is ignored", proxy.ip()
            ),
            Err(error) => {
                self.refuse(key, proxy, Reason::ProxyHeader, &error.to_string());
            }
        }
    }

    fn relay_direct_datagram(&mut self, key: PortKey, arrival: Arrival, data: &[u8]) {
        if let Some(udp) = self.ports.get_mut(key).and_then(Port::udp_mut) {
            udp.note_direct(arrival.from);
        }
        self.relay_datagram(key, arrival.from, arrival, data);
    }

    /// Relays what a device said, whose datagram may have come by way of a load balancer.
    fn relay_datagram(&mut self, key: PortKey, from: SocketAddr, arrival: Arrival, data: &[u8]) {
        let Some(port) = self.ports.get_mut(key) else { return };
        let peer = from.ip().to_canonical();
        let mut audience = std::mem::take(&mut self.scratch.audience);
        audience.extend(port.subscribers.covering(peer));
        let is_watched = !port.monitors.is_empty() && !audience.is_empty();
        match &mut port.socket {
            Socket::Datagram(udp) if !audience.is_empty() => {
                udp.note_scope(from);
                udp.note_local(arrival.from, arrival.to);
                port.traffic.received.add(data.len());
            }
            Socket::Datagram(_) | Socket::Stream(_) => {
                let peer = SocketAddr::new(peer, from.port());
                let why = "no driver accepts datagrams from it";
                self.refuse(key, peer, Reason::NotAccepted, why);
            }
        }
        self.budget.spend(1 + audience.len() as u32 / COPIES_PER_OPERATION);
        self.budget.spend_bytes(audience.len() * data.len());
        let envelope = Envelope::new(peer, u64::from(from.port()));
        if is_watched {
            self.show(key, &envelope, Kind::Received, data);
        }
        for driver in audience.drain(..) {
            self.queue_datagram(driver, &envelope, data);
        }
        self.scratch.audience = audience;
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
    use crate::limits::{Ceilings, RECEIVE_FAILURES_MAX};

    use super::*;

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
