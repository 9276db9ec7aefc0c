//! What fuzzing asserts of the message codec, and of the envelope that writes messages in place.

use std::net::IpAddr;

use tungstenite::protocol::frame::coding::{Data, OpCode};

use dispatch::testing::limits::{DEVICE_LONG_READ_BYTES, DEVICE_READ_BYTES};
use dispatch::testing::protocol::envelope::{Envelope, frame_max_bytes};
use dispatch::testing::protocol::message::{Kind, Message, decode, encode};
use dispatch::testing::protocol::websocket::put_header;

const KINDS: [Kind; 7] = [
    Kind::Opened,
    Kind::Closed,
    Kind::Received,
    Kind::Write,
    Kind::Close,
    Kind::Refused,
    Kind::LeftOut,
];

/// The codec: decoding takes any bytes, is the exact inverse of encoding, and takes nothing that
/// encoding could not have made. The envelope writes the same bytes as the codec.
///
/// # Panics
/// When one of these does not hold: a bug.
pub fn fuzz_message(bytes: &[u8]) {
    check_decoded(bytes);
    check_made(bytes);
}

fn check_decoded(bytes: &[u8]) {
    let Ok(message) = decode(bytes) else { return };
    assert_eq!(encoded(&message), bytes, "decode accepted what encode could not have made");
}

/// Makes a message out of any bytes: kind, address family, address, id, and the rest is data.
fn check_made(bytes: &[u8]) {
    let Some((&[kind, family], rest)) = bytes.split_first_chunk() else { return };
    let Some((&address, rest)) = rest.split_first_chunk::<16>() else { return };
    let Some((&id, data)) = rest.split_first_chunk() else { return };
    let kind = KINDS[usize::from(kind) % KINDS.len()];
    let data = if kind.carries_data() { data } else { b"" };
    let [a, b, c, d, ..] = address;
    let address = if family % 2 == 0 { IpAddr::from([a, b, c, d]) } else { IpAddr::from(address) };
    check_message(address, kind, u64::from_be_bytes(id), data);
}

fn check_message(address: IpAddr, kind: Kind, id_or_port: u64, data: &[u8]) {
    let text = address.to_string();
    let message = Message { kind, ip_address: text.as_bytes(), id_or_port, data };
    let payload = encoded(&message);
    assert_eq!(decode(&payload), Ok(message), "decoding the encoding differs");

    let mut frame = vec![0; 10];
    let header = put_header(OpCode::Data(Data::Binary), payload.len(), &mut frame);
    frame.splice(header.., payload);
    let envelope = Envelope::new(address, id_or_port);
    let mut copied = vec![0; envelope.frame_len(data.len())];
    assert_eq!(envelope.frame(kind, data, &mut copied), copied.len());
    assert_eq!(copied, frame, "the envelope writes something else than the codec");
    for most in [DEVICE_READ_BYTES, DEVICE_LONG_READ_BYTES] {
        if kind == Kind::Received && !data.is_empty() && data.len() <= most {
            assert_eq!(framed_in_place(&envelope, most, data), frame, "and so it does in place");
        }
    }
}

fn encoded(message: &Message<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    encode(message, &mut bytes);
    bytes
}

fn framed_in_place(envelope: &Envelope, most: usize, data: &[u8]) -> Vec<u8> {
    let mut room = vec![0; frame_max_bytes(most)];
    let read = |into: &mut [u8]| {
        into[..data.len()].copy_from_slice(data);
        Ok::<_, std::convert::Infallible>(data.len())
    };
    let Ok(len) = envelope.frame_around(&mut room, most, read);
    room.truncate(len);
    room
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_bytes_satisfy_the_fuzzed_properties() {
        for first in 0..=255u8 {
            for len in 0..40 {
                let mut bytes = vec![first.wrapping_mul(len as u8); len];
                bytes.insert(0, first % 11);
                fuzz_message(&bytes);
            }
        }
    }

    #[test]
    fn data_around_every_length_form_satisfies_the_fuzzed_properties() {
        let around_two_and_four = [1, 90, 91, 92, 93, 103, 104, 105, 109, 110, 111];
        let around_four_and_ten = [DEVICE_READ_BYTES, 65_477, 65_513, 65_514, 65_515, 70_000];
        let longest = [DEVICE_LONG_READ_BYTES, DEVICE_LONG_READ_BYTES + 1];
        for len in around_two_and_four.into_iter().chain(around_four_and_ten).chain(longest) {
            fuzz_message(&[&[2, 0][..], &[9; 24], &vec![7; len]].concat());
        }
    }
}
