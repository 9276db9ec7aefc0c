//! Datagrams from UDP peers to drivers.

use std::net::SocketAddr;

use crate::envelope::Envelope;
use crate::keys::{DriverKey, PortKey};
use crate::message::Kind;
use crate::net::Net;
use crate::port::{Gate, Port, Socket, is_idle};
use crate::proxy::{self, Header};

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
        let Self { ports, net, scratch, work, buffers, .. } = self;
        let Some(Port { socket: Socket::Datagram(udp), .. }) = ports.get_mut(key) else { return };
        udp.flush(net, buffers);
        let Gate::Open(socket) = &udp.gate else { return };
        match net.receive(socket, &mut scratch.datagrams) {
            Ok(()) if scratch.datagrams.is_full() => work.ports.insert(key),
            Ok(()) => {}
            Err(error) if is_idle(&error) => return,
            // An error is about one peer; there may be datagrams of others behind it.
            Err(_) => return work.ports.insert(key),
        }
        self.hear_datagrams(key);
    }

    fn hear_datagrams(&mut self, key: PortKey) {
        let datagrams = std::mem::take(&mut self.scratch.datagrams);
        for (from, data) in datagrams.iter() {
            match self.settings.is_trusted_proxy(from.ip()) {
                true => self.hear_proxied_datagram(key, from, data),
                false => self.hear_direct_datagram(key, from, data),
            }
        }
        self.scratch.datagrams = datagrams;
    }

    /// Hears a datagram with a PROXY header in front of it.
    fn hear_proxied_datagram(&mut self, key: PortKey, proxy: SocketAddr, datagram: &[u8]) {
        match proxy::parse_datagram(datagram) {
            Ok((Header::Proxied(device), data)) => {
                if let Some(Port { socket: Socket::Datagram(udp), .. }) = self.ports.get_mut(key) {
                    udp.note_proxy(device, proxy);
                }
                self.hear_datagram(key, device, data);
            }
            Ok((Header::Local, _)) => {}
            Err(error) => self.refuse(key, proxy.ip(), &error.to_string()),
        }
    }

    fn hear_direct_datagram(&mut self, key: PortKey, from: SocketAddr, data: &[u8]) {
        if let Some(Port { socket: Socket::Datagram(udp), .. }) = self.ports.get_mut(key) {
            udp.note_direct(from);
        }
        self.hear_datagram(key, from, data);
    }

    fn hear_datagram(&mut self, key: PortKey, from: SocketAddr, data: &[u8]) {
        let Some(port) = self.ports.get(key) else { return };
        let peer = from.ip().to_canonical();
        let mut audience = std::mem::take(&mut self.scratch.audience);
        audience.extend(port.subscribers.covering(peer));
        if audience.is_empty() {
            self.refuse(key, peer, "no driver accepts datagrams from it");
        }
        let envelope = Envelope::new(peer, u64::from(from.port()));
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
            self.counters.dropped_datagrams += 1;
            return;
        }
        let room = driver.outbox.room(&mut self.buffers, envelope.frame_len(data.len()));
        let len = envelope.frame(Kind::Received, data, room);
        driver.outbox.commit(&mut self.buffers, len);
        self.relieve(key);
    }
}
