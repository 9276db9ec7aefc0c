//! What those do who watch, and what they must see.

use std::net::Ipv4Addr;

use dispatch::testing::protocol::http::registration::PortKind;

use crate::actors::behaviour::{Behaviour, Pace};
use crate::actors::driver;
use crate::actors::monitor::{MonitorActor, Stage};
use crate::history::{MonitorAction, Op};

use super::scenario::{HTTP_PORT, device_port};
use super::state::{Checked, Progress, World};

impl World {
    pub(super) fn apply_to_monitor(&mut self, action: MonitorAction, op: &Op) -> Checked {
        match action {
            MonitorAction::Watches => self.somebody_watches(op)?,
            MonitorAction::StopsReading => self.with_monitor(op, |monitor| {
                (monitor.pace, monitor.behaviour) = (Pace::Stalled, Behaviour::Faulty);
            }),
            MonitorAction::ReadsSlowly => self.with_monitor(op, |monitor| {
                monitor.pace = Pace::Slow(2_000 + op.amount % 20_000);
            }),
            MonitorAction::ReadsAgain => {
                self.monitors.iter_mut().for_each(|monitor| monitor.pace = Pace::Full);
            }
            MonitorAction::Talks => self.with_monitor(op, |monitor| match op.amount % 4 {
                0 => monitor.say(0x82, b"\x03no message"),
                1 => monitor.say(0x89, b"are you there?"),
                2 => {
                    monitor.say(0x02, b"a fragment");
                    monitor.say(0x80, b", and the rest");
                }
                _ => {
                    monitor.behaviour = Behaviour::Faulty;
                    monitor.say(0x81, b"text");
                }
            }),
            MonitorAction::Leaves => self.monitor_leaves(op),
        }
        Ok(())
    }

    fn somebody_watches(&mut self, op: &Op) -> Checked {
        let from = (Ipv4Addr::new(127, 0, 0, 3), 40_000).into();
        let connected = self.net.wire().connect(HTTP_PORT, from);
        let Some(id) = connected else { return Ok(()) };
        let (kind, port) = self.watched_port(op);
        let line = self.http_line(id)?;
        self.monitors.push(MonitorActor::new(line, kind, port));
        Ok(())
    }

    /// Mostly one that is open.
    fn watched_port(&self, op: &Op) -> (PortKind, u16) {
        let live = self.drivers.iter().filter(|driver| driver.stage == driver::Stage::Live);
        let open: Vec<_> = live.map(|it| (it.protocol.port_kind(), it.port)).collect();
        match open.get(op.who % open.len().max(1)) {
            Some(&port) if !op.amount.is_multiple_of(8) => port,
            Some(_) | None if op.amount.is_multiple_of(3) => {
                (PortKind::Datagram, device_port(op.who))
            }
            Some(_) | None => (PortKind::Stream, device_port(op.who)),
        }
    }

    fn with_monitor(&mut self, op: &Op, act: impl FnOnce(&mut MonitorActor)) {
        let live = |monitor: &&mut MonitorActor| monitor.stage == Stage::Live;
        let mut live: Vec<_> = self.monitors.iter_mut().filter(live).collect();
        let count = live.len();
        if count > 0 {
            act(live.swap_remove(op.who % count));
        }
    }

    fn monitor_leaves(&mut self, op: &Op) {
        let net = self.net.clone();
        self.with_monitor(op, |monitor| {
            monitor.behaviour = Behaviour::Faulty;
            match op.amount % 3 {
                0 => net.wire().peer_reset(monitor.id()),
                1 => net.wire().peer_finish(monitor.id()),
                _ => monitor.say(0x88, &1000u16.to_be_bytes()),
            }
        });
    }

    /// At rest, a monitor has heard all that passed since the last rest, unless it was told
    /// otherwise.
    pub(super) fn check_monitors(&mut self) -> Checked {
        for monitor in &mut self.monitors {
            match self.reactor.traffic(monitor.kind, monitor.port) {
                Some(passed) => monitor.compare(passed)?,
                None => monitor.compared = None,
            }
            let code = monitor.close_code;
            let may_close = match self.stage {
                Progress::Serving => code == Some(1000) || monitor.behaviour == Behaviour::Faulty,
                Progress::Stopping { .. } => true,
            };
            if code.is_some() && !may_close {
                return Err(format!("a monitor was closed with {code:?}"));
            }
            if let Stage::Refused(status) = monitor.stage
                && ![404, 503].contains(&status)
            {
                return Err(format!("a monitor was refused with {status}"));
            }
        }
        Ok(())
    }
}
