//! What was typed on its way to the devices: a line at a time, a device at a time.
//!
//! A line that comes before any device waits for one, and so do those behind it: standard input
//! is then no longer read, so that nothing piles up.

use std::sync::mpsc::Receiver;
use std::vec::IntoIter;

use crate::commands::cli::To;
use crate::commands::client::event::Device;
use crate::commands::terminal::say;

use super::devices::Devices;
use super::typed::{LineEnd, unescape};

/// The lines that were typed.
pub struct Outgoing {
    typed: Receiver<Vec<u8>>,
    to: To,
    line_end: LineEnd,
    stage: Stage,
}

enum Stage {
    /// No line is being sent.
    Idle,
    /// These bytes wait for a device.
    Waiting { data: Vec<u8> },
    /// These bytes go to the devices that are left.
    Sending { data: Vec<u8>, to: IntoIter<Device> },
}

impl Outgoing {
    /// What is typed, for these devices.
    pub fn new(typed: Receiver<Vec<u8>>, to: To, line_end: LineEnd) -> Self {
        Self { typed, to, line_end, stage: Stage::Idle }
    }

    /// The next bytes to be sent, and to whom; `None` until something is typed or somebody comes.
    pub fn poll_next(&mut self, devices: &Devices) -> Option<(Device, Vec<u8>)> {
        loop {
            self.stage = match std::mem::replace(&mut self.stage, Stage::Idle) {
                Stage::Idle => self.take_line(devices)?,
                Stage::Waiting { data } => {
                    let to = devices.addressed(self.to);
                    if to.is_empty() {
                        self.stage = Stage::Waiting { data };
                        return None;
                    }
                    Stage::Sending { data, to: to.into_iter() }
                }
                Stage::Sending { data, mut to } => match to.next() {
                    Some(device) => {
                        let bytes = data.clone();
                        self.stage = Stage::Sending { data, to };
                        return Some((device, bytes));
                    }
                    None => Stage::Idle,
                },
            };
        }
    }

    fn take_line(&mut self, devices: &Devices) -> Option<Stage> {
        let line = self.typed.try_recv().ok()?;
        match unescape(&line, self.line_end) {
            Ok(data) => {
                if devices.addressed(self.to).is_empty() {
                    say("nobody is there yet: what was typed waits for a device");
                }
                Some(Stage::Waiting { data })
            }
            Err(why) => {
                say(&format!("not sent: {why}"));
                Some(Stage::Idle)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::message::Kind;
    use std::net::IpAddr;
    use std::sync::mpsc::{SyncSender, sync_channel};

    fn device(id: u64) -> Device {
        Device { ip: IpAddr::from([10, 0, 0, 1]), id_or_port: id }
    }

    fn outgoing(to: To) -> (SyncSender<Vec<u8>>, Outgoing) {
        let (lines, typed) = sync_channel(8);
        (lines, Outgoing::new(typed, to, LineEnd::AsTyped))
    }

    #[test]
    fn a_line_waits_for_a_device() {
        let (lines, mut outgoing) = outgoing(To::Last);
        let mut devices = Devices::default();
        lines.send(b"one\n".to_vec()).unwrap();
        lines.send(b"two\n".to_vec()).unwrap();
        assert_eq!(outgoing.poll_next(&devices), None);
        devices.handle_event(Kind::Opened, device(1));
        assert_eq!(outgoing.poll_next(&devices), Some((device(1), b"one\n".to_vec())));
        assert_eq!(outgoing.poll_next(&devices), Some((device(1), b"two\n".to_vec())));
        assert_eq!(outgoing.poll_next(&devices), None);
    }

    #[test]
    fn a_line_for_all_goes_to_each_of_them() {
        let (lines, mut outgoing) = outgoing(To::All);
        let mut devices = Devices::default();
        (0..3).for_each(|id| devices.handle_event(Kind::Opened, device(id)));
        lines.send(b"off\n".to_vec()).unwrap();
        let mut ids: Vec<_> = std::iter::from_fn(|| outgoing.poll_next(&devices))
            .map(|(device, _)| device.id_or_port)
            .collect();
        ids.sort_unstable();
        assert_eq!(ids, [0, 1, 2]);
    }

    #[test]
    fn what_makes_no_sense_is_left_out() {
        let (lines, mut outgoing) = outgoing(To::Last);
        let mut devices = Devices::default();
        devices.handle_event(Kind::Opened, device(1));
        lines.send(b"\\q\n".to_vec()).unwrap();
        lines.send(b"ok\n".to_vec()).unwrap();
        assert_eq!(outgoing.poll_next(&devices), Some((device(1), b"ok\n".to_vec())));
    }
}
