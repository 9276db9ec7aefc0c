//! Steps rustls' unbuffered interface: ciphertext in, plaintext and rustls' own records out.

use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, InsufficientSizeError, UnbufferedStatus,
    WriteTraffic,
};

use super::buffers::{PlaintextSink, Queue};
use super::peer::words;
use crate::limits::TLS_IDLE_ROUNDS_MAX;

/// Encrypts what is to be sent.
pub(super) type Traffic<'a> = WriteTraffic<'a, ServerConnectionData>;

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
    taken: &mut PlaintextSink<'_>,
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
                return Err(words(&error));
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

/// Why nothing can be sent.
pub(super) enum Unready {
    /// Before the end of the handshake, or after that of the connection.
    NotConnected,
    /// Nothing that follows can be understood.
    Failed(rustls::Error),
    /// rustls always has something else to do first.
    Endless,
}

/// Has rustls do what it must before anything is sent, and then `send`.
pub(super) fn when_ready<T>(
    session: &mut UnbufferedServerConnection,
    incoming: &mut [u8],
    outgoing: &mut Queue,
    send: impl FnOnce(&mut Traffic<'_>) -> T,
) -> Result<T, Unready> {
    for _ in 0..TLS_IDLE_ROUNDS_MAX {
        match session.process_tls_records(incoming).state {
            Ok(ConnectionState::WriteTraffic(mut traffic)) => return Ok(send(&mut traffic)),
            Ok(ConnectionState::EncodeTlsData(data)) => encode(data, outgoing),
            Ok(ConnectionState::TransmitTlsData(transmitted)) => transmitted.done(),
            Ok(ConnectionState::PeerClosed) => {}
            Ok(_) => return Err(Unready::NotConnected),
            Err(error) => return Err(Unready::Failed(error)),
        }
    }
    Err(Unready::Endless)
}

/// Queues a record that rustls made by itself.
fn encode(mut data: EncodeTlsData<'_, ServerConnectionData>, outgoing: &mut Queue) {
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
