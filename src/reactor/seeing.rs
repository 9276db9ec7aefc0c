//! What an operator sees, who is there and what passed, and what an operator ends.
//!
//! An answer is put together at once, in one turn, and what it costs is charged to that turn. It is
//! at most one page.

use std::net::IpAddr;
use std::ops::Bound;

use log::info;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::collections::recent::Entry;
use crate::limits::{ACCEPT_ENTRIES_PER_ANSWER, DRIVERS_PER_ANSWER};
use crate::net::Net;
use crate::net::transport::TlsFacts;
use crate::peers::device::{Device, EndedBy};
use crate::peers::driver::Driver;
use crate::peers::figures::{Count, Traffic};
use crate::peers::keys::{DriverKey, PortKey};
use crate::peers::port::Port;
use crate::peers::refused::Reason;
use crate::protocol::accept_list::AcceptList;
use crate::protocol::http::ports::{Page, PortName};
use crate::protocol::http::refusal::Refusal;
use crate::protocol::json::{self, List, Object};
use crate::protocol::tokens::{Roles, Token};

use super::Reactor;
use super::close::DriverEnd;
use super::refusals::RefusedRegistration;

impl<N: Net> Reactor<N> {
    /// Open ports, and the drivers that did not get one.
    pub(super) fn ports_json(&self, page: Page<PortName>, asks: Option<&Token>) -> String {
        let is_shown = |name: PortName| {
            Some(name) > page.after && asks.is_some_and(|it| it.covers_port(name.kind, name.number))
        };
        let ports = self.ports_in_order(is_shown);
        let (shown, rest) = ports.split_at(page.limit.min(ports.len()));
        let last = shown.last().filter(|_| !rest.is_empty());
        json::object(|all| {
            self.put_preamble(all, asks);
            all.list("ports", |list| {
                for (_, port) in shown {
                    list.object(|one| self.put_port(one, port));
                }
            });
            all.text_or_null("next", last.map(|(name, _)| name.in_query()).as_deref());
            all.list("refused_registrations", |list| {
                for entry in self.refused_registrations.latest_first() {
                    if !asks.is_some_and(|token| shows_registration(token, &entry.what)) {
                        continue;
                    }
                    list.object(|one| self.put_refused_registration(one, entry));
                }
            });
        })
    }

    /// One open port: its drivers, some of its devices, whom it turned away.
    ///
    /// # Errors
    /// It is not open.
    pub(super) fn port_json(
        &self,
        name: PortName,
        page: Page<u64>,
        asks: Option<&Token>,
    ) -> Result<String, Refusal> {
        let (_, port) = self.open_port_named(name)?;
        Ok(json::object(|all| {
            self.put_preamble(all, asks);
            self.put_port_itself(all, port);
            all.count("driver_count", port.subscribers.len());
            all.count("device_count", port.listener().map_or(0, |it| it.devices.len()));
            all.list("drivers", |list| {
                if page.after.is_none() {
                    self.put_drivers(list, port);
                }
            });
            let mut next = None;
            all.list("devices", |list| next = self.put_devices(list, port, page));
            all.number_or_null("next", next);
            all.list("refused_addresses", |list| {
                for entry in port.refused.addresses() {
                    list.object(|one| self.put_refused_address(one, entry));
                }
            });
        }))
    }

    /// Ends a device as a CLOSE would.
    ///
    /// # Errors
    /// It is not there.
    pub(super) fn close_device(&mut self, name: PortName, id: u64) -> Result<(), Refusal> {
        let (_, port) = self.open_port_named(name)?;
        let key = port.listener().and_then(|listener| listener.devices.get(&id).copied());
        let found = key.and_then(|key| Some((key, self.devices.get_mut(key)?)));
        let Some((key, device)) = found else {
            return Err(Refusal::not_there(format!("{name} has no device {id}")));
        };
        device.finish_flushing(EndedBy::Driver, self.now);
        info!(
            server_port = name.number, remote_ip:% = device.address, client_id = id;
            "an operator closes device {} on {name}", device.address
        );
        self.ready.dirty_devices.insert(key);
        self.rearm_device(key);
        Ok(())
    }

    /// Ends a driver.
    ///
    /// # Errors
    /// It is not there.
    pub(super) fn close_driver(&mut self, name: PortName, id: &str) -> Result<(), Refusal> {
        let (_, port) = self.open_port_named(name)?;
        let is_it = |key: &DriverKey| {
            self.drivers.get(*key).is_some_and(|driver| driver.name.request_id == id)
        };
        let found = port.subscribers.iter().find(is_it);
        let Some(key) = found else {
            return Err(Refusal::not_there(format!("{name} has no driver with this id")));
        };
        let why = "an operator closed it".to_string();
        self.remove_driver(key, DriverEnd::ByUs(CloseCode::Policy, why));
        Ok(())
    }

    pub(super) fn open_port_named(&self, name: PortName) -> Result<(PortKey, &Port<N>), Refusal> {
        let found = self.ports.find(name.kind, name.number);
        let found = found.and_then(|key| Some((key, self.ports.get(key)?)));
        found.ok_or_else(|| Refusal::not_there(format!("{name} is not open")))
    }

    fn ports_in_order(&self, is_shown: impl Fn(PortName) -> bool) -> Vec<(PortName, &Port<N>)> {
        let named = self.ports.iter().map(|(_, port)| {
            (PortName { kind: port.protocol.port_kind(), number: port.number }, port)
        });
        let mut ports: Vec<_> = named.filter(|(name, _)| is_shown(*name)).collect();
        ports.sort_unstable_by_key(|(name, _)| *name);
        ports
    }
}

// ---- What answers are made of -----------------------------------------------------------------

impl<N: Net> Reactor<N> {
    /// When it is, and who asks.
    fn put_preamble(&self, answer: &mut Object<'_>, asks: Option<&Token>) {
        answer.plain("time", self.calendar.date(self.now));
        answer.object("token", |token| {
            token.text_or_null("name", asks.and_then(Token::name));
            token.list("roles", |list| {
                asks.map_or(Roles::NONE, Token::roles).iter().for_each(|role| list.plain(role));
            });
        });
    }

    fn put_port(&self, one: &mut Object<'_>, port: &Port<N>) {
        self.put_port_itself(one, port);
        one.count("drivers", port.subscribers.len());
        one.count("devices", port.listener().map_or(0, |listener| listener.devices.len()));
    }

    /// What an answer about many ports has in common with that about one.
    fn put_port_itself(&self, one: &mut Object<'_>, port: &Port<N>) {
        one.plain("protocol", port.protocol);
        one.number("port", port.number.into());
        one.plain("open_since", self.calendar.date_of(port.open_since));
        let is_congested =
            |key: &DriverKey| self.drivers.get(*key).is_some_and(Driver::is_congested);
        one.count("congested", port.subscribers.iter().filter(is_congested).count());
        put_traffic(one, &port.traffic);
        one.object("refused", |refused| {
            for (reason, count) in port.refused.counts() {
                refused.number(reason.name(), count);
            }
        });
    }

    fn put_refused_registration(&self, one: &mut Object<'_>, entry: &Entry<RefusedRegistration>) {
        let refused = &entry.what;
        one.plain("address", refused.address);
        one.text_or_null("module", refused.module.as_deref());
        one.plain("protocol", refused.protocol);
        one.number_or_null("port", refused.port.map(u64::from));
        one.number("status", refused.status.into());
        one.text("reason", &refused.reason);
        one.number("count", entry.count);
        one.plain("last", self.calendar.date_of(entry.last));
    }

    fn put_refused_address(&self, one: &mut Object<'_>, entry: &Entry<(IpAddr, Reason)>) {
        let (address, reason) = entry.what;
        one.plain("address", address);
        one.plain("reason", reason.name());
        one.number("count", entry.count);
        one.plain("first", self.calendar.date_of(entry.first));
        one.plain("last", self.calendar.date_of(entry.last));
    }

    fn put_drivers(&self, list: &mut List<'_>, port: &Port<N>) {
        for (key, accept) in port.subscribers.accepts().take(DRIVERS_PER_ANSWER) {
            let Some(driver) = self.drivers.get(key) else { continue };
            list.object(|one| self.put_driver(one, driver, accept));
        }
    }

    fn put_driver(&self, one: &mut Object<'_>, driver: &Driver<N::Stream>, accept: &AcceptList) {
        one.text("id", &driver.name.request_id);
        one.text_or_null("module", driver.name.module.as_deref());
        one.text_or_null("token", driver.name.token_name());
        one.plain("address", driver.name.client_ip);
        one.list("accept", |list| {
            accept.entries().take(ACCEPT_ENTRIES_PER_ANSWER).for_each(|entry| list.plain(entry));
        });
        one.count("accept_entries", accept.entries().len());
        one.plain("since", self.calendar.date(driver.since));
        put_traffic(one, &driver.traffic);
        one.count("queued_bytes", driver.outbox.len());
        let congested = driver.congested_since().map(|since| self.calendar.date(since));
        one.plain_or_null("congested_since", congested);
        one.number("dropped_datagrams", driver.dropped_datagrams);
    }

    /// Gives the id of the last device, if there are more.
    fn put_devices(&self, list: &mut List<'_>, port: &Port<N>, page: Page<u64>) -> Option<u64> {
        let after = page.after.map_or(Bound::Unbounded, Bound::Excluded);
        let mut rest = port.listener()?.devices.range((after, Bound::Unbounded));
        let mut last = None;
        for (&id, &key) in rest.by_ref().take(page.limit) {
            last = Some(id);
            let Some(device) = self.devices.get(key) else { continue };
            list.object(|one| self.put_device(one, device));
        }
        rest.next().and(last)
    }

    fn put_device(&self, one: &mut Object<'_>, device: &Device<N::Stream>) {
        one.number("id", device.id);
        one.plain("address", device.address);
        one.number("remote_port", device.remote_port.into());
        one.plain("since", self.calendar.date_of(device.since));
        let last_heard = device.last_heard().map(|moment| self.calendar.date_of(moment));
        one.plain_or_null("last_heard", last_heard);
        put_traffic(one, &device.traffic);
        one.count("queued_bytes", device.outbox.len());
        match device.connection.transport().tls_facts() {
            Some(facts) => one.object("tls", |tls| put_tls(tls, &facts)),
            None => one.null("tls"),
        }
    }
}

/// Whether a token may see that a driver was refused: it asked for one of the token's ports.
fn shows_registration(token: &Token, refused: &RefusedRegistration) -> bool {
    match refused.port {
        Some(port) => token.covers_port(refused.protocol.port_kind(), port),
        None => token.covers_all_ports(),
    }
}

fn put_tls(tls: &mut Object<'_>, facts: &TlsFacts<'_>) {
    tls.text_or_null("version", facts.version);
    tls.text_or_null("subject", facts.identity.map(|identity| identity.subject.as_str()));
    let fingerprint = facts.identity.map(|identity| identity.fingerprint_sha256.as_str());
    tls.text_or_null("fingerprint", fingerprint);
}

fn put_traffic(one: &mut Object<'_>, traffic: &Traffic) {
    one.object("received", |count| put_count(count, traffic.received));
    one.object("sent", |count| put_count(count, traffic.sent));
}

fn put_count(one: &mut Object<'_>, count: Count) {
    one.number("messages", count.messages);
    one.number("bytes", count.bytes);
}
