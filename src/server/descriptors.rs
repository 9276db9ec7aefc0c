//! Raises the limit of open files: every connection is one.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

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
