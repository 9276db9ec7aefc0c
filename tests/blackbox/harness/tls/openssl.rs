//! `openssl`, and devices that are `openssl s_client`.

use std::io::{ErrorKind, Read, Write};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use crate::harness::{eventually, spawn};

/// What `openssl` prints for these words, with this input.
#[track_caller]
pub fn openssl(words: &str, input: &str) -> String {
    let mut command = Command::new("openssl");
    command.args(words.split_whitespace());
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = spawn(&mut command).expect("openssl starts");
    child.stdin.take().unwrap().write_all(input.as_bytes()).expect("openssl reads");
    let output = child.wait_with_output().expect("a child can be waited for");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "openssl {words}: {errors}");
    String::from_utf8(output.stdout).expect("PEM is text")
}

/// A device that is `openssl s_client`.
pub struct OpenSslClient {
    child: Child,
    output: Arc<Mutex<String>>,
}

impl OpenSslClient {
    #[track_caller]
    pub fn connect(port: u16, words: &[&str]) -> Self {
        let mut command = Command::new("openssl");
        command.args(["s_client", "-ign_eof", "-connect", &format!("127.0.0.1:{port}")]);
        command.args(words);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(&mut command).expect("openssl starts");
        let output = Arc::new(Mutex::new(String::new()));
        gather(child.stdout.take().unwrap(), output.clone());
        gather(child.stderr.take().unwrap(), output.clone());
        Self { child, output }
    }

    #[track_caller]
    pub fn send(&mut self, text: &str) {
        let input = self.child.stdin.as_mut().expect("stdin is piped");
        input.write_all(text.as_bytes()).and_then(|()| input.flush()).expect("openssl reads");
    }

    /// Waits until it has printed this.
    #[track_caller]
    pub fn expect(&self, wanted: &str) {
        eventually(&format!("openssl prints {wanted:?}"), || self.output().contains(wanted));
    }

    pub fn output(&self) -> String {
        self.output.lock().unwrap().clone()
    }

    /// Waits for its end.
    #[track_caller]
    pub fn expect_exit(&mut self) {
        eventually("openssl ends", || self.child.try_wait().unwrap().is_some());
    }
}

impl Drop for OpenSslClient {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            eprintln!("---- what openssl printed ----\n{}", self.output());
        }
    }
}

fn gather(mut from: impl Read + Send + 'static, into: Arc<Mutex<String>>) {
    thread::spawn(move || {
        let mut bytes = [0; 4096];
        loop {
            match from.read(&mut bytes) {
                Ok(0) => return,
                Ok(len) => into.lock().unwrap().push_str(&String::from_utf8_lossy(&bytes[..len])),
                Err(e) if e.kind() == ErrorKind::Interrupted => {}
                Err(_) => return,
            }
        }
    });
}
