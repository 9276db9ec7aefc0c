//! A stream and a network for unit tests, whose other end is the test: what reads give and how
//! much writes take is said beforehand, and what happened can be looked up afterwards.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};

use crate::net::connection::Connection;
use crate::net::datagrams::{Arrival, DatagramBatch};
use crate::net::readiness::Readiness;
use crate::net::transport::Transport;
use crate::net::{Net, Stream, Token};

/// What one read gives. When all steps are used up, reads say `WouldBlock`.
#[derive(Debug, Clone)]
pub(crate) enum Step {
    /// These bytes; what a read has no room for comes with the next.
    Bytes(Vec<u8>),
    WouldBlock,
    /// The end of the stream, this time and ever after.
    End,
    /// The connection is reset.
    Error,
}

impl Step {
    pub(crate) fn bytes(bytes: &[u8]) -> Self {
        Step::Bytes(bytes.to_vec())
    }
}

/// What writes meet.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Room {
    /// They take so many bytes in all, then say `WouldBlock`.
    Bytes(usize),
    /// The connection is reset.
    Error,
}

/// Whether our side was ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Output {
    Open,
    Finished,
}

/// A stream that does as it is told.
#[derive(Debug)]
pub(crate) struct Scripted {
    steps: VecDeque<Step>,
    pub(crate) room: Room,
    pub(crate) written: Vec<u8>,
    pub(crate) output: Output,
    /// How often it was read.
    pub(crate) reads: usize,
}

impl Scripted {
    /// A stream with room for everything.
    pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            steps: steps.into_iter().collect(),
            room: Room::Bytes(usize::MAX),
            written: Vec::new(),
            output: Output::Open,
            reads: 0,
        }
    }

    /// A connection over such a stream that was announced to be readable.
    pub(crate) fn connect(steps: impl IntoIterator<Item = Step>) -> Connection<Self> {
        let mut connection = Connection::new(Transport::Plain(Self::new(steps)));
        connection.handle_ready(Readiness::READABLE);
        connection
    }
}

/// Lets a peer say more, which raises an event.
pub(crate) fn say(connection: &mut Connection<Scripted>, step: Step) {
    connection.socket().steps.push_back(step);
    connection.handle_ready(Readiness::READABLE);
}

/// Lets a peer take so much more, which raises an event.
pub(crate) fn make_room(connection: &mut Connection<Scripted>, bytes: usize) {
    connection.socket().room = Room::Bytes(bytes);
    connection.handle_ready(Readiness::WRITABLE);
}

impl Read for Scripted {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.reads += 1;
        match self.steps.pop_front() {
            Some(Step::Bytes(mut bytes)) => {
                let len = bytes.len().min(into.len());
                into[..len].copy_from_slice(&bytes[..len]);
                let rest = bytes.split_off(len);
                if !rest.is_empty() {
                    self.steps.push_front(Step::Bytes(rest));
                }
                Ok(len)
            }
            Some(Step::End) => {
                self.steps.push_front(Step::End);
                Ok(0)
            }
            Some(Step::Error) => Err(ErrorKind::ConnectionReset.into()),
            Some(Step::WouldBlock) | None => Err(ErrorKind::WouldBlock.into()),
        }
    }
}

impl Write for Scripted {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        assert_eq!(self.output, Output::Open, "written after the end");
        let len = match &mut self.room {
            Room::Bytes(0) => return Err(ErrorKind::WouldBlock.into()),
            Room::Bytes(room) => {
                let len = data.len().min(*room);
                *room -= len;
                len
            }
            Room::Error => return Err(ErrorKind::ConnectionReset.into()),
        };
        self.written.extend_from_slice(&data[..len]);
        Ok(len)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Stream for Scripted {
    fn peek(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.steps.front() {
            Some(Step::Bytes(bytes)) => {
                let len = bytes.len().min(into.len());
                into[..len].copy_from_slice(&bytes[..len]);
                Ok(len)
            }
            Some(Step::End) => Ok(0),
            Some(Step::Error) => Err(ErrorKind::ConnectionReset.into()),
            Some(Step::WouldBlock) | None => Err(ErrorKind::WouldBlock.into()),
        }
    }

    fn finish(&mut self) -> io::Result<()> {
        self.output = Output::Finished;
        Ok(())
    }
}

/// A network that sends datagrams as far as it has room, and does nothing else.
#[derive(Default)]
pub(crate) struct ScriptedNet {
    /// How many datagrams it takes before it says `WouldBlock`.
    pub(crate) room: usize,
    /// Datagrams that are to be received.
    pub(crate) arriving: VecDeque<(SocketAddr, Vec<u8>)>,
    /// How often receiving fails before there is nothing to be received.
    pub(crate) receive_failures: u32,
    /// Nothing can be sent to this address.
    pub(crate) unreachable: Option<SocketAddr>,
    pub(crate) sent: Vec<(SocketAddr, Vec<u8>)>,
}

impl Net for ScriptedNet {
    type Stream = Scripted;
    type Listener = ();
    type Udp = ();

    fn open_http(&mut self, _: SocketAddr, _: Token) -> io::Result<()> {
        Ok(())
    }

    fn open_tcp(&mut self, _: u16, _: Token) -> io::Result<()> {
        Ok(())
    }

    fn open_udp(&mut self, _: u16, _: Token) -> io::Result<()> {
        Ok(())
    }

    fn local_address(&self, (): &()) -> io::Result<SocketAddr> {
        Err(ErrorKind::Unsupported.into())
    }

    fn accept(&mut self, (): &()) -> io::Result<(Scripted, SocketAddr)> {
        Err(ErrorKind::WouldBlock.into())
    }

    fn watch(&mut self, _: &mut Scripted, _: Token) -> io::Result<()> {
        Ok(())
    }

    fn receive(&mut self, (): &(), batch: &mut DatagramBatch) -> io::Result<()> {
        if !self.arriving.is_empty() {
            let (slots, filled) = batch.refill();
            for (slot, (from, data)) in slots.zip(self.arriving.drain(..)) {
                slot[..data.len()].copy_from_slice(&data);
                filled.push(Arrival { from, to: None, len: data.len() });
            }
            return Ok(());
        }
        match self.receive_failures.checked_sub(1) {
            Some(left) => self.receive_failures = left,
            None => return Err(ErrorKind::WouldBlock.into()),
        }
        Err(ErrorKind::ConnectionRefused.into())
    }

    fn send(&mut self, (): &(), _: Option<IpAddr>, to: SocketAddr, data: &[u8]) -> io::Result<()> {
        if self.room == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        if self.unreachable == Some(to) {
            return Err(ErrorKind::HostUnreachable.into());
        }
        self.room -= 1;
        self.sent.push((to, data.to_vec()));
        Ok(())
    }
}
