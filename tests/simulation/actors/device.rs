//! A device of the simulation, and what it must hear.

use std::collections::BTreeMap;
use std::net::IpAddr;

use crate::actors::behaviour::{Behaviour, Pace};
use crate::actors::line::{Goodbye, Line};
use crate::network::{Id, Standing, Wire};
use crate::pattern::{Record, stretch};

/// Whether drivers may ever hear of a device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Those that cover it must.
    Due,
    /// It does not get past what comes before: a PROXY header, a handshake.
    Never,
}

/// One device.
pub struct DeviceActor {
    line: Line,
    pub number: usize,
    pub port: u16,
    pub address: IpAddr,
    pub admission: Admission,
    pub behaviour: Behaviour,
    pub pace: Pace,
    /// What it sends before everything else: a PROXY header, of a load balancer.
    preamble: Vec<u8>,
    preamble_len: usize,
    pub sent: usize,
    pub to_send: usize,
    /// The last byte of what it sends next is marked as urgent.
    is_urgent: bool,
    /// It cut its connection off when it had sent so much, all of which we must read.
    pub reset_after: Option<usize>,
    /// It ends its side once all is sent.
    pub is_finishing: bool,
    pub has_finished: bool,
    pub standing: Standing,
    incoming: Vec<u8>,
    /// Records that came, by driver.
    pub got: BTreeMap<usize, u32>,
    pub connected_at: u64,
    /// Drivers that said CLOSE, and how many records they had written before.
    pub closed_by: BTreeMap<usize, u32>,
    /// Drivers that said goodbye, and how many records they had written before.
    pub left_by: BTreeMap<usize, u32>,
    /// Our end came without the goodbye that TLS has.
    pub was_cut: bool,
    /// It may be closed without any fault of its own, and what it was promised be lost.
    pub is_excused: bool,
}

impl DeviceActor {
    pub fn new(
        line: Line,
        number: usize,
        (port, address): (u16, IpAddr),
        preamble: Vec<u8>,
        connected_at: u64,
    ) -> Self {
        Self {
            line,
            number,
            port,
            address,
            admission: Admission::Due,
            behaviour: Behaviour::Correct,
            pace: Pace::Full,
            preamble_len: preamble.len(),
            preamble,
            sent: 0,
            to_send: 0,
            is_urgent: false,
            reset_after: None,
            is_finishing: false,
            has_finished: false,
            standing: Standing::Open,
            incoming: Vec::new(),
            got: BTreeMap::new(),
            connected_at,
            closed_by: BTreeMap::new(),
            left_by: BTreeMap::new(),
            was_cut: false,
            is_excused: false,
        }
    }

    /// Its connection.
    pub fn id(&self) -> Id {
        self.line.id()
    }

    /// Whether it speaks TLS.
    pub fn is_encrypted(&self) -> bool {
        self.line.is_encrypted()
    }

    /// How much of its own bytes we have surely read.
    pub fn surely_read(&self, wire: &Wire) -> usize {
        self.line.surely_read(wire.read_by_us(self.id()).saturating_sub(self.preamble_len))
    }

    /// Whether drivers may hear of it by now.
    pub fn may_be_known(&self) -> bool {
        self.admission == Admission::Due && self.preamble.is_empty() && self.line.is_established()
    }

    /// Whether there is a reason to close it.
    pub fn may_be_closed(&self) -> bool {
        self.is_finishing || !self.closed_by.is_empty() || !self.is_promised_all()
    }

    /// Whether nothing that is written to it may be lost while it is there.
    pub fn is_promised_all(&self) -> bool {
        self.behaviour == Behaviour::Correct && !self.is_excused
    }

    /// Whether it is connected for all that it knows.
    pub fn is_open(&self) -> bool {
        self.standing == Standing::Open && !self.is_finishing
    }

    /// Sends and reads what the network allows.
    pub fn pump(&mut self, wire: &mut Wire) -> Result<(), String> {
        if self.standing != Standing::Open {
            return Ok(());
        }
        if !self.preamble.is_empty() {
            let sent = wire.peer_write(self.id(), &self.preamble);
            self.preamble.drain(..sent);
        }
        if self.preamble.is_empty() {
            self.send(wire);
        }
        let Some(most) = self.pace.most() else { return Ok(()) };
        let (bytes, standing) = match (self.line.receive(wire, most), self.behaviour) {
            (Ok(received), _) => received,
            // We may say what we think of it.
            (Err(_), Behaviour::Faulty) => (Vec::new(), Standing::Open),
            (Err(why), Behaviour::Correct) => return Err(format!("device {}: {why}", self.number)),
        };
        self.incoming.extend_from_slice(&bytes);
        self.check_input()?;
        self.standing = standing;
        if standing != Standing::Open {
            wire.peer_close(self.id());
            self.check_end(standing)?;
        }
        Ok(())
    }

    fn send(&mut self, wire: &mut Wire) {
        let len = match wire.rng.chance(20) {
            true => 1 + wire.rng.below(2_000),
            false => 100_000,
        };
        let bytes = stretch(self.number, self.sent, len.min(self.to_send));
        let sent = self.line.send(wire, &bytes);
        self.sent += sent;
        self.to_send -= sent;
        if sent > 0 && std::mem::take(&mut self.is_urgent) {
            wire.peer_mark_urgent(self.id());
        }
        let may_finish = self.line.is_established() || self.behaviour == Behaviour::Faulty;
        if self.is_finishing && self.to_send == 0 && may_finish && !self.has_finished {
            self.has_finished = true;
            self.line.finish(wire, self.goodbye());
        }
    }

    /// It ends in one of several ways, always the same for the same device.
    fn goodbye(&self) -> Goodbye {
        [Goodbye::Polite, Goodbye::Spoken, Goodbye::Abrupt][self.number % 3]
    }

    /// Sends more than is taken at once; over TLS, under new keys.
    pub fn flood(&mut self, amount: usize) {
        self.to_send += 8 * amount;
        self.line.change_keys();
    }

    /// Sends something of which the end is marked as urgent, and something behind it.
    pub fn send_urgent(&mut self, amount: usize) {
        self.to_send += 1 + amount % 4_000;
        self.is_urgent = true;
    }

    /// Cuts its connection off. What it has sent by then is still heard.
    pub fn reset(&mut self, wire: &mut Wire) {
        let is_heard_whole =
            self.may_be_known() && self.is_promised_all() && self.closed_by.is_empty();
        if is_heard_whole && self.line.is_flushed() {
            self.reset_after = Some(self.sent);
        }
        (self.behaviour, self.standing) = (Behaviour::Faulty, Standing::Reset);
        wire.peer_reset(self.id());
    }

    /// Sends something that breaks TLS, where there is TLS.
    pub fn misbehave(&mut self) {
        if self.line.is_established() && self.line.forge() {
            (self.behaviour, self.to_send) = (Behaviour::Faulty, 0);
        }
    }

    fn check_input(&mut self) -> Result<(), String> {
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

    /// A driver's CLOSE and its goodbye promise nothing any longer.
    pub fn expect_nothing_of(&mut self, driver: usize) {
        for promises in [&mut self.closed_by, &mut self.left_by] {
            promises.entry(driver).and_modify(|count| *count = 0);
        }
    }

    /// Who keeps to the rules has, by our end, what was written before it.
    fn check_end(&mut self, standing: Standing) -> Result<(), String> {
        if !self.is_promised_all() || standing == Standing::Reset {
            return Ok(());
        }
        self.was_cut = self.line.would_be_cut();
        if self.is_finishing {
            return Ok(());
        }
        if self.closed_by.len() <= 1 {
            let mut promises = self.closed_by.iter().filter(|(_, count)| **count > 0);
            promises.try_for_each(|promise| self.check_promise(promise, u32::eq))?;
        }
        if self.closed_by.is_empty() {
            self.left_by.iter().try_for_each(|promise| self.check_promise(promise, u32::ge))?;
        }
        Ok(())
    }

    fn check_promise(
        &self,
        (driver, count): (&usize, &u32),
        holds: fn(&u32, &u32) -> bool,
    ) -> Result<(), String> {
        let (number, got) = (self.number, self.got.get(driver).copied().unwrap_or(0));
        match holds(&got, count) {
            true => Ok(()),
            false => {
                Err(format!("device {number} got {got} of {count} records of driver {driver}"))
            }
        }
    }
}
