//! What is said of devices that did not get in: whoever waits for a device's data must be told
//! why it does not come, and how to let it in.

use std::net::IpAddr;
use std::time::Instant;

use crate::commands::client::ServerError;
use crate::commands::client::event::{Event, to_monitor};
use crate::commands::client::server::Server;
use crate::commands::client::session::{Disconnected, Incoming, Session};
use crate::commands::watch::monitor_path;
use crate::limits::LISTEN_MESSAGES_PER_TURN;
use crate::peers::refusal_log::{Line, RefusalLog};
use crate::protocol::accept_list::AcceptList;

use super::request::PortRequest;
use super::{MODULE_ID, Rest};

/// A monitor of the port, and which of the devices that it tells of were named.
pub struct RefusedDevices {
    monitor: Session,
    request: PortRequest,
    log: RefusalLog,
}

impl RefusedDevices {
    /// Has the server tell of devices that it refuses on this port.
    ///
    /// # Errors
    /// Why it does not, which the token may be.
    pub fn open(server: &Server, request: &PortRequest) -> Result<Self, ServerError> {
        let path = monitor_path(request.protocol.port_kind(), request.port);
        let monitor = Session::open(server, &path, MODULE_ID)?;
        Ok(Self { monitor, request: request.clone(), log: RefusalLog::default() })
    }

    /// The connection, to be watched.
    pub fn session(&mut self) -> &mut Session {
        &mut self.monitor
    }

    /// Hands on a line for each device to be named now.
    ///
    /// # Errors
    /// The monitor has ended.
    pub fn step(&mut self, now: Instant, mut say: impl FnMut(&str)) -> Result<Rest, Disconnected> {
        self.monitor.flush(now)?;
        for _ in 0..LISTEN_MESSAGES_PER_TURN {
            match self.monitor.poll_message()? {
                Incoming::Message(bytes) => {
                    // All else that passes is told by the driver's session.
                    if let Ok(Event::Refused { ip, reason, .. }) = to_monitor(&bytes) {
                        self.name(ip, &reason, now).iter().for_each(|line| say(line));
                    }
                }
                Incoming::Other => {}
                Incoming::Nothing => return Ok(Rest::Nothing),
            }
        }
        Ok(Rest::More)
    }

    fn name(&mut self, ip: IpAddr, why: &str, now: Instant) -> Option<String> {
        let PortRequest { port, accept, .. } = &self.request;
        let named = self.log.handle_refusal(ip, Line::new(*port, why), now)?;
        Some(words(ip, why, named.count, accept))
    }
}

/// A line about the device.
fn words(address: IpAddr, why: &str, count: u64, accept: &AcceptList) -> String {
    let often = match count {
        1 => String::new(),
        count => format!(" {count} times"),
    };
    match accept.covers(address) {
        true => format!("a device at {address} was refused{often}: {why}"),
        false => {
            format!("a device at {address} was refused{often}; add --accept {address} to let it in")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(address: &str, count: u64) -> String {
        let accept = AcceptList::parse("10.0.0.0/8").unwrap();
        words(address.parse().unwrap(), "too many devices", count, &accept)
    }

    #[test]
    fn who_is_not_accepted_can_be_let_in() {
        let hint = "a device at 192.168.0.1 was refused; add --accept 192.168.0.1 to let it in";
        assert_eq!(said("192.168.0.1", 1), hint);
        assert!(said("192.168.0.1", 17).contains("was refused 17 times; add"));
    }

    #[test]
    fn who_is_accepted_is_refused_for_another_reason() {
        assert_eq!(said("10.0.0.1", 1), "a device at 10.0.0.1 was refused: too many devices");
    }
}
