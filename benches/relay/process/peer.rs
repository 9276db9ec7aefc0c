//! Tunnels that people use to reach devices, and how each is started.
//!
//! A tunnel has a server, to which devices connect, and a client, which takes each connection on to
//! a target: what a driver would be. Between the two they speak without TLS, except for ssh.

use std::fs::write;
use std::io;
use std::os::unix::fs::PermissionsExt;
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
        let mut command;
        match self {
            Self::Rathole => {
                let file = folder.join("server.toml");
                let (control, device) = (at.control, at.device);
                write(
                    &file,
                    format!(
                        "[server]\nbind_addr = \"127.0.0.1:{control}\"\ndefault_token = \"t\"\n\
                         [server.services.a]\nbind_addr = \"127.0.0.1:{device}\"\n"
                    ),
                )?;
                command = Command::new("rathole");
                command.arg("--server").arg(file).env("RUST_LOG", "error");
            }
            Self::Wstunnel => {
                command = Command::new("wstunnel");
                command.args(["--log-lvl", "OFF", "server"]);
                command.arg(format!("ws://127.0.0.1:{}", at.control));
            }
            Self::Bore => {
                command = Command::new("bore");
                command.args(["server", "--bind-addr", "127.0.0.1"]).env("RUST_LOG", "error");
            }
            Self::Ssh => {
                let file = sshd_config(at, folder)?;
                command = Command::new("/usr/sbin/sshd");
                command.arg("-D").arg("-f").arg(file);
            }
        }
        Ok(command)
    }

    /// What starts the client.
    pub fn client(self, at: Places, folder: &Path) -> io::Result<Command> {
        let mut command = Command::new(self.name());
        let (control, device, target) = (at.control, at.device, at.target);
        match self {
            Self::Rathole => {
                let file = folder.join("client.toml");
                write(
                    &file,
                    format!(
                        "[client]\nremote_addr = \"127.0.0.1:{control}\"\ndefault_token = \"t\"\n\
                         [client.services.a]\nlocal_addr = \"127.0.0.1:{target}\"\n"
                    ),
                )?;
                command.arg("--client").arg(file).env("RUST_LOG", "error");
            }
            Self::Wstunnel => {
                command.args(["--log-lvl", "OFF", "client", "-R"]);
                command.arg(format!("tcp://127.0.0.1:{device}:127.0.0.1:{target}"));
                command.arg(format!("ws://127.0.0.1:{control}"));
            }
            Self::Bore => {
                command.args(["local", &target.to_string(), "--local-host", "127.0.0.1"]);
                command.args(["--to", "127.0.0.1", "--port", &device.to_string()]);
                command.env("RUST_LOG", "error");
            }
            Self::Ssh => {
                command.args(["-N", "-q", "-F", "none", "-p", &control.to_string()]);
                command.args([
                    "-o",
                    "StrictHostKeyChecking=no",
                    "-o",
                    "UserKnownHostsFile=/dev/null",
                ]);
                command.args(["-o", "ExitOnForwardFailure=yes", "-i"]).arg(folder.join("key"));
                command.arg("-R").arg(format!("127.0.0.1:{device}:127.0.0.1:{target}"));
                command.arg("127.0.0.1");
            }
        }
        Ok(command)
    }
}

/// A server for the user who runs this, with keys of its own.
fn sshd_config(at: Places, folder: &Path) -> io::Result<std::path::PathBuf> {
    for key in ["host", "key"] {
        let mut keygen = Command::new("ssh-keygen");
        keygen.args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(folder.join(key));
        if !keygen.stdout(Stdio::null()).status()?.success() {
            return Err(io::Error::other("ssh-keygen failed"));
        }
    }
    // OpenSSH looks for its folder before it reads what it should do.
    let _ = std::fs::create_dir("/run/sshd");
    let file = folder.join("sshd_config");
    let shown = folder.display();
    write(
        &file,
        format!(
            "ListenAddress 127.0.0.1:{}\nHostKey {shown}/host\nPidFile none\nUsePAM no\n\
             AuthorizedKeysFile {shown}/key.pub\nStrictModes no\nPermitRootLogin yes\n\
             MaxSessions 100\nLogLevel QUIET\n",
            at.control
        ),
    )?;
    std::fs::set_permissions(folder.join("key"), std::fs::Permissions::from_mode(0o600))?;
    Ok(file)
}
