//! What a monitor is told: the device messages of a port, both ways, and two kinds more.
//!
//! ```text
//! 8 REFUSED    ip_address and remote port of a device that did not get in; data: why, as text
//! 9 LEFT_OUT   no address; how many messages were left out here, in place of id_or_port
//! ```
//!
//! They are laid out as a [`message`](super::message), and are never sent to drivers.

use super::message::{self, DecodeError, Layout, Message};

/// The first byte of REFUSED.
const REFUSED: u8 = 8;

/// The first byte of LEFT_OUT.
const LEFT_OUT: u8 = 9;

/// What passes on a port, or does not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Monitored<'a> {
    /// A message from or to a device.
    Message(Message<'a>),
    /// A device did not get in.
    Refused {
        /// Its address as text.
        ip_address: &'a [u8],
        /// Its port.
        remote_port: u64,
        /// Why, in words.
        reason: &'a [u8],
    },
    /// So many messages found no room.
    LeftOut(u64),
}

/// Reads one message, which must be all of `bytes`.
///
/// # Errors
/// Says what is wrong with bytes that no [`encode`] can have made.
pub fn decode(bytes: &[u8]) -> Result<Monitored<'_>, DecodeError> {
    let kind = *bytes.first().ok_or(DecodeError::TooShort)?;
    if !matches!(kind, REFUSED | LEFT_OUT) {
        return message::decode(bytes).map(Monitored::Message);
    }
    let Layout { ip_address, id_or_port, data, .. } = Layout::read(bytes)?;
    Ok(match kind {
        REFUSED => Monitored::Refused { ip_address, remote_port: id_or_port, reason: data },
        _left_out => Monitored::LeftOut(id_or_port),
    })
}

/// Appends the bytes of what a monitor is told.
#[cfg(test)]
pub fn encode(monitored: &Monitored<'_>, out: &mut Vec<u8>) {
    let layout = match *monitored {
        Monitored::Message(ref message) => return message::encode(message, out),
        Monitored::Refused { ip_address, remote_port, reason } => {
            Layout { kind: REFUSED, ip_address, id_or_port: remote_port, data: reason }
        }
        Monitored::LeftOut(count) => {
            Layout { kind: LEFT_OUT, ip_address: b"", id_or_port: count, data: b"" }
        }
    };
    layout.write(out);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::Kind;

    #[test]
    fn what_a_monitor_is_told_survives_the_round_trip() {
        for monitored in [
            Monitored::Message(Message {
                kind: Kind::Write,
                ip_address: b"10.0.0.9",
                id_or_port: 7,
                data: b"hi",
            }),
            Monitored::Refused { ip_address: b"::1", remote_port: 50_000, reason: b"no PROXY" },
            Monitored::LeftOut(u64::MAX),
        ] {
            let mut bytes = Vec::new();
            encode(&monitored, &mut bytes);
            assert_eq!(decode(&bytes), Ok(monitored));
            for cut in 0..bytes.len() {
                assert!(decode(&bytes[..cut]).is_err(), "cut at {cut}");
            }
        }
    }

    #[test]
    fn other_kinds_are_refused_by_number() {
        assert_eq!(decode(b"\x07\0"), Err(DecodeError::UnknownType(7)));
        assert_eq!(message::decode(b"\x08\0"), Err(DecodeError::UnknownType(8)));
    }
}
