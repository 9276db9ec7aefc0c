//! A relay under measurement, as a process of its own.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use super::floor::Toward;
use super::machine::{RELAY_CPU, Running, Stopped, start_on};
use super::options::Options;
use super::tls::Way;

/// A relay that does not listen after this long never will.
const START_MAX: Duration = Duration::from_secs(10);

/// Where relays listen.
const PORTS: std::ops::Range<u16> = 10_000..19_000;

/// Accepted by the relay in every run; drivers show it.
pub const SECRET: &str = "a-secret-for-benchmarks";

/// What is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// The released binary.
    Dispatch(PathBuf),
    /// What it is compared with in place of the floor: another build, or the same in other
    /// circumstances.
    Other(PathBuf),
    /// The system calls alone; toward devices one write for each message.
    Floor,
    /// The same with one write for each device and read.
    GatheringFloor,
    /// The bare rustls loop.
    BareTls(Way),
}

/// A relay that runs.
pub struct Server {
    process: Running,
    subject: Subject,
    /// Where drivers connect.
    pub driver_port: u16,
    /// Where devices connect.
    pub device_port: u16,
}

impl Subject {
    /// Dispatch first, then what it is compared with.
    pub fn pair(options: &Options) -> Vec<Self> {
        let other = options.against.clone().map_or(Self::Floor, Self::Other);
        vec![Self::Dispatch(options.binary.clone()), other]
    }

    /// The same and, unless two builds are compared, the gathering floor.
    pub fn all(options: &Options) -> Vec<Self> {
        let mut all = Self::pair(options);
        all.extend(options.against.is_none().then_some(Self::GatheringFloor));
        all
    }
}

impl Server {
    /// Starts a relay on its CPU and waits until it listens.
    pub fn start(subject: &Subject) -> io::Result<Self> {
        let (driver_port, device_port) = (free_port()?, free_port()?);
        let mut command = match subject {
            Subject::Dispatch(binary) | Subject::Other(binary) => dispatch(binary, driver_port),
            Subject::Floor => floor(Toward::OneByOne, driver_port, device_port)?,
            Subject::GatheringFloor => floor(Toward::Gathered, driver_port, device_port)?,
            Subject::BareTls(way) => bare_tls(*way, driver_port, device_port)?,
        };
        // It logs as it would in production, to somewhere that takes everything.
        command.stdout(Stdio::null());
        let process = start_on(RELAY_CPU, &mut command)?;
        let mut server = Self { process, subject: subject.clone(), driver_port, device_port };
        server.wait_until_it_listens()?;
        Ok(server)
    }

    /// CPU time so far.
    pub fn cpu(&self) -> io::Result<Duration> {
        self.process.cpu()
    }

    /// Has it stand still while the result lives.
    pub fn stop(&self) -> io::Result<Stopped> {
        self.process.stop()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.process.0.id()
    }

    /// What a driver must say first, if anything.
    pub fn request(&self, protocol: &str, port: u16) -> Option<String> {
        match self.subject {
            Subject::Floor | Subject::GatheringFloor | Subject::BareTls(_) => None,
            Subject::Dispatch(_) | Subject::Other(_) => Some(format!(
                "GET /api/dispatch/v1/{protocol}_dispatch?port={port}&accept=127.0.0.0/8 HTTP/1.1\r\n\
                 Host: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
                 Authorization: Bearer {SECRET}\r\n\r\n"
            )),
        }
    }

    fn wait_until_it_listens(&mut self) -> io::Result<()> {
        let deadline = Instant::now() + START_MAX;
        // Trying with the device port would make the floor count a device.
        while !listening(self.driver_port)? {
            if let Some(status) = self.process.0.try_wait()? {
                return Err(io::Error::other(format!("the relay ended at once: {status}")));
            }
            if Instant::now() > deadline {
                return Err(io::Error::other("the relay does not listen"));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

/// Whether the kernel lists a listener on the port. A connection would tell, too, but be taken
/// for a driver by the floor.
fn listening(port: u16) -> io::Result<bool> {
    let wanted = format!("0100007F:{port:04X}");
    let listed = std::fs::read_to_string("/proc/net/tcp")?;
    Ok(listed.lines().any(|line| {
        let mut fields = line.split_whitespace().skip(1);
        fields.next() == Some(&wanted) && fields.nth(1) == Some("0A")
    }))
}

fn dispatch(binary: &PathBuf, port: u16) -> Command {
    let mut command = Command::new(binary);
    command.env_clear().env("SG_ENV", "production").env("PLACE_SERVER_SECRET", SECRET).args([
        "--bind",
        "127.0.0.1",
        "--port",
        &port.to_string(),
    ]);
    command
}

fn floor(toward: Toward, driver_port: u16, device_port: u16) -> io::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["role-floor", &driver_port.to_string(), &device_port.to_string()]);
    if toward == Toward::Gathered {
        command.arg("--gather");
    }
    Ok(command)
}

fn bare_tls(way: Way, driver_port: u16, device_port: u16) -> io::Result<Command> {
    let way = match way {
        Way::Up => "up",
        Way::Down => "down",
    };
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["role-tls", &driver_port.to_string(), &device_port.to_string(), way]);
    Ok(command)
}

/// A port on which nobody listens. It is below those that the kernel gives to outgoing
/// connections: one of these, even ended, would keep the relay from opening it.
pub fn free_port() -> io::Result<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    for _ in PORTS {
        let nth = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_add(std::process::id() as u16);
        let port = PORTS.start + nth % (PORTS.end - PORTS.start);
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(io::Error::other("no port is free"))
}

/// Connects from one of many loopback addresses, so that the ports of one do not run out.
pub fn connect(to: u16, from: u8) -> io::Result<TcpStream> {
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
    if from != 1 {
        socket.bind(&SocketAddr::from((Ipv4Addr::new(127, 0, 0, from), 0)).into())?;
    }
    socket.connect(&SocketAddr::from((Ipv4Addr::LOCALHOST, to)).into())?;
    socket.set_tcp_nodelay(true)?;
    Ok(socket.into())
}
