//! The device message: what one WebSocket message carries, in both directions.
//!
//! ```text
//! u8  type        0 OPENED, 1 CLOSED, 2 RECEIVED, 3 WRITE, 4 CLOSE; 8 REFUSED, 9 LEFT_OUT
//! …   ip_address  text, NUL-terminated
//! u64 id_or_port  TCP/TLS: client id; UDP: remote port
//! u32 data_size   length of data
//! …   data        RECEIVED, WRITE and REFUSED only
//! ```
//!
//! All numbers are big endian. The codec is exact: what decodes is byte for byte what encoding
//! it again gives. It does not judge addresses: `ip_address` stays the bytes that were sent,
//! since a message about an address that is none is ignored and not an error.

use std::fmt;

/// The first byte of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// To the driver: a device connected.
    Opened = 0,
    /// To the driver: a device is gone.
    Closed = 1,
    /// To the driver: a device sent bytes.
    Received = 2,
    /// From the driver: send these bytes to the device.
    Write = 3,
    /// From the driver: end the device's connection.
    Close = 4,
    /// To a monitor: a device was turned away, for the reason that the data says.
    Refused = 8,
    /// To a monitor: so many messages were left out here.
    LeftOut = 9,
}

impl Kind {
    /// Whether messages of this kind have data.
    pub const fn carries_data(self) -> bool {
        match self {
            Kind::Received | Kind::Write | Kind::Refused => true,
            Kind::Opened | Kind::Closed | Kind::Close | Kind::LeftOut => false,
        }
    }

    /// The name that the documentation and the log use.
    pub const fn name(self) -> &'static str {
        match self {
            Kind::Opened => "OPENED",
            Kind::Closed => "CLOSED",
            Kind::Received => "RECEIVED",
            Kind::Write => "WRITE",
            Kind::Close => "CLOSE",
            Kind::Refused => "REFUSED",
            Kind::LeftOut => "LEFT_OUT",
        }
    }
}

impl TryFrom<u8> for Kind {
    type Error = DecodeError;

    fn try_from(byte: u8) -> Result<Self, DecodeError> {
        match byte {
            0 => Ok(Kind::Opened),
            1 => Ok(Kind::Closed),
            2 => Ok(Kind::Received),
            3 => Ok(Kind::Write),
            4 => Ok(Kind::Close),
            8 => Ok(Kind::Refused),
            9 => Ok(Kind::LeftOut),
            unknown => Err(DecodeError::UnknownType(unknown)),
        }
    }
}

/// A message, borrowed from the bytes it was decoded from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// What it says.
    pub kind: Kind,
    /// The device's address as text; never contains NUL. Not necessarily an address.
    pub ip_address: &'a [u8],
    /// The client id (TCP, TLS) or the remote port (UDP).
    pub id_or_port: u64,
    /// Empty unless [`Kind::carries_data`].
    pub data: &'a [u8],
}

/// Why bytes are no message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// It ends before its fixed part does.
    TooShort,
    /// Its first byte is none of the known types.
    UnknownType(u8),
    /// No NUL ends the address.
    Unterminated,
    /// `data_size` says one length, the message has another.
    SizeMismatch {
        /// What `data_size` says.
        said: u32,
        /// How many bytes follow it.
        had: usize,
    },
    /// A message of this kind has no data.
    UnexpectedData(Kind),
}

impl fmt::Display for DecodeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DecodeError::TooShort => write!(f, "message too short"),
            DecodeError::UnknownType(byte) => write!(f, "unknown message type {byte}"),
            DecodeError::Unterminated => write!(f, "no NUL ends the ip_address"),
            DecodeError::SizeMismatch { said, had } => {
                write!(f, "data_size is {said} but {had} bytes follow")
            }
            DecodeError::UnexpectedData(kind) => write!(f, "{} has no data", kind.name()),
        }
    }
}

impl std::error::Error for DecodeError {}

/// Reads one message of a driver, which must be all of `bytes`. Those that only monitors are sent
/// are unknown there.
///
/// # Errors
/// Says what is wrong with bytes that no driver may send.
pub fn decode_of_driver(bytes: &[u8]) -> Result<Message<'_>, DecodeError> {
    let message = decode(bytes)?;
    match message.kind {
        Kind::Refused | Kind::LeftOut => Err(DecodeError::UnknownType(message.kind as u8)),
        Kind::Opened | Kind::Closed | Kind::Received | Kind::Write | Kind::Close => Ok(message),
    }
}

/// Reads one message, which must be all of `bytes`.
///
/// # Errors
/// Says what is wrong with bytes that no [`encode`] can have made.
pub fn decode(bytes: &[u8]) -> Result<Message<'_>, DecodeError> {
    let (&first, rest) = bytes.split_first().ok_or(DecodeError::TooShort)?;
    let kind = Kind::try_from(first)?;
    let nul = rest.iter().position(|&b| b == 0).ok_or(DecodeError::Unterminated)?;
    let (ip_address, rest) = (&rest[..nul], &rest[nul + 1..]);
    let (id_or_port, rest) = rest.split_first_chunk().ok_or(DecodeError::TooShort)?;
    let (data_size, data) = rest.split_first_chunk().ok_or(DecodeError::TooShort)?;
    let data_size = u32::from_be_bytes(*data_size);
    if data_size as usize != data.len() {
        return Err(DecodeError::SizeMismatch { said: data_size, had: data.len() });
    }
    if !data.is_empty() && !kind.carries_data() {
        return Err(DecodeError::UnexpectedData(kind));
    }
    Ok(Message { kind, ip_address, id_or_port: u64::from_be_bytes(*id_or_port), data })
}

/// Appends the bytes of `message` to `out`.
///
/// The caller keeps NUL out of the address and the data under 4 GiB; addresses are made from
/// `IpAddr` and data is bounded far lower, so neither can happen here.
pub fn encode(message: &Message<'_>, out: &mut Vec<u8>) {
    out.push(message.kind as u8);
    out.extend_from_slice(message.ip_address);
    out.push(0);
    out.extend_from_slice(&message.id_or_port.to_be_bytes());
    out.extend_from_slice(&(message.data.len() as u32).to_be_bytes());
    out.extend_from_slice(message.data);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::MESSAGE_OVERHEAD_BYTES;

    const WRITE_HI: &[u8] = b"\x0310.0.0.9\0\0\0\0\0\0\0\0\x07\0\0\0\x02hi";

    #[test]
    fn a_write_decodes_to_its_parts() {
        let message = decode(WRITE_HI).unwrap();
        assert_eq!(message.kind, Kind::Write);
        assert_eq!(message.ip_address, b"10.0.0.9");
        assert_eq!(message.id_or_port, 7);
        assert_eq!(message.data, b"hi");
    }

    #[test]
    fn every_kind_survives_the_round_trip() {
        for byte in 0..=4 {
            let kind = Kind::try_from(byte).unwrap();
            let data: &[u8] = if kind.carries_data() { b"\0\xff data" } else { b"" };
            let message = Message { kind, ip_address: b"2001:db8::1", id_or_port: u64::MAX, data };
            let mut bytes = Vec::new();
            encode(&message, &mut bytes);
            assert_eq!(bytes.len(), MESSAGE_OVERHEAD_BYTES + 11 + data.len());
            assert_eq!(decode(&bytes), Ok(message));
        }
    }

    #[test]
    fn kinds_have_the_names_of_the_documentation() {
        let names = (0..=9).filter_map(|byte| Kind::try_from(byte).ok()).map(Kind::name);
        let expected = ["OPENED", "CLOSED", "RECEIVED", "WRITE", "CLOSE", "REFUSED", "LEFT_OUT"];
        assert!(names.eq(expected));
    }

    #[test]
    fn what_is_wrong_with_a_message_is_said_in_words() {
        for (error, words) in [
            (DecodeError::TooShort, "message too short"),
            (DecodeError::UnknownType(7), "unknown message type 7"),
            (DecodeError::Unterminated, "no NUL ends the ip_address"),
            (DecodeError::SizeMismatch { said: 2, had: 3 }, "data_size is 2 but 3 bytes follow"),
            (DecodeError::UnexpectedData(Kind::Close), "CLOSE has no data"),
        ] {
            assert_eq!(error.to_string(), words);
        }
    }

    #[test]
    fn every_cut_of_a_message_is_refused() {
        for cut in 0..WRITE_HI.len() {
            assert!(decode(&WRITE_HI[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn trailing_bytes_are_refused() {
        let bytes = [WRITE_HI, b"!"].concat();
        assert_eq!(decode(&bytes), Err(DecodeError::SizeMismatch { said: 2, had: 3 }));
    }

    #[test]
    fn an_unknown_type_is_refused_by_number() {
        assert_eq!(decode(b"\x05\0"), Err(DecodeError::UnknownType(5)));
    }

    #[test]
    fn an_address_without_nul_is_refused() {
        assert_eq!(decode(b"\x0310.0.0.9"), Err(DecodeError::Unterminated));
    }

    #[test]
    fn a_close_with_data_is_refused() {
        let bytes = [b"\x04::1\0", &[0; 8][..], &[0, 0, 0, 1], b"x"].concat();
        assert_eq!(decode(&bytes), Err(DecodeError::UnexpectedData(Kind::Close)));
    }
}
