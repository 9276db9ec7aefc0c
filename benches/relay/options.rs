//! What can be asked of the benchmarks, and the hidden roles in which they start themselves.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Parser, Subcommand, ValueEnum};

/// Measures dispatch against a baseline: a relay that does the system calls and nothing else.
#[derive(Debug, Clone, Parser)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Options {
    /// Sections to run [default: all]
    pub sections: Vec<Section>,
    /// Seconds that each run measures
    #[arg(long, default_value_t = 1.0)]
    pub seconds: f64,
    /// Runs of dispatch and of the baseline in turns; the median counts
    #[arg(long, default_value_t = 3)]
    pub runs: usize,
    /// Another build of dispatch to measure
    #[arg(long, default_value = env!("CARGO_BIN_EXE_dispatch"))]
    pub binary: PathBuf,
    /// Another build of dispatch to measure against, in place of the baseline
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

/// What can be measured, in the order in which all of it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Section {
    /// Devices send as much as they can
    DeviceToDriver,
    /// Devices send as much as a driver takes that reads at a pace
    DeviceToDriverPaced,
    /// Devices send at a rate that both sustain
    DeviceToDriverRate,
    /// A driver sends as much as it can
    DriverToDevice,
    /// There and back
    Echo,
    /// Datagrams from devices
    Udp,
    /// Datagrams to devices
    UdpToDevice,
    /// One port with many drivers
    Fanout,
    /// Devices that connect, say one line and close
    Churn,
    /// Memory and CPU of connections without a word
    Idle,
    /// Busy devices among many idle ones
    Linear,
    /// Bytes and handshakes over TLS
    Tls,
    /// What rathole, wstunnel, bore and ssh -R do in dispatch's place, where they are installed
    Peers,
    /// Messages of 100 to 50,000 devices
    Scale,
    /// What others notice of crowds that leave, flood and join
    Crowds,
}

/// The direction in which bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Direction {
    /// From devices to the driver.
    DeviceToDriver,
    /// From the driver to devices.
    DriverToDevice,
}

/// How the baseline writes to devices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Writes {
    /// A write for each message.
    Each,
    /// A write for each device and read.
    Gathered,
    /// A datagram for each message.
    Datagrams,
}

/// What the benchmarks start themselves for.
#[derive(Debug, Clone, Subcommand)]
pub enum Role {
    /// Keep a CPU awake.
    #[command(hide = true, name = "role-spin")]
    Spin,
    /// Be the baseline.
    #[command(hide = true, name = "role-baseline")]
    Baseline {
        /// Where drivers connect.
        driver_port: u16,
        /// Where devices connect, or send their datagrams.
        device_port: u16,
        /// How it writes to devices.
        writes: Writes,
    },
    /// Be the bare loop that TLS is measured against.
    #[command(hide = true, name = "role-tls")]
    Tls {
        /// Where the driver connects.
        driver_port: u16,
        /// Where devices connect.
        device_port: u16,
        /// The only direction in which it moves bytes.
        direction: Direction,
    },
}

impl Role {
    /// The arguments that give a process this role.
    pub fn arguments(&self) -> Vec<String> {
        match self {
            Role::Spin => vec!["role-spin".to_owned()],
            Role::Baseline { driver_port, device_port, writes } => {
                arguments("role-baseline", *driver_port, *device_port, writes)
            }
            Role::Tls { driver_port, device_port, direction } => {
                arguments("role-tls", *driver_port, *device_port, direction)
            }
        }
    }
}

fn arguments(role: &str, driver_port: u16, device_port: u16, how: &impl ValueEnum) -> Vec<String> {
    let how = how.to_possible_value().expect("no value of ours is skipped");
    let (drivers, devices) = (driver_port.to_string(), device_port.to_string());
    vec![role.to_owned(), drivers, devices, how.get_name().to_owned()]
}

impl Options {
    /// The sections that were asked for.
    pub fn sections(&self) -> impl Iterator<Item = Section> {
        let wanted =
            |section: &Section| self.sections.is_empty() || self.sections.contains(section);
        Section::value_variants().iter().copied().filter(wanted)
    }

    /// How long a run measures.
    pub fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds.clamp(0.1, 60.0))
    }
}
