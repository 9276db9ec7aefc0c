//! Tunnels that people use to reach devices, and how each is started.
//!
//! A tunnel has a server, to which devices connect, and a client, which takes each connection on to
//! a target: what a driver would be. Between the two they speak without TLS, except for ssh.

use std::fs::write;
use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

/// A tunnel that is compared with dispatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// <https://github.com/rapiz1/rathole>
    Rathole,
    /// <https://github.com/erebe/wstunnel>
    Wstunnel,
    /// <https://github.com/ekzhang/bore>
    Bore,
    /// OpenSSH with `-R`.
    Ssh,
}

/// Where the parts of a tunnel are to be found, all at 127.0.0.1.
#[derive(Debug, Clone, Copy)]
pub struct Places {
    /// Where the client connects to the server.
    pub control: u16,
    /// Where devices connect to the server.
    pub device: u16,
    /// Where the client connects for each device.
    pub target: u16,
}

/// The server of ssh, which wants to be started by its whole path.
const SSHD: &str = "/usr/sbin/sshd";

/// Where bore's client finds its server: nothing else can be chosen.
const BORE_CONTROL: u16 = 7835;

impl Peer {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Rathole, Self::Wstunnel, Self::Bore, Self::Ssh];

    /// Its name, which is also that of its client.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rathole => "rathole",
            Self::Wstunnel => "wstunnel",
            Self::Bore => "bore",
            Self::Ssh => "ssh",
        }
    }

    /// What it says of its version, or nothing where it is not installed.
    pub fn version(self) -> Option<String> {
        if self == Self::Ssh && !Path::new(SSHD).exists() {
            return None;
        }
        let flag = if self == Self::Ssh { "-V" } else { "--version" };
        let said = Command::new(self.name()).arg(flag).output().ok()?;
        let all = [said.stdout, said.stderr].concat();
        let text = String::from_utf8_lossy(&all).into_owned();
        // Rathole has a table in which the version is one of the lines.
        let line = text.lines().find(|line| line.contains(|c: char| c.is_ascii_digit()));
        let line = text.lines().find(|line| line.contains("Build Version")).or(line)?;
        Some(line.split_whitespace().collect::<Vec<_>>().join(" "))
    }

    /// Where its client connects to its server, if that is fixed.
    pub fn fixed_control(self) -> Option<u16> {
        (self == Self::Bore).then_some(BORE_CONTROL)
    }

    /// What starts the server.
    pub fn server(self, at: Places, folder: &Path) -> io::Result<Command> {
        let Places { control, device, .. } = at;
        match self {
            Self::Rathole => {
                rathole("server", folder, ("bind_addr", control), ("bind_addr", device))
            }
            Self::Wstunnel => {
                let url = format!("ws://127.0.0.1:{control}");
                Ok(program("wstunnel", &["--log-lvl", "OFF", "server", &url]))
            }
            Self::Bore => Ok(program("bore", &["server", "--bind-addr", "127.0.0.1"])),
            Self::Ssh => sshd(control, folder),
        }
    }

    /// What starts the client.
    pub fn client(self, at: Places, folder: &Path) -> io::Result<Command> {
        let Places { control, device, target } = at;
        match self {
            Self::Rathole => {
                rathole("client", folder, ("remote_addr", control), ("local_addr", target))
            }
            Self::Wstunnel => {
                let way = format!("tcp://127.0.0.1:{device}:127.0.0.1:{target}");
                let url = format!("ws://127.0.0.1:{control}");
                Ok(program("wstunnel", &["--log-lvl", "OFF", "client", "-R", &way, &url]))
            }
            Self::Bore => {
                let (device, target) = (device.to_string(), target.to_string());
                let local = ["local", &target, "--local-host", "127.0.0.1"];
                let remote = ["--to", "127.0.0.1", "--port", &device];
                Ok(program("bore", &[local, remote].concat()))
            }
            Self::Ssh => Ok(ssh(at, folder)),
        }
    }
}

fn program(name: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(name);
    command.args(arguments).env("RUST_LOG", "error");
    command
}

/// A side of rathole, with the names that it has for the control port and for that of its service.
fn rathole(
    side: &str,
    folder: &Path,
    (control_name, control): (&str, u16),
    (service_name, service): (&str, u16),
) -> io::Result<Command> {
    let file = folder.join(side);
    let text = format!(
        "[{side}]\n{control_name} = \"127.0.0.1:{control}\"\ndefault_token = \"t\"\n\
         [{side}.services.a]\n{service_name} = \"127.0.0.1:{service}\"\n"
    );
    write(&file, text)?;
    let mut command = program("rathole", &[&format!("--{side}")]);
    command.arg(file);
    Ok(command)
}

fn ssh(at: Places, folder: &Path) -> Command {
    let Places { control, device, target } = at;
    let mut command = program("ssh", &["-N", "-q", "-F", "none", "-p", &control.to_string()]);
    command.args(["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null"]);
    command.args(["-o", "BatchMode=yes", "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"]);
    command.args(["-o", "ExitOnForwardFailure=yes", "-i"]).arg(folder.join("key"));
    command.arg("-R").arg(format!("127.0.0.1:{device}:127.0.0.1:{target}")).arg("127.0.0.1");
    command
}

/// A server for the user who runs this, with keys of its own.
fn sshd(control: u16, folder: &Path) -> io::Result<Command> {
    for key in ["host", "key"] {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(folder.join(key));
        if !keygen.stdout(Stdio::null()).status()?.success() {
            return Err(io::Error::other("ssh-keygen failed"));
        }
    }
    // It looks for this folder before it reads what it should do, and says so where it is missing.
    let _ = std::fs::create_dir("/run/sshd");
    let file = folder.join("sshd_config");
    let shown = folder.display();
    let text = format!(
        "ListenAddress 127.0.0.1:{control}\nHostKey {shown}/host\nPidFile none\nUsePAM no\n\
         AuthorizedKeysFile {shown}/key.pub\nStrictModes no\nPermitRootLogin prohibit-password\n\
         PasswordAuthentication no\nMaxSessions 100\nLogLevel QUIET\n"
    );
    write(&file, text)?;
    let mut command = program(SSHD, &["-D", "-f"]);
    command.arg(file);
    Ok(command)
}
