//! Another network on this machine: a namespace, joined to ours by links of interfaces.

use std::fs::File;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;

use nix::sched::{CloneFlags, setns};

use super::{skipped, spawn, test_name};

/// The namespace; it ends with its test.
pub struct Namespace {
    name: String,
    links: Vec<Link>,
}

/// Two interfaces that are joined, ours and the one in the namespace.
pub struct Link {
    pub ours: String,
    pub theirs: String,
}

impl Namespace {
    /// Makes one with so many links; where this machine does not allow it, the calling test is
    /// skipped.
    pub fn new(links: u8) -> Option<Self> {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let (process, made) = (std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        // An interface's name has at most 15 characters.
        let link = |n| {
            let stem = format!("d{process}x{made}x{n}");
            Link { ours: format!("{stem}a"), theirs: format!("{stem}b") }
        };
        let name = format!("dispatch{process}x{made}");
        let namespace = Self { name, links: (0..links).map(link).collect() };
        match namespace.join() {
            Ok(()) => Some(namespace),
            Err(args) => {
                skipped(&test_name(), &format!("no `ip {args}` here, which needs root"));
                None
            }
        }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn links(&self) -> &[Link] {
        &self.links
    }

    /// Runs this inside the namespace, for example to open a socket that belongs there.
    pub fn run_inside<T: Send>(&self, act: impl FnOnce() -> T + Send) -> T {
        let namespace = File::open(format!("/run/netns/{}", self.name)).expect("it was made");
        let enter_and_act = || {
            setns(namespace, CloneFlags::CLONE_NEWNET).expect("its maker may enter it");
            act()
        };
        // The namespace is the thread's, and ends with it.
        thread::scope(|scope| scope.spawn(enter_and_act).join().expect("it does not panic"))
    }

    fn join(&self) -> Result<(), String> {
        let name = &self.name;
        run(format!("netns add {name}"))?;
        for Link { ours, theirs } in &self.links {
            run(format!("link add {ours} type veth peer name {theirs} netns {name}"))?;
            run(format!("link set {ours} up"))?;
            run(format!("-n {name} link set {theirs} up"))?;
        }
        Ok(())
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        for link in &self.links {
            ip(&format!("link del {}", link.ours));
        }
        ip(&format!("netns del {}", self.name));
    }
}

/// Runs `ip`; whether it succeeded.
pub fn ip(args: &str) -> bool {
    let mut command = Command::new("ip");
    let spawned = spawn(command.args(args.split(' ')).stderr(Stdio::null()));
    spawned.and_then(|mut child| child.wait()).is_ok_and(|status| status.success())
}

fn run(args: String) -> Result<(), String> {
    if ip(&args) { Ok(()) } else { Err(args) }
}
