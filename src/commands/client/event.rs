//! What a server tells of devices: to a driver, or to a monitor.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::protocol::accept_list::parse_address;
use crate::protocol::message::{self, Kind, Message};

/// A device as messages name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Device {
    /// Its address.
    pub ip: IpAddr,
    /// Its client id (TCP, TLS) or its port (UDP).
    pub id_or_port: u64,
}

/// Something that happened on a port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event<'a> {
    /// A device did something, or something is sent to it.
    Device {
        /// What happened.
        kind: Kind,
        /// Which device.
        device: Device,
        /// What was received or sent.
        data: &'a [u8],
    },
    /// A device did not get in.
    Refused {
        /// Its address.
        ip: IpAddr,
        /// Its port.
        remote_port: u64,
        /// Why, in the words of the server.
        reason: Cow<'a, str>,
    },
    /// So many events are not told.
    LeftOut(u64),
}

/// What a driver is told.
///
/// # Errors
/// Why it makes no sense.
pub fn to_driver(bytes: &[u8]) -> Result<Event<'_>, String> {
    let message = message::decode(bytes).map_err(|error| error.to_string())?;
    match message.kind {
        Kind::Opened | Kind::Closed | Kind::Received => of_device(message),
        Kind::Write | Kind::Close => Err(format!("{} is for servers", message.kind.name())),
        Kind::Refused | Kind::LeftOut => Err(format!("{} is for monitors", message.kind.name())),
    }
}

/// What a monitor is told.
///
/// # Errors
/// Why it makes no sense.
pub fn to_monitor(bytes: &[u8]) -> Result<Event<'_>, String> {
    let message = message::decode(bytes).map_err(|error| error.to_string())?;
    let Message { kind, ip_address, id_or_port, data } = message;
    match kind {
        Kind::Opened | Kind::Closed | Kind::Received | Kind::Write | Kind::Close => {
            of_device(message)
        }
        Kind::Refused => {
            let reason = String::from_utf8_lossy(data);
            Ok(Event::Refused { ip: address(ip_address)?, remote_port: id_or_port, reason })
        }
        Kind::LeftOut => Ok(Event::LeftOut(id_or_port)),
    }
}

fn of_device(message: Message<'_>) -> Result<Event<'_>, String> {
    let Message { kind, ip_address, id_or_port, data } = message;
    Ok(Event::Device { kind, device: Device { ip: address(ip_address)?, id_or_port }, data })
}

fn address(text: &[u8]) -> Result<IpAddr, String> {
    parse_address(text).ok_or_else(|| "its address is none".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(kind: Kind, ip_address: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::new();
        message::encode(&Message { kind, ip_address, id_or_port: 3, data: b"" }, &mut bytes);
        bytes
    }

    #[test]
    fn events_are_understood() {
        let device = Device { ip: IpAddr::from([10, 0, 0, 9]), id_or_port: 3 };
        let opened = Event::Device { kind: Kind::Opened, device, data: b"" };
        for address in [&b"10.0.0.9"[..], b"::ffff:10.0.0.9"] {
            let bytes = encoded(Kind::Opened, address);
            assert_eq!(to_driver(&bytes).as_ref(), Ok(&opened));
            assert_eq!(to_monitor(&bytes).as_ref(), Ok(&opened));
        }
    }

    #[test]
    fn what_is_no_event_says_why() {
        let error = |bytes: &[u8]| to_driver(bytes).unwrap_err();
        assert!(error(&encoded(Kind::Write, b"10.0.0.9")).contains("WRITE"));
        assert!(error(&encoded(Kind::Opened, b"\x1b[31m")).contains("address"));
        assert!(error(b"\x07").contains('7'));
    }

    #[test]
    fn a_monitor_is_told_more() {
        assert!(to_monitor(&encoded(Kind::Write, b"10.0.0.9")).is_ok());
        let mut bytes = Vec::new();
        let (kind, ip_address) = (Kind::Refused, &b"::1"[..]);
        let message = Message { kind, ip_address, id_or_port: 5, data: b"no \xff TLS" };
        message::encode(&message, &mut bytes);
        let ip = "::1".parse().unwrap();
        let expected = Event::Refused { ip, remote_port: 5, reason: "no \u{fffd} TLS".into() };
        assert_eq!(to_monitor(&bytes), Ok(expected));
        assert!(to_driver(&bytes).unwrap_err().contains("REFUSED"));
        assert_eq!(to_monitor(&encoded(Kind::LeftOut, b"")), Ok(Event::LeftOut(3)));
    }
}
