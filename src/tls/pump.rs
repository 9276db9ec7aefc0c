//! Steps rustls' unbuffered interface: ciphertext in, plaintext and rustls' own records out.

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, InsufficientSizeError, UnbufferedStatus,
};

use super::buffers::{Queue, Taken};
use super::peer::words;
use crate::limits::TLS_IDLE_ROUNDS_MAX;

/// What became of some ciphertext.
pub(super) struct Pumped {
    /// Bytes of it that were dealt with.
    pub consumed: usize,
    /// Whether `close_notify` was in it.
    pub closed: bool,
}

/// Has rustls deal with `incoming` as far as it is complete.
pub(super) fn pump(
    session: &mut UnbufferedServerConnection,
    incoming: &mut [u8],
    taken: &mut Taken<'_>,
    outgoing: &mut Queue,
) -> Result<Pumped, String> {
    let mut pumped = Pumped { consumed: 0, closed: false };
    loop {
        let UnbufferedStatus { mut discard, state } =
            session.process_tls_records(&mut incoming[pumped.consumed..]);
        match state {
            Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                while let Some(Ok(record)) = traffic.next_record() {
                    discard += record.discard;
                    taken.push(record.payload);
                }
            }
            Ok(ConnectionState::EncodeTlsData(data)) => encode(data, outgoing),
            Ok(ConnectionState::TransmitTlsData(transmitted)) => transmitted.done(),
            Ok(ConnectionState::PeerClosed) => pumped.closed = true,
            Ok(_) => {
                pumped.consumed += discard;
                return Ok(pumped);
            }
            Err(error) => {
                let failed_at = &mut incoming[pumped.consumed + discard..];
                queue_alert(session, failed_at, outgoing);
                return Err(words(&error, failed_at));
            }
        }
        pumped.consumed += discard;
    }
}

/// After a failure rustls has an alert for the peer. Once that is taken it must not be asked
/// again: it would judge the same bytes once more and, in a debug build, panic.
fn queue_alert(
    session: &mut UnbufferedServerConnection,
    incoming: &mut [u8],
    outgoing: &mut Queue,
) {
    for _ in 0..TLS_IDLE_ROUNDS_MAX {
        if !session.wants_write() {
            return;
        }
        if let Ok(ConnectionState::EncodeTlsData(data)) =
            session.process_tls_records(incoming).state
        {
            encode(data, outgoing);
        }
    }
}

/// Queues a record that rustls made by itself.
pub(super) fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, outgoing: &mut Queue) {
    let Err(EncodeError::InsufficientSize(InsufficientSizeError { required_size })) =
        data.encode(&mut [])
    else {
        return;
    };
    let mut record = vec![0; required_size];
    if let Ok(len) = data.encode(&mut record) {
        outgoing.push(&record[..len]);
    }
}
