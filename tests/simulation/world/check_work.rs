//! No source takes more than its share of a turn, as it shows in what we ask of the system.
//!
//! What is paid per call is bounded here for each socket. That all of them together keep to their
//! budget is for tests with thousands of sockets.

use dispatch::testing::limits::{
    ACCEPT_OPERATIONS, DATAGRAM_SENDS_PER_STEP, DISCARDS_PER_STEP, DRIVER_OPERATIONS,
    HTTP_OPERATIONS, PORT_OPERATIONS,
};

use crate::actors::driver::{DriverActor, Stage};
use crate::network::{Calls, Id};

use super::state::{Checked, World};

/// A driver is read once; where it leaves, what it still says is read and thrown away. Its socket
/// may be written to when it falls behind, and in each round of flushing.
const DRIVER_CALLS: Calls = Calls { reads: 1 + DISCARDS_PER_STEP, writes: 8, ..NONE };

/// A device is read when it is let on and when an event says so, each time once more for its end.
/// Long messages are written at once while there is room.
const DEVICE_CALLS: Calls = Calls { reads: 4, writes: 8, ..NONE };

/// Encrypted, one call of the reactor may be several of the system.
const TLS_CALLS: Calls = Calls { reads: 16, writes: 32, ..NONE };

/// A device that waits for its PROXY header becomes one that is read, in the same turn. A monitor may
/// be encrypted.
const OTHER_CALLS: Calls = Calls {
    accepts: (if HTTP_OPERATIONS > PORT_OPERATIONS { HTTP_OPERATIONS } else { PORT_OPERATIONS })
        / ACCEPT_OPERATIONS
        + 1,
    reads: 2 * DEVICE_CALLS.reads,
    writes: TLS_CALLS.writes,
    receives: 1,
    sends: DRIVER_OPERATIONS + DATAGRAM_SENDS_PER_STEP,
};

const NONE: Calls = Calls { accepts: 0, reads: 0, writes: 0, receives: 0, sends: 0 };

impl World {
    /// Each socket costs few calls in a turn, whatever there is to be said on it.
    pub(super) fn check_work(&mut self) -> Checked {
        let calls = self.net.wire().calls.take();
        for (id, calls) in calls {
            // Nearly all are, and then it need not be known whose they are.
            if calls.are_within(DRIVER_CALLS) {
                continue;
            }
            let (whose, most) = self.calls_allowed(id);
            if !calls.are_within(most) {
                return Err(format!("{whose} took {calls:?} in a turn, and may take {most:?}"));
            }
        }
        Ok(())
    }

    fn calls_allowed(&self, id: Id) -> (String, Calls) {
        let live = |driver: &&DriverActor| driver.id() == id && driver.stage == Stage::Live;
        if let Some(driver) = self.drivers.iter().find(live) {
            let most = if self.scenario.has_https { TLS_CALLS } else { DRIVER_CALLS };
            return (format!("driver {}", driver.number), most);
        }
        match self.device_heard(id) {
            Some(device) if device.is_encrypted() => {
                (format!("device {}", device.number), TLS_CALLS)
            }
            Some(device) => (format!("device {}", device.number), DEVICE_CALLS),
            None => (format!("socket {id}"), OTHER_CALLS),
        }
    }
}
