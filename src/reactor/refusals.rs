//! Devices that do not get in: they are counted, and named on the log as far as it bears. And
//! drivers that do not.
//!
//! How far the log bears is decided by [`crate::peers::refusal_log`].

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use log::warn;

use crate::net::Net;
use crate::peers::driver::Name;
use crate::peers::keys::PortKey;
use crate::peers::refusal_log::Line;
use crate::peers::refused::Reason;
use crate::protocol::envelope::Envelope;
use crate::protocol::http::refusal::Refusal;
use crate::protocol::http::registration::Protocol;
use crate::protocol::http::request::Request;
use crate::protocol::http::routes;
use crate::protocol::message::Kind;

use super::Reactor;

impl<N: Net> Reactor<N> {
    /// Turns a peer away at once.
    pub(super) fn refuse(&mut self, key: PortKey, peer: SocketAddr, reason: Reason, why: &str) {
        self.note_refusal(key, peer, reason, why, |protocol, number| {
            format!("refused {} on {protocol} port {number}: {why}", peer.ip())
        });
    }

    /// Turns a peer away that was looked at more closely.
    pub(super) fn refuse_pending(
        &mut self,
        key: PortKey,
        peer: SocketAddr,
        reason: Reason,
        why: &str,
    ) {
        self.note_refusal(key, peer, reason, why, |_, number| {
            format!("device {} on port {number} did not get in: {why}", peer.ip())
        });
    }

    fn note_refusal(
        &mut self,
        key: PortKey,
        peer: SocketAddr,
        reason: Reason,
        why: &str,
        words: impl FnOnce(Protocol, u16) -> String,
    ) {
        let Some(port) = self.ports.get_mut(key) else { return };
        let (address, protocol, number) = (peer.ip(), port.protocol, port.number);
        port.refused.note(address, reason, self.moment);
        if !port.monitors.is_empty() {
            let envelope = Envelope::new(address, u64::from(peer.port()));
            self.show(key, &envelope, Kind::Refused, why.as_bytes());
        }
        self.counters.refused_devices += 1;
        let line = Line::new(number, why);
        let Some(named) = self.refusals.handle_refusal(address, line, self.now) else { return };
        let again = match named.count {
            1 => String::new(),
            count => format!(" ({count} times since it was last named)"),
        };
        warn!(
            server_protocol:% = protocol, server_port = number, remote_ip:% = address,
            accepted = false, count = named.count, left_out = named.left_out;
            "{}{again}", words(protocol, number)
        );
    }
}

/// A driver that did not get what it asked for, and why: so that whoever waits for it can see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RefusedRegistration {
    pub(super) address: IpAddr,
    pub(super) module: Option<String>,
    pub(super) protocol: Protocol,
    /// `None` where it asked for none that there is.
    pub(super) port: Option<u16>,
    pub(super) status: u16,
    pub(super) reason: Cow<'static, str>,
}

impl<N: Net> Reactor<N> {
    /// Remembers a refused request, if it is that of a driver.
    pub(super) fn note_refused_registration(
        &mut self,
        name: &Name,
        request: &Request,
        refusal: &Refusal,
    ) {
        let Some((protocol, port)) = routes::asked_port(request) else { return };
        let refused = RefusedRegistration {
            address: name.client_ip,
            module: name.module.clone(),
            protocol,
            port,
            status: refusal.status.code(),
            reason: refusal.message.clone(),
        };
        self.refused_registrations.note(refused, self.moment);
    }
}
