//! The balancer's programs: HAProxy with `haproxy.cfg`, and `udp.nft` with `udp-follow`.

use std::fs::File;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::harness::{TempFolder, eventually, spawn};
use crate::parts::{file, text};

use super::network::{Network, Place};

/// What runs on the balancer; it ends with its test.
pub struct Balancer {
    folder: TempFolder,
    haproxy: Child,
    udp_follow: Child,
}

impl Balancer {
    pub fn start(network: &Network) -> Self {
        let folder = TempFolder::new();
        let socket = folder.file("admin.sock");
        let config = text("haproxy.cfg").replace("/run/haproxy/admin.sock", &socket);
        // It wants two descriptors for each, and gives up where it can't have as many.
        let config = config.replace("maxconn 50000", "maxconn 1000");
        let config = folder.write("haproxy.cfg", &config);
        let within = |program: &str| {
            let mut command = Command::new("ip");
            command.args(["netns", "exec", &network.namespace(Place::Balancer), program]);
            let log = File::create(folder.file(&format!("{}.log", base_name(program)))).unwrap();
            command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
            command
        };
        let rules = file("udp.nft");
        let mut nft = spawn(within("nft").arg("-f").arg(&rules)).expect("nft starts");
        assert!(nft.wait().unwrap().success(), "nft takes udp.nft");
        // With a master, so that it can be reloaded.
        let haproxy = spawn(within("haproxy").args(["-W", "-db", "-f", &config]));
        let follow = file("udp-follow");
        let mut udp_follow = within(follow.to_str().expect("the path is text"));
        let udp_follow = spawn(udp_follow.env("HAPROXY_SOCKET", &socket));
        let balancer = Self {
            folder,
            haproxy: haproxy.expect("haproxy starts"),
            udp_follow: udp_follow.expect("udp-follow starts"),
        };
        eventually("haproxy listens", || Path::new(&socket).exists());
        balancer
    }

    /// Has HAProxy read its configuration again.
    pub fn reload(&self) {
        kill(Pid::from_raw(self.haproxy.id() as i32), Signal::SIGUSR2).expect("it runs");
    }

    /// Gives a command to HAProxy, which must have nothing to say to it.
    pub fn command(&self, command: &str) {
        let mut socket = UnixStream::connect(self.folder.file("admin.sock")).expect("it listens");
        socket.write_all(format!("{command}\n").as_bytes()).expect("it reads");
        let mut answer = String::new();
        socket.read_to_string(&mut answer).expect("it answers");
        assert_eq!(answer.trim(), "", "{command}");
    }

    fn log(&self, program: &str) -> String {
        std::fs::read_to_string(self.folder.file(&format!("{program}.log"))).unwrap_or_default()
    }
}

impl Drop for Balancer {
    fn drop(&mut self) {
        // HAProxy's master ends its workers when it is asked to end, and not when it is killed.
        let _ = kill(Pid::from_raw(self.haproxy.id() as i32), Signal::SIGTERM);
        let _ = self.haproxy.wait();
        let _ = self.udp_follow.kill();
        let _ = self.udp_follow.wait();
        if std::thread::panicking() {
            for program in ["haproxy", "udp-follow"] {
                eprintln!("---- {program} ----\n{}", self.log(program));
            }
        }
    }
}

fn base_name(program: &str) -> &str {
    program.rsplit('/').next().unwrap_or(program)
}
