//! What is wrong with frames, in the codes and words that drivers are closed with.

use std::fmt;

use tungstenite::protocol::frame::coding::CloseCode;

use crate::limits::MESSAGE_MAX_BYTES;

/// Why a driver cannot be understood; nothing that follows can be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FrameError {
    /// It broke the protocol, in these words.
    Protocol(&'static str),
    /// It sent a text message.
    Text,
    /// A message exceeds [`MESSAGE_MAX_BYTES`].
    TooLong,
}

impl FrameError {
    /// The code to close with (RFC 6455 section 7.4.1).
    pub fn close_code(&self) -> CloseCode {
        match self {
            FrameError::Protocol(_) => CloseCode::Protocol,
            FrameError::Text => CloseCode::Unsupported,
            FrameError::TooLong => CloseCode::Size,
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FrameError::Protocol(what) => f.write_str(what),
            FrameError::Text => f.write_str("only binary messages are understood, not text"),
            FrameError::TooLong => {
                write!(f, "a message may have at most {} MiB", MESSAGE_MAX_BYTES >> 20)
            }
        }
    }
}
