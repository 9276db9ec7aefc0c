//! Tokens that change while drivers and monitors are connected: what a token no longer allows ends.

use std::sync::Arc;

use log::debug;
use tungstenite::protocol::frame::coding::CloseCode;

use crate::limits::{ENTRIES_PER_OPERATION, REVIEW_OPERATIONS, TOKENS_PER_OPERATION};
use crate::net::Net;
use crate::peers::driver::Name;
use crate::peers::keys::{DriverKey, MonitorKey};
use crate::protocol::http::authorization::Gate;
use crate::protocol::tokens::{Access, Standing, Token};

use super::Reactor;
use super::close::DriverEnd;

impl<N: Net> Reactor<N> {
    /// From now on these are the tokens. Drivers and monitors that they no longer allow are closed
    /// in this turn and the next ones.
    pub fn set_access(&mut self, access: Access) {
        debug!(tokens = access.count(), drivers = self.drivers.len(); "there are new tokens");
        self.settings.access = access;
        for (key, _) in self.drivers.iter() {
            self.ready.driver_reviews.insert(key);
        }
        for (key, _) in self.monitors.iter() {
            self.ready.monitor_reviews.insert(key);
        }
    }

    /// Whether tokens from this client's address are looked at.
    pub(super) fn gate(&self, name: &Name) -> Gate<'_> {
        match self.auth_throttle.is_spent(name.client_ip, self.now) {
            true => Gate::Shut,
            false => Gate::Open(&self.settings.access),
        }
    }

    /// What it costs to find out which token a request shows.
    pub(super) fn spend_for_tokens(&mut self) {
        self.budget.spend((self.settings.access.count() / TOKENS_PER_OPERATION) as u32);
    }

    pub(super) fn count_guess(&mut self, name: &Name) {
        self.counters.wrong_tokens += 1;
        self.auth_throttle.record_failure(name.client_ip, self.now);
    }

    /// Looks at some of those who are there although there are new tokens.
    pub(super) fn review(&mut self) {
        self.drive_queue(REVIEW_OPERATIONS, |it| &mut it.driver_reviews, Self::review_driver);
        self.drive_queue(REVIEW_OPERATIONS, |it| &mut it.monitor_reviews, Self::review_monitor);
    }

    fn review_driver(&mut self, key: DriverKey) {
        let Some(judged) = self.judge_driver(key) else { return };
        self.budget.spend((judged.entries / ENTRIES_PER_OPERATION) as u32);
        match judged.token {
            Ok(token) => {
                if let Some(driver) = self.drivers.get_mut(key) {
                    driver.name.token = Some(token);
                }
            }
            Err(why) => self.remove_driver(key, DriverEnd::ByUs(CloseCode::Policy, why)),
        }
    }

    fn review_monitor(&mut self, key: MonitorKey) {
        match self.judge_monitor(key) {
            None => {}
            Some(Ok(token)) => {
                if let Some(monitor) = self.monitors.get_mut(key) {
                    monitor.name.token = Some(token);
                }
            }
            Some(Err(why)) => self.end_monitor(key, DriverEnd::ByUs(CloseCode::Policy, why)),
        }
    }

    fn judge_driver(&self, key: DriverKey) -> Option<JudgedDriver> {
        let driver = self.drivers.get(key)?;
        let port = self.ports.get(driver.port)?;
        let accept = port.subscribers.accept_of(key)?;
        let (kind, number) = (port.protocol.port_kind(), port.number);
        let is_enough = |token: &Token| token.check_driver(kind, number, accept);
        let token = judge(&self.settings.access, &driver.name, is_enough);
        Some(JudgedDriver { token, entries: accept.entries().len() })
    }

    fn judge_monitor(&self, key: MonitorKey) -> Option<Result<Arc<Token>, String>> {
        let monitor = self.monitors.get(key)?;
        let port = self.ports.get(monitor.port)?;
        let (kind, number) = (port.protocol.port_kind(), port.number);
        let is_enough = |token: &Token| token.check_monitor(kind, number);
        Some(judge(&self.settings.access, &monitor.name, is_enough))
    }
}

/// A driver's token as it is now, or why it is not enough any longer, and how many entries of its
/// accept list were looked at for that.
struct JudgedDriver {
    token: Result<Arc<Token>, String>,
    entries: usize,
}

/// What the simulation holds it to.
#[cfg(feature = "testing")]
impl<N: Net> Reactor<N> {
    /// A driver whose token is not enough any longer is about to be found.
    pub(super) fn check_token(&self, key: DriverKey) -> Result<(), String> {
        if self.ready.driver_reviews.contains(key) {
            return Ok(());
        }
        self.judge_driver(key).map_or(Ok(()), |judged| judged.token.map(drop))
    }

    /// The same of a monitor.
    pub(super) fn check_monitors_token(&self, key: MonitorKey) -> Result<(), String> {
        if self.ready.monitor_reviews.contains(key) {
            return Ok(());
        }
        self.judge_monitor(key).map_or(Ok(()), |token| token.map(drop))
    }
}

/// The token of somebody who is there, as it is now, or why it is not enough any longer.
fn judge(
    access: &Access,
    name: &Name,
    is_enough: impl FnOnce(&Token) -> Result<(), String>,
) -> Result<Arc<Token>, String> {
    let standing = name.token.as_ref().map_or(Standing::Unknown, |token| access.judge_again(token));
    match standing {
        Standing::Valid(token) => is_enough(token).map(|()| Arc::clone(token)),
        Standing::Expired(token) => Err(format!("{token} has expired")),
        Standing::Unknown => match &name.token {
            Some(token) => Err(format!("{token} is no longer known")),
            None => Err("it has no token".to_owned()),
        },
    }
}
