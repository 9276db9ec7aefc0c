//! WebSocket frames (RFC 6455 section 5) as a server receives and sends them.
//!
//! [`FrameReader`] takes bytes in arbitrary slices and yields what a driver said: whole messages,
//! their fragments put together, and control frames between them. A frame that lies whole in the
//! input is unmasked in place and lent without a copy; only what is cut by the end of the input
//! is gathered. Headers are read and written by tungstenite, which also serves as the oracle
//! that this reader is fuzzed against.
//!
//! It has no extensions, no text messages (nobody may send us any) and no role but the server's.

mod error;
mod header;
mod mask;
mod outgoing;

use tungstenite::protocol::frame::FrameHeader;
use tungstenite::protocol::frame::coding::{CloseCode, Control, Data, OpCode};

use crate::limits::{
    CONTROL_PAYLOAD_MAX_BYTES, DRIVER_READ_BYTES, GATHERED_AHEAD_BYTES, GATHERED_KEPT_BYTES,
    MESSAGE_MAX_BYTES, REST_LEAST_BYTES,
};

use header::{HEADER_MAX_BYTES, Short, read_header};
use mask::{rotated, unmask};

pub use error::FrameError;
pub use outgoing::{close_frame, control_frame, header_len, put_header};

/// Bytes to be read, and how far they have been.
pub struct Input<'a> {
    bytes: &'a mut [u8],
    at: usize,
    /// Frames that may still begin.
    frames_left: u32,
}

impl<'a> Input<'a> {
    /// Nothing of `bytes` is read yet. Payloads in it get unmasked in place. No more than so many
    /// frames are begun: what lies behind them is left as the rest.
    pub fn new(bytes: &'a mut [u8], frames_max: u32) -> Self {
        Self { bytes, at: 0, frames_left: frames_max }
    }

    /// Frames that may still begin.
    pub fn frames_left(&self) -> u32 {
        self.frames_left
    }

    /// What has not been read.
    pub fn rest(&self) -> &[u8] {
        &self.bytes[self.at..]
    }

    fn take(&mut self, len: usize) -> &mut [u8] {
        let from = self.at;
        self.at += len;
        &mut self.bytes[from..self.at]
    }
}

/// What a driver said.
#[derive(Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// A whole binary message.
    Binary(&'a [u8]),
    /// A ping; wants a pong with the same payload.
    Ping(&'a [u8]),
    /// A pong; says that the driver lives.
    Pong,
    /// A Close frame with its code; nothing follows it.
    Close(Option<CloseCode>),
}

/// Reads one driver's frames.
#[derive(Default)]
pub struct FrameReader {
    state: State,
    message: MessageState,
    /// What has come of a message that does not lie whole in one input.
    gathered: Vec<u8>,
    control: Short<CONTROL_PAYLOAD_MAX_BYTES>,
}

/// Where in a frame the input stands.
enum State {
    /// In a header, of which this is what came.
    Header(Short<HEADER_MAX_BYTES>),
    /// In the payload of a data frame.
    Data { mask: [u8; 4], remaining: usize, is_final: bool },
    /// In the payload of a control frame.
    Control { kind: Control, mask: [u8; 4], remaining: usize },
    /// Behind a Close frame.
    Closed,
}

/// Where in a message the frames stand.
#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum MessageState {
    /// Between messages, or in the only frame of one.
    #[default]
    Between,
    /// A fragment came, and the last one has not.
    Fragmented,
    /// The gathered message was lent and can be forgotten.
    Lent,
}

/// What a step came to.
enum Progress {
    Again,
    Blocked,
    Said(Said),
}

/// Where what was said lies.
enum Said {
    InInput(usize),
    Gathered,
    Control(Control),
}

impl Default for State {
    fn default() -> Self {
        State::Header(Short::default())
    }
}

impl FrameReader {
    /// Reads on until something is said, or (`None`) the input or its number of frames is used up.
    ///
    /// # Errors
    /// Says why the driver must be closed; it must not be called again then.
    pub fn poll<'a>(
        &'a mut self,
        input: &'a mut Input<'_>,
    ) -> Result<Option<Incoming<'a>>, FrameError> {
        self.forget_lent();
        loop {
            match self.step(input)? {
                Progress::Again => {}
                Progress::Blocked => return Ok(None),
                Progress::Said(said) => return self.lend(said, input).map(Some),
            }
        }
    }

    /// Whether so much of a message is missing that its rest is better read by itself, straight to
    /// where the message is gathered.
    pub fn wants_rest(&self) -> bool {
        match self.state {
            State::Data { remaining, .. } => remaining >= REST_LEAST_BYTES,
            State::Header(_) | State::Control { .. } | State::Closed => false,
        }
    }

    /// Gathers what `read` puts into the slice that it is lent, at most the rest of the frame. What
    /// that completes is said by the next [`FrameReader::poll`]. Gives the number of bytes.
    ///
    /// # Errors
    /// What `read` said.
    pub fn gather_rest<E>(
        &mut self,
        read: impl FnOnce(&mut [u8]) -> Result<usize, E>,
    ) -> Result<usize, E> {
        let State::Data { mask, remaining, is_final } = self.state else { return Ok(0) };
        let held = self.gathered.len();
        self.gathered.resize(held + remaining.min(DRIVER_READ_BYTES), 0);
        let outcome = read(&mut self.gathered[held..]);
        let len = *outcome.as_ref().unwrap_or(&0);
        self.gathered.truncate(held + len);
        unmask(&mut self.gathered[held..], mask);
        let (mask, remaining) = (rotated(mask, len), remaining - len);
        self.state = State::Data { mask, remaining, is_final };
        outcome
    }

    /// Bytes that are held of a message that has not come whole.
    pub fn held_bytes(&self) -> usize {
        self.gathered.len()
    }

    /// Gives back the room of messages that are gone, as is due when a driver is idle.
    pub fn shrink(&mut self) {
        self.forget_lent();
        self.gathered.shrink_to_fit();
    }

    fn step(&mut self, input: &mut Input<'_>) -> Result<Progress, FrameError> {
        match self.state {
            State::Header(_) if input.frames_left == 0 => Ok(Progress::Blocked),
            State::Header(ref mut part) => match read_header(part, input)? {
                Some((header, len)) => {
                    input.frames_left -= 1;
                    self.begin_frame(&header, len)
                }
                None => Ok(Progress::Blocked),
            },
            State::Data { mask, remaining, is_final } => {
                Ok(self.read_data(input, mask, remaining, is_final))
            }
            State::Control { kind, mask, remaining } => {
                Ok(self.read_control(input, kind, mask, remaining))
            }
            State::Closed => Ok(Progress::Blocked),
        }
    }

    fn begin_frame(&mut self, header: &FrameHeader, len: u64) -> Result<Progress, FrameError> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(FrameError::Protocol("reserved bits are set and no extension was agreed"));
        }
        let mask =
            header.mask.ok_or(FrameError::Protocol("frames from a driver must be masked"))?;
        self.state = match header.opcode {
            OpCode::Control(kind) => begin_control(kind, mask, header.is_final, len)?,
            OpCode::Data(data) => self.begin_data(data, mask, header.is_final, len)?,
        };
        Ok(Progress::Again)
    }

    fn begin_data(
        &self,
        data: Data,
        mask: [u8; 4],
        is_final: bool,
        len: u64,
    ) -> Result<State, FrameError> {
        match (data, self.message) {
            (Data::Text, _) => return Err(FrameError::Text),
            (Data::Continue, MessageState::Fragmented) => {}
            (Data::Continue, MessageState::Between | MessageState::Lent) => {
                return Err(FrameError::Protocol("a continuation of nothing"));
            }
            (Data::Binary, MessageState::Fragmented) => {
                return Err(FrameError::Protocol("a new message inside of a fragmented one"));
            }
            (Data::Binary, MessageState::Between | MessageState::Lent) => {}
            (Data::Reserved(_), _) => return Err(FrameError::Protocol("an unknown frame type")),
        }
        match usize::try_from(len) {
            Ok(remaining) if remaining <= MESSAGE_MAX_BYTES - self.gathered.len() => {
                Ok(State::Data { mask, remaining, is_final })
            }
            Ok(_) | Err(_) => Err(FrameError::TooLong),
        }
    }

    fn read_data(
        &mut self,
        input: &mut Input<'_>,
        mask: [u8; 4],
        remaining: usize,
        is_final: bool,
    ) -> Progress {
        let at_hand = remaining.min(input.rest().len());
        if at_hand == 0 && remaining > 0 {
            return Progress::Blocked;
        }
        let payload = input.take(at_hand);
        unmask(payload, mask);
        let is_whole = at_hand == remaining && is_final;
        if is_whole && self.gathered.is_empty() && self.message == MessageState::Between {
            self.state = State::default();
            return Progress::Said(Said::InInput(at_hand));
        }
        if self.gathered.is_empty() {
            self.gathered.reserve(remaining.min(GATHERED_AHEAD_BYTES));
        }
        self.gathered.extend_from_slice(payload);
        self.finish_slice(rotated(mask, at_hand), remaining - at_hand, is_final)
    }

    /// Goes on after a slice of a data frame was gathered.
    fn finish_slice(&mut self, mask: [u8; 4], remaining: usize, is_final: bool) -> Progress {
        if remaining > 0 {
            self.state = State::Data { mask, remaining, is_final };
            return Progress::Again;
        }
        self.state = State::default();
        if is_final {
            self.message = MessageState::Lent;
            Progress::Said(Said::Gathered)
        } else {
            self.message = MessageState::Fragmented;
            Progress::Again
        }
    }

    fn read_control(
        &mut self,
        input: &mut Input<'_>,
        kind: Control,
        mask: [u8; 4],
        remaining: usize,
    ) -> Progress {
        let payload = input.take(remaining.min(input.rest().len()));
        unmask(payload, mask);
        self.control.extend(payload);
        let len = payload.len();
        if len < remaining {
            let mask = rotated(mask, len);
            self.state = State::Control { kind, mask, remaining: remaining - len };
            return Progress::Blocked;
        }
        self.state = match kind {
            Control::Close => State::Closed,
            Control::Ping | Control::Pong | Control::Reserved(_) => State::default(),
        };
        Progress::Said(Said::Control(kind))
    }

    fn lend<'a>(
        &'a mut self,
        said: Said,
        input: &'a mut Input<'_>,
    ) -> Result<Incoming<'a>, FrameError> {
        match said {
            Said::InInput(len) => Ok(Incoming::Binary(&input.bytes[input.at - len..input.at])),
            Said::Gathered => Ok(Incoming::Binary(&self.gathered)),
            Said::Control(kind) => {
                let payload = self.control.take();
                match kind {
                    Control::Ping => Ok(Incoming::Ping(payload)),
                    Control::Pong => Ok(Incoming::Pong),
                    Control::Close => closing(payload).map(Incoming::Close),
                    Control::Reserved(_) => Err(FrameError::Protocol("an unknown frame type")),
                }
            }
        }
    }

    /// Forgets the message that was lent last, once nobody looks at it any more.
    pub fn forget_lent(&mut self) {
        if self.message == MessageState::Lent {
            self.message = MessageState::Between;
            self.gathered.clear();
            if self.gathered.capacity() > GATHERED_KEPT_BYTES {
                self.gathered = Vec::new();
            }
        }
    }
}

fn begin_control(
    kind: Control,
    mask: [u8; 4],
    is_final: bool,
    len: u64,
) -> Result<State, FrameError> {
    if !is_final {
        return Err(FrameError::Protocol("a control frame must not be fragmented"));
    }
    match usize::try_from(len) {
        Ok(remaining) if remaining <= CONTROL_PAYLOAD_MAX_BYTES => {
            Ok(State::Control { kind, mask, remaining })
        }
        Ok(_) | Err(_) => Err(FrameError::Protocol("a control frame has at most 125 bytes")),
    }
}

/// The code that a Close frame gives, if it gives one (RFC 6455 sections 5.5.1 and 7.4).
fn closing(payload: &[u8]) -> Result<Option<CloseCode>, FrameError> {
    let Some((code, reason)) = payload.split_first_chunk() else {
        return match payload.is_empty() {
            true => Ok(None),
            false => Err(FrameError::Protocol("half a close code")),
        };
    };
    let code = CloseCode::from(u16::from_be_bytes(*code));
    if !code.is_allowed() {
        return Err(FrameError::Protocol("a close code that must not be sent"));
    }
    match std::str::from_utf8(reason) {
        Ok(_) => Ok(Some(code)),
        Err(_) => Err(FrameError::Protocol("the reason of a close is no UTF-8")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            len @ 0..126 => bytes.push(0x80 | len as u8),
            len @ 126..65_536 => {
                bytes.push(0x80 | 126);
                bytes.extend((len as u16).to_be_bytes());
            }
            len => {
                bytes.push(0x80 | 127);
                bytes.extend((len as u64).to_be_bytes());
            }
        }
        bytes.extend(MASK);
        bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(b, m)| b ^ m));
        bytes
    }

    /// The binary messages in `bytes`, and the error that ended them.
    fn said_in_slices(bytes: &[u8], slice: usize) -> (Vec<Vec<u8>>, Option<FrameError>) {
        let (mut reader, mut said) = (FrameReader::default(), Vec::new());
        for chunk in bytes.to_vec().chunks_mut(slice) {
            let mut input = Input::new(chunk, u32::MAX);
            loop {
                match reader.poll(&mut input) {
                    Ok(Some(Incoming::Binary(message))) => said.push(message.to_vec()),
                    Ok(Some(Incoming::Ping(_) | Incoming::Pong | Incoming::Close(_))) => {}
                    Ok(None) => break,
                    Err(error) => return (said, Some(error)),
                }
            }
        }
        (said, None)
    }

    fn error_of(bytes: &[u8]) -> FrameError {
        said_in_slices(bytes, 3).1.expect("must be refused")
    }

    #[test]
    fn a_message_that_lies_whole_in_the_input_is_not_copied() {
        let mut bytes = frame(0x82, b"hello");
        let range = bytes.as_ptr_range();
        let (mut reader, mut input) = (FrameReader::default(), Input::new(&mut bytes, u32::MAX));
        let Ok(Some(Incoming::Binary(message))) = reader.poll(&mut input) else { panic!() };
        assert_eq!(message, b"hello");
        assert!(range.contains(&message.as_ptr()));
    }

    #[test]
    fn messages_of_every_length_form_survive_every_slicing() {
        for len in [0, 1, 125, 126, 65_535, 65_536, 200_000] {
            let payload: Vec<u8> = (0..len).map(|i| (i * 31) as u8).collect();
            let bytes = [frame(0x82, &payload), frame(0x82, b"next")].concat();
            for slice in [1, 5, 4096, bytes.len()] {
                let (said, error) = said_in_slices(&bytes, slice);
                assert_eq!(error, None);
                assert!(said == [payload.clone(), b"next".to_vec()], "{len} in {slice}");
            }
        }
    }

    #[test]
    fn fragments_with_control_frames_between_and_an_empty_last_one_are_one_message() {
        let bytes = [
            frame(0x02, b"frag"),
            frame(0x89, b"ping"),
            frame(0x00, b"ment"),
            frame(0x8a, b""),
            frame(0x80, b""),
            frame(0x82, b"after"),
        ]
        .concat();
        for slice in 1..bytes.len() {
            let (said, error) = said_in_slices(&bytes, slice);
            assert_eq!((said, error), (vec![b"fragment".to_vec(), b"after".to_vec()], None));
        }
    }

    #[test]
    fn an_empty_first_fragment_still_opens_a_message() {
        let bytes = [frame(0x02, b""), frame(0x80, b"all")].concat();
        assert_eq!(said_in_slices(&bytes, 100), (vec![b"all".to_vec()], None));
    }

    #[test]
    fn a_ping_gives_its_payload() {
        let mut bytes = frame(0x89, b"are you there");
        let (mut reader, mut input) = (FrameReader::default(), Input::new(&mut bytes, u32::MAX));
        assert_eq!(reader.poll(&mut input), Ok(Some(Incoming::Ping(b"are you there"))));
    }

    #[test]
    fn nothing_is_read_behind_a_close() {
        let mut bytes = [frame(0x88, &1000u16.to_be_bytes()), frame(0x82, b"late")].concat();
        let (mut reader, mut input) = (FrameReader::default(), Input::new(&mut bytes, u32::MAX));
        assert_eq!(reader.poll(&mut input), Ok(Some(Incoming::Close(Some(CloseCode::Normal)))));
        assert_eq!(reader.poll(&mut input), Ok(None));
    }

    #[test]
    fn text_is_refused_as_unsupported() {
        assert_eq!(error_of(&frame(0x81, b"hi")).close_code(), CloseCode::Unsupported);
    }

    #[test]
    fn a_message_over_the_limit_is_refused_before_it_is_gathered() {
        let mut bytes = frame(0x82, &[0; 70_000]);
        bytes[2..10].copy_from_slice(&(MESSAGE_MAX_BYTES as u64 + 1).to_be_bytes());
        assert_eq!(error_of(&bytes[..14]), FrameError::TooLong);
        bytes[2..10].copy_from_slice(&u64::MAX.to_be_bytes());
        assert_eq!(error_of(&bytes[..14]), FrameError::TooLong);
    }

    #[test]
    fn fragments_over_the_limit_are_refused() {
        let half = vec![0; MESSAGE_MAX_BYTES / 2 + 1];
        let bytes = [frame(0x02, &half), frame(0x80, &half)].concat();
        assert_eq!(said_in_slices(&bytes, 65_536).1, Some(FrameError::TooLong));
    }

    #[test]
    fn no_more_frames_are_begun_than_may_be() {
        let last = frame(0x82, b"c");
        let mut bytes = [frame(0x82, b"a"), frame(0x8a, b""), last.clone()].concat();
        let (mut reader, mut input) = (FrameReader::default(), Input::new(&mut bytes, 2));
        assert_eq!(input.frames_left(), 2);
        assert_eq!(reader.poll(&mut input), Ok(Some(Incoming::Binary(b"a"))));
        assert_eq!(input.frames_left(), 1);
        assert_eq!(reader.poll(&mut input), Ok(Some(Incoming::Pong)));
        assert_eq!(reader.poll(&mut input), Ok(None));
        assert_eq!((input.frames_left(), input.rest()), (0, &last[..]));
    }

    #[test]
    fn what_a_header_announces_is_set_aside_up_to_a_bound() {
        let mut bytes = frame(0x82, &[7; 70_000]);
        bytes[2..10].copy_from_slice(&(MESSAGE_MAX_BYTES as u64).to_be_bytes());
        let mut reader = FrameReader::default();
        assert_eq!(reader.poll(&mut Input::new(&mut bytes[..24], 1)), Ok(None));
        assert_eq!(reader.held_bytes(), 10);
        assert_eq!(reader.gathered.capacity(), 128 << 10);
    }

    /// A reader that was given a message of so many bytes in halves and has room for just that.
    fn reader_of_halves(len: usize) -> FrameReader {
        let mut bytes = frame(0x82, &vec![7; len]);
        let (first, second) = bytes.split_at_mut(len / 2);
        let gathered = Vec::with_capacity(len);
        let mut reader = FrameReader { gathered, ..FrameReader::default() };
        assert_eq!(reader.poll(&mut Input::new(first, 1)), Ok(None));
        let mut second = Input::new(second, 1);
        let said = reader.poll(&mut second);
        assert!(matches!(said, Ok(Some(Incoming::Binary(message))) if message.len() == len));
        reader
    }

    #[test]
    fn the_room_of_a_message_is_kept_for_the_next_unless_it_was_a_large_one() {
        for (len, kept) in [(256 << 10, 256 << 10), ((256 << 10) + 1, 0)] {
            let mut reader = reader_of_halves(len);
            assert_eq!(reader.held_bytes(), len);
            reader.forget_lent();
            assert_eq!((reader.held_bytes(), reader.gathered.capacity()), (0, kept));
        }
    }

    #[test]
    fn the_room_of_a_message_is_given_back_where_a_driver_is_idle() {
        let mut reader = reader_of_halves(1_000);
        reader.shrink();
        assert_eq!((reader.held_bytes(), reader.gathered.capacity()), (0, 0));
    }

    #[test]
    fn an_error_says_what_is_wrong() {
        assert_eq!(FrameError::TooLong.to_string(), "a message may have at most 16 MiB");
        assert_eq!(FrameError::TooLong.close_code(), CloseCode::Size);
        assert_eq!(FrameError::Protocol("in words").to_string(), "in words");
    }

    #[test]
    fn breaches_of_the_protocol_are_refused() {
        let unmasked = [0x82, 0x01, b'x'].to_vec();
        for bytes in [
            unmasked,
            frame(0xc2, b"rsv1"),
            frame(0xa2, b"rsv2"),
            frame(0x92, b"rsv3"),
            frame(0x83, b"reserved data type"),
            frame(0x8b, b"reserved control type"),
            frame(0x80, b"continues nothing"),
            [frame(0x02, b"a"), frame(0x82, b"b")].concat(),
            frame(0x09, b"fragmented ping"),
            frame(0x89, &[0; 126]),
            frame(0x88, b"x"),
            frame(0x88, &1005u16.to_be_bytes()),
            frame(0x88, &[3, 232, 0xff]),
        ] {
            assert_eq!(error_of(&bytes).close_code(), CloseCode::Protocol, "{bytes:x?}");
        }
    }

    #[test]
    fn the_rest_of_a_cut_message_is_gathered_where_it_is_read() {
        let data: Vec<u8> = (0..100_000).map(|i| (i % 251) as u8).collect();
        let frame = frame(0x82, &data);
        for cut in [14, 15, 40_000, frame.len() - REST_LEAST_BYTES] {
            let mut reader = FrameReader::default();
            let (front, rest) = frame.split_at(cut);
            let mut front = front.to_vec();
            assert_eq!(reader.poll(&mut Input::new(&mut front, u32::MAX)), Ok(None));
            let mut rest = rest;
            while !rest.is_empty() {
                assert_eq!(reader.wants_rest(), rest.len() >= REST_LEAST_BYTES);
                let read = |into: &mut [u8]| {
                    let most = into.len().min(30_000);
                    std::io::Read::read(&mut rest, &mut into[..most])
                };
                reader.gather_rest(read).unwrap();
            }
            let mut nothing = Input::new(&mut [], u32::MAX);
            assert_eq!(
                reader.poll(&mut nothing),
                Ok(Some(Incoming::Binary(&data))),
                "cut at {cut}"
            );
        }
    }

    #[test]
    fn a_failed_read_of_the_rest_gathers_nothing() {
        let frame = frame(0x82, &[7; 50_000]);
        let mut reader = FrameReader::default();
        let mut front = frame[..20_000].to_vec();
        assert_eq!(reader.poll(&mut Input::new(&mut front, u32::MAX)), Ok(None));
        let held = reader.held_bytes();
        assert_eq!(reader.gather_rest(|_| Err("broken")), Err("broken"));
        assert_eq!((reader.held_bytes(), reader.wants_rest()), (held, true));
    }
}
