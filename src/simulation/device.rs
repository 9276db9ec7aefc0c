//! A device of the simulation, and what it must hear.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::driver::Conduct;
use super::pattern::{Record, stretch};
use super::wire::{Id, Standing, Wire};

/// How a peer reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// All that there is.
    Full,
    /// At most so many bytes in a turn.
    Slow(usize),
    /// Nothing.
    Stalled,
}

impl Pace {
    /// How much it reads in a turn.
    pub(super) fn most(self) -> Option<usize> {
        match self {
            Pace::Full => Some(usize::MAX),
            Pace::Slow(most) => Some(most),
            Pace::Stalled => None,
        }
    }
}

/// One device.
pub struct DeviceActor {
    pub(super) id: Id,
    pub(super) number: usize,
    pub(super) port: u16,
    pub(super) address: IpAddr,
    pub(super) conduct: Conduct,
    pub(super) pace: Pace,
    /// What it sends before its own bytes: a PROXY header, of a load balancer.
    preamble: Vec<u8>,
    pub(super) preamble_len: usize,
    pub(super) sent: usize,
    pub(super) to_send: usize,
    /// It ends its side once all is sent.
    pub(super) is_finishing: bool,
    pub(super) has_finished: bool,
    pub(super) standing: Standing,
    incoming: Vec<u8>,
    /// Records that came, by driver.
    pub(super) got: BTreeMap<usize, u32>,
    pub(super) connected_at: u64,
    /// Drivers that said CLOSE, and how many records they had written before.
    pub(super) closed_by: BTreeMap<usize, u32>,
}

impl DeviceActor {
    pub(super) fn new(
        id: Id,
        number: usize,
        (port, address): (u16, IpAddr),
        preamble: Vec<u8>,
        connected_at: u64,
    ) -> Self {
        Self {
            id,
            number,
            port,
            address,
            conduct: Conduct::Good,
            pace: Pace::Full,
            preamble_len: preamble.len(),
            preamble,
            sent: 0,
            to_send: 0,
            is_finishing: false,
            has_finished: false,
            standing: Standing::Open,
            incoming: Vec::new(),
            got: BTreeMap::new(),
            connected_at,
            closed_by: BTreeMap::new(),
        }
    }

    /// Whether it is connected for all that it knows.
    pub(super) fn is_open(&self) -> bool {
        self.standing == Standing::Open && !self.is_finishing
    }

    /// Sends and reads what the network allows.
    pub(super) fn pump(&mut self, wire: &mut Wire) -> Result<(), String> {
        if self.standing != Standing::Open {
            return Ok(());
        }
        if !self.preamble.is_empty() {
            let sent = wire.peer_write(self.id, &self.preamble);
            self.preamble.drain(..sent);
        }
        self.send(wire);
        let Some(most) = self.pace.most() else { return Ok(()) };
        let (bytes, standing) = wire.peer_read(self.id, most);
        self.incoming.extend_from_slice(&bytes);
        self.hear()?;
        self.standing = standing;
        if standing != Standing::Open {
            wire.peer_close(self.id);
            self.check_end(standing)?;
        }
        Ok(())
    }

    fn send(&mut self, wire: &mut Wire) {
        if self.to_send > 0 && self.preamble.is_empty() {
            let len = match wire.random.chance(20) {
                true => 1 + wire.random.below(self.to_send.min(2_000)),
                false => self.to_send.min(100_000),
            };
            let sent = wire.peer_write(self.id, &stretch(self.number, self.sent, len));
            self.sent += sent;
            self.to_send -= sent;
        }
        if self.is_finishing && self.to_send == 0 && !self.has_finished {
            self.has_finished = true;
            wire.peer_finish(self.id);
        }
    }

    fn hear(&mut self) -> Result<(), String> {
        let mut at = 0;
        while let Some((record, len)) = Record::decode(&self.incoming[at..])
            .map_err(|why| format!("device {}: {why}", self.number))?
        {
            let next = self.got.entry(record.writer).or_default();
            if record.reader != self.number || record.number != *next {
                return Err(format!("device {} got {record:?} at {next}", self.number));
            }
            *next += 1;
            at += len;
        }
        self.incoming.drain(..at);
        Ok(())
    }

    /// A driver's CLOSE promises nothing any longer.
    pub(super) fn expect_nothing_of(&mut self, driver: usize) {
        if let Some(count) = self.closed_by.get_mut(&driver) {
            *count = 0;
        }
    }

    /// After an orderly CLOSE all that its driver wrote before it must be here.
    fn check_end(&self, standing: Standing) -> Result<(), String> {
        if self.conduct == Conduct::Bad || self.is_finishing || standing == Standing::Reset {
            return Ok(());
        }
        for (driver, count) in &self.closed_by {
            let got = self.got.get(driver).copied().unwrap_or(0);
            let is_only = self.closed_by.len() == 1;
            if is_only && got < *count {
                return Err(format!(
                    "device {} got {got} of {count} records before the CLOSE of driver {driver}",
                    self.number
                ));
            }
        }
        Ok(())
    }
}
