//! What the system says of this process, for the metrics: a few short looks, whatever is connected.

use std::fs;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;

use crate::logging;
use crate::protocol::metrics::Process;

/// When this process began to serve.
static STARTED: OnceLock<Timestamp> = OnceLock::new();

/// Notes when the process started, unless that is known.
pub fn note_start(wall_time: SystemTime) {
    let started = Timestamp::try_from(wall_time).unwrap_or_default();
    STARTED.get_or_init(|| started);
}

/// How the process is. What the system keeps to itself is left open.
pub fn figures() -> Process {
    Process {
        start_seconds: STARTED.get().map(|started| started.as_duration().as_secs_f64()),
        cpu: cpu(),
        resident_bytes: fs::read_to_string("/proc/self/status").ok().and_then(|it| resident(&it)),
        open_files: open_files(),
        log_lines_dropped: logging::dropped_lines(),
    }
}

fn cpu() -> Option<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_SELF).ok()?;
    let spent = |time: TimeVal| {
        let seconds = u64::try_from(time.tv_sec()).ok()?;
        Some(Duration::new(seconds, u32::try_from(time.tv_usec() * 1_000).ok()?))
    };
    Some(spent(usage.user_time())? + spent(usage.system_time())?)
}

/// The line `VmRSS:     1234 kB`.
fn resident(status: &str) -> Option<u64> {
    let rest = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = rest.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kibibytes << 10)
}

/// Since Linux 6.2 the size of this folder is the number of its files. Before, it is 0, and to
/// count a hundred thousand of them would take the time of several turns.
fn open_files() -> Option<u64> {
    let size = fs::metadata("/proc/self/fd").ok()?.len();
    (size > 0).then_some(size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_has_memory_and_a_past() {
        let wall_time = SystemTime::now();
        note_start(wall_time);
        let process = figures();
        assert!(process.resident_bytes.is_some_and(|bytes| bytes > 100 << 10), "{process:?}");
        assert!(process.start_seconds.is_some_and(|seconds| seconds > 1.6e9), "{process:?}");
        assert!(process.cpu.is_some(), "{process:?}");
    }

    #[test]
    fn memory_is_the_line_of_the_resident_set() {
        assert_eq!(resident("VmPeak:\t 9 kB\nVmRSS:\t    1024 kB\nX: 1\n"), Some(1 << 20));
        assert_eq!(resident("VmPeak:\t 9 kB\n"), None);
    }

    #[test]
    fn files_that_are_open_are_counted_where_the_system_tells() {
        let Some(before) = open_files() else { return };
        let files: Vec<_> = (0..9).map(|_| fs::File::open("/proc/self/status").unwrap()).collect();
        assert!(open_files() >= Some(before.min(9)), "{before} and {}", files.len());
    }
}
