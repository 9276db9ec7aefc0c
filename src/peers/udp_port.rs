//! A UDP port: its socket, what waits to be sent, and what has to be remembered of peers so that
//! answers find them.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::io;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use crate::limits::{
    DATAGRAM_BACKLOG_BYTES, DATAGRAM_BACKLOG_MAX, DATAGRAM_SENDS_PER_STEP, LINK_LOCAL_PEERS_MAX,
    LOCAL_PEERS_MAX, PROXIED_PEERS_MAX, RECEIVE_FAILURES_MAX,
};
use crate::net::datagrams::DatagramBatch;
use crate::net::outbox::BufferPool;
use crate::net::{Net, is_blocked};

/// A UDP port.
pub(crate) struct Udp<N: Net> {
    /// `None` once we are shutting down.
    pub(crate) socket: Option<N::Udp>,
    /// Datagrams that the system had no room for.
    backlog: VecDeque<(Way, Vec<u8>)>,
    backlog_bytes: usize,
    /// By device, the load balancer that its datagrams came through.
    proxies: HashMap<SocketAddr, SocketAddr>,
    /// By link-local address, the number of the interface that it was last heard on.
    scopes: HashMap<Ipv6Addr, u32>,
    /// By sender, the address of ours that its datagrams came to.
    locals: HashMap<SocketAddr, IpAddr>,
    /// Who was heard last and where: many datagrams of one sender follow each other.
    last: Option<(SocketAddr, IpAddr)>,
    /// Receives that failed since the last that did not.
    failures: u32,
}

/// How a datagram goes to a peer.
#[derive(Debug, Clone, Copy)]
struct Way {
    /// From this address of ours; else the system chooses.
    from: Option<IpAddr>,
    to: SocketAddr,
}

/// What receiving came to.
#[derive(Debug)]
pub(crate) enum Received {
    /// Datagrams, and there may be more.
    Some,
    /// Datagrams, and there are no more.
    Last,
    /// Nothing, until the next event.
    Blocked,
    /// An error, and there may be datagrams behind it.
    Disturbed,
    /// An error after many others in a row.
    Broken(io::Error),
}

/// What became of a datagram.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It is on its way, or waits for room.
    Accepted,
    /// There is no room, not even to wait.
    Dropped,
    /// It can't be sent.
    Refused,
}

impl<N: Net> Udp<N> {
    pub(crate) fn new(socket: N::Udp) -> Self {
        Self {
            socket: Some(socket),
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            proxies: HashMap::new(),
            scopes: HashMap::new(),
            locals: HashMap::new(),
            last: None,
            failures: 0,
        }
    }

    /// Receives a batch of datagrams.
    pub(crate) fn receive(&mut self, net: &mut N, batch: &mut DatagramBatch) -> Received {
        let Some(socket) = &self.socket else { return Received::Blocked };
        match net.receive(socket, batch) {
            Err(error) if !is_blocked(&error) => self.count_failure(error),
            received => {
                self.failures = 0;
                match received {
                    Ok(()) if batch.may_have_more() => Received::Some,
                    Ok(()) => Received::Last,
                    Err(_) => Received::Blocked,
                }
            }
        }
    }

    /// An error is about one peer, and there may be datagrams of others behind it; unless it
    /// lasts, and then it is about the socket.
    fn count_failure(&mut self, error: io::Error) -> Received {
        self.failures = self.failures.saturating_add(1);
        match self.failures <= RECEIVE_FAILURES_MAX {
            true => Received::Disturbed,
            false => Received::Broken(error),
        }
    }

    /// Bytes that wait for the system to have room.
    pub(crate) fn backlog_bytes(&self) -> usize {
        self.backlog_bytes
    }

    /// Remembers the load balancer that a device's datagrams come through, so that answers go
    /// back the same way.
    pub(crate) fn note_proxy(&mut self, device: SocketAddr, proxy: SocketAddr) {
        remember(&mut self.proxies, PROXIED_PEERS_MAX, device, proxy);
    }

    /// A device's datagrams come without a load balancer (now).
    pub(crate) fn note_direct(&mut self, device: SocketAddr) {
        if !self.proxies.is_empty() {
            self.proxies.remove(&device);
        }
    }

    /// Remembers the interface that a link-local peer was heard on: drivers name it by its
    /// address alone, which is not enough to reach it.
    pub(crate) fn note_scope(&mut self, from: SocketAddr) {
        let SocketAddr::V6(from) = from else { return };
        if from.scope_id() != 0 {
            remember(&mut self.scopes, LINK_LOCAL_PEERS_MAX, *from.ip(), from.scope_id());
        }
    }

    /// Remembers the address of ours that a sender wrote to: it expects answers from there, and
    /// firewalls on the way do too.
    pub(crate) fn note_local(&mut self, from: SocketAddr, to: Option<IpAddr>) {
        let Some(to) = to else { return };
        if self.last != Some((from, to)) {
            self.last = Some((from, to));
            remember(&mut self.locals, LOCAL_PEERS_MAX, from, to);
        }
    }

    /// How a datagram to this peer has to go.
    fn way_to(&self, peer: SocketAddr) -> Way {
        let mut to = self.proxies.get(&peer).copied().unwrap_or(peer);
        if let SocketAddr::V6(v6) = &mut to
            && v6.scope_id() == 0
            && let Some(&scope) = self.scopes.get(v6.ip())
        {
            v6.set_scope_id(scope);
        }
        Way { from: self.locals.get(&to).copied(), to }
    }

    /// Sends a datagram, behind those that wait.
    pub(crate) fn send(
        &mut self,
        net: &mut N,
        buffers: &mut BufferPool,
        to: SocketAddr,
        data: &[u8],
    ) -> Sent {
        let way = self.way_to(to);
        let Some(socket) = &self.socket else { return Sent::Dropped };
        if self.backlog.is_empty() {
            match net.send(socket, way.from, way.to, data) {
                Ok(()) => return Sent::Accepted,
                Err(error) if is_blocked(&error) => {}
                Err(_) => return Sent::Refused,
            }
        }
        let bytes = self.backlog_bytes + counted_bytes(data);
        if bytes > DATAGRAM_BACKLOG_BYTES || self.backlog.len() >= DATAGRAM_BACKLOG_MAX {
            return Sent::Dropped;
        }
        self.backlog.push_back((way, data.to_vec()));
        self.count(bytes, buffers);
        Sent::Accepted
    }

    /// Whether datagrams wait for the system to have room.
    pub(crate) fn has_waiting(&self) -> bool {
        !self.backlog.is_empty()
    }

    /// Sends so many at most of those that wait, as far as the system has room. Gives their
    /// number.
    pub(crate) fn flush(&mut self, net: &mut N, buffers: &mut BufferPool, most: u32) -> u32 {
        let Some(socket) = &self.socket else { return 0 };
        let mut bytes = self.backlog_bytes;
        let mut sent = 0;
        while let Some((way, data)) = self.backlog.front()
            && sent < most
        {
            match net.send(socket, way.from, way.to, data) {
                Err(error) if is_blocked(&error) => break,
                // One that can't be sent is gone, like one that is lost on the way.
                Ok(()) | Err(_) => {
                    bytes -= counted_bytes(data);
                    self.backlog.pop_front();
                    sent += 1;
                }
            }
        }
        self.count(bytes, buffers);
        sent
    }

    /// Closes the socket, after what the system takes at once; the rest is forgotten.
    pub(crate) fn shut(&mut self, net: &mut N, buffers: &mut BufferPool) {
        self.flush(net, buffers, DATAGRAM_SENDS_PER_STEP);
        self.socket = None;
        self.forget_waiting(buffers);
    }

    /// Forgets what waits for the system to have room.
    pub(crate) fn forget_waiting(&mut self, buffers: &mut BufferPool) {
        self.backlog.clear();
        self.count(0, buffers);
    }

    fn count(&mut self, bytes: usize, buffers: &mut BufferPool) {
        buffers.count_held(self.backlog_bytes, bytes);
        self.backlog_bytes = bytes;
    }
}

/// Remembers so many peers at most, by a seeded hash since they choose their addresses. One more, and all are forgotten, to be remembered again with
/// their next datagram.
fn remember<K: Hash + Eq, V>(peers: &mut HashMap<K, V>, most: usize, peer: K, what: V) {
    if peers.len() >= most && !peers.contains_key(&peer) {
        peers.clear();
    }
    peers.insert(peer, what);
}

/// What a datagram counts for while it waits; an empty one takes room as well.
fn counted_bytes(data: &[u8]) -> usize {
    data.len().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::scripted::ScriptedNet;

    struct Harness {
        udp: Udp<ScriptedNet>,
        net: ScriptedNet,
        buffers: BufferPool,
    }

    /// A UDP port on a network that takes so many datagrams at first.
    fn harness(room: usize) -> Harness {
        let net = ScriptedNet { room, ..ScriptedNet::default() };
        Harness { udp: Udp::new(()), net, buffers: BufferPool::default() }
    }

    impl Harness {
        fn send(&mut self, to: &str, data: &[u8]) -> Sent {
            self.udp.send(&mut self.net, &mut self.buffers, address(to), data)
        }

        fn flush(&mut self, room: usize) {
            self.net.room = room;
            self.udp.flush(&mut self.net, &mut self.buffers, u32::MAX);
        }

        fn receive(&mut self) -> Received {
            self.udp.receive(&mut self.net, &mut DatagramBatch::default())
        }

        fn sent(&self) -> Vec<&[u8]> {
            self.net.sent.iter().map(|(_, data)| &data[..]).collect()
        }

        fn recipients(&self) -> Vec<SocketAddr> {
            self.net.sent.iter().map(|&(to, _)| to).collect()
        }
    }

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_datagram_leaves_at_once_while_there_is_room() {
        let mut harness = harness(9);
        assert_eq!(harness.send("10.0.0.9:7", b"hi"), Sent::Accepted);
        assert_eq!(harness.net.sent, [(address("10.0.0.9:7"), b"hi".to_vec())]);
        assert_eq!(harness.udp.backlog_bytes, 0);
    }

    #[test]
    fn what_waits_leaves_in_order_and_first() {
        let mut harness = harness(0);
        harness.send("10.0.0.9:7", b"one");
        harness.net.room = 9;
        harness.send("10.0.0.9:7", b"two");
        assert!(harness.net.sent.is_empty());
        harness.flush(9);
        harness.send("10.0.0.9:7", b"three");
        assert_eq!(harness.sent(), [&b"one"[..], b"two", b"three"]);
    }

    #[test]
    fn a_flush_stops_where_there_is_no_room_and_goes_on_later() {
        let mut harness = harness(0);
        harness.send("10.0.0.9:7", b"one");
        harness.send("10.0.0.9:7", b"two");
        harness.flush(1);
        assert_eq!((harness.sent(), harness.udp.backlog_bytes), (vec![&b"one"[..]], 3));
        harness.flush(1);
        assert_eq!((harness.sent(), harness.udp.backlog_bytes), (vec![&b"one"[..], b"two"], 0));
    }

    #[test]
    fn what_waits_is_part_of_the_sum_of_all_queues() {
        let mut harness = harness(0);
        harness.send("10.0.0.9:7", b"one");
        harness.send("10.0.0.9:7", b"two");
        assert_eq!(harness.buffers.queued_bytes(), 6);
        harness.flush(1);
        assert_eq!(harness.buffers.queued_bytes(), 3);
        harness.udp.shut(&mut harness.net, &mut harness.buffers);
        assert_eq!(harness.buffers.queued_bytes(), 0);
    }

    #[test]
    fn a_full_backlog_drops_what_comes_and_keeps_what_it_has() {
        let mut harness = harness(0);
        let half = vec![0; DATAGRAM_BACKLOG_BYTES / 2];
        assert_eq!(harness.send("10.0.0.9:7", &half), Sent::Accepted);
        assert_eq!(harness.send("10.0.0.9:7", &half), Sent::Accepted);
        assert_eq!(harness.send("10.0.0.9:7", b"x"), Sent::Dropped);
        assert_eq!(harness.udp.backlog_bytes, DATAGRAM_BACKLOG_BYTES);
        harness.flush(9);
        assert_eq!(harness.net.sent.len(), 2);
    }

    #[test]
    fn empty_datagrams_do_not_wait_without_bound() {
        let mut harness = harness(0);
        harness.send("10.0.0.9:7", &vec![0; DATAGRAM_BACKLOG_BYTES - 1]);
        assert_eq!(harness.send("10.0.0.9:7", b""), Sent::Accepted);
        assert_eq!(harness.send("10.0.0.9:7", b""), Sent::Dropped);
    }

    #[test]
    fn tiny_datagrams_do_not_take_more_memory_than_large_ones() {
        let mut harness = harness(0);
        let tiny = (0..DATAGRAM_BACKLOG_MAX).map(|_| harness.send("10.0.0.9:7", b"x"));
        assert_eq!(tiny.filter(|sent| *sent == Sent::Accepted).count(), DATAGRAM_BACKLOG_MAX);
        assert_eq!(harness.send("10.0.0.9:7", b"x"), Sent::Dropped);
    }

    #[test]
    fn a_device_that_comes_without_its_load_balancer_is_answered_directly() {
        let mut harness = harness(9);
        harness.udp.note_proxy(address("10.0.0.9:7"), address("192.0.2.1:9000"));
        harness.udp.note_direct(address("10.0.0.9:7"));
        harness.send("10.0.0.9:7", b"hi");
        assert_eq!(harness.net.sent[0].0, address("10.0.0.9:7"));
    }

    #[test]
    fn one_that_can_not_be_sent_holds_up_no_other() {
        let mut harness = harness(9);
        harness.net.unreachable = Some(address("10.0.0.1:1"));
        assert_eq!(harness.send("10.0.0.1:1", b"lost"), Sent::Refused);
        harness.net.room = 0;
        harness.send("10.0.0.1:1", b"lost");
        harness.send("10.0.0.9:7", b"hi");
        harness.flush(9);
        assert_eq!((harness.sent(), harness.udp.backlog_bytes), (vec![&b"hi"[..]], 0));
    }

    #[test]
    fn a_shut_port_sends_what_it_can_and_then_drops() {
        let mut harness = harness(0);
        harness.send("10.0.0.9:7", b"one");
        harness.net.room = 9;
        harness.udp.shut(&mut harness.net, &mut harness.buffers);
        assert_eq!(harness.send("10.0.0.9:7", b"two"), Sent::Dropped);
        assert_eq!(harness.sent(), [b"one"]);
    }

    #[test]
    fn answers_go_back_through_the_proxy_that_the_device_came_by() {
        let mut harness = harness(9);
        harness.udp.note_proxy(address("10.0.0.9:7"), address("192.0.2.1:9000"));
        harness.send("10.0.0.9:7", b"behind");
        harness.send("10.0.0.9:8", b"direct");
        assert_eq!(harness.recipients(), [address("192.0.2.1:9000"), address("10.0.0.9:8")]);
    }

    #[test]
    fn the_latest_way_back_counts() {
        let mut harness = harness(9);
        harness.udp.note_proxy(address("10.0.0.9:7"), address("192.0.2.1:1"));
        harness.udp.note_proxy(address("10.0.0.9:7"), address("192.0.2.2:2"));
        harness.send("10.0.0.9:7", b"hi");
        assert_eq!(harness.recipients(), [address("192.0.2.2:2")]);
    }

    #[test]
    fn the_ways_back_that_are_remembered_are_bounded() {
        let mut harness = harness(9);
        for peer in 0..=PROXIED_PEERS_MAX {
            let ip = std::net::Ipv4Addr::from_bits(peer as u32);
            harness.udp.note_proxy(SocketAddr::new(ip.into(), 7), address("192.0.2.1:1"));
        }
        assert_eq!(harness.udp.proxies.len(), 1);
    }

    #[test]
    fn a_link_local_peer_is_answered_over_the_interface_that_it_was_last_heard_on() {
        let mut harness = harness(9);
        harness.udp.note_scope(address("[fe80::1%3]:7"));
        harness.udp.note_scope(address("[fe80::2%3]:7"));
        harness.udp.note_scope(address("[fe80::2%4]:7"));
        for to in ["[fe80::1]:7", "[fe80::1]:8", "[fe80::2]:7", "[fe80::3]:7", "[2001:db8::1]:7"] {
            harness.send(to, b"hi");
        }
        let scopes: Vec<_> = harness.recipients().into_iter().map(scope).collect();
        assert_eq!(scopes, [3, 3, 4, 0, 0]);
    }

    #[test]
    fn what_waits_for_a_link_local_peer_keeps_its_way() {
        let mut harness = harness(0);
        harness.udp.note_scope(address("[fe80::1%3]:7"));
        harness.send("[fe80::1]:7", b"hi");
        harness.flush(9);
        assert_eq!(harness.recipients(), [address("[fe80::1%3]:7")]);
    }

    #[test]
    fn the_interfaces_that_are_remembered_are_bounded() {
        let mut harness = harness(9);
        for peer in 0..=LINK_LOCAL_PEERS_MAX {
            let ip = Ipv6Addr::from_bits((0xfe80 << 112) + peer as u128);
            harness.udp.note_scope(std::net::SocketAddrV6::new(ip, 7, 0, 3).into());
        }
        assert_eq!(harness.udp.scopes.len(), 1);
    }

    fn scope(address: SocketAddr) -> u32 {
        match address {
            SocketAddr::V4(_) => 0,
            SocketAddr::V6(v6) => v6.scope_id(),
        }
    }

    #[test]
    fn an_error_is_received_over_and_one_that_lasts_is_told() {
        let mut harness = harness(9);
        harness.net.receive_failures = RECEIVE_FAILURES_MAX + 2;
        for _ in 0..RECEIVE_FAILURES_MAX {
            assert!(matches!(harness.receive(), Received::Disturbed));
        }
        assert!(matches!(harness.receive(), Received::Broken(_)));
        assert!(matches!(harness.receive(), Received::Broken(_)));
        assert!(matches!(harness.receive(), Received::Blocked));
        harness.net.receive_failures = 1;
        assert!(matches!(harness.receive(), Received::Disturbed), "a new error is a new one");
    }
}
