//! The names of everything that the reactor keeps, and how they travel through the poll.

use crate::collections::arena::Key;
use crate::net::Token;

/// Tags of the arenas.
pub mod tag {
    /// An HTTP connection.
    #[derive(Debug)]
    pub enum HttpClient {}
    /// A driver.
    #[derive(Debug)]
    pub enum Driver {}
    /// An open device port.
    #[derive(Debug)]
    pub enum Port {}
    /// A device that drivers know of.
    #[derive(Debug)]
    pub enum Device {}
    /// A device connection that has a handshake before it.
    #[derive(Debug)]
    pub enum PendingDevice {}
    /// A connection that is being ended.
    #[derive(Debug)]
    pub enum Closing {}
    /// A listener of our own for HTTP.
    #[derive(Debug)]
    pub enum HttpListener {}
    /// An operator who watches a port.
    #[derive(Debug)]
    pub enum Monitor {}
}

/// Names an HTTP connection.
pub type HttpClientKey = Key<tag::HttpClient>;
/// Names a driver.
pub type DriverKey = Key<tag::Driver>;
/// Names an open device port.
pub type PortKey = Key<tag::Port>;
/// Names a device that drivers know of.
pub type DeviceKey = Key<tag::Device>;
/// Names a device connection that has a handshake before it.
pub type PendingDeviceKey = Key<tag::PendingDevice>;
/// Names a connection that is being ended.
pub type ClosingKey = Key<tag::Closing>;
/// Names a listener of our own for HTTP.
pub type HttpListenerKey = Key<tag::HttpListener>;
/// Names an operator who watches a port.
pub type MonitorKey = Key<tag::Monitor>;

/// What an event or a timer is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Source {
    /// One of our own listeners.
    HttpListener(HttpListenerKey),
    /// An HTTP connection.
    HttpClient(HttpClientKey),
    /// A driver.
    Driver(DriverKey),
    /// A device port.
    Port(PortKey),
    /// A device in its handshake.
    PendingDevice(PendingDeviceKey),
    /// A device.
    Device(DeviceKey),
    /// A connection that is being ended.
    Closing(ClosingKey),
    /// An operator who watches a port.
    Monitor(MonitorKey),
}

/// The number of the kind stands above the 56 bits of the key.
const KIND_SHIFT: u32 = 56;

impl From<Source> for Token {
    fn from(source: Source) -> Token {
        let (kind, bits) = match source {
            Source::HttpListener(key) => (0, key.to_bits()),
            Source::HttpClient(key) => (1, key.to_bits()),
            Source::Driver(key) => (2, key.to_bits()),
            Source::Port(key) => (3, key.to_bits()),
            Source::PendingDevice(key) => (4, key.to_bits()),
            Source::Device(key) => (5, key.to_bits()),
            Source::Closing(key) => (6, key.to_bits()),
            Source::Monitor(key) => (7, key.to_bits()),
        };
        Token((kind << KIND_SHIFT | bits) as usize)
    }
}

impl Source {
    /// The source that a token was made of; `None` for tokens that we did not make.
    pub fn from_token(token: Token) -> Option<Self> {
        let number = token.0 as u64;
        let bits = number & ((1 << KIND_SHIFT) - 1);
        match number >> KIND_SHIFT {
            0 => Some(Source::HttpListener(Key::from_bits(bits))),
            1 => Some(Source::HttpClient(Key::from_bits(bits))),
            2 => Some(Source::Driver(Key::from_bits(bits))),
            3 => Some(Source::Port(Key::from_bits(bits))),
            4 => Some(Source::PendingDevice(Key::from_bits(bits))),
            5 => Some(Source::Device(Key::from_bits(bits))),
            6 => Some(Source::Closing(Key::from_bits(bits))),
            7 => Some(Source::Monitor(Key::from_bits(bits))),
            _ => None,
        }
    }
}

const _: () = assert!(usize::BITS == 64, "a token holds a kind and a key in 64 bits");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_survives_the_way_through_the_poll() {
        let bits = 0x00ab_cdef_1234_5678;
        for source in [
            Source::HttpListener(Key::from_bits(bits)),
            Source::HttpClient(Key::from_bits(bits)),
            Source::Driver(Key::from_bits(bits)),
            Source::Port(Key::from_bits(bits)),
            Source::PendingDevice(Key::from_bits(bits)),
            Source::Device(Key::from_bits(bits)),
            Source::Closing(Key::from_bits(bits)),
            Source::Monitor(Key::from_bits(bits)),
        ] {
            assert_eq!(Source::from_token(source.into()), Some(source));
        }
        assert_eq!(Source::from_token(Token(usize::MAX)), None);
    }
}
