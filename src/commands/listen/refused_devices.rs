//! The log while we listen, and what is filtered out of it: devices that were refused because
//! `--accept` does not cover them.
//!
//! Whoever waits for a device's data must be told how to let it in, and once is enough. The
//! other lines go to stderr; stdout belongs to the events.

use std::collections::HashSet;
use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use log::kv::Key;
use log::{LevelFilter, Log, Metadata, Record};
use mio::Waker;

use crate::limits::{LISTEN_HINTS, LISTEN_KNOCKS_QUEUED};
use crate::logging::settings::LogSettings;
use crate::logging::{cap, filter, line::Form};
use crate::protocol::accept_list::AcceptList;

use super::session::MODULE_ID;

/// Starts the log of this process; gives the addresses that knock and are not covered.
///
/// # Errors
/// There is a log already.
pub fn start(
    settings: &LogSettings,
    accept: AcceptList,
    waker: Arc<Waker>,
) -> io::Result<Receiver<IpAddr>> {
    let (knocks, heard) = sync_channel(LISTEN_KNOCKS_QUEUED);
    let filter = filter(settings);
    // Refusals are logged as warnings, and are wanted even where nothing else is.
    let most = filter.filter().max(LevelFilter::Warn);
    let logger = Logger { filter, form: Form::Plain(TimeZone::system()), accept, knocks, waker };
    log::set_boxed_logger(Box::new(logger)).map_err(io::Error::other)?;
    log::set_max_level(most);
    Ok(heard)
}

/// Says how to let in those that knock, each only once.
#[derive(Debug, Default)]
pub struct Hints {
    told: HashSet<IpAddr>,
}

impl Hints {
    /// The hint for this address, unless it was given before.
    #[must_use]
    pub fn hint(&mut self, ip: IpAddr) -> Option<String> {
        if self.told.len() >= LISTEN_HINTS || !self.told.insert(ip) {
            return None;
        }
        Some(format!("a device at {ip} was refused; add --accept {ip} to let it in"))
    }
}

struct Logger {
    filter: env_logger::Logger,
    form: Form,
    accept: AcceptList,
    knocks: SyncSender<IpAddr>,
    waker: Arc<Waker>,
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= cap(metadata.target()) && self.filter.enabled(metadata)
    }

    fn log(&self, record: &Record<'_>) {
        match refused(record).filter(|&ip| !self.accept.covers(ip)) {
            Some(ip) => self.report(ip),
            // Whatever the dispatcher answers us, we tell the user ourselves.
            None if is_about_us(record) => {}
            None if record.level() <= cap(record.target()) && self.filter.matches(record) => {
                let line = self.form.line(record, Timestamp::now());
                // Where stderr is closed, nobody wants to know.
                let _ = writeln!(io::stderr(), "{line}");
            }
            None => {}
        }
    }

    fn flush(&self) {}
}

impl Logger {
    fn report(&self, ip: IpAddr) {
        // The dispatcher that logs this must not wait; a knock that finds no room comes again.
        if self.knocks.try_send(ip).is_ok() {
            let _ = self.waker.wake();
        }
    }
}

/// The address of a device that the dispatcher says it refused.
fn refused(record: &Record<'_>) -> Option<IpAddr> {
    let fields = record.key_values();
    let accepted = fields.get(Key::from("accepted"))?.to_bool()?;
    let ip = fields.get(Key::from("remote_ip"))?.to_string().parse().ok()?;
    (!accepted).then_some(ip)
}

/// Whether the dispatcher logs a request of ours that it refused.
fn is_about_us(record: &Record<'_>) -> bool {
    let fields = record.key_values();
    let source = fields.get(Key::from("event_source"));
    let ours = source.is_some_and(|source| source.to_string() == MODULE_ID);
    ours && fields.get(Key::from("status")).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused_in(accepted: bool, remote_ip: &str) -> Option<IpAddr> {
        let fields =
            [("remote_ip", remote_ip.into()), ("accepted", log::kv::Value::from(accepted))];
        refused(&Record::builder().key_values(&fields).build())
    }

    #[test]
    fn a_refusal_is_known_by_its_fields() {
        assert_eq!(refused_in(false, "10.1.2.3"), Some(IpAddr::from([10, 1, 2, 3])));
        assert_eq!(refused_in(true, "10.1.2.3"), None);
        assert_eq!(refused_in(false, "nowhere"), None);
        assert_eq!(refused(&Record::builder().build()), None);
    }

    #[test]
    fn what_we_are_refused_is_not_told_twice() {
        let about = |source: &str, key: &str| {
            let fields = [("event_source", source.into()), (key, log::kv::Value::from(409))];
            is_about_us(&Record::builder().key_values(&fields).build())
        };
        assert!(about(MODULE_ID, "status"));
        assert!(!about("another", "status") && !about(MODULE_ID, "left_out"));
    }

    #[test]
    fn an_address_is_told_once() {
        let mut hints = Hints::default();
        let hint = hints.hint(IpAddr::from([10, 1, 2, 3])).unwrap();
        assert!(hint.contains("10.1.2.3 was refused") && hint.contains("--accept 10.1.2.3 "));
        assert_eq!(hints.hint(IpAddr::from([10, 1, 2, 3])), None);
        assert!(hints.hint(IpAddr::from([10, 1, 2, 4])).is_some());
    }

    #[test]
    fn hints_come_to_an_end() {
        let mut hints = Hints::default();
        let given = (0..=255).filter_map(|last| hints.hint(IpAddr::from([10, 1, 2, last])));
        assert_eq!(given.count(), LISTEN_HINTS);
    }
}
