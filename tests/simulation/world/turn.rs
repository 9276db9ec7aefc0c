//! Time in the world: turns of the loop, of which each is one of everybody else too.

use std::time::Duration;

use crate::actors::behaviour::Behaviour;
use crate::report::sum;

use super::state::{Checked, World};

/// Turns in which the world must come to rest.
const SETTLE_TURNS: usize = 20_000;

/// Turns in a row that may be asked for though nothing happens.
const IDLE_TURNS: usize = 64;

impl World {
    /// One turn of the loop, and of everybody else.
    pub(super) fn turn(&mut self) -> Checked {
        self.excuse_unwatched();
        if self.reactor.is_over(self.now) {
            return Ok(());
        }
        self.turn += 1;
        let events = self.net.wire().poll();
        for (token, news) in events {
            self.reactor.handle_event(token, news);
        }
        self.reactor.step(self.now);
        self.reactor.check_invariants()?;
        self.excuse_unwatched();
        self.check_limits()?;
        self.check_work()?;
        self.check_fairness()?;
        self.gauges = sum(self.gauges, self.reactor.gauges());
        let mut wire = self.net.wire();
        for driver in &mut self.drivers {
            driver.pump(&mut wire, &self.devices, self.turn)?;
        }
        for device in &mut self.devices {
            device.pump(&mut wire)?;
        }
        for client in &mut self.clients {
            client.pump(&mut wire)?;
        }
        for monitor in &mut self.monitors {
            monitor.pump(&mut wire)?;
        }
        drop(wire);
        self.note_ends_by_token();
        self.check_sent_datagrams()?;
        self.check_no_unjust_close()
    }

    /// Whose socket we could not watch may be closed without any fault of its own.
    fn excuse_unwatched(&mut self) {
        let unwatched = self.net.wire().take_unwatched();
        if unwatched.is_empty() {
            return;
        }
        for device in self.devices.iter_mut().filter(|it| unwatched.contains(&it.id())) {
            device.is_excused = true;
        }
        for driver in self.drivers.iter_mut().filter(|it| unwatched.contains(&it.id())) {
            (driver.behaviour, driver.was_slow) = (Behaviour::Faulty, true);
        }
        for client in self.clients.iter_mut().filter(|it| unwatched.contains(&it.id())) {
            client.expect_nothing();
        }
        for monitor in self.monitors.iter_mut().filter(|it| unwatched.contains(&it.id())) {
            monitor.behaviour = Behaviour::Faulty;
        }
    }

    /// Turns until nothing happens any more without time passing.
    pub(super) fn settle(&mut self) -> Checked {
        let mut idle = 0;
        for _ in 0..SETTLE_TURNS {
            let before = self.net.wire().activity();
            self.turn()?;
            if self.reactor.is_over(self.now) {
                return Ok(());
            }
            let sleeps = self.reactor.poll_timeout(self.now) != Some(Duration::ZERO);
            let is_quiet = self.net.wire().activity() == before;
            if sleeps && is_quiet && !self.net.wire().has_events() {
                return Ok(());
            }
            idle = if is_quiet { idle + 1 } else { 0 };
            if idle > IDLE_TURNS {
                return Err("the loop turns and turns though nothing happens".into());
            }
        }
        Err("the world does not come to rest".into())
    }

    /// Lets time pass, waking up whenever the reactor asks for it.
    pub(super) fn advance(&mut self, by: Duration) -> Checked {
        let target = self.now + by;
        for _ in 0..SETTLE_TURNS {
            self.settle()?;
            if self.reactor.is_over(self.now) {
                return Ok(());
            }
            let next = self.reactor.poll_timeout(self.now).map(|sleep| self.now + sleep);
            match next {
                Some(at) if at < target => {
                    // A loop that is busy elsewhere comes late, to several deadlines at once.
                    let most = if self.rng.chance(5) { 2_500_000 } else { 900 };
                    let late = Duration::from_micros(self.rng.below(most) as u64);
                    self.now = at + late;
                }
                Some(_) | None => {
                    self.now = self.now.max(target);
                    return self.settle();
                }
            }
        }
        Err("the reactor asks to be woken too often".into())
    }
}
