//! Crowds that come together.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::net::{Ipv4Addr, TcpStream};

use super::observe::{Awaited, Crowd, observe};
use crate::load::bench::Bench;
use crate::load::handshake::{Session, begin, trusting};
use crate::load::loader::Load;
use crate::process::ports::{address_of, connect};
use crate::wire::nonblocking::waiting;
use crate::wire::to_driver::Incoming;

const TLS_DEVICES: usize = 500;
const DRIVERS: usize = 1_000;

/// Devices that each of these drivers is told of.
const DEVICES: usize = 100;

/// Looks at those that wait between two looks at the bystander.
const LOOKS: usize = 8;

/// Devices that shake hands, then drivers that want a port.
pub fn crowds(bench: &Bench) -> io::Result<()> {
    observe(bench, "500 TLS devices join", |subject| {
        let load = Load::tls(bench, subject, 0)?;
        Ok(TlsDevices { load, begun: VecDeque::new(), done: Vec::new() })
    })?;
    observe(bench, "1,000 drivers join", |subject| {
        let load = Load::tcp(bench, subject, 1, DEVICES)?;
        Ok(Drivers { load, asked: VecDeque::new(), joined: Vec::new() })
    })
}

/// Devices whose handshakes have begun, and those whose are done.
struct TlsDevices<'a> {
    load: Load<'a>,
    begun: VecDeque<Session>,
    done: Vec<Session>,
}

impl TlsDevices<'_> {
    /// Goes on with one handshake.
    fn shake(&mut self, (mut socket, mut session): Session) -> io::Result<()> {
        waiting(session.complete_io(&mut socket))?;
        let done = !session.is_handshaking() && !session.wants_write();
        match done {
            true => self.done.push((socket, session)),
            false => self.begun.push_back((socket, session)),
        }
        Ok(())
    }
}

impl Crowd for TlsDevices<'_> {
    fn load(&self) -> &Load<'_> {
        &self.load
    }

    fn act(&mut self) -> io::Result<()> {
        let config = trusting()?;
        for nth in 0..TLS_DEVICES {
            let socket = connect(self.load.relay.device_port, address_of(nth as u64))?;
            let (socket, session) = begin(&config, socket)?;
            socket.set_nonblocking(true)?;
            self.begun.push_back((socket, session));
        }
        Ok(())
    }

    fn go_on(&mut self) -> io::Result<Awaited> {
        for _ in 0..LOOKS {
            let Some(session) = self.begun.pop_front() else { return Ok(Awaited::Nothing) };
            self.shake(session)?;
        }
        self.load.receive(|_, _| Ok(()))?;
        Ok(Awaited::Something)
    }
}

/// Drivers that have asked for a port, and those that have it.
struct Drivers<'a> {
    load: Load<'a>,
    asked: VecDeque<(TcpStream, Incoming)>,
    joined: Vec<TcpStream>,
}

impl Crowd for Drivers<'_> {
    fn load(&self) -> &Load<'_> {
        &self.load
    }

    fn act(&mut self) -> io::Result<()> {
        let relay = &self.load.relay;
        let request = relay.request("tcp", relay.device_port).unwrap_or_default();
        for _ in 0..DRIVERS {
            let mut stream = connect(relay.driver_port, Ipv4Addr::LOCALHOST)?;
            stream.write_all(request.as_bytes())?;
            stream.set_nonblocking(true)?;
            self.asked.push_back((stream, Incoming::default()));
        }
        Ok(())
    }

    fn go_on(&mut self) -> io::Result<Awaited> {
        for _ in 0..LOOKS {
            let Some((mut stream, mut incoming)) = self.asked.pop_front() else {
                return Ok(Awaited::Nothing);
            };
            waiting(incoming.fill(&mut stream))?;
            match incoming.skip_head()? {
                true => self.joined.push(stream),
                false => self.asked.push_back((stream, incoming)),
            }
        }
        Ok(Awaited::Something)
    }
}
