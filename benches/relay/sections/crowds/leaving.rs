//! Crowds that leave together.

use std::io;

use super::observe::{Awaited, Crowd, observe};
use crate::load::bench::Bench;
use crate::load::loader::Load;
use crate::process::subject::Subject;
use crate::wire::to_driver::Event;

/// Nobody, for comparison, then drivers, then devices.
pub fn crowds(bench: &Bench) -> io::Result<()> {
    leave(bench, "nobody leaves", 1, 1, Who::Nobody)?;
    leave(bench, "1 driver of 15,000 goes", 1, 15_000, Who::Drivers)?;
    leave(bench, "300 drivers of 10,000 go", 300, 10_000, Who::Drivers)?;
    leave(bench, "10,000 devices of 32 go", 32, 10_000, Who::Devices)
}

fn leave(bench: &Bench, name: &str, drivers: usize, devices: usize, who: Who) -> io::Result<()> {
    observe(bench, name, |subject| Leaving::gather(bench, subject, drivers, devices, who))
}

#[derive(Clone, Copy)]
enum Who {
    Nobody,
    Drivers,
    Devices,
}

struct Leaving<'a> {
    load: Load<'a>,
    who: Who,
    /// Messages that tell drivers that a device has gone.
    awaited: usize,
}

impl<'a> Leaving<'a> {
    fn gather(
        bench: &'a Bench,
        subject: &Subject,
        drivers: usize,
        devices: usize,
        who: Who,
    ) -> io::Result<Self> {
        let mut load = Load::start(bench, subject)?.spread_out();
        load.join("tcp", load.relay.device_port)?;
        load.add_devices(devices)?;
        load.join_late(drivers - 1)?;
        let awaited = match who {
            Who::Nobody | Who::Drivers => 0,
            Who::Devices => drivers * devices,
        };
        Ok(Self { load, who, awaited })
    }
}

impl Crowd for Leaving<'_> {
    fn load(&self) -> &Load<'_> {
        &self.load
    }

    fn act(&mut self) -> io::Result<()> {
        match self.who {
            Who::Nobody => {}
            Who::Drivers => self.load.drivers.clear(),
            Who::Devices => self.load.devices.clear(),
        }
        Ok(())
    }

    fn go_on(&mut self) -> io::Result<Awaited> {
        let awaited = &mut self.awaited;
        self.load.receive(|_, event| {
            *awaited = awaited.saturating_sub(usize::from(matches!(event, Event::Closed(_))));
            Ok(())
        })?;
        Ok(if *awaited == 0 { Awaited::Nothing } else { Awaited::Something })
    }
}
