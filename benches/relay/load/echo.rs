//! There and back: what devices say, the driver answers with.

use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

use super::loader::Load;
use super::schedule::{Arrivals, Schedule};
use crate::process::sample::Sample;
use crate::process::window::Window;
use crate::wire::to_driver::Event;
use crate::wire::to_relay::Mask;

/// What is sent there and back.
pub const CHUNK: usize = 64;

/// Devices that speak, and a driver that answers with the same bytes.
pub struct Echo<'r, 'b> {
    load: &'r mut Load<'b>,
    mask: Mask,
    /// For each device, since when its answers are awaited.
    awaited: Vec<VecDeque<Instant>>,
    done: u64,
    times: Vec<f64>,
}

impl<'r, 'b> Echo<'r, 'b> {
    /// For all devices of a load with one driver.
    pub fn new(load: &'r mut Load<'b>) -> Self {
        let awaited = vec![VecDeque::new(); load.devices.len()];
        let mask = load.bench.mask();
        Self { load, mask, awaited, done: 0, times: Vec::new() }
    }

    /// Each device sends again when its answer is there.
    pub fn closed(mut self) -> io::Result<Sample> {
        let mut window = self.load.window();
        for id in 0..self.awaited.len() {
            self.ask(id, Instant::now())?;
        }
        loop {
            if let Some(sample) = self.load.step(&mut window, self.done)? {
                return Ok(sample.with_times(self.times));
            }
            self.load.wait(Duration::from_millis(5))?;
            self.answer()?;
            for id in 0..self.awaited.len() {
                if self.take(id, &window)? > 0 {
                    self.ask(id, Instant::now())?;
                }
            }
        }
    }

    /// Each sends when it is due, so many of all a second.
    pub fn open(mut self, arrivals: Arrivals, rate: f64) -> io::Result<Sample> {
        let _stopped = self.load.bench.machine.without_loaders_spinner()?;
        let mut window = self.load.window();
        let (mut schedule, mut next) = (Schedule::new(arrivals, rate), 0);
        loop {
            if let Some(sample) = self.load.step(&mut window, self.done)? {
                return Ok(sample.with_times(self.times));
            }
            if let Some(due) = schedule.due(Instant::now()) {
                self.ask(next % self.awaited.len(), due)?;
                next += 1;
            }
            self.load.wait(Duration::ZERO)?;
            self.answer()?;
            for id in 0..self.awaited.len() {
                self.take(id, &window)?;
            }
        }
    }

    fn ask(&mut self, id: usize, due: Instant) -> io::Result<()> {
        self.awaited[id].push_back(due);
        match self.load.send(id, CHUNK)? {
            CHUNK => Ok(()),
            _ => Err(io::Error::other("no room to send: the relay is too far behind")),
        }
    }

    /// The driver sends back what it got, all of it in one send.
    fn answer(&mut self) -> io::Result<()> {
        let Self { load, mask, .. } = self;
        let pattern = &load.bench.pattern;
        if load.drivers[0].readable {
            load.receive(|link, event| match event {
                Event::Received(id, data) => {
                    link.check(pattern, id, data)?;
                    mask.push_write(link.outgoing, id, data);
                    Ok(())
                }
                Event::Opened(_) | Event::Closed(_) => Ok(()),
            })?;
        }
        load.drivers[0].flush()?;
        Ok(())
    }

    /// Takes what has come back to a device; says how many answers are complete with it.
    fn take(&mut self, id: usize, window: &Window<'_>) -> io::Result<usize> {
        if self.load.read(id)? == 0 {
            return Ok(0);
        }
        let outstanding = self.load.devices[id].sent - self.load.devices[id].received;
        let still = outstanding.div_ceil(CHUNK as u64) as usize;
        let complete = self.awaited[id].len() - still;
        let now = Instant::now();
        for since in self.awaited[id].drain(..complete) {
            if window.is_open() {
                self.times.push((now - since).as_secs_f64() * 1e6);
            }
        }
        self.done += complete as u64;
        Ok(complete)
    }
}
