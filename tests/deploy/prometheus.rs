//! The metrics, and what reads them: promtool, a Prometheus with `prometheus.yml`, and the queries of
//! the dashboard in `grafana.json`.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use crate::harness::{Device, Dispatch, Http, Tcp, TempFolder, eventually, free_port, spawn};
use crate::parts::{has, succeed, text};

/// What a dispatcher with somebody on it tells.
fn metrics(dispatch: &Dispatch) -> String {
    dispatch.get("/metrics").expect_status(200).text()
}

#[test]
fn promtool_finds_nothing_wrong_with_the_metrics() {
    if !has(&["promtool"]) {
        return;
    }
    let (dispatch, port, folder) = (Dispatch::start(), free_port(), TempFolder::new());
    let bare = folder.write("bare", &metrics(&dispatch));
    let mut driver = dispatch.driver(Tcp, port).connect();
    let _device = Device::connect(port);
    driver.expect_opened();
    let used = folder.write("used", &metrics(&dispatch));
    for file in [bare, used] {
        succeed("sh", &["-c", &format!("promtool check metrics < {file}")]);
    }
}

// ---- What the files ask for -------------------------------------------------------------------

/// The names of all samples of a text.
fn names(metrics: &str) -> BTreeSet<&str> {
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    let mut names: BTreeSet<_> = lines.filter_map(|line| line.split(['{', ' ']).next()).collect();
    // Only where HTTPS is served.
    names.insert("dispatch_certificate_expires_seconds");
    names
}

/// The names of metrics of ours in some text.
fn asked(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("dispatch_") || word.starts_with("process_")).collect()
}

fn dashboard() -> Value {
    serde_json::from_str(&text("grafana.json")).expect("grafana.json is JSON")
}

fn panels(dashboard: &Value) -> &[Value] {
    dashboard["panels"].as_array().expect("panels")
}

/// The queries of a dashboard, with its variables filled in.
fn queries(dashboard: &Value) -> Vec<String> {
    let targets = panels(dashboard).iter().filter_map(|panel| panel["targets"].as_array());
    let annotations = dashboard["annotations"]["list"].as_array().into_iter();
    let asking = targets.chain(annotations).flatten();
    let queries = asking.map(|target| target["expr"].as_str().expect("a query"));
    queries.map(|it| it.replace("$__rate_interval", "1m").replace("$instance", ".*")).collect()
}

#[test]
fn alerts_and_dashboard_ask_for_metrics_that_there_are() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let _driver = dispatch.driver(Tcp, port).connect();
    let metrics = metrics(&dispatch);
    let known = names(&metrics);
    let queries = queries(&dashboard()).join("\n");
    for asked in [asked(&queries), asked(&text("alerts.yml"))] {
        assert!(asked.len() > 10, "{asked:?}");
        let unknown: Vec<_> = asked.difference(&known).collect();
        assert!(unknown.is_empty(), "{unknown:?} is not among\n{metrics}");
    }
}

#[test]
fn the_dashboard_shows_every_metric() {
    let dispatch = Dispatch::start();
    let port = free_port();
    let _driver = dispatch.driver(Tcp, port).connect();
    let metrics = metrics(&dispatch);
    let queries = queries(&dashboard()).join("\n");
    // A histogram is shown by its buckets, and its sum is the time that the loop is busy.
    let otherwise = ["dispatch_loop_turn_seconds_sum", "dispatch_loop_turn_seconds_count"];
    let shown = asked(&queries);
    let names = names(&metrics);
    let hidden = names.difference(&shown).filter(|name| !otherwise.contains(name));
    assert_eq!(hidden.collect::<Vec<_>>(), Vec::<&&str>::new());
}

#[test]
fn the_dashboard_can_be_provisioned_for_any_prometheus() {
    let dashboard = dashboard();
    let variable = &dashboard["templating"]["list"][0];
    assert_eq!(
        (&variable["type"], &variable["query"]),
        (&"datasource".into(), &"prometheus".into())
    );
    let mut ids = BTreeSet::new();
    for panel in panels(&dashboard) {
        assert!(ids.insert(panel["id"].as_u64().expect("an id")), "twice: {panel}");
        assert!(panel["title"].as_str().is_some_and(|title| !title.is_empty()), "{panel}");
        let place = ["x", "w", "h"].map(|name| panel["gridPos"][name].as_u64().expect("a place"));
        assert!(place[0] + place[1] <= 24 && place[2] > 0, "{panel}");
        for target in panel["targets"].as_array().into_iter().flatten() {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{target}");
        }
    }
}

// ---- A real Prometheus ------------------------------------------------------------------------

/// A Prometheus with the files of operators; it ends with its test.
struct Prometheus {
    child: Child,
    address: SocketAddr,
    folder: TempFolder,
}

impl Prometheus {
    fn start(dispatch: &Dispatch) -> Self {
        let folder = TempFolder::new();
        folder.write("alerts.yml", &text("alerts.yml"));
        folder.write("dispatch-token", &format!("{}\n", dispatch.token()));
        let config =
            text("prometheus.yml").replace("127.0.0.1:3000", &dispatch.address().to_string());
        let config = folder.write("prometheus.yml", &config.replace("15s", "1s"));
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let log = std::fs::File::create(folder.file("log")).expect("a file");
        let mut command = Command::new("prometheus");
        command.arg(format!("--config.file={config}"));
        command.arg(format!("--storage.tsdb.path={}", folder.file("data")));
        command.arg(format!("--web.listen-address={address}"));
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = spawn(&mut command).expect("prometheus starts");
        let prometheus = Self { child, address, folder };
        eventually("prometheus is ready", || {
            std::net::TcpStream::connect(address).is_ok()
                && prometheus.get("/-/ready").starts_with("HTTP/1.0 200")
        });
        prometheus
    }

    /// Over HTTP/1.0, which knows no chunks.
    fn get(&self, target: &str) -> String {
        let mut http = Http::connect(self.address);
        http.send(format!("GET {target} HTTP/1.0\r\nHost: p\r\n\r\n")).read_to_end()
    }

    /// What it finds, which must be an answer without an error.
    #[track_caller]
    fn ask(&self, target: &str) -> Value {
        let answer = self.get(target);
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        let answer: Value = serde_json::from_str(body).unwrap_or_else(|_| panic!("{answer}"));
        assert_eq!(answer["status"], "success", "{target}: {answer}");
        answer["data"].clone()
    }

    #[track_caller]
    fn query(&self, query: &str) -> Vec<Value> {
        let query = utf8_percent_encode(query, NON_ALPHANUMERIC);
        let found = self.ask(&format!("/api/v1/query?query={query}"));
        found["result"].as_array().expect("a list").clone()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.file("log")).unwrap_or_default()
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("---- the log of prometheus ----\n{}", self.log());
        }
    }
}

/// Whether one of the rules was tried, and none failed.
fn rules_are_well(prometheus: &Prometheus) -> bool {
    let groups = prometheus.ask("/api/v1/rules");
    let rules = groups["groups"][0]["rules"].as_array().expect("rules").clone();
    assert!(rules.iter().all(|rule| rule["health"] != "err"), "{rules:?}");
    rules.iter().all(|rule| rule["health"] == "ok")
}

#[test]
fn prometheus_reads_the_metrics_tries_the_alerts_and_answers_the_dashboard() {
    if !has(&["prometheus"]) {
        return;
    }
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (_, id) = driver.expect_opened();
    device.send(b"hello");
    driver.expect_received(id, b"hello");
    let prometheus = Prometheus::start(&dispatch);
    let received = format!("dispatch_port_received_bytes_total{{port=\"{port}\"}} == 5");
    eventually("the figures are read", || !prometheus.query(&received).is_empty());
    let failed = "scrape_samples_scraped{job=\"dispatch\"} < 50 or up == 0";
    assert_eq!(prometheus.query(failed), Vec::<Value>::new());
    eventually("the alerts are tried", || rules_are_well(&prometheus));
    let is_rate = |query: &String| query.contains('[') || query.contains("certificate");
    for query in queries(&dashboard()) {
        // A rate needs a second look, and the certificate HTTPS.
        let answered = !prometheus.query(&query).is_empty();
        assert!(answered || is_rate(&query), "nothing is found for {query}");
    }
}
