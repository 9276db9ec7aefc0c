//! What must not happen, and does: descriptors run out, privileges are missing, crowds come and
//! vanish.

use std::io::{self, Write};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::harness::{
    Device, Dispatch, HELD_BYTES, Namespace, Tcp, Udp, allow_many_descriptors, eventually,
    free_port, ip, pattern, skipped, spawn, test_name, wait_until_still, write_through,
};

/// So few that a crowd of a hundred takes them all.
const FEW_DESCRIPTORS: u32 = 80;

#[test]
fn devices_leave_descriptors_to_health_checks_and_drivers() {
    let (dispatch, port, other) =
        (Dispatch::setup().descriptors(FEW_DESCRIPTORS).start(), free_port(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let _crowd: Vec<_> = (0..100).map(|_| Device::connect(port)).collect();
    driver.expect_opened();
    dispatch.expect_logged(&["refused 127.0.0.1", "out of file descriptors"]);
    dispatch.http().get("/api/server/healthz").expect_status(200);
    let mut late = dispatch.driver(Udp, other).connect();
    late.sync();
}

#[test]
fn the_start_says_when_fewer_files_may_be_open_than_the_ceilings_promise() {
    let dispatch = Dispatch::setup().descriptors(FEW_DESCRIPTORS).start();
    dispatch.expect_logged(&["only 80 files may be open", "ulimit -n"]);
}

#[test]
fn out_of_descriptors_accepting_pauses_and_what_is_connected_goes_on() {
    let (dispatch, port) = (Dispatch::setup().descriptors(FEW_DESCRIPTORS).start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut first = Device::connect(port);
    let (_, first_id) = driver.expect_opened();
    // All of them get in as far as the kernel is concerned, not all as far as dispatch is.
    let mut crowd: Vec<_> = (0..100).map(|_| dispatch.http()).collect();
    eventually("the limit is reached", || dispatch.descriptors() + 4 >= FEW_DESCRIPTORS as usize);
    for n in 0..20 {
        let line = format!("line {n}");
        first.send(line.as_bytes());
        driver.expect_received(first_id, line.as_bytes());
        driver.write("127.0.0.1", first_id, line.as_bytes());
        first.expect(line.as_bytes());
    }
    dispatch.expect_idle(29);
    // Those that leave make room for those that wait.
    crowd.drain(..60);
    crowd.last_mut().unwrap().get("/api/server/healthz").expect_status(200);
}

#[test]
fn out_of_descriptors_a_port_is_refused_in_words_and_opens_later() {
    let (dispatch, wanted) = (Dispatch::setup().descriptors(FEW_DESCRIPTORS).start(), free_port());
    let mut waiting = dispatch.http();
    waiting.get("/api/server/healthz").expect_status(200);
    let crowd: Vec<_> = (0..100).map(|_| dispatch.http()).collect();
    eventually("the limit is reached", || dispatch.descriptors() + 4 >= FEW_DESCRIPTORS as usize);
    waiting.send(dispatch.driver(Tcp, wanted).bytes());
    let refusal = waiting.response();
    assert!((400..600).contains(&refusal.status), "it answered {}", refusal.status);
    refusal.error();
    drop(crowd);
    eventually("the port opens", || {
        dispatch.driver(Tcp, wanted).try_connect().is_ok_and(|mut driver| {
            let _device = Device::connect(wanted);
            driver.expect_opened().1 == 0
        })
    });
}

#[test]
fn a_port_that_needs_a_privilege_is_a_403() {
    let Some(dispatch) = without_privileges() else { return };
    for protocol in [Tcp, Udp] {
        let refusal = dispatch.driver(protocol, 1).refused().expect_status(403);
        let words = refusal.error();
        assert!(words.contains("port 1"), "{words}");
    }
    dispatch.expect_nothing_open();
}

/// A dispatcher that may not open port 1; where none can be had, the calling test is skipped.
fn without_privileges() -> Option<Dispatch> {
    let first_free = std::fs::read_to_string("/proc/sys/net/ipv4/ip_unprivileged_port_start");
    if first_free.is_ok_and(|port| port.trim() == "0") {
        skipped(&test_name(), "no port needs a privilege on this system");
        return None;
    }
    if std::net::TcpListener::bind("127.0.0.1:1").is_err() {
        return Some(Dispatch::start());
    }
    let wrapper = ["setpriv", "--bounding-set", "-net_bind_service"];
    if Command::new(wrapper[0]).args(&wrapper[1..]).arg("true").status().is_ok_and(|s| s.success())
    {
        return Some(Dispatch::setup().through(&wrapper).start());
    }
    skipped(&test_name(), "every port is allowed here, and setpriv cannot take that away");
    None
}

#[test]
fn five_hundred_half_open_heads_are_no_trouble() {
    allow_many_descriptors();
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut heads: Vec<_> = (0..500).map(|_| dispatch.http()).collect();
    for head in &mut heads {
        head.send("GET /api/server/healthz HTTP/1.1\r\nHost: d\r\n");
    }
    let mut device = Device::connect(port);
    let (_, id) = driver.expect_opened();
    device.send(b"heard");
    driver.expect_received(id, b"heard");
    dispatch.get("/api/server/healthz").expect_status(200);
    for head in &mut heads {
        let status = head.try_send("\r\n").response().status;
        // On a machine that is busy with other things, a head's 10 s may be over.
        assert!(matches!(status, 200 | 408), "{status}");
    }
    drop(heads);
    eventually("their descriptors are back", || dispatch.descriptors() < 100);
}

#[test]
fn two_thousand_devices_that_come_at_once_and_vanish_leave_nothing_behind() {
    come_and_vanish(2_000);
}

#[test]
#[ignore = "needs more than 10,000 descriptors and some seconds"]
fn ten_thousand_devices_that_come_at_once_and_vanish_leave_nothing_behind() {
    come_and_vanish(10_000);
}

fn come_and_vanish(count: u64) {
    allow_many_descriptors();
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).accept("127.0.0.0/8").connect();
    let descriptors = dispatch.descriptors();
    thread::scope(|scope| {
        // The driver itself checks that each device's messages come in order.
        let reader = scope.spawn(|| while driver.next().data != b"and now?" {});
        let crowd: Vec<_> = (0..count)
            .map(|n| Device::connect_from(&format!("127.0.0.{}", n % 200 + 1), port))
            .collect();
        for mut device in crowd {
            device.send(b"!");
            device.reset();
        }
        dispatch.expect_tcp_figures(port, Some((1, 0)));
        eventually("all descriptors are back", || dispatch.descriptors() <= descriptors);
        Device::connect_from("127.0.0.250", port).send(b"and now?");
        reader.join().unwrap();
    });
}

#[test]
fn devices_that_reset_in_the_middle_of_bulk_are_let_go() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    for id in 0..20 {
        let mut device = Device::connect(port);
        driver.expect_opened();
        driver.write("127.0.0.1", id, &pattern(id, 200_000));
        device.send(&pattern(id, 200_000));
        device.reset();
        driver.collect(id);
    }
    dispatch.expect_tcp_figures(port, Some((1, 0)));
}

#[test]
fn a_log_that_nobody_reads_stalls_nothing() {
    let dispatch = Dispatch::setup().env("LOG_LEVEL", "trace").with_unread_log().start();
    let port = free_port();
    let mut driver = dispatch.driver(Tcp, port).connect();
    // Each of these makes at least one line at this level; a pipe holds 64 KiB.
    for n in 0..3000 {
        driver.write("127.0.0.1", n + 1000, b"nobody there");
        driver.write("not an address", n, b"nobody there");
    }
    driver.sync();
    for _ in 0..300 {
        dispatch.get("/api/server/nothing").expect_status(404);
    }
    let mut device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    device.send(b"still here");
    driver.expect_received(id, b"still here");
    driver.write(&ip, id, b"so am I");
    device.expect(b"so am I");
}

#[test]
fn a_log_that_nobody_reads_does_not_hold_up_the_end() {
    let mut dispatch = Dispatch::setup().env("LOG_LEVEL", "trace").with_unread_log().start();
    for _ in 0..1000 {
        dispatch.get("/api/server/nothing").expect_status(404);
    }
    dispatch.signal("TERM");
    assert_eq!(dispatch.expect_exit().code(), Some(0));
}

#[test]
fn an_idle_dispatcher_uses_no_processor() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let _devices = [(); 10].map(|()| Device::connect(port));
    for _ in 0..10 {
        driver.expect_opened();
    }
    driver.sync();
    dispatch.expect_idle(5);
}

#[test]
fn half_closed_devices_and_half_read_drivers_do_not_make_it_spin() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).small_window().connect();
    let mut flooding = Device::connect(port);
    let mut finished = Device::with_small_window(port);
    driver.expect_opened();
    let (ip, id) = driver.expect_opened();
    driver.write(&ip, id, &pattern(1, HELD_BYTES));
    driver.sync();
    finished.finish();
    flooding.send_until_full();
    dispatch.expect_idle(10);
}

#[test]
fn a_killed_driver_program_frees_its_port() {
    // The kernel ends the connections of a killed program: with a reset where input is unread,
    // in order where not. This one is another process, killed without a chance to say anything.
    let (dispatch, port) = (Dispatch::start(), free_port());
    let http = dispatch.address();
    let script = format!("exec 3<>/dev/tcp/{}/{}; cat >&3; exec sleep 60", http.ip(), http.port());
    let request = dispatch.driver(Tcp, port).bytes();
    let mut program = match start_with_input("bash", &["-c", &script], &request) {
        Ok(program) => program,
        Err(e) => return skipped(&test_name(), &format!("no bash here ({e})")),
    };
    dispatch.expect_tcp_figures(port, Some((1, 0)));
    let mut device = Device::connect(port);
    dispatch.expect_tcp_figures(port, Some((1, 1)));
    program.kill().unwrap();
    program.wait().unwrap();
    device.expect_end();
    dispatch.expect_nothing_open();
}

/// Starts a program that reads these bytes from its stdin, and then the end of it.
fn start_with_input(program: &str, args: &[&str], input: &[u8]) -> io::Result<Child> {
    let mut child = spawn(Command::new(program).args(args).stdin(Stdio::piped()))?;
    child.stdin.take().expect("stdin is piped").write_all(input)?;
    Ok(child)
}

// ---- Time -----------------------------------------------------------------------------------

// Setting the clock changes nothing: every deadline is measured by the monotonic clock, which
// cannot be set. The wall clock gives the time in lines of the log and of the commands and in
// answers, ends tokens at their date, and tells the TLS library whether a certificate is valid. What
// does jump is the time of a process that is stopped and goes on, as with `docker pause` or a virtual
// machine that is moved.

#[test]
fn deadlines_know_nothing_of_the_wall_clock() {
    let mut folders = vec![std::path::PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            let calls = ["SystemTime::now", "Timestamp::now", "Zoned::now", "UNIX_EPOCH"];
            // What is handed on under this name is shown to people, or compared with a token's date.
            let mut lines = text.lines().filter(|line| !line.contains("wall_time"));
            let asks = lines.any(|line| calls.iter().any(|call| line.contains(call)));
            let name = path.to_string_lossy();
            let prints =
                ["/src/logging", "/src/commands/listen"].iter().any(|part| name.contains(part));
            assert!(prints || !asks, "{} asks for the wall clock", path.display());
        }
    }
}

#[test]
fn a_suspension_of_the_program_is_not_held_against_a_device() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut slow = Device::with_small_window(port);
    let (ip, id) = driver.expect_opened();
    // More than the buffers of any kernel take beside what dispatch does.
    let data = pattern(id, 48 << 20);
    let (mut sender, sent) = (driver.sender(), AtomicUsize::new(0));
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for chunk in data.chunks(1 << 20) {
                write_through(&mut sender, &ip, id, chunk);
                sent.fetch_add(1, Ordering::SeqCst);
            }
        });
        wait_until_still("the device holds the driver", || sent.load(Ordering::SeqCst));
        assert!(!writer.is_finished(), "the device does not hold the driver");
        // Longer than a device may hold its driver, but it is not the device that does.
        dispatch.signal("STOP");
        thread::sleep(Duration::from_secs(7));
        dispatch.signal("CONT");
        slow.widen_window();
        slow.expect(&data);
    });
}

#[test]
#[ignore = "waits 80 s, since a silent driver is dead after 75 s"]
fn a_suspension_of_the_program_is_not_held_against_a_driver() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    dispatch.signal("STOP");
    thread::sleep(Duration::from_secs(80));
    dispatch.signal("CONT");
    thread::sleep(Duration::from_secs(1));
    driver.sync();
    driver.write(&ip, id, b"still here");
    device.expect(b"still here");
    dispatch.expect_tcp_figures(port, Some((1, 1)));
}

// ---- A dropped route ------------------------------------------------------------------------

#[test]
#[ignore = "takes 75 s, after which a silent driver is dead, and needs root"]
fn a_driver_behind_a_dropped_route_is_let_go() {
    let Some(namespace) = Namespace::new(1) else { return };
    let (name, link) = (namespace.name(), &namespace.links()[0]);
    let net = format!("10.213.{}", std::process::id() % 250 + 1);
    let own_ip = format!("{net}.1");
    assert!(ip(&format!("addr add {own_ip}/24 dev {}", link.ours)));
    assert!(ip(&format!("-n {name} addr add {net}.2/24 dev {}", link.theirs)));
    let dispatch = Dispatch::setup().arg("-b").arg(&own_ip).start();
    let listening = format!("listening on http://{own_ip}:");
    let line = dispatch.expect_logged(&[&listening]);
    let is_end = |c: char| !c.is_ascii_digit();
    let http_port = line.split_once(&listening).unwrap().1.split(is_end).next().unwrap();
    // It asks for a port, and then sends a pong every five seconds.
    let script = format!(
        "exec 3<>/dev/tcp/{}/{http_port}; cat >&3; \
         while sleep 5; do printf '\\x8a\\x80\\0\\0\\0\\0' >&3; done",
        own_ip
    );
    let port = free_port();
    let words = ["netns", "exec", name, "bash", "-c", &script];
    let request = dispatch.driver(Tcp, port).bytes();
    let mut program = start_with_input("ip", &words, &request).unwrap();
    dispatch.expect_tcp_figures(port, Some((1, 0)));
    let mut device = Device::connect(port);
    dispatch.expect_tcp_figures(port, Some((1, 1)));
    thread::sleep(Duration::from_secs(20));
    // From now on nothing passes, and neither end is told.
    assert!(ip(&format!("-n {name} link set lo down")));
    assert!(ip(&format!("link set {} down", link.ours)));
    let dropped = Instant::now();
    while dispatch.tcp_figures(port).is_some() {
        assert!(dropped.elapsed() < Duration::from_secs(90), "the port is still open");
        thread::sleep(Duration::from_millis(200));
    }
    assert!(dropped.elapsed() > Duration::from_secs(60), "after {:?}", dropped.elapsed());
    device.expect_end();
    dispatch.expect_logged(&["driver left port", &port.to_string()]);
    dispatch.driver(Tcp, port).connect();
    program.kill().unwrap();
    program.wait().unwrap();
}
