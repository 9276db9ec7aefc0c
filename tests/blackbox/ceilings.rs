//! What an operator may limit: reaching it is a refusal with words, what is there goes on, and
//! there is room again when somebody leaves.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use crate::harness::message::Kind;

use crate::harness::{
    BINARY, Device, Dispatch, Driver, DriverRequest, HELD_BYTES, Http, Tcp, UPGRADE, Udp,
    allow_many_descriptors, encode, eventually, free_port, masked, pattern,
};

fn limited(flag: &str, value: &str) -> Dispatch {
    Dispatch::setup().arg(flag).arg(value).start()
}

#[track_caller]
fn expect_exchange(driver: &mut Driver, device: &mut Device, id: u64) {
    device.send(b"question");
    driver.expect_received(id, b"question");
    driver.write("127.0.0.1", id, b"answer");
    device.expect(b"answer");
}

// ---- Drivers and ports ----------------------------------------------------------------------

/// A third one is refused with a 503 that names the flag, until one of the two leaves.
#[track_caller]
fn expect_room_for_two(dispatch: &Dispatch, flag: &str, third: &DriverRequest) {
    let first_port = free_port();
    let mut first = dispatch.driver(Tcp, first_port).connect();
    let second = dispatch.driver(Udp, free_port()).connect();
    let refusal = third.clone().refused().expect_status(503);
    assert!(refusal.error().contains(flag), "{}", refusal.error());
    assert!(refusal.header("retry-after").is_some(), "a 503 says when to come again");
    let mut device = Device::connect(first_port);
    let (_, id) = first.expect_opened();
    expect_exchange(&mut first, &mut device, id);
    second.leave();
    eventually("there is room again", || third.clone().try_connect().is_ok());
}

#[test]
fn a_driver_over_the_ceiling_is_a_503_until_another_leaves() {
    let dispatch = limited("--max-drivers", "2");
    let third = dispatch.driver(Tcp, free_port());
    expect_room_for_two(&dispatch, "--max-drivers", &third);
}

#[test]
fn a_port_over_the_ceiling_is_a_503_until_another_closes() {
    let dispatch = limited("--max-ports", "2");
    let third = dispatch.driver(Tcp, free_port());
    expect_room_for_two(&dispatch, "--max-ports", &third);
}

#[test]
fn a_port_that_is_open_takes_drivers_whatever_the_ceiling_of_ports() {
    let (dispatch, port) = (limited("--max-ports", "1"), free_port());
    let _first = dispatch.driver(Tcp, port).connect();
    let _second = dispatch.driver(Tcp, port).connect();
    dispatch.driver(Tcp, free_port()).refused().expect_status(503);
    dispatch.expect_tcp_figures(port, Some((2, 0)));
}

#[test]
fn a_refused_driver_leaves_no_port_behind() {
    let dispatch = limited("--max-drivers", "1");
    let port = free_port();
    let _driver = dispatch.driver(Tcp, free_port()).connect();
    dispatch.driver(Tcp, port).refused().expect_status(503);
    assert!(TcpStream::connect(("127.0.0.1", port)).is_err(), "the port is open");
    assert_eq!(dispatch.tcp_figures(port), None);
}

// ---- Devices --------------------------------------------------------------------------------

/// Two devices get in and a third does not, which the log says with the flag's name; when one of
/// the two has left, the next gets in.
#[track_caller]
fn expect_two_devices_at_most(dispatch: &Dispatch, flag: &str, ports: [u16; 2], third_ip: &str) {
    let accept = "127.0.0.0/8";
    // Where both ports are the same one, both drivers hear everything.
    let mut drivers = ports.map(|port| dispatch.driver(Tcp, port).accept(accept).connect());
    let mut first = Device::connect(ports[0]);
    let (_, first_id) = drivers[0].expect_opened();
    let second = Device::connect(ports[1]);
    let (_, second_id) = drivers[1].hear_opened_of(ports, first_id);
    Device::connect_from(third_ip, ports[1]).expect_end();
    dispatch.expect_logged(&["refused", third_ip, flag]);
    expect_exchange(&mut drivers[0], &mut first, first_id);
    drop(second);
    drivers[1].expect_closed(second_id);
    let mut next = Device::connect_from(third_ip, ports[1]);
    let (_, next_id) = drivers[1].expect_opened();
    next.send(b"at last");
    drivers[1].expect_received(next_id, b"at last");
}

impl Driver {
    /// The OPENED of the second device; on a shared port, that of the first comes before it.
    #[track_caller]
    fn hear_opened_of(&mut self, ports: [u16; 2], first_id: u64) -> (String, u64) {
        if ports[0] == ports[1] {
            assert_eq!(self.expect_opened().1, first_id);
        }
        self.expect_opened()
    }
}

#[test]
fn devices_over_the_ceiling_are_refused_until_one_leaves() {
    let dispatch = limited("--max-devices", "2");
    let ports = [free_port(), free_port()];
    expect_two_devices_at_most(&dispatch, "--max-devices", ports, "127.0.0.3");
}

#[test]
fn devices_over_the_ceiling_of_their_port_are_refused_until_one_leaves() {
    let dispatch = limited("--max-devices-per-port", "2");
    let (port, other) = (free_port(), free_port());
    expect_two_devices_at_most(&dispatch, "--max-devices-per-port", [port, port], "127.0.0.3");
    let mut driver = dispatch.driver(Tcp, other).connect();
    let mut device = Device::connect(other);
    driver.expect_opened();
    expect_exchange(&mut driver, &mut device, 0);
}

#[test]
fn devices_over_the_ceiling_of_their_address_are_refused_until_one_leaves() {
    let dispatch = limited("--max-devices-per-address", "2");
    let (ports, other) = ([free_port(), free_port()], free_port());
    expect_two_devices_at_most(&dispatch, "--max-devices-per-address", ports, "127.0.0.1");
    let mut driver = dispatch.driver(Tcp, other).accept("127.0.0.0/8").connect();
    let (_a, _b) =
        (Device::connect_from("127.0.0.2", other), Device::connect_from("127.0.0.2", other));
    driver.expect_opened();
    driver.expect_opened();
}

/// They say nothing, and would be waited for.
#[track_caller]
fn expect_three_silent_ones_at_most(dispatch: &Dispatch, flag: &str, port: u16) {
    let before = dispatch.descriptors();
    let crowd: Vec<_> = (0..40).map(|_| Device::connect(port)).collect();
    dispatch.expect_logged(&["refused", flag]);
    eventually("most are closed", || dispatch.descriptors() <= before + 3);
    drop(crowd);
    eventually("all are closed", || dispatch.descriptors() <= before);
}

#[test]
fn connections_that_make_no_tls_handshake_count_like_devices() {
    for flag in ["--max-devices", "--max-devices-per-port", "--max-devices-per-address"] {
        let (dispatch, port) = (limited(flag, "3"), free_port());
        let _driver = tls_driver(&dispatch, port);
        expect_three_silent_ones_at_most(&dispatch, flag, port);
    }
}

#[test]
fn connections_that_send_no_proxy_header_count_like_devices() {
    for flag in ["--max-devices", "--max-devices-per-port"] {
        let (dispatch, port) = (behind_balancer(flag, "3"), free_port());
        let _driver = dispatch.driver(Tcp, port).connect();
        expect_three_silent_ones_at_most(&dispatch, flag, port);
    }
}

#[test]
fn the_ceiling_of_an_address_goes_by_the_one_in_the_proxy_header() {
    let (dispatch, port) = (behind_balancer("--max-devices-per-address", "2"), free_port());
    let mut driver = dispatch.driver(Tcp, port).accept("192.0.2.0/24").connect();
    let connect = |source| {
        let mut device = Device::connect(port);
        device.send(format!("PROXY TCP4 192.0.2.{source} 192.0.2.1 1 2\r\n").as_bytes());
        device
    };
    let _two = [7, 7].map(|source| {
        let device = connect(source);
        assert_eq!(driver.expect_opened().0, "192.0.2.7");
        device
    });
    connect(7).expect_end();
    dispatch.expect_logged(&["refused 192.0.2.7", "--max-devices-per-address"]);
    let _another = connect(8);
    assert_eq!(driver.expect_opened().0, "192.0.2.8");
}

/// All of loopback is a load balancer's.
fn behind_balancer(flag: &str, value: &str) -> Dispatch {
    Dispatch::setup().arg("--trusted-proxies").arg("127.0.0.0/8").arg(flag).arg(value).start()
}

/// A driver of a TLS port with a certificate that dispatch makes.
fn tls_driver(dispatch: &Dispatch, port: u16) -> Http {
    let target = format!("/api/server/tls_dispatch?port={port}&accept=127.0.0.1");
    let authorization = dispatch.authorization();
    let headers: Vec<_> = UPGRADE.into_iter().chain([authorization.as_str()]).collect();
    let mut http = dispatch.http();
    let response = http.request("GET", &target, &headers).response();
    assert_eq!(response.status, 101, "{:?}", response.text());
    http
}

// ---- Connections a second -------------------------------------------------------------------

#[test]
fn connections_over_the_rate_wait_and_none_is_lost() {
    let (dispatch, port) = (limited("--max-accepts-per-second", "10"), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let begun = Instant::now();
    let mut crowd: Vec<_> = (0..25).map(|_| Device::connect(port)).collect();
    for (n, device) in crowd.iter_mut().enumerate() {
        device.send(&[n as u8]);
    }
    let mut heard: Vec<u8> = Vec::new();
    while heard.len() < crowd.len() {
        heard.extend(driver.next().data);
    }
    // Ten in each of the first two seconds, the rest in the third.
    assert!(begun.elapsed() >= Duration::from_secs(2), "{:?}", begun.elapsed());
    heard.sort_unstable();
    assert!(heard.iter().copied().eq(0..25), "{heard:?}");
}

#[test]
fn the_rate_of_one_port_is_not_felt_on_another() {
    let (dispatch, busy, other) =
        (limited("--max-accepts-per-second", "1"), free_port(), free_port());
    let _driver = dispatch.driver(Tcp, busy).connect();
    let _crowd: Vec<_> = (0..50).map(|_| Device::connect(busy)).collect();
    let mut driver = dispatch.driver(Tcp, other).connect();
    let mut device = Device::connect(other);
    let (_, id) = driver.expect_opened();
    expect_exchange(&mut driver, &mut device, id);
    let (drivers, devices) = dispatch.tcp_figures(busy).unwrap();
    assert!((drivers, devices) <= (1, 20), "{devices} devices at one a second");
}

// ---- Who may be accepted --------------------------------------------------------------------

#[test]
fn an_accept_list_of_everything_is_a_403_where_that_is_forbidden() {
    let dispatch = Dispatch::setup().arg("--forbid-accept-all").start();
    for list in ["0.0.0.0/0", "::/0", "10.0.0.1, 0.0.0.0/0", "0.0.0.0/1,128.0.0.0/1"] {
        let port = free_port();
        let refusal = dispatch.driver(Tcp, port).accept(list).refused().expect_status(403);
        assert!(refusal.error().contains("every address"), "{list}: {}", refusal.error());
        assert_eq!(dispatch.tcp_figures(port), None, "{list}");
    }
    dispatch.driver(Tcp, free_port()).accept("10.0.0.0/8,127.0.0.1").connect();
    Dispatch::start().driver(Tcp, free_port()).accept("0.0.0.0/0,::/0").connect();
}

// ---- Bytes queued in all --------------------------------------------------------------------

const QUEUED_MAX: usize = 4 << 20;
/// What the program may take beyond what is queued: its buffers grow by doubling, and some are
/// kept for the next turn.
const SLACK: usize = 3 * QUEUED_MAX + (32 << 20);

/// Writes what a device does not read: more than the kernel takes, and less than its own mark.
/// In messages so short that the driver itself holds little. Whether dispatch took it all.
fn stall_device(mut driver: &TcpStream, id: u64) -> bool {
    pattern(id, HELD_BYTES).chunks(65_536).all(|chunk| {
        let message = encode(Kind::Write, "127.0.0.1", id, chunk);
        driver.write_all(&masked(true, BINARY, &message)).is_ok()
    })
}

#[test]
fn the_sum_of_all_queues_is_kept_and_the_largest_holder_is_cut_off() {
    let dispatch = limited("--max-queued-bytes", "4M");
    let port = free_port();
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut stalled: Vec<_> = (0..30).map(|_| Device::with_small_window(port)).collect();
    for _ in &stalled {
        driver.expect_opened();
    }
    let mut healthy = Device::connect(port);
    let (_, healthy_id) = driver.expect_opened();
    let before = dispatch.resident_bytes();
    let mut most = 0;
    for id in 0..stalled.len() as u64 {
        assert!(stall_device(driver.stream(), id), "the driver was cut off");
        most = most.max(dispatch.resident_bytes().saturating_sub(before));
    }
    dispatch.expect_logged(&["--max-queued-bytes", "is paused", "127.0.0.1"]);
    dispatch.expect_logged(&["is cut off", "too much is queued in all"]);
    driver.write("127.0.0.1", healthy_id, b"still here");
    healthy.expect(b"still here");
    most = most.max(dispatch.resident_bytes().saturating_sub(before));
    assert!(most < SLACK, "30 devices with nearly 4 MiB each made it grow by {most} bytes");
    // Whoever was cut off is said to be gone; the others get every byte.
    for _ in 0..2 {
        let closed = driver.next_closed();
        assert!(closed < stalled.len() as u64, "the healthy one was cut off");
    }
    stalled.clear();
    dispatch.expect_tcp_figures(port, Some((1, 1)));
    expect_exchange(&mut driver, &mut healthy, healthy_id);
}

#[test]
fn a_sum_that_grows_faster_than_holders_are_paused_is_kept_too() {
    allow_many_descriptors();
    let dispatch = limited("--max-queued-bytes", "4M");
    let before = dispatch.resident_bytes();
    // Each has a driver of its own, so that pausing one holds no other back.
    let stalled: Vec<_> = (0..40)
        .map(|_| {
            let port = free_port();
            let mut driver = dispatch.driver(Tcp, port).connect();
            let device = Device::with_small_window(port);
            driver.expect_opened();
            (driver, device)
        })
        .collect();
    let most = std::thread::scope(|scope| {
        for (driver, _) in &stalled {
            let sender = driver.sender();
            scope.spawn(move || stall_device(&sender, 0));
        }
        let until = Instant::now() + Duration::from_secs(3);
        let mut most = 0;
        while Instant::now() < until {
            most = most.max(dispatch.resident_bytes().saturating_sub(before));
            std::thread::sleep(Duration::from_millis(10));
        }
        most
    });
    assert!(most < SLACK, "40 devices with nearly 4 MiB each made it grow by {most} bytes");
    dispatch.expect_logged(&["is cut off", "too much is queued in all"]);
}

#[test]
fn what_is_queued_on_connections_that_are_being_ended_counts_and_is_cut_off() {
    let dispatch = limited("--max-queued-bytes", "4M");
    let (left, port) = (free_port(), free_port());
    let mut leaving = dispatch.driver(Tcp, left).connect();
    let abandoned: Vec<_> = (0..3).map(|_| Device::with_small_window(left)).collect();
    for _ in &abandoned {
        let (_, id) = leaving.expect_opened();
        assert!(stall_device(leaving.stream(), id));
    }
    leaving.sync();
    // What was written to its devices is still to be flushed.
    leaving.leave();
    let mut driver = dispatch.driver(Tcp, port).connect();
    let _slow = Device::with_small_window(port);
    let (ip, slow_id) = driver.expect_opened();
    let mut healthy = Device::connect(port);
    let (_, healthy_id) = driver.expect_opened();
    for chunk in pattern(0, HELD_BYTES - (1 << 18)).chunks(65_536) {
        driver.write(&ip, slow_id, chunk);
    }
    dispatch.expect_logged(&["a connection that is being ended", "is cut off"]);
    // Those who hold less are not made to pay.
    expect_exchange(&mut driver, &mut healthy, healthy_id);
    assert!(driver.has_nothing_else(), "the slow device was cut off");
}

impl Driver {
    /// The id of the next CLOSED.
    #[track_caller]
    fn next_closed(&mut self) -> u64 {
        loop {
            let heard = self.next();
            if heard.kind == Kind::Closed {
                return heard.id;
            }
        }
    }
}

#[test]
fn many_drivers_that_read_slowly_are_cut_off_when_their_sum_is_too_much() {
    allow_many_descriptors();
    let dispatch = limited("--max-queued-bytes", "4M");
    let before = dispatch.resident_bytes();
    let stalled: Vec<_> = (0..40)
        .map(|_| {
            let port = free_port();
            let driver = dispatch.driver(Tcp, port).small_window().connect();
            (driver, flooding(port))
        })
        .collect();
    dispatch.expect_logged(&["the driver", "holds", "is paused", "--max-queued-bytes"]);
    dispatch.expect_logged(&["the driver", "is cut off", "too much is queued in all"]);
    let grown = dispatch.resident_bytes().saturating_sub(before);
    assert!(grown < SLACK, "it grew by {grown} bytes");
    let port = free_port();
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (_, id) = driver.expect_opened();
    expect_exchange(&mut driver, &mut device, id);
    drop(stalled);
    dispatch.expect_tcp_figures(port, Some((1, 1)));
}

/// A device that has sent as much as is taken from it.
fn flooding(port: u16) -> Device {
    let mut device = Device::connect(port);
    device.stream().set_write_timeout(Some(Duration::from_millis(20))).unwrap();
    while matches!(device.stream().write(&[7; 65_536]), Ok(1..)) {}
    device
}

#[test]
fn halves_of_messages_count_as_queued() {
    let dispatch = limited("--max-queued-bytes", "4M");
    let before = dispatch.resident_bytes();
    let mut drivers: Vec<_> = (0..8).map(|_| dispatch.driver(Tcp, free_port()).connect()).collect();
    // The beginning of a message of 16 MiB, whose end never comes.
    let mut half = vec![0x82, 0xFF];
    half.extend((16u64 << 20).to_be_bytes());
    half.extend([0; 4]);
    half.extend(vec![3; 3 << 20]);
    for driver in &mut drivers {
        driver.try_send(&half);
    }
    dispatch.expect_logged(&["the driver", "is cut off", "too much is queued in all"]);
    let enough = || dispatch.statistics()["tcp_listeners"].as_object().unwrap().len() <= 1;
    eventually("enough are cut off", enough);
    let grown = dispatch.resident_bytes().saturating_sub(before);
    assert!(grown < 8 * (3 << 20) + SLACK, "it grew by {grown} bytes");
}

#[test]
fn a_ceiling_that_makes_no_sense_is_said_in_a_line() {
    for (flag, value) in [
        ("--max-drivers", "many"),
        ("--max-ports", "-1"),
        ("--max-devices", "0"),
        ("--max-queued-bytes", "1K"),
        ("--max-accepts-per-second", "0"),
    ] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_dispatch"))
            .args(["-b", "127.0.0.1", "-p", "0"])
            .arg(format!("{flag}={value}"))
            .output()
            .expect("the program runs");
        let words = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{flag} {value}: {words}");
        assert_eq!(words.lines().count(), 1, "{words}");
        assert!(words.contains(flag), "{words}");
    }
}

#[test]
fn a_ceiling_may_come_from_the_environment() {
    let dispatch = Dispatch::setup().env("SG_MAX_DRIVERS", "1").start();
    let _driver = dispatch.driver(Tcp, free_port()).connect();
    let refusal = dispatch.driver(Tcp, free_port()).refused().expect_status(503);
    assert!(refusal.error().contains("--max-drivers"), "{}", refusal.error());
}
