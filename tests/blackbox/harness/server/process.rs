//! The dispatcher as a process: signals, its end, and what it uses.

use std::fs;
use std::process::ExitStatus;
use std::thread;
use std::time::Duration;

use super::Dispatch;
use crate::harness::program::{resident_bytes, send_signal};
use crate::harness::{eventually, wait_for};

impl Dispatch {
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal, named without its SIG.
    #[track_caller]
    pub fn signal(&self, name: &str) {
        send_signal(&self.child, name);
    }

    /// Waits for its end.
    #[track_caller]
    pub fn expect_exit(&mut self) -> ExitStatus {
        wait_for("dispatch ends", || self.child.try_wait().expect("a child can be waited for"))
    }

    /// Its memory in use.
    pub fn resident_bytes(&self) -> usize {
        resident_bytes(self.child.id())
    }

    /// How many descriptors it has open.
    pub fn descriptors(&self) -> usize {
        fs::read_dir(self.proc("fd")).unwrap().count()
    }

    /// Passes once it uses no more processor time within a second than this many of the kernel's
    /// hundredths. A process that spins uses as many as it gets, second after second.
    #[track_caller]
    pub fn expect_idle(&self, limit: u64) {
        eventually("it does not spin", || self.ticks_in_a_second() <= limit);
    }

    fn ticks_in_a_second(&self) -> u64 {
        let before = self.cpu_ticks();
        thread::sleep(Duration::from_secs(1));
        self.cpu_ticks() - before
    }

    fn cpu_ticks(&self) -> u64 {
        let stat = fs::read_to_string(self.proc("stat")).unwrap();
        let after_name = stat.rsplit_once(") ").expect("the name is in brackets").1;
        after_name.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
    }

    fn proc(&self, name: &str) -> String {
        format!("/proc/{}/{name}", self.pid())
    }
}
