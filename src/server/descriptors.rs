//! The limit of open files: every connection is one.

use log::warn;
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::limits::{Ceilings, DESCRIPTORS_FOR_HTTP, DESCRIPTORS_OF_THE_PROCESS};

/// Raises the soft limit to the hard one, and logs what there is.
///
/// A failure is a log line and not an error: fewer connections fit, everything else works.
pub fn raise_limit() {
    let raised = getrlimit(Resource::RLIMIT_NOFILE).and_then(|(soft, hard)| {
        setrlimit(Resource::RLIMIT_NOFILE, hard, hard)?;
        Ok((soft, hard))
    });
    match raised {
        Ok((soft, hard)) => log::debug!(open_files = hard, before = soft; "open files at most"),
        Err(why) => log::warn!(reason:% = why; "the limit of open files could not be raised"),
    }
}

/// How many files may be open, as far as the system tells.
pub fn limit() -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(u64::MAX, |(soft, _)| soft);
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// Warns where the ceilings promise more connections than may be open.
pub fn warn_if_few(limit: usize, ceilings: &Ceilings) {
    let wanted = wanted(ceilings);
    if limit < wanted {
        warn!(
            open_files = limit, wanted = wanted;
            "only {limit} files may be open, and --max-devices, --max-drivers and --max-ports \
             allow for {wanted} in all: raise `ulimit -n` (LimitNOFILE), or lower them"
        );
    }
}

fn wanted(ceilings: &Ceilings) -> usize {
    let kept = DESCRIPTORS_FOR_HTTP + DESCRIPTORS_OF_THE_PROCESS;
    let peers = ceilings.devices.saturating_add(ceilings.drivers).saturating_add(ceilings.ports);
    peers.saturating_add(kept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_ceilings_promise_takes_a_descriptor_each_and_some_are_kept() {
        let ceilings = Ceilings { devices: 60, drivers: 10, ports: 4, ..Ceilings::default() };
        assert_eq!(wanted(&ceilings), 74 + DESCRIPTORS_FOR_HTTP + DESCRIPTORS_OF_THE_PROCESS);
        let endless = Ceilings { devices: usize::MAX, ..ceilings };
        assert_eq!(wanted(&endless), usize::MAX);
    }
}
