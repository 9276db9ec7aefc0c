//! Who is there, and who of them gets what is typed.
//!
//! Pure bookkeeping over the events; a device that only connected is written to where none has
//! spoken yet, since many devices wait to be asked.

use crate::commands::cli::To;
use crate::commands::client::event::Device;
use crate::limits::LISTEN_DEVICES_REMEMBERED;
use crate::protocol::message::Kind;
use std::collections::HashMap;

/// What was last heard of a device, and when: whoever spoke comes after all who did not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Heard {
    Connected(u64),
    Spoke(u64),
}

/// The devices that are there.
#[derive(Debug, Default)]
pub struct Devices {
    heard: HashMap<Device, Heard>,
    events: u64,
}

impl Devices {
    /// Takes note of an event.
    pub fn handle_event(&mut self, kind: Kind, device: Device) {
        self.events += 1;
        match kind {
            Kind::Opened => self.remember(device, Heard::Connected(self.events)),
            Kind::Received => self.remember(device, Heard::Spoke(self.events)),
            Kind::Closed => {
                self.heard.remove(&device);
            }
            // These go the other way, or concern no device that is there.
            Kind::Write | Kind::Close | Kind::Refused | Kind::LeftOut => {}
        }
    }

    /// Who gets what is typed now; nobody where nobody is there.
    pub fn addressed(&self, to: To) -> Vec<Device> {
        match to {
            To::All => self.heard.keys().copied().collect(),
            To::Last => {
                self.by_hearing().max_by_key(|&(_, heard)| heard).map(first).into_iter().collect()
            }
        }
    }

    fn remember(&mut self, device: Device, heard: Heard) {
        self.heard.insert(device, heard);
        if self.heard.len() > LISTEN_DEVICES_REMEMBERED {
            let oldest = self.by_hearing().min_by_key(|&(_, heard)| heard).map(first);
            oldest.map(|device| self.heard.remove(&device));
        }
    }

    fn by_hearing(&self) -> impl Iterator<Item = (Device, Heard)> {
        self.heard.iter().map(|(&device, &heard)| (device, heard))
    }
}

fn first((device, _): (Device, Heard)) -> Device {
    device
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::IpAddr;

    fn device(id: u64) -> Device {
        Device { ip: IpAddr::from([10, 0, 0, 1]), id_or_port: id }
    }

    fn after(events: &[(Kind, u64)]) -> Devices {
        let mut devices = Devices::default();
        for &(kind, id) in events {
            devices.handle_event(kind, device(id));
        }
        devices
    }

    fn last(events: &[(Kind, u64)]) -> Option<u64> {
        let addressed = after(events).addressed(To::Last);
        assert!(addressed.len() <= 1);
        addressed.first().map(|device| device.id_or_port)
    }

    #[test]
    fn whoever_spoke_last_is_addressed() {
        use Kind::{Opened, Received};
        assert_eq!(last(&[(Opened, 1), (Opened, 2), (Received, 2), (Received, 1)]), Some(1));
    }

    #[test]
    fn a_silent_newcomer_does_not_take_over() {
        use Kind::{Opened, Received};
        assert_eq!(last(&[(Opened, 1), (Received, 1), (Opened, 2)]), Some(1));
        assert_eq!(last(&[(Opened, 1), (Opened, 2)]), Some(2), "nobody spoke yet");
    }

    #[test]
    fn who_is_gone_is_not_addressed() {
        use Kind::{Closed, Opened, Received};
        let both = [(Opened, 1), (Opened, 2), (Received, 1), (Received, 2), (Closed, 2)];
        assert_eq!(last(&both), Some(1));
        assert_eq!(last(&[(Opened, 1), (Closed, 1)]), None);
        assert_eq!(last(&[]), None);
    }

    #[test]
    fn all_are_all_that_are_there() {
        use Kind::{Closed, Opened, Received};
        let devices = after(&[(Opened, 1), (Received, 7), (Opened, 2), (Closed, 1)]);
        let mut ids: Vec<_> = devices.addressed(To::All).iter().map(|p| p.id_or_port).collect();
        ids.sort_unstable();
        assert_eq!(ids, [2, 7]);
    }

    #[test]
    fn those_silent_for_the_longest_are_forgotten() {
        let mut devices = Devices::default();
        for id in 0..=LISTEN_DEVICES_REMEMBERED as u64 {
            devices.handle_event(Kind::Received, device(id));
        }
        let all = devices.addressed(To::All);
        assert_eq!(all.len(), LISTEN_DEVICES_REMEMBERED);
        assert!(!all.contains(&device(0)));
    }
}
