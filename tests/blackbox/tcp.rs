//! TCP devices and the drivers that hear them.

use std::thread;

use crate::harness::{
    Device, Dispatch, HELD_BYTES, Tcp, assert_same_bytes, eventually, free_port, has_ipv6, pattern,
};

/// What one RECEIVED or WRITE may carry at most, with the longest loopback address in front.
const WRITE_MAX_BYTES: usize = crate::harness::limits::MESSAGE_MAX_BYTES
    - crate::harness::message::OVERHEAD_BYTES
    - "127.0.0.1".len();

#[test]
fn a_device_is_announced_heard_answered_and_seen_off() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).accept("127.0.0.1").connect();
    let mut device = Device::connect(port);
    assert_eq!(driver.expect_opened(), ("127.0.0.1".to_owned(), 0));
    device.send(b"temperature?");
    driver.expect_received(0, b"temperature?");
    driver.write("127.0.0.1", 0, b"21.5");
    device.expect(b"21.5");
    drop(device);
    driver.expect_closed(0);
    assert!(driver.has_nothing_else());
    dispatch.expect_tcp_figures(port, Some((1, 0)));
}

#[test]
fn a_port_is_open_the_moment_its_driver_has_the_101() {
    let dispatch = Dispatch::start();
    for _ in 0..50 {
        let port = free_port();
        let mut driver = dispatch.driver(Tcp, port).connect();
        let _device = Device::connect(port);
        driver.expect_opened();
    }
}

#[test]
fn client_ids_count_up_from_zero_and_are_not_used_again() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    for id in 0..10 {
        let device = Device::connect(port);
        assert_eq!(driver.expect_opened().1, id);
        drop(device);
        driver.expect_closed(id);
    }
}

#[test]
fn client_ids_start_again_with_a_new_listener() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    for _ in 0..2 {
        let mut driver = dispatch.driver(Tcp, port).connect();
        let _device = Device::connect(port);
        assert_eq!(driver.expect_opened().1, 0);
        driver.leave();
        dispatch.expect_tcp_figures(port, None);
    }
}

#[test]
fn fifty_devices_in_one_burst_say_a_line_each_and_leave() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut devices: Vec<_> = (0..50).map(|_| Device::connect(port)).collect();
    for device in &mut devices {
        let line = format!("I am {}\n", device.port());
        device.send(line.as_bytes());
    }
    let mut wanted: Vec<_> = devices.iter().map(|d| format!("I am {}\n", d.port())).collect();
    drop(devices);
    let ids: Vec<_> = (0..50).map(|_| driver.expect_opened().1).collect();
    assert_eq!(ids, (0..50).collect::<Vec<u64>>());
    let mut lines: Vec<_> =
        ids.into_iter().map(|id| String::from_utf8(driver.collect(id)).unwrap()).collect();
    lines.sort();
    wanted.sort();
    assert_eq!(lines, wanted);
    assert!(driver.has_nothing_else());
    dispatch.expect_tcp_figures(port, Some((1, 0)));
}

#[test]
fn devices_that_flood_a_slow_driver_keep_their_streams_apart_and_whole() {
    const DEVICES: u64 = 5;
    const BYTES: usize = 1 << 20;
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).small_window().connect();
    let senders: Vec<_> = (0..DEVICES)
        .map(|id| {
            let mut device = Device::connect(port);
            assert_eq!(driver.expect_opened().1, id);
            thread::spawn(move || device.send(&pattern(id, BYTES)))
        })
        .collect();
    driver.socket().read_at_most(1000);
    for id in 0..DEVICES {
        assert_same_bytes(&driver.collect(id), &pattern(id, BYTES));
    }
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    assert!(driver.has_nothing_else());
}

#[test]
fn writes_arrive_in_order() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    let lines: Vec<_> = (0..1000).map(|n| format!("line {n}\n")).collect();
    for line in &lines {
        driver.write(&ip, id, line.as_bytes());
    }
    device.expect(lines.concat().as_bytes());
}

#[test]
fn an_empty_write_does_nothing() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    driver.write(&ip, id, b"");
    driver.write(&ip, id, b"after");
    device.expect(b"after");
}

#[test]
fn a_write_of_16_mib_arrives_whole() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    let data = pattern(1, WRITE_MAX_BYTES);
    thread::scope(|scope| {
        scope.spawn(|| driver.write(&ip, id, &data));
        device.expect(&data);
    });
    driver.sync();
}

#[test]
fn a_close_sends_what_was_written_before_it_and_closed_follows() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::with_small_window(port);
    let (ip, id) = driver.expect_opened();
    let data = pattern(2, HELD_BYTES);
    driver.write(&ip, id, &data);
    driver.close(&ip, id);
    driver.sync();
    assert_same_bytes(&device.read_to_end(), &data);
    drop(device);
    driver.expect_closed(id);
    dispatch.expect_tcp_figures(port, Some((1, 0)));
}

#[test]
fn a_close_sends_what_was_written_before_it_although_the_device_keeps_sending() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::with_small_window(port);
    let (ip, id) = driver.expect_opened();
    let data = pattern(3, 1 << 20);
    driver.write(&ip, id, &data);
    driver.close(&ip, id);
    device.send(&pattern(4, 64 << 10));
    device.expect(&data);
    drop(device);
    driver.collect(id);
}

#[test]
fn a_device_that_ends_its_side_still_gets_what_was_written_before() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::with_small_window(port);
    let (ip, id) = driver.expect_opened();
    let data = pattern(5, HELD_BYTES);
    driver.write(&ip, id, &data);
    driver.sync();
    device.send(b"last words");
    device.finish();
    driver.expect_received(id, b"last words");
    assert_same_bytes(&device.read_to_end(), &data);
    driver.expect_closed(id);
}

#[test]
fn a_device_that_ends_its_side_is_seen_off() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    device.finish();
    let (_, id) = driver.expect_opened();
    driver.expect_closed(id);
    device.expect_end();
    dispatch.expect_tcp_figures(port, Some((1, 0)));
}

#[test]
fn what_a_device_sent_before_its_reset_of_a_quiet_connection_is_heard() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (_, id) = driver.expect_opened();
    device.send(b"alarm");
    driver.expect_received(id, b"alarm");
    device.reset();
    driver.expect_closed(id);
    dispatch.expect_tcp_figures(port, Some((1, 0)));
}

#[test]
fn ipv4_and_ipv6_devices_use_one_listener() {
    if !has_ipv6() {
        return;
    }
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).accept("127.0.0.1,::1").connect();
    let _old = Device::connect(port);
    assert_eq!(driver.expect_opened(), ("127.0.0.1".to_owned(), 0));
    let mut new = Device::connect_from("::1", port);
    assert_eq!(driver.expect_opened(), ("::1".to_owned(), 1));
    driver.write("::1", 1, b"six");
    new.expect(b"six");
}

#[test]
fn an_address_is_the_same_in_every_spelling() {
    if !has_ipv6() {
        return;
    }
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).accept("::ffff:127.0.0.1,0:0::1").connect();
    let mut old = Device::connect(port);
    assert_eq!(driver.expect_opened().0, "127.0.0.1");
    driver.write("::ffff:127.0.0.1", 0, b"four");
    old.expect(b"four");
    let mut new = Device::connect_from("::1", port);
    assert_eq!(driver.expect_opened().0, "::1");
    driver.write("0:0:0:0:0:0:0:1", 1, b"six");
    new.expect(b"six");
}

#[test]
fn an_accept_list_has_ranges_blanks_and_duplicates() {
    if !has_ipv6() {
        return;
    }
    let (dispatch, port) = (Dispatch::start(), free_port());
    let list = " 127.0.0.4/30 , 127.0.0.1,127.0.0.1, ::1/128";
    let mut driver = dispatch.driver(Tcp, port).accept(list).connect();
    for covered in ["127.0.0.1", "127.0.0.4", "127.0.0.7", "::1"] {
        let _device = Device::connect_from(covered, port);
        assert_eq!(driver.expect_opened().0, covered);
    }
    for outside in ["127.0.0.3", "127.0.0.8"] {
        Device::connect_from(outside, port).expect_end();
    }
}

#[test]
fn all_of_ipv4_does_not_cover_ipv6() {
    if !has_ipv6() {
        return;
    }
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).accept("0.0.0.0/0").connect();
    Device::connect_from("::1", port).expect_end();
    let _device = Device::connect_from("127.9.9.9", port);
    assert_eq!(driver.expect_opened().0, "127.9.9.9");
}

#[test]
fn a_device_that_nobody_covers_is_closed_at_once_and_unseen() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).accept("127.0.0.2").connect();
    Device::connect_from("127.0.0.3", port).expect_end();
    let _device = Device::connect_from("127.0.0.2", port);
    assert_eq!(driver.next().ip, "127.0.0.2");
    dispatch.expect_tcp_figures(port, Some((1, 1)));
}

#[test]
fn each_driver_hears_its_own_devices_alone() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut two = dispatch.driver(Tcp, port).accept("127.0.0.2").connect();
    let mut three = dispatch.driver(Tcp, port).accept("127.0.0.3").connect();
    let mut device_two = Device::connect_from("127.0.0.2", port);
    let (_, id_two) = two.expect_opened();
    let mut device_three = Device::connect_from("127.0.0.3", port);
    let (_, id_three) = three.expect_opened();
    assert_ne!(id_two, id_three, "ids are the listener's");
    device_two.send(b"two");
    device_three.send(b"three");
    two.expect_received(id_two, b"two");
    three.expect_received(id_three, b"three");
    two.sync();
    three.sync();
    assert!(two.has_nothing_else() && three.has_nothing_else());
}

#[test]
fn drivers_that_cover_the_same_device_all_hear_it_and_may_write() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut drivers = [(); 3].map(|()| dispatch.driver(Tcp, port).connect());
    let mut device = Device::connect(port);
    device.send(b"hello all");
    for driver in &mut drivers {
        assert_eq!(driver.expect_opened(), ("127.0.0.1".to_owned(), 0));
        driver.expect_received(0, b"hello all");
        driver.write("127.0.0.1", 0, b"hello");
        device.expect(b"hello");
    }
    drivers[1].close("127.0.0.1", 0);
    device.expect_end();
    drop(device);
    drivers.iter_mut().for_each(|driver| driver.expect_closed(0));
}

#[test]
fn a_driver_does_not_reach_a_device_that_it_does_not_cover() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut owner = dispatch.driver(Tcp, port).accept("127.0.0.2").connect();
    let mut unlisted = dispatch.driver(Tcp, port).accept("127.0.0.3").connect();
    let mut device = Device::connect_from("127.0.0.2", port);
    let (ip, id) = owner.expect_opened();
    for pretended in ["127.0.0.2", "127.0.0.3"] {
        unlisted.write(pretended, id, b"intruder");
        unlisted.close(pretended, id);
    }
    unlisted.sync();
    owner.write(&ip, id, b"owner");
    device.expect(b"owner");
    device.send(b"still here");
    owner.expect_received(id, b"still here");
}

#[test]
fn messages_to_nobody_are_ignored() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    driver.expect_opened();
    for (ip, id) in [
        ("127.0.0.1", 7),
        ("127.0.0.1", u64::MAX),
        ("127.0.0.2", 0),
        ("::1", 0),
        ("no address", 0),
        ("", 0),
    ] {
        driver.write(ip, id, b"lost");
        driver.close(ip, id);
    }
    driver.write("127.0.0.1", 0, b"found");
    device.expect(b"found");
}

#[test]
fn messages_that_only_dispatch_sends_are_ignored() {
    use crate::harness::message::Kind::{Closed, Opened, Received};
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    driver.expect_opened();
    driver.send_message(Opened, "127.0.0.1", 0, b"");
    driver.send_message(Received, "127.0.0.1", 0, b"echo?");
    driver.send_message(Closed, "127.0.0.1", 0, b"");
    driver.write("127.0.0.1", 0, b"alive");
    device.expect(b"alive");
}

#[test]
fn a_write_after_a_close_is_ignored() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    driver.write(&ip, id, b"bye");
    driver.close(&ip, id);
    driver.write(&ip, id, b"too late");
    driver.close(&ip, id);
    assert_eq!(device.read_to_end(), b"bye");
    drop(device);
    driver.expect_closed(id);
    driver.expect_nothing_else();
}

#[test]
fn four_megabytes_go_both_ways_at_once() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let mut device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    let (up, down) = (pattern(6, 4 << 20), pattern(7, 4 << 20));
    let mut device_sender = device.stream().try_clone().unwrap();
    let mut driver_sender = driver.sender();
    thread::scope(|scope| {
        scope.spawn(|| std::io::Write::write_all(&mut device_sender, &up).unwrap());
        scope.spawn(|| {
            for chunk in down.chunks(10_000) {
                crate::harness::write_through(&mut driver_sender, &ip, id, chunk);
            }
        });
        scope.spawn(|| device.expect(&down));
        driver.expect_received(id, &up);
    });
}

#[cfg(target_os = "linux")]
#[test]
fn device_connections_are_kept_alive_by_tcp() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let device = Device::connect(port);
    driver.expect_opened();
    // Fields: slot, local, remote, state (01 is established), queues, timer (02 is keepalive).
    let (local, remote) = (format!(":{port:04X}"), format!(":{:04X}", device.port()));
    eventually("a keepalive timer runs on dispatch's end", || {
        ["/proc/net/tcp", "/proc/net/tcp6"].iter().any(|table| {
            let table = std::fs::read_to_string(table).unwrap_or_default();
            table.lines().any(|line| {
                let fields: Vec<_> = line.split_whitespace().collect();
                fields[1].ends_with(&local)
                    && fields[2].ends_with(&remote)
                    && fields[3] == "01"
                    && fields[5].starts_with("02:")
            })
        })
    });
}
