//! One tab, driven over the DevTools protocol: what it shows is asked for in JavaScript.

use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tungstenite::{Message, WebSocket};

use super::chromium::{Chromium, STARTS_WITHIN};
use crate::harness::patience;

/// How long to look away between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(30);

/// A tab, and the browser around it.
pub struct Tab {
    socket: WebSocket<TcpStream>,
    session: String,
    asked: u64,
    /// What went wrong inside: exceptions, and what the page's policy forbade.
    faults: Vec<String>,
    _browser: Chromium,
}

impl Tab {
    /// Opens a page. Without a browser the calling test is skipped.
    pub fn open(page: &str) -> Option<Self> {
        let browser = Chromium::open("about:blank")?;
        let (port, path) = patiently(|| browser.debugger());
        let stream = TcpStream::connect(("127.0.0.1", port)).expect("the debugger accepts");
        stream.set_read_timeout(Some(STARTS_WITHIN * patience())).unwrap();
        let url = format!("ws://127.0.0.1:{port}{path}");
        let (socket, _) = tungstenite::client(url, stream).expect("the debugger answers");
        let (session, faults) = (String::new(), Vec::new());
        let mut tab = Self { socket, session, asked: 0, faults, _browser: browser };
        tab.attach();
        tab.call("Page.navigate", json!({ "url": page }));
        tab.expect("document.readyState === 'complete' && location.href !== 'about:blank'");
        Some(tab)
    }

    fn attach(&mut self) {
        let target = self.call("Target.createTarget", json!({ "url": "about:blank" }));
        let id = &target["targetId"];
        let session =
            self.call("Target.attachToTarget", json!({ "targetId": id, "flatten": true }));
        self.session = session["sessionId"].as_str().expect("a session").to_owned();
        for domain in ["Page", "Runtime", "Log"] {
            self.call(&format!("{domain}.enable"), json!({}));
        }
        self.set_size(1280, 800);
    }

    /// The size of the window.
    pub fn set_size(&mut self, width: u32, height: u32) {
        let metrics = json!({
            "width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500
        });
        self.call("Emulation.setDeviceMetricsOverride", metrics);
    }

    /// What this JavaScript comes to.
    #[track_caller]
    pub fn eval(&mut self, script: &str) -> Value {
        let parameters = json!({
            "expression": script, "awaitPromise": true, "returnByValue": true
        });
        let outcome = self.call("Runtime.evaluate", parameters);
        let exception = &outcome["exceptionDetails"];
        assert!(exception.is_null(), "{script}: {exception}");
        outcome["result"]["value"].clone()
    }

    /// The text of what this JavaScript comes to.
    #[track_caller]
    pub fn text(&mut self, script: &str) -> String {
        self.eval(script).as_str().unwrap_or_else(|| panic!("{script} is no text")).to_owned()
    }

    /// Waits until this JavaScript comes to true.
    #[track_caller]
    pub fn expect(&mut self, script: &str) {
        let (begun, patience) = (Instant::now(), STARTS_WITHIN * patience());
        while self.eval(script) != Value::Bool(true) {
            let shown = || "document.body ? document.body.innerText.slice(0, 2000) : 'nothing'";
            if begun.elapsed() > patience {
                panic!("never {script}; the page shows: {}", self.eval(shown()));
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits for an element, and clicks it.
    #[track_caller]
    pub fn click(&mut self, element: &str) {
        self.expect(&format!("Boolean({element})"));
        self.eval(&format!("{element}.click()"));
    }

    /// Types into what has the focus.
    pub fn type_text(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// Presses a key by its name.
    pub fn press(&mut self, key: &str) {
        let (code, text) = match key {
            "Enter" => (13, "\r"),
            "Escape" => (27, ""),
            "End" => (35, ""),
            "ArrowDown" => (40, ""),
            letter => (i64::from(letter.to_ascii_uppercase().as_bytes()[0]), letter),
        };
        let event = |kind: &str, text: &str| json!({ "type": kind, "key": key, "text": text, "windowsVirtualKeyCode": code });
        self.call("Input.dispatchKeyEvent", event("keyDown", text));
        self.call("Input.dispatchKeyEvent", event("keyUp", ""));
    }

    /// Passes when no script failed and the policy had nothing to forbid.
    #[track_caller]
    pub fn expect_no_fault(&mut self) {
        // Whatever happened before this is told before its answer.
        self.eval("0");
        assert!(self.faults.is_empty(), "{:#?}", self.faults);
    }

    #[track_caller]
    fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.asked += 1;
        let mut request = json!({ "id": self.asked, "method": method, "params": parameters });
        if !self.session.is_empty() {
            request["sessionId"] = json!(self.session);
        }
        self.socket.send(Message::text(request.to_string())).expect("the debugger listens");
        loop {
            let message = self.socket.read().expect("the debugger answers");
            let Ok(text) = message.to_text() else { continue };
            let event: Value = serde_json::from_str(text).expect("the debugger speaks JSON");
            if event["id"] == json!(self.asked) {
                assert!(event["error"].is_null(), "{method}: {}", event["error"]);
                return event["result"].clone();
            }
            self.note(&event);
        }
    }

    fn note(&mut self, event: &Value) {
        let entry = &event["params"]["entry"];
        match event["method"].as_str() {
            Some("Runtime.exceptionThrown") => self.faults.push(event["params"].to_string()),
            Some("Log.entryAdded") if entry["source"] == "security" => {
                self.faults.push(entry.to_string());
            }
            Some(_) | None => {}
        }
    }
}

/// The button with these words on it.
pub fn button(words: &str) -> String {
    format!("[...document.querySelectorAll('button')].find(b => b.textContent === '{words}')")
}

/// A browser may take its time.
fn patiently<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(begun.elapsed() < STARTS_WITHIN * patience(), "the browser does not start");
        thread::sleep(LOOK_EVERY);
    }
}
