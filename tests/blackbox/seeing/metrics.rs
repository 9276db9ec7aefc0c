//! The metrics, as whoever scrapes them gets them.

use std::thread;

use crate::harness::{
    Device, Dispatch, HELD_BYTES, TEXT, Tcp, Udp, UdpPeer, eventually, free_port, masked,
    write_through,
};

const METRICS: &str = "/api/dispatch/v1/metrics";

/// The sample with this name and these labels.
#[track_caller]
fn sample(text: &str, name: &str) -> f64 {
    find(text, name).unwrap_or_else(|| panic!("no {name} in\n{text}"))
}

fn find(text: &str, name: &str) -> Option<f64> {
    let lines = text.lines().filter_map(|line| line.rsplit_once(' '));
    let mut found = lines.filter(|(known, _)| *known == name);
    found.next().map(|(_, value)| value.parse().expect("a number"))
}

#[track_caller]
fn scrape(dispatch: &Dispatch) -> String {
    dispatch.get(METRICS).expect_status(200).text()
}

/// Waits until a sample has a value.
#[track_caller]
fn expect_sample(dispatch: &Dispatch, name: &str, value: f64) {
    eventually(&format!("{name} {value}"), || sample(&scrape(dispatch), name) == value);
}

#[test]
fn they_are_plain_text_of_the_known_version_at_the_root_and_under_each_base() {
    let dispatch = Dispatch::start();
    for path in ["/metrics", "/metrics/", METRICS, "/api/server/metrics"] {
        let answer = dispatch.get(path).expect_status(200);
        let form = answer.header("content-type");
        assert_eq!(form, Some("text/plain; version=0.0.4; charset=utf-8"), "{path}");
        assert!(answer.text().starts_with("# HELP dispatch_build_info "), "{path}");
    }
    let head = dispatch.api().request("POST", "/metrics", &[]).expect_status(405);
    assert_eq!(head.header("allow"), Some("GET, HEAD"));
}

#[test]
fn they_need_a_token_unless_the_operator_shows_them_to_all() {
    let closed = Dispatch::start();
    closed.http().get("/metrics").expect_status(401);
    closed.http().get(METRICS).expect_status(401);
    for open in [
        Dispatch::setup().args(&["--public-metrics"]).start(),
        Dispatch::setup().env("SG_PUBLIC_METRICS", "true").start(),
    ] {
        open.http().get("/metrics").expect_status(200);
        open.api_as("wrong").get(METRICS).expect_status(200);
        open.http().get("/api/dispatch/v1").expect_status(401);
    }
}

#[test]
fn what_is_connected_and_what_passed_is_counted_by_protocol_and_by_port() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    device.send(b"hello");
    driver.expect_received(id, b"hello");
    driver.write(&ip, id, b"hi");
    device.expect(b"hi");
    let text = scrape(&dispatch);
    let of_port = format!("{{protocol=\"tcp\",port=\"{port}\"}}");
    for (name, value) in [
        ("dispatch_drivers".to_owned(), 1.0),
        ("dispatch_ports{protocol=\"tcp\"}".to_owned(), 1.0),
        ("dispatch_ports{protocol=\"udp\"}".to_owned(), 0.0),
        ("dispatch_devices{protocol=\"tcp\"}".to_owned(), 1.0),
        ("dispatch_devices_accepted_total{protocol=\"tcp\"}".to_owned(), 1.0),
        ("dispatch_drivers_accepted_total".to_owned(), 1.0),
        ("dispatch_received_bytes_total{protocol=\"tcp\"}".to_owned(), 5.0),
        ("dispatch_sent_bytes_total{protocol=\"tcp\"}".to_owned(), 2.0),
        ("dispatch_http_requests_total{status=\"101\"}".to_owned(), 1.0),
        (format!("dispatch_port_drivers{of_port}"), 1.0),
        (format!("dispatch_port_devices{of_port}"), 1.0),
        (format!("dispatch_port_received_bytes_total{of_port}"), 5.0),
        (format!("dispatch_port_sent_bytes_total{of_port}"), 2.0),
    ] {
        assert_eq!(sample(&text, &name), value, "{name}");
    }
}

#[test]
fn datagrams_are_counted_and_those_that_nobody_accepts_are_told_apart() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Udp, port).connect();
    let (peer, stranger) = (UdpPeer::bind("127.0.0.1"), UdpPeer::bind("127.0.0.2"));
    stranger.send(port, b"not me");
    peer.send(port, b"trap");
    driver.expect_datagram("127.0.0.1", peer.port(), b"trap");
    driver.write("127.0.0.1", peer.id(), b"answer");
    peer.expect(b"answer");
    let text = scrape(&dispatch);
    assert_eq!(sample(&text, "dispatch_datagrams_received_total"), 1.0);
    assert_eq!(sample(&text, "dispatch_datagrams_sent_total"), 1.0);
    assert_eq!(sample(&text, "dispatch_datagrams_dropped_total{reason=\"not_accepted\"}"), 1.0);
    assert_eq!(sample(&text, "dispatch_devices_refused_total{reason=\"not_accepted\"}"), 0.0);
    let refused = format!("dispatch_port_refused_total{{protocol=\"udp\",port=\"{port}\"}}");
    assert_eq!(sample(&text, &refused), 1.0);
}

#[test]
fn each_end_of_a_device_has_its_reason() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let _stranger = Device::connect_from("127.0.0.2", port);
    expect_sample(&dispatch, "dispatch_devices_refused_total{reason=\"not_accepted\"}", 1.0);
    drop(Device::connect(port));
    let (_, id) = driver.expect_opened();
    driver.expect_closed(id);
    expect_sample(&dispatch, "dispatch_devices_closed_total{reason=\"device\"}", 1.0);
    let _closed = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    driver.close(&ip, id);
    driver.expect_closed(id);
    expect_sample(&dispatch, "dispatch_devices_closed_total{reason=\"driver\"}", 1.0);
    let reset = Device::connect(port);
    let (_, id) = driver.expect_opened();
    reset.reset();
    driver.expect_closed(id);
    expect_sample(&dispatch, "dispatch_devices_closed_total{reason=\"lost\"}", 1.0);
    let _left = Device::connect(port);
    driver.expect_opened();
    drop(driver);
    expect_sample(&dispatch, "dispatch_devices_closed_total{reason=\"uncovered\"}", 1.0);
}

#[test]
fn each_end_of_a_driver_has_its_reason() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    dispatch.driver(Tcp, port).connect().reset();
    expect_sample(&dispatch, "dispatch_drivers_closed_total{reason=\"lost\"}", 1.0);
    dispatch.driver(Tcp, port).connect().leave();
    expect_sample(&dispatch, "dispatch_drivers_closed_total{reason=\"goodbye\"}", 1.0);
    let mut wordy = dispatch.driver(Tcp, port).connect();
    wordy.send(&masked(true, TEXT, b"hello"));
    wordy.expect_close_code(1003);
    expect_sample(&dispatch, "dispatch_drivers_closed_total{reason=\"1003\"}", 1.0);
}

#[test]
fn what_happened_on_a_port_outlives_it_in_the_sums() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    for _ in 0..2 {
        let mut driver = dispatch.driver(Tcp, port).connect();
        let mut device = Device::connect(port);
        let (_, id) = driver.expect_opened();
        device.send(b"12345");
        driver.expect_received(id, b"12345");
        drop((driver, device));
        dispatch.expect_nothing_open();
    }
    let text = scrape(&dispatch);
    assert_eq!(sample(&text, "dispatch_received_bytes_total{protocol=\"tcp\"}"), 10.0);
    assert_eq!(sample(&text, "dispatch_devices_accepted_total{protocol=\"tcp\"}"), 2.0);
    assert!(!text.contains("port=\""), "{text}");
}

#[test]
fn more_ports_than_the_operator_wants_series_of_are_counted() {
    let dispatch = Dispatch::setup().args(&["--metrics-ports", "2"]).start();
    let ports: Vec<_> = (0..5).map(|_| free_port()).collect();
    let _drivers: Vec<_> = ports.iter().map(|&it| dispatch.driver(Tcp, it).connect()).collect();
    let text = scrape(&dispatch);
    let series = text.lines().filter(|line| line.starts_with("dispatch_port_drivers{")).count();
    assert_eq!((series, sample(&text, "dispatch_ports_left_out")), (2, 3.0));
    assert_eq!(sample(&text, "dispatch_ports{protocol=\"tcp\"}"), 5.0);
}

#[test]
fn no_series_is_named_by_what_a_peer_chose() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let request = dispatch.driver(Tcp, port).header("X-Module-ID: lift-1");
    let _driver = request.header("X-Request-ID: chosen-1").connect();
    let _device = Device::connect(port);
    let _stranger = Device::connect_from("127.0.0.2", port);
    dispatch.http().get("/no-such-path");
    let text = scrape(&dispatch);
    for part in ["127.0.0", "lift-1", "chosen-1", "no-such-path"] {
        assert!(!text.contains(part), "{part} is in\n{text}");
    }
}

#[test]
fn the_process_and_the_loop_tell_how_they_are() {
    let dispatch = Dispatch::start();
    let text = scrape(&dispatch);
    let started = sample(&text, "process_start_time_seconds");
    let now = jiff::Timestamp::now().as_second() as f64;
    assert!((now - 600.0..=now + 1.0).contains(&started), "{started}");
    assert!(sample(&text, "process_resident_memory_bytes") > 1e6);
    assert!(sample(&text, "process_open_fds") >= 5.0);
    assert!(sample(&text, "process_max_fds") >= sample(&text, "process_open_fds"));
    let turns = |text: &str| sample(text, "dispatch_loop_turn_seconds_count");
    assert!(turns(&scrape(&dispatch)) > turns(&text), "a request is a turn");
    let busy = sample(&text, "dispatch_loop_busy_seconds_total");
    assert!(busy > 0.0 && busy < now - started + 2.0, "{busy}");
    assert_eq!(find(&text, "dispatch_certificate_expires_seconds"), None);
}

#[test]
fn the_limits_are_those_that_the_operator_set() {
    let args = ["--max-devices", "77", "--max-queued-bytes", "64M"];
    let text = scrape(&Dispatch::setup().args(&args).start());
    assert_eq!(sample(&text, "dispatch_limit{of=\"devices\"}"), 77.0);
    assert_eq!(sample(&text, "dispatch_limit{of=\"queued_bytes\"}"), 67_108_864.0);
    assert_eq!(sample(&text, "dispatch_limit{of=\"drivers\"}"), 4096.0);
}

#[test]
fn a_driver_that_does_not_keep_up_is_seen_and_so_are_its_devices() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).small_window().connect();
    let mut device = Device::connect(port);
    driver.expect_opened();
    device.send_until_full();
    expect_sample(&dispatch, "dispatch_drivers_congested", 1.0);
    expect_sample(&dispatch, "dispatch_devices_parked", 1.0);
    assert!(sample(&scrape(&dispatch), "dispatch_queued_bytes") > 100_000.0);
}

#[test]
fn a_device_that_holds_its_driver_back_is_seen_until_it_is_closed_for_that() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let _device = Device::with_small_window(port);
    let (ip, id) = driver.expect_opened();
    let mut sender = driver.sender();
    // It goes on once the device is gone.
    let writer = thread::spawn(move || {
        let data = vec![0; HELD_BYTES];
        (0..4).for_each(|_| write_through(&mut sender, &ip, id, &data));
    });
    expect_sample(&dispatch, "dispatch_devices_holding", 1.0);
    expect_sample(&dispatch, "dispatch_devices_closed_total{reason=\"slow\"}", 1.0);
    expect_sample(&dispatch, "dispatch_devices_holding", 0.0);
    writer.join().expect("all is written");
}

#[test]
fn log_lines_that_nobody_reads_are_counted() {
    let dispatch = Dispatch::setup().env("LOG_LEVEL", "trace").with_unread_log().start();
    let mut http = dispatch.http();
    eventually("lines are dropped", || {
        for _ in 0..500 {
            http.get("/api/server/healthz").expect_status(200);
        }
        sample(&scrape(&dispatch), "dispatch_log_lines_dropped_total") > 0.0
    });
}
