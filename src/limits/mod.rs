//! Every bound of the program, with its unit in its name and its reason beside it.
//!
//! No queue, buffer, loop or timeout exists without one of these. What an operator may change,
//! and what it is where nobody does, is in [`Ceilings`].

mod ceilings;
mod client;
mod http;
mod listen;
mod logging;
mod seeing;
mod tokens;
mod work;

use std::time::Duration;

pub use ceilings::{Ceilings, QUEUED_LEAST_BYTES};
pub use client::*;
pub use http::*;
pub use listen::*;
pub use logging::*;
pub use seeing::*;
pub use tokens::*;
pub use work::*;

// ---- WebSocket messages ---------------------------------------------------------------------

/// Largest message that a driver may send, all its fragments together.
pub const MESSAGE_MAX_BYTES: usize = 16 << 20;

/// Largest payload of a WebSocket control frame (RFC 6455 section 5.5).
pub const CONTROL_PAYLOAD_MAX_BYTES: usize = 125;

/// Longest text of an IP address: IPv6 with an embedded IPv4 part.
pub const ADDRESS_TEXT_MAX_BYTES: usize = 45;

/// What a message has besides its address text and its data: type, NUL, id and length.
pub const MESSAGE_OVERHEAD_BYTES: usize = 1 + 1 + 8 + 4;

// ---- Reading and batching -------------------------------------------------------------------

/// The most that an ordinary `read` takes from a device. With its header the message stays below
/// 64 KiB, so its WebSocket header never needs the ten-byte form.
pub const DEVICE_READ_BYTES: usize = 65_535 - MESSAGE_OVERHEAD_BYTES - ADDRESS_TEXT_MAX_BYTES;

/// The most that one `read` takes from a device that said much before, for its only driver: what is
/// long anyway costs less in few pieces. As much as brings an empty outbox to its mark. Over TLS no
/// read is long, since one takes no more than [`TLS_READ_MAX_BYTES`].
pub const DEVICE_LONG_READ_BYTES: usize = DRIVER_BACKLOG_BYTES;

/// The most that one `read` takes from a driver, and so the size of the shared read buffer. Four
/// times the usual largest message, so that most lie whole in it and need not be put together;
/// it still fits in the second-level cache.
pub const DRIVER_READ_BYTES: usize = 256 << 10;

/// A gathered message's buffer is kept for the next one up to this size, as long as the driver is
/// busy.
pub const GATHERED_KEPT_BYTES: usize = 256 << 10;

/// At most so much is set aside for a message by what its header says, before its bytes come.
pub const GATHERED_AHEAD_BYTES: usize = 128 << 10;

/// A rest of a message that is shorter comes with whatever else is read.
pub const REST_LEAST_BYTES: usize = 8 << 10;

/// A WRITE of at least so much goes to an idle device without being copied first.
pub const DIRECT_WRITE_BYTES: usize = 32 << 10;

/// Largest UDP payload over IPv4: 65,535 less the IP and UDP headers.
pub const DATAGRAM_MAX_BYTES: usize = 65_507;

/// Room for a datagram; one cache line over a multiple of 4 KiB, so that the slots of a batch do
/// not all compete for the same lines of the first-level cache.
pub const DATAGRAM_SLOT_BYTES: usize = 65_536 + 64;

/// Datagrams per `recvmmsg`; a turn reads one batch of a port. More gains nothing measurable.
pub const DATAGRAM_BATCH: usize = 32;

/// What the kernel is asked to keep of datagrams that we have not read yet, per port, so that a
/// burst survives a turn that is busy elsewhere: 10,000 small ones or 3,600 of 1,400 bytes, as
/// counted. It grants no more than `net.core.rmem_max`.
pub const DATAGRAM_RECEIVE_BUFFER_BYTES: usize = 4 << 20;

/// Errors of receiving in a row after which a UDP port pauses. One is about a single peer and is
/// gone with the next call; an error that lasts must not keep the loop turning.
pub const RECEIVE_FAILURES_MAX: u32 = 16;

/// Events taken from one poll; the rest come with the next. As many as a crowd has, so that whoever
/// asks behind a crowd is heard in the same turn: taking note of an event takes a fraction of a
/// microsecond.
pub const EVENTS_PER_POLL: usize = 16_384;

/// Devices and drivers that talk within a millisecond, from which on it pays to let their events
/// gather: fewer may each be waiting for an answer.
pub const GATHER_CROWD: usize = 10;

/// Who talks is counted anew in each window of this length.
pub const GATHER_WINDOW: Duration = Duration::from_millis(1);

/// Turns in a millisecond from which on the loop wakes up too often for what it does.
pub const GATHER_TURNS: usize = 16;

/// A loop that works for so much of its time does not begin to pause: while it works, events gather
/// by themselves.
pub const GATHER_BUSY_PERCENT: u32 = 90;

/// A loop that works for so much of its time although it pauses stops pausing: what comes is then
/// so much that the pauses hold it up.
pub const GATHER_PAUSED_BUSY_PERCENT: u32 = 75;

/// Turns begin so far apart at least while events are let gather: far below what a device or a
/// driver notices, and long enough for two of 40,000 messages a second.
pub const GATHER_TURN_DISTANCE: Duration = Duration::from_micros(55);

/// How late the kernel may end a sleep of the loop. Its default of 50 µs would be longer than the
/// pause itself.
pub const TIMER_SLACK: Duration = Duration::from_micros(1);

/// Connections the kernel queues for us before they are accepted: a building's devices all
/// reconnect at once after a power cut. The kernel caps it at `net.core.somaxconn`.
pub const LISTEN_BACKLOG: i32 = 4096;

/// Calls that a signal interrupted are repeated this often.
pub const INTERRUPTIONS_MAX: usize = 8;

// ---- Backlogs -------------------------------------------------------------------------------

/// At this much queued toward a driver, the devices that feed it are no longer read.
pub const DRIVER_BACKLOG_BYTES: usize = 256 << 10;

/// A driver's backlog counts as drained at this mark; lower than the other, so that a driver at
/// the edge does not make its devices stop and go with every packet.
pub const DRIVER_DRAINED_BYTES: usize = 64 << 10;

/// At this much queued toward a device, the driver that writes to it is no longer read.
pub const DEVICE_BACKLOG_BYTES: usize = 4 << 20;

/// A device's backlog counts as drained at this mark; close to the other, so that a slow device
/// that takes its bytes steadily does not hold its driver back for long, unless the driver wrote
/// more than the mark in one message.
pub const DEVICE_DRAINED_BYTES: usize = DEVICE_BACKLOG_BYTES - (64 << 10);

/// Devices that are let on when their driver's backlog has drained: as many as fill it again
/// with short messages; with long ones the first few do.
pub const WAKES_PER_FLUSH: usize = 32;

/// Datagrams that the kernel had no room for, per port.
pub const DATAGRAM_BACKLOG_BYTES: usize = 1 << 20;

/// How many such datagrams: held, the smallest take more than their bytes.
pub const DATAGRAM_BACKLOG_MAX: usize = 16_384;

/// A size of the buffers that outgoing bytes collect in.
pub struct BufferSize {
    /// Its bytes.
    pub bytes: usize,
    /// How many empty ones are kept for the next turn.
    pub kept: usize,
}

/// The sizes, from a reply to a device up to a driver's whole backlog with the read that passes
/// its mark. As many are kept as a turn is likely to need of each, since a fresh one costs more
/// than the bytes it carries: in all at most 28 MiB.
pub const BUFFER_SIZES: [BufferSize; 4] = [
    BufferSize { bytes: 4 << 10, kept: 1_024 },
    BufferSize { bytes: 16 << 10, kept: 256 },
    BufferSize { bytes: 128 << 10, kept: 64 },
    BufferSize { bytes: DRIVER_BACKLOG_BYTES + 2 * 65_536, kept: 32 },
];

// ---- Time -----------------------------------------------------------------------------------

/// Each driver is pinged this often, unless the operator says otherwise.
pub const PING_INTERVAL: Duration = Duration::from_secs(30);

/// How often an operator can have drivers pinged, in seconds: below, pings are a load by
/// themselves; beyond, balancers and firewalls forget a silent connection in between.
pub const PING_SECONDS: std::ops::RangeInclusive<usize> = 5..=60;

/// A driver that sent nothing for so long, while it was read, is dead: two pings and a half.
pub const fn driver_silence_max(ping_interval: Duration) -> Duration {
    Duration::from_millis(ping_interval.as_millis() as u64 * 5 / 2)
}

/// The same, unless the operator says otherwise.
pub const DRIVER_SILENCE_MAX: Duration = driver_silence_max(PING_INTERVAL);

/// A driver whose backlog does not drain for so long is closed.
pub const DRIVER_STALL_MAX: Duration = Duration::from_secs(30);

/// A device may hold its driver back for so long without getting on; a driver's own write times
/// out at 10 s.
pub const DEVICE_STALL_MAX: Duration = Duration::from_secs(5);

/// A device gets on when it has taken so much of what is queued: a long message goes to a slow but
/// steady device, and one that takes a byte now and then does not hold its driver for ever.
pub const DEVICE_PROGRESS_BYTES: usize = 128 << 10;

/// A device that is being ended must take what was written before within this time.
pub const DEVICE_DRAIN_MAX: Duration = Duration::from_secs(30);

/// After our end of a connection is closed, the peer's end is awaited for so long: closing with
/// unread input would reset the connection and destroy what is still on its way to the peer.
pub const LINGER_MAX: Duration = Duration::from_secs(2);

/// A driver that was sent a Close frame must take it and answer within this time.
pub const DRIVER_CLOSE_MAX: Duration = Duration::from_secs(5);

/// A TLS handshake must be complete this long after its TCP connection.
pub const TLS_HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// A connection from a trusted proxy must begin with a whole PROXY header within this time.
pub const PROXY_HEADER_MAX: Duration = Duration::from_secs(5);

/// Devices must have taken what was written to them this long after the first signal.
pub const SHUTDOWN_DRAIN_MAX: Duration = Duration::from_millis(2_500);

/// Everything is closed this long after the first signal, drained or not; under the 5 s that
/// the contract promises.
pub const SHUTDOWN_MAX: Duration = Duration::from_millis(4_500);

/// A sleep that lasts so much longer than it was to means that the process was not allowed to run.
pub const SUSPENSION_MIN: Duration = Duration::from_secs(1);

/// File descriptors that devices leave to HTTP, so that health checks and drivers get through when
/// they run out.
pub const DESCRIPTORS_FOR_HTTP: usize = 32;

/// File descriptors that the process itself takes: the poll, signals, the log, watched files.
pub const DESCRIPTORS_OF_THE_PROCESS: usize = 16;

/// Accepting pauses for so long when descriptors have run out, and receiving when it goes on to
/// fail.
pub const EXHAUSTION_PAUSE: Duration = Duration::from_millis(200);

/// For so long after an accept that failed for want of descriptors we are not ready for drivers.
pub const EXHAUSTION_REMEMBERED: Duration = Duration::from_secs(1);

/// TCP keepalive: idle time before the first probe, and between probes.
pub const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

/// A peer that does not acknowledge what was sent for so long is gone: as long as keepalive takes
/// to find out where nothing is sent.
pub const USER_TIMEOUT: Duration = Duration::from_secs(40);

/// TCP keepalive: unanswered probes before the connection is dead.
pub const KEEPALIVE_PROBES: u32 = 3;

/// A service manager that watches us hears of us no more often than this, whatever it asks for:
/// it must not keep the loop turning.
pub const WATCHDOG_INTERVAL_MIN: Duration = Duration::from_millis(10);

// ---- Command line ---------------------------------------------------------------------------

/// `--curl`: all addresses of a name together must accept a connection within this time.
pub const CURL_CONNECT_MAX: Duration = Duration::from_secs(5);

/// `--curl`: handshake, request and answer must be complete this long after the connection.
pub const CURL_ANSWER_MAX: Duration = Duration::from_secs(10);

// ---- TLS and PROXY headers ------------------------------------------------------------------

/// The most ciphertext that one read takes from a TLS connection: as much as the reader has room
/// for, and no more than this. Four records: each system call then brings as much as it does
/// without TLS.
pub const TLS_READ_MAX_BYTES: usize = 64 << 10;

/// The least ciphertext that one read asks for, however little room the reader has: one record,
/// so that a reader with a small buffer does not make small system calls.
pub const TLS_READ_MIN_BYTES: usize = 16 << 10;

/// The most ciphertext kept for later: a record, or a handshake message in several, that is not
/// complete yet. A record is at most 16,645 bytes; an honest chain of certificates is under
/// 16 KiB, and a connection that is not past its handshake must not cost much.
pub const TLS_INCOMPLETE_MAX_BYTES: usize = 32 << 10;

/// The most plaintext that one write takes; what it becomes is all that waits when the socket is
/// full, since no write is taken before the last one has left.
pub const TLS_WRITE_MAX_BYTES: usize = 64 << 10;

/// A write of several pieces is collected into one record up to this size, the largest payload
/// of a TLS record (RFC 8446 section 5.1): an own record for each small piece would cost more
/// than copying it.
pub const TLS_RECORD_MAX_BYTES: usize = 16 << 10;

/// What a TLS record adds to its payload, rounded up from the 29 bytes of TLS 1.2 with AES-GCM.
pub const TLS_RECORD_OVERHEAD_BYTES: usize = 64;

/// Rounds that one call on a TLS connection may go through without moving a byte; two suffice, a
/// key update and the work itself. More would be a loop.
pub const TLS_IDLE_ROUNDS_MAX: usize = 8;

/// The most ciphertext without content that one call reads from a TLS connection: several times
/// an incomplete record and a change of keys. A peer that sends more at a stretch would otherwise keep
/// us reading, and everybody else waiting, for as long as it goes on.
pub const TLS_BARREN_MAX_BYTES: usize = 64 << 10;

/// Reads of the socket after our end of a TLS connection, whose bytes are thrown away, before
/// the peer's end is no longer awaited: 4 MiB at most, about what a socket holds.
pub const TLS_DISCARDS_MAX: usize = 64;

/// Certificates that a device may send beside its own. More than two are hardly seen.
pub const CLIENT_INTERMEDIATES_MAX: usize = 4;

/// CAs of the same name that a driver may give: a renewed one, and some to spare.
pub const CLIENT_CAS_OF_A_NAME_MAX: usize = 4;

/// Bytes that a TLS handshake of a device holds while it lasts, as measured: rustls' state, and a
/// message that is not complete.
pub const TLS_HANDSHAKE_HELD_BYTES: usize = 33 << 10;

/// Largest certificate or key file; a chain of a hundred certificates is a fifth of it.
pub const TLS_FILE_MAX_BYTES: usize = 1 << 20;

/// UDP peers behind load balancers that a port remembers the way back to. When they are more,
/// all are forgotten, and remembered again with their next datagram.
pub const PROXIED_PEERS_MAX: usize = 16_384;

/// Link-local UDP peers of which a port remembers the interface that they are behind. When they
/// are more, all are forgotten, and remembered again with their next datagram.
pub const LINK_LOCAL_PEERS_MAX: usize = 4_096;

/// UDP peers of which a port remembers the address of ours that they write to. When they are more,
/// all are forgotten, and remembered again with their next datagram.
pub const LOCAL_PEERS_MAX: usize = 16_384;

/// Longest PROXY header of version 1, its CRLF included (section 2.1 of its specification).
pub const PROXY_V1_MAX_BYTES: usize = 107;

/// Longest PROXY header of version 2. Addresses take 52 bytes; the rest leaves room for what
/// cloud balancers add (identifiers, and a client certificate's names), far above what is seen.
pub const PROXY_V2_MAX_BYTES: usize = 4 << 10;

// ---- Overload -------------------------------------------------------------------------------

/// HTTP connections at once that are no drivers. When they are more, one gives way to the
/// newcomer: of the address that has the most, the one that has been waiting longest. So a crowd
/// of half-open requests keeps nobody out who asks for something.
pub const HTTP_CONNECTIONS_MAX: usize = 1_024;

/// When all queues together are too long, the peer with the longest is paused and has so long to
/// drain.
pub const OVERLOAD_PAUSE: Duration = Duration::from_secs(1);

/// Over the ceiling by this part of it, holders are cut off without a pause before it: very many
/// queues that fill at the same time would not wait for it.
pub const OVERLOAD_GRACE_DIVISOR: usize = 4;

/// Holders that are cut off in one turn, so that finding them does not delay the others.
pub const OVERLOAD_CUTS_PER_TURN: usize = 16;

/// Connections that are being ended at once; beyond them they are cut off instead.
pub const CLOSINGS_MAX: usize = 8_192;

/// How many of these may be when another HTTP client or device that did not get in is ended:
/// beyond them such a one is cut off, so that unlisted peers leave room for what drivers wrote to
/// devices.
pub const CLOSINGS_UNLISTED_MAX: usize = 1_024;

// ---- Relations ------------------------------------------------------------------------------

const _: () = {
    assert!(DATAGRAM_SLOT_BYTES > DATAGRAM_MAX_BYTES, "a datagram must not be cut");
    assert!(DEVICE_READ_BYTES + MESSAGE_OVERHEAD_BYTES + ADDRESS_TEXT_MAX_BYTES <= 65_535);
    assert!(GATHER_PAUSED_BUSY_PERCENT < GATHER_BUSY_PERCENT && GATHER_BUSY_PERCENT < 100);
    assert!(TIMER_SLACK.as_nanos() * 10 < GATHER_TURN_DISTANCE.as_nanos());
    assert!(
        REFUSED_ADDRESSES_MAX as u64
            > REFUSALS_LOGGED_PER_SECOND as u64 * REFUSED_AGAIN_INTERVAL.as_secs()
    );
    assert!(DEVICE_READ_BYTES < DEVICE_LONG_READ_BYTES);
    assert!(DRIVER_DRAINED_BYTES < DRIVER_BACKLOG_BYTES);
    assert!(DEVICE_DRAINED_BYTES < DEVICE_BACKLOG_BYTES);
    assert!(BUFFER_SIZES[2].bytes > DEVICE_READ_BYTES + 256, "a read and its headers must fit");
    assert!(BUFFER_SIZES[3].bytes >= DRIVER_BACKLOG_BYTES + DEVICE_READ_BYTES + 256);
    assert!(BUFFER_SIZES[3].bytes >= DEVICE_LONG_READ_BYTES + 256);
    assert!(QUEUED_LEAST_BYTES > 2 * DRIVER_BACKLOG_BYTES);
    assert!(CLOSINGS_UNLISTED_MAX < CLOSINGS_MAX);
    assert!(Ceilings::DEFAULT.queued_bytes > 4 * MESSAGE_MAX_BYTES);
    assert!(DRIVER_SILENCE_MAX.as_secs() > 2 * PING_INTERVAL.as_secs());
    assert!(DEVICE_STALL_MAX.as_secs() < DRIVER_STALL_MAX.as_secs());
    assert!(DEVICE_PROGRESS_BYTES < DEVICE_BACKLOG_BYTES);
    assert!(
        USER_TIMEOUT.as_secs() == KEEPALIVE_INTERVAL.as_secs() * (1 + KEEPALIVE_PROBES as u64),
        "a peer that vanished is noticed as fast with and without data on its way"
    );
    assert!(SHUTDOWN_DRAIN_MAX.as_millis() < SHUTDOWN_MAX.as_millis());
    assert!(EXHAUSTION_REMEMBERED.as_millis() > 2 * EXHAUSTION_PAUSE.as_millis());
    assert!(SHUTDOWN_MAX.as_millis() + LOG_FLUSH_MAX.as_millis() < 5_000);
    assert!(TLS_INCOMPLETE_MAX_BYTES > TLS_RECORD_MAX_BYTES + 261, "a whole record must fit");
    assert!(TLS_READ_MIN_BYTES <= TLS_READ_MAX_BYTES);
    assert!(TLS_BARREN_MAX_BYTES >= 2 * TLS_INCOMPLETE_MAX_BYTES, "honest peers send records");
    assert!(PROXY_V2_MAX_BYTES > 16 + 36 && PROXY_V2_MAX_BYTES <= 16 + 65_535);
};
