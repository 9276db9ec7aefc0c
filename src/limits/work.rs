//! What one turn of the loop may do, so that none is longer than 20 ms on one core, whatever
//! peers do and however many they are.
//!
//! An operation is about what a short system call costs: a microsecond on a fast machine, two on
//! a slow one. Each part of a turn has its own share, so that no part takes another's.

/// Operations for HTTP clients in one turn: requests, registrations, TLS handshakes.
pub const HTTP_OPERATIONS: u32 = 1_024;

/// Operations for what drivers send in one turn.
pub const DRIVER_OPERATIONS: u32 = 1_024;

/// Operations for looking at drivers whose token may have lost its rights, in one turn; monitors
/// have as many.
pub const REVIEW_OPERATIONS: u32 = 512;

/// Operations for device ports in one turn: connections accepted, datagrams received.
pub const PORT_OPERATIONS: u32 = 1_024;

/// Operations for PROXY headers and TLS handshakes of devices in one turn.
pub const PENDING_OPERATIONS: u32 = 1_024;

/// Operations for what devices send in one turn; those that waited for a driver have as many.
pub const DEVICE_OPERATIONS: u32 = 1_024;

/// Operations for connections that are being ended in one turn.
pub const CLOSING_OPERATIONS: u32 = 512;

/// Operations for telling drivers that came late of the devices that are there, in one turn.
pub const INTRODUCTION_OPERATIONS: u32 = 512;

/// Operations for ending devices that no driver covers any longer, in one turn.
pub const SWEEP_OPERATIONS: u32 = 1_024;

/// Operations for what monitors send in one turn.
pub const MONITOR_OPERATIONS: u32 = 256;

/// Operations for writing to devices, to drivers and to monitors, in each round of flushing.
pub const FLUSH_OPERATIONS: u32 = 512;

/// Rounds of flushing in a turn: what ends while it is flushed has others told, who are flushed
/// too. What is left then comes with the next turn.
pub const FLUSH_ROUNDS: u32 = 3;

/// Deadlines dealt with in one turn.
pub const EXPIRIES_PER_TURN: usize = 512;

/// Drivers that are sent their Close in one turn when dispatch stops.
pub const GOODBYES_PER_TURN: usize = 256;

/// WebSocket frames of one driver that are dealt with in one step: about all that one read brings
/// of short WRITEs, so that what goes to one device leaves with one `write`.
pub const FRAMES_PER_STEP: u32 = 4_096;

/// Datagrams that waited for room and are sent in one step of a port.
pub const DATAGRAM_SENDS_PER_STEP: u32 = 256;

/// Reads of a connection that is being ended, whose bytes are thrown away, in one step.
pub const DISCARDS_PER_STEP: u32 = 4;

/// Devices that one step of an introduction, or of a search for uncovered devices, looks at.
pub const DEVICES_PER_STEP: usize = 256;

/// Bytes that one read of a device may become in the outboxes of all drivers that hear it: with a
/// wide audience less is read at a time.
pub const FAN_OUT_BYTES_PER_READ: usize = 2 << 20;

/// The least that one read of a device asks for, however many drivers hear it.
pub const FAN_OUT_READ_LEAST_BYTES: usize = 512;

/// What accepting a connection costs: the call, its options, its place in the poll.
pub const ACCEPT_OPERATIONS: u32 = 8;

/// What ending a device costs: its log line, the end of its socket, its place in the poll.
pub const END_OPERATIONS: u32 = 8;

/// What a step of a TLS handshake costs with a key of the usual kinds.
pub const HANDSHAKE_OPERATIONS: u32 = 128;

/// The same with an RSA key of 2048 bits. It grows with the third power of the length.
pub const RSA_2048_HANDSHAKE_OPERATIONS: u32 = 640;

/// What is added where devices are asked for certificates.
pub const CLIENT_CHAIN_OPERATIONS: u32 = 1_024;

/// What a registration costs that brings a key or certificates: they are checked at once.
pub const KEY_OPERATIONS: u32 = 1_024;

/// What reading a request and answering it costs beside its bytes.
pub const REQUEST_OPERATIONS: u32 = 8;

/// What an answer costs to make, as a multiple of what its bytes cost to copy.
pub const ANSWER_BYTES_FACTOR: usize = 32;

/// Messages that are put into outboxes for the price of one operation.
pub const COPIES_PER_OPERATION: u32 = 8;

/// Bytes that are copied for the price of one operation.
pub const BYTES_PER_OPERATION: usize = 8 << 10;

/// Tokens that are compared for the price of one operation.
pub const TOKENS_PER_OPERATION: usize = 64;

/// Entries of an accept list that are looked at for the price of one operation.
pub const ENTRIES_PER_OPERATION: usize = 16;

const _: () = {
    let parts = HTTP_OPERATIONS
        + DRIVER_OPERATIONS
        + 2 * REVIEW_OPERATIONS
        + PORT_OPERATIONS
        + PENDING_OPERATIONS
        + 2 * DEVICE_OPERATIONS
        + CLOSING_OPERATIONS
        + INTRODUCTION_OPERATIONS
        + SWEEP_OPERATIONS
        + MONITOR_OPERATIONS
        + 3 * FLUSH_ROUNDS * FLUSH_OPERATIONS;
    assert!(parts <= 16_384, "a turn must end within 20 ms");
    assert!(FRAMES_PER_STEP / COPIES_PER_OPERATION <= DRIVER_OPERATIONS);
    assert!(DATAGRAM_SENDS_PER_STEP <= PORT_OPERATIONS);
    assert!(FAN_OUT_READ_LEAST_BYTES < super::DEVICE_READ_BYTES);
};
