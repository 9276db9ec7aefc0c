//! What holds of those who watch.

use crate::limits::{
    MONITOR_MESSAGE_MAX_BYTES, MONITOR_OUTBOX_BYTES, MONITOR_READ_BYTES, MONITORS_MAX,
};
use crate::net::Net;
use crate::reactor::Reactor;

use super::{Checked, ensure};

/// What a monitor's outbox may hold over its mark: the answer to its request, some pings, and pongs
/// for what one read brings.
const OVER_THE_MARK_BYTES: usize = 2 * MONITOR_READ_BYTES;

impl<N: Net> Reactor<N> {
    pub(super) fn check_monitors(&self) -> Checked {
        ensure(self.monitors.len() <= MONITORS_MAX, || "too many monitors".into())?;
        for (key, monitor) in self.monitors.iter() {
            let port = self.ports.get(monitor.port);
            let times = port.map_or(0, |port| port.monitors.iter().filter(|&&k| k == key).count());
            ensure(times == 1, || format!("monitor {key:?} is on its port {times} times"))?;
            let queued = monitor.outbox.len();
            let bounded = queued <= MONITOR_OUTBOX_BYTES + OVER_THE_MARK_BYTES;
            ensure(bounded, || format!("{queued} bytes queued toward monitor {key:?}"))?;
            let held = monitor.held_bytes();
            let bounded = held <= MONITOR_MESSAGE_MAX_BYTES;
            ensure(bounded, || format!("{held} bytes held of monitor {key:?}"))?;
            self.check_monitors_token(key)?;
            let silent = monitor.is_silent(self.now);
            ensure(!silent, || format!("nothing was heard of monitor {key:?} for too long"))?;
        }
        let listed: usize = self.ports.iter().map(|(_, port)| port.monitors.len()).sum();
        ensure(listed == self.monitors.len(), || format!("{listed} monitors are on ports"))
    }
}
