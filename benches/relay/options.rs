//! What can be asked of the benchmarks, and the hidden roles in which they start themselves.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand};

use super::tls::Way;

/// Measures dispatch against a floor: a relay that does the system calls and nothing else.
#[derive(Debug, Clone, Parser)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Options {
    /// Sections to run (all): uplink uplink-rate downlink echo udp fanout churn idle linear
    /// tls
    pub sections: Vec<String>,
    /// Seconds that each run measures
    #[arg(long, default_value_t = 1.0)]
    pub seconds: f64,
    /// Runs of dispatch and of the floor in turns; the median counts
    #[arg(long, default_value_t = 3)]
    pub runs: usize,
    /// Another build of dispatch to measure
    #[arg(long, default_value = env!("CARGO_BIN_EXE_dispatch"))]
    pub binary: PathBuf,
    /// Another build of dispatch to measure against, in place of the floor
    #[arg(long)]
    pub against: Option<PathBuf>,
    /// Only the shapes whose description contains this, such as "64 x 4 KiB"
    #[arg(long, default_value = "")]
    pub only: String,
    /// Drivers mask with random keys and not with zeros
    #[arg(long)]
    pub random_mask: bool,
    /// Do not keep the CPUs awake
    #[arg(long)]
    pub no_spin: bool,
    /// Set by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
    /// What this process is started for
    #[command(subcommand)]
    pub role: Option<Role>,
}

/// What the benchmarks start themselves for.
#[derive(Debug, Clone, Subcommand)]
pub enum Role {
    /// Keep a CPU awake.
    #[command(hide = true, name = "role-spin")]
    Spin,
    /// Be the floor.
    #[command(hide = true, name = "role-floor")]
    Floor {
        /// Where drivers connect.
        driver_port: u16,
        /// Where devices connect, or send their datagrams.
        device_port: u16,
        /// Gather what one read brought for a device into one write.
        #[arg(long)]
        gather: bool,
    },
    /// Be the bare loop that TLS is measured against.
    #[command(hide = true, name = "role-tls")]
    Tls {
        /// Where the driver connects.
        driver_port: u16,
        /// Where devices connect.
        device_port: u16,
        /// The direction.
        way: Way,
    },
}

impl Role {
    /// The arguments for a process that spins.
    pub const SPIN: [&str; 1] = ["role-spin"];
}

impl Options {
    /// Whether a section was asked for.
    pub fn wants(&self, section: &str) -> bool {
        self.sections.is_empty() || self.sections.iter().any(|asked| asked == section)
    }

    /// How long a run measures.
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.clamp(0.1, 60.0))
    }
}
