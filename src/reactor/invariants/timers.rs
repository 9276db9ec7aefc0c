//! That nobody is forgotten: each deadline has its timer, and each thing to do is listed.

use std::time::Instant;

use crate::net::Net;
use crate::peers::driver::Intake;
use crate::peers::keys::Source;
use crate::reactor::Reactor;

use super::{Checked, ensure};

/// An owner of a timer: what it has armed, when it must be looked at, and whether it is listed to
/// be looked at in any case.
struct Owner {
    source: Source,
    armed: Option<Instant>,
    deadline: Option<Instant>,
    is_listed: bool,
}

impl<N: Net> Reactor<N> {
    pub(super) fn check_timers(&self) -> Checked {
        let owners = self.owners();
        let armed: Vec<_> =
            owners.iter().filter_map(|owner| Some((owner.armed?, owner.source))).collect();
        for (at, source) in self.timers.iter() {
            let owned = armed.contains(&(at, source));
            ensure(owned, || {
                format!("a timer is armed for {source:?}, which knows nothing of it")
            })?;
        }
        ensure(armed.len() == self.timers.iter().count(), || {
            format!("{} owners have a timer armed, and there are others", armed.len())
        })?;
        for owner in owners {
            let Some(deadline) = owner.deadline else { continue };
            let in_time = owner.is_listed || owner.armed.is_some_and(|at| at <= deadline);
            ensure(in_time, || format!("{:?} has a deadline and no timer", owner.source))?;
            let is_due = owner.is_listed || deadline > self.now;
            ensure(is_due, || format!("{:?} is overdue and nothing was done", owner.source))?;
        }
        Ok(())
    }

    fn owners(&self) -> Vec<Owner> {
        let mut owners = Vec::new();
        let mut add = |source, armed, deadline, is_listed| {
            owners.push(Owner { source, armed, deadline, is_listed });
        };
        for (key, listener) in self.http_listeners.iter() {
            add(Source::HttpListener(key), listener.armed.at(), None, false);
        }
        for (key, port) in self.ports.iter() {
            add(Source::Port(key), port.armed.at(), None, false);
        }
        for (key, http) in self.http_clients.iter() {
            let listed = self.ready.http_clients.contains(key);
            add(Source::HttpClient(key), http.armed.at(), http.deadline(), listed);
        }
        for (key, pending) in self.pending_devices.iter() {
            let listed = self.ready.pending_devices.contains(key);
            add(Source::PendingDevice(key), pending.armed.at(), Some(pending.deadline()), listed);
        }
        for (key, closing) in self.closings.iter() {
            let listed = self.ready.closings.contains(key);
            add(Source::Closing(key), closing.armed.at(), closing.deadline(), listed);
        }
        for (key, driver) in self.drivers.iter() {
            add(Source::Driver(key), driver.armed.at(), Some(driver.deadline()), false);
        }
        for (key, monitor) in self.monitors.iter() {
            add(Source::Monitor(key), monitor.armed.at(), Some(monitor.deadline()), false);
        }
        for (key, device) in self.devices.iter() {
            let listed = self.ready.dirty_devices.contains(key);
            add(Source::Device(key), device.armed.at(), device.deadline(), listed);
        }
        owners
    }

    /// Who could get on and is told by no event must be listed.
    pub(super) fn check_wakeups(&self) -> Checked {
        for (key, driver) in self.drivers.iter() {
            let reads = driver.is_readable() && driver.intake == Intake::Flowing;
            let forgotten = reads && !self.ready.drivers.contains(key);
            ensure(!forgotten, || format!("driver {key:?} has something to say unheard"))?;
            let writes = driver.connection.is_writable() && !driver.outbox.is_empty();
            let forgotten = writes && !self.ready.dirty_drivers.contains(key);
            ensure(!forgotten, || format!("driver {key:?} has bytes waiting and room for them"))?;
        }
        for (key, device) in self.devices.iter() {
            let reads = device.connection.is_readable() && device.parked.is_none();
            let forgotten = reads && !self.ready.devices.contains(key);
            ensure(!forgotten, || format!("device {key:?} has something to say unheard"))?;
            let writes = device.connection.is_writable() && !device.outbox.is_empty();
            let forgotten = writes && !self.ready.dirty_devices.contains(key);
            ensure(!forgotten, || format!("device {key:?} has bytes waiting and room for them"))?;
        }
        for (key, monitor) in self.monitors.iter() {
            let reads = monitor.connection.is_readable();
            let forgotten = reads && !self.ready.monitors.contains(key);
            ensure(!forgotten, || format!("monitor {key:?} has something to say unheard"))?;
            let writes = monitor.connection.is_writable() && !monitor.outbox.is_empty();
            let forgotten = writes && !self.ready.dirty_monitors.contains(key);
            ensure(!forgotten, || format!("monitor {key:?} has bytes waiting and room for them"))?;
        }
        for (key, http) in self.http_clients.iter() {
            let forgotten = http.is_ready() && !self.ready.http_clients.contains(key);
            ensure(!forgotten, || format!("HTTP connection {key:?} is ready and forgotten"))?;
        }
        Ok(())
    }
}
