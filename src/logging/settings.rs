//! Which lines are logged, and for whom: plain data that the command line fills in.

use log::LevelFilter;

/// Which kind of installation this is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// JSON logs, and no start without a secret.
    Production,
    /// Logs for eyes, and a secret that everybody knows.
    Development,
}

/// Which lines are logged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogSettings {
    /// `LOG_LEVEL`, else the default of the mode.
    pub level: LevelFilter,
    /// `RUST_LOG`, which wins; its levels are spelled as the log crate does.
    pub filter: Option<String>,
}
