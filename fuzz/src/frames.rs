//! What fuzzing asserts of the WebSocket frames: tungstenite is the oracle.

use std::io::{self, Cursor, Read, Write};

use tungstenite::Message;
use tungstenite::protocol::frame::coding::CloseCode;
use tungstenite::protocol::{Role, WebSocketConfig, WebSocketContext};

use dispatch::testing::limits::MESSAGE_MAX_BYTES;
use dispatch::testing::protocol::websocket::{FrameError, FrameReader, Incoming, Input};

/// The reader: it says the same however the bytes are sliced, and the same as tungstenite, as
/// far as both go. Both go equally far, but for text, which the reader refuses at its first
/// byte, and for what it refuses before the frame is whole.
///
/// # Panics
/// When it does not: a bug.
pub fn fuzz_frames(bytes: &[u8]) {
    let whole = said_in_slices(bytes, bytes.len().max(1));
    for slice in [1, 2, 7, 64] {
        assert_eq!(said_in_slices(bytes, slice), whole, "in slices of {slice}");
    }
    compare(&whole, &said_to_tungstenite(bytes));
}

/// What a driver said, kept.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Said {
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong,
    Close(Option<CloseCode>),
}

impl From<Incoming<'_>> for Said {
    fn from(incoming: Incoming<'_>) -> Self {
        match incoming {
            Incoming::Binary(message) => Said::Binary(message.to_vec()),
            Incoming::Ping(payload) => Said::Ping(payload.to_vec()),
            Incoming::Pong => Said::Pong,
            Incoming::Close(code) => Said::Close(code),
        }
    }
}

/// All that was said, and the error that ended it.
type Heard = (Vec<Said>, Option<FrameError>);

fn said_in_slices(bytes: &[u8], slice: usize) -> Heard {
    let (mut reader, mut said) = (FrameReader::default(), Vec::new());
    for chunk in bytes.to_vec().chunks_mut(slice) {
        let mut input = Input::new(chunk, u32::MAX);
        loop {
            match reader.poll(&mut input) {
                Ok(Some(incoming)) => said.push(incoming.into()),
                Ok(None) => break,
                Err(error) => return (said, Some(error)),
            }
        }
        assert!(reader.held_bytes() <= bytes.len().min(MESSAGE_MAX_BYTES), "holds too much");
    }
    (said, None)
}

/// How tungstenite's reading ended.
#[derive(Debug, PartialEq, Eq)]
enum End {
    InputUsedUp,
    Closed,
    Text,
    Refused,
}

fn said_to_tungstenite(bytes: &[u8]) -> (Vec<Said>, End) {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_MAX_BYTES))
        .max_frame_size(Some(MESSAGE_MAX_BYTES))
        .read_buffer_size(4096);
    let mut context = WebSocketContext::new(Role::Server, Some(config));
    let mut stream = Peer(Cursor::new(bytes));
    let mut said = Vec::new();
    loop {
        match context.read(&mut stream) {
            Ok(Message::Binary(message)) => said.push(Said::Binary(message.to_vec())),
            Ok(Message::Ping(payload)) => said.push(Said::Ping(payload.to_vec())),
            Ok(Message::Pong(_)) => said.push(Said::Pong),
            Ok(Message::Close(close)) => {
                said.push(Said::Close(close.map(|frame| frame.code)));
                return (said, End::Closed);
            }
            Ok(Message::Text(_)) => return (said, End::Text),
            Ok(Message::Frame(frame)) => unreachable!("reading never gives the raw {frame}"),
            Err(error) => return (said, ended_by(&error)),
        }
    }
}

fn ended_by(error: &tungstenite::Error) -> End {
    use tungstenite::error::{Error, ProtocolError};
    match error {
        Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => End::InputUsedUp,
        _ => End::Refused,
    }
}

fn compare((ours, error): &Heard, (theirs, end): &(Vec<Said>, End)) {
    match error {
        None => {
            assert_eq!(ours, theirs, "tungstenite understood something else");
            assert!(matches!(end, End::InputUsedUp | End::Closed), "tungstenite ended: {end:?}");
        }
        Some(FrameError::Text) => {
            assert!(theirs.starts_with(ours), "before a text: {ours:?}, tungstenite: {theirs:?}");
        }
        // Tungstenite answers a forbidden close code with 1002, and gives that as the code.
        Some(_) if *end == End::Closed => {
            let closed = [&ours[..], &[Said::Close(Some(CloseCode::Protocol))]].concat();
            assert_eq!(&closed, theirs, "refused: {error:?}");
        }
        // The reader may refuse at a header what tungstenite awaits the payload of.
        Some(_) => {
            assert_eq!(ours, theirs, "refused: {error:?}");
            assert_ne!(*end, End::Text, "refused: {error:?}");
        }
    }
}

/// Scripted input; output is thrown away.
struct Peer<'a>(Cursor<&'a [u8]>);

impl Read for Peer<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.0.read(into)
    }
}

impl Write for Peer<'_> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [0x12, 0x34, 0x56, 0x78];
        let masked = payload.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask);
        [first, 0x80 | payload.len() as u8].into_iter().chain(mask).chain(masked).collect()
    }

    #[test]
    fn flipped_bits_satisfy_the_fuzzed_properties() {
        let seeds = [
            frame(0x82, b"x"),
            frame(0x02, b"yy"),
            frame(0x80, b""),
            frame(0x89, b"p"),
            frame(0x88, &1000u16.to_be_bytes()),
        ];
        for a in &seeds {
            for b in &seeds {
                for flipped in 0..a.len() * 8 {
                    let mut bytes = [a.clone(), b.clone(), a.clone()].concat();
                    bytes[flipped / 8] ^= 1 << (flipped % 8);
                    fuzz_frames(&bytes);
                }
            }
        }
    }

    #[test]
    #[should_panic = "tungstenite understood something else"]
    fn a_message_that_one_of_the_two_did_not_hear_is_a_finding() {
        compare(&(vec![Said::Pong], None), &(Vec::new(), End::InputUsedUp));
    }
}
