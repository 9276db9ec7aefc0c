//! TLS device ports: `tls_dispatch` with real peers.

use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

use dispatch::message::Kind;
use rustls::ProtocolVersion;

use crate::util::{
    Authority, Device, Dispatch, Driver, OpenSsl, Pair, Tcp, Tls, TlsDevice, TlsVersion,
    eventually, free_port, has_openssl, openssl, pattern, write_through,
};

const MIB: usize = 1 << 20;
const VERSIONS: [TlsVersion; 2] = [TlsVersion::V1_2, TlsVersion::V1_3];

fn wire_version(version: TlsVersion) -> ProtocolVersion {
    match version {
        TlsVersion::V1_2 => ProtocolVersion::TLSv1_2,
        TlsVersion::V1_3 => ProtocolVersion::TLSv1_3,
    }
}

fn open_port(dispatch: &Dispatch) -> (Driver, u16) {
    let port = free_port();
    (dispatch.driver(Tls, port).connect(), port)
}

// ---- Keys and certificates ------------------------------------------------------------------

#[test]
fn openssl_speaks_both_versions_with_every_kind_of_key() {
    if !has_openssl("openssl_speaks_both_versions_with_every_kind_of_key") {
        return;
    }
    let dispatch = Dispatch::start();
    let rsa = openssl("genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048", "");
    let ec = openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256", "");
    let ec384 = openssl("ecparam -name secp384r1 -genkey -noout", "");
    let keys = [
        ("-----BEGIN PRIVATE KEY", &rsa),
        ("-----BEGIN RSA PRIVATE KEY", &openssl("rsa -traditional", &rsa)),
        ("-----BEGIN PRIVATE KEY", &ec),
        ("-----BEGIN EC PRIVATE KEY", &openssl("ec", &ec)),
        ("-----BEGIN EC PRIVATE KEY", &ec384),
    ];
    for (begin, key) in keys {
        assert!(key.starts_with(begin), "{begin}: openssl made another form");
        converse_with_openssl(&dispatch, key, None);
        let certificate = openssl("req -x509 -new -subj /CN=building -days 3 -key /dev/stdin", key);
        converse_with_openssl(&dispatch, key, Some(&certificate));
    }
}

/// A word each way and the end, over TLS 1.2 and 1.3.
fn converse_with_openssl(dispatch: &Dispatch, key: &str, certificate: Option<&str>) {
    let port = free_port();
    let mut request = dispatch.driver(Tls, port).pem("private_key", key);
    if let Some(certificate) = certificate {
        request = request.pem("certificate", certificate);
    }
    let mut driver = request.connect();
    for (version, name) in [("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")] {
        let mut device = OpenSsl::connect(port, &[version]);
        let (ip, id) = driver.expect_opened();
        device.send("what is the temperature?\n");
        driver.expect_received(id, b"what is the temperature?\n");
        driver.write(&ip, id, b"twenty-one degrees\n");
        device.expect("twenty-one degrees");
        driver.close(&ip, id);
        driver.expect_closed(id);
        // It says so after close_notify; a connection that is only cut is an error to it.
        device.expect("closed");
        device.expect_exit();
        let output = device.output();
        assert!(output.contains(name), "{output}");
        let wanted = if certificate.is_some() { "CN = building" } else { "CN = dispatch" };
        assert!(output.contains(wanted), "{output}");
    }
}

#[test]
fn a_chain_is_served_whole() {
    let dispatch = Dispatch::start();
    let root = Authority::new("root");
    let between = root.intermediate("between");
    let pair = between.sign("leaf");
    let port = free_port();
    let chain = pair.certificate.clone() + &between.certificate;
    let mut driver = dispatch
        .driver(Tls, port)
        .pem("private_key", &pair.key)
        .pem("certificate", &chain)
        .connect();
    let mut device = TlsDevice::connect(port);
    driver.expect_opened();
    let shown = device.session().peer_certificates().unwrap();
    assert_eq!((shown.len(), &shown[0]), (2, &pair.der()));
}

#[test]
fn without_a_key_all_ports_show_one_certificate_of_the_process() {
    let dispatch = Dispatch::start();
    let (_first, one) = open_port(&dispatch);
    let (_second, other) = open_port(&dispatch);
    assert_eq!(TlsDevice::connect(one).shown(), TlsDevice::connect(other).shown());
    let another = Dispatch::start();
    let (_third, elsewhere) = open_port(&another);
    assert_ne!(TlsDevice::connect(one).shown(), TlsDevice::connect(elsewhere).shown());
}

#[test]
fn the_first_drivers_certificate_is_served_to_all() {
    let dispatch = Dispatch::start();
    let (first, second) = (Pair::self_signed("first"), Pair::self_signed("second"));
    let port = free_port();
    let wish = |pair: &Pair| {
        dispatch
            .driver(Tls, port)
            .pem("private_key", &pair.key)
            .pem("certificate", &pair.certificate)
            .connect()
    };
    let (one, _two) = (wish(&first), wish(&second));
    assert_eq!(TlsDevice::connect(port).shown(), first.der());
    one.leave();
    assert_eq!(TlsDevice::connect(port).shown(), first.der());
}

#[test]
fn parameters_that_cannot_be_used_are_named() {
    let dispatch = Dispatch::start();
    let (pair, other) = (Pair::self_signed("one"), Pair::self_signed("other"));
    let port = free_port();
    let wish = || dispatch.driver(Tls, port);
    let garbage = "-----BEGIN PRIVATE KEY-----\nnot base64!\n-----END PRIVATE KEY-----\n";
    let with_key = || wish().pem("private_key", &pair.key);

    wish().pem("certificate", &pair.certificate).refused().expect_fault(400, "private_key");
    wish().pem("private_key", "hello").refused().expect_fault(400, "private_key");
    wish().pem("private_key", garbage).refused().expect_fault(400, "private_key");
    wish().pem("private_key", &pair.certificate).refused().expect_fault(400, "private_key");
    wish().pem("private_key", "\u{0}\u{ff}").refused().expect_fault(400, "private_key");
    with_key().pem("certificate", "hello").refused().expect_fault(400, "certificate");
    with_key().pem("certificate", &pair.key).refused().expect_fault(400, "certificate");
    with_key().pem("certificate", &other.certificate).refused().expect_fault(400, "certificate");
    wish().pem("client_ca", "hello").refused().expect_fault(400, "client_ca");
    wish().pem("client_ca", &pair.key).refused().expect_fault(400, "client_ca");
    dispatch.expect_nothing_open();
    assert!(Device::try_from("127.0.0.1", port, None).is_err(), "the port is open");
}

#[test]
fn a_refusal_repeats_nothing_of_a_key() {
    let dispatch = Dispatch::start();
    let (pair, other) = (Pair::self_signed("one"), Pair::self_signed("other"));
    let port = free_port();
    let refused = dispatch
        .driver(Tls, port)
        .pem("private_key", &pair.key)
        .pem("certificate", &other.certificate)
        .refused();
    let _driver = dispatch.driver(Tls, port).pem("private_key", &pair.key).connect();
    let secret = pair.key.lines().nth(1).unwrap();
    let answer = String::from_utf8(refused.body).unwrap();
    dispatch.expect_logged(&["opening tls port"]);
    for part in [&secret[..8], &secret[24..]] {
        assert!(!answer.contains(part) && !dispatch.log().contains(part));
    }
    assert!(!dispatch.log().contains("private_key="));
}

#[test]
fn a_port_serves_tcp_or_tls_and_never_both() {
    let dispatch = Dispatch::start();
    let (_tls, tls_port) = open_port(&dispatch);
    let tcp_port = free_port();
    let _tcp = dispatch.driver(Tcp, tcp_port).connect();
    let answer = dispatch.driver(Tcp, tls_port).refused().expect_status(409);
    assert!(answer.error().contains("tls"), "{}", answer.error());
    let answer = dispatch.driver(Tls, tcp_port).refused().expect_status(409);
    assert!(answer.error().contains("tcp"), "{}", answer.error());
    assert_eq!(dispatch.tcp_figures(tls_port), Some((1, 0)));
    assert_eq!(dispatch.tcp_figures(tcp_port), Some((1, 0)));
}

#[test]
fn nothing_is_written_to_disk() {
    let place = std::env::temp_dir().join(format!("dispatch-{}", uuid::Uuid::new_v4().simple()));
    std::fs::create_dir(&place).unwrap();
    let dispatch = Dispatch::setup()
        .through(&["/bin/sh", "-c", "cd \"$TMPDIR\" && exec \"$0\" \"$@\""])
        .env("TMPDIR", place.to_str().unwrap())
        .env("HOME", place.to_str().unwrap())
        .start();
    let pair = Pair::self_signed("one");
    let (_own, own) = open_port(&dispatch);
    let port = free_port();
    let _driver = dispatch.driver(Tls, port).pem("private_key", &pair.key).connect();
    TlsDevice::connect(own);
    TlsDevice::connect(port);
    let written = std::fs::read_dir(&place).unwrap().count();
    let files = std::fs::read_dir(format!("/proc/{}/fd", dispatch.pid())).unwrap();
    let open: Vec<_> = files
        .filter_map(|file| std::fs::read_link(file.unwrap().path()).ok())
        .filter(|path| path.is_absolute() && !path.starts_with("/dev"))
        .collect();
    std::fs::remove_dir_all(&place).unwrap();
    assert_eq!((written, open), (0, Vec::new()));
}

// ---- Bytes ----------------------------------------------------------------------------------

#[test]
fn twelve_mib_go_both_ways_at_once() {
    let dispatch = Dispatch::start();
    for version in VERSIONS {
        let (mut driver, port) = open_port(&dispatch);
        let mut device = TlsDevice::begin(port, version, None);
        device.shake_hands().unwrap();
        assert_eq!(device.version(), wire_version(version));
        let (ip, id) = driver.expect_opened();
        let (down, up) = (pattern(1, 12 * MIB), pattern(2, 12 * MIB));
        let mut sender = driver.sender();
        let wanted = down.clone();
        let writing = thread::spawn(move || {
            for chunk in down.chunks(100_003) {
                write_through(&mut sender, &ip, id, chunk);
            }
        });
        let sent = up.clone();
        let talking = thread::spawn(move || {
            for (out, expected) in sent.chunks(50_021).zip(wanted.chunks(50_021)) {
                device.send(out);
                device.expect(expected);
            }
            device
        });
        driver.expect_received(id, &up);
        writing.join().unwrap();
        let mut device = talking.join().unwrap();
        device.close_notify();
        driver.expect_closed(id);
    }
}

#[test]
fn a_device_that_reads_nothing_for_a_while_loses_nothing() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let raw = Device::with_small_window(port);
    let mut device = TlsDevice::over(raw, TlsVersion::V1_3, None);
    device.shake_hands().unwrap();
    let (ip, id) = driver.expect_opened();
    let bytes = pattern(3, 3 * MIB);
    driver.write(&ip, id, &bytes);
    driver.close(&ip, id);
    driver.sync();
    assert_eq!(device.read_to_close_notify().len(), bytes.len());
    driver.expect_closed(id);
}

#[test]
fn bytes_right_behind_the_handshake_are_heard() {
    let dispatch = Dispatch::start();
    for version in VERSIONS {
        let (mut driver, port) = open_port(&dispatch);
        let mut device = TlsDevice::begin(port, version, None);
        device.shake_hands_and_say(b"hello at once");
        let (_, id) = driver.expect_opened();
        driver.expect_received(id, b"hello at once");
        driver.expect_closed(id);
    }
}

#[test]
fn a_handshake_that_comes_byte_by_byte_succeeds() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = TlsDevice::begin(port, TlsVersion::V1_3, None);
    for byte in device.flight() {
        device.socket().write_all(&[byte]).unwrap();
    }
    device.shake_hands().unwrap();
    let (_, id) = driver.expect_opened();
    device.send(b"here");
    driver.expect_received(id, b"here");
}

#[test]
fn opened_comes_only_after_the_handshake() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = TlsDevice::begin(port, TlsVersion::V1_3, None);
    let hello = device.flight();
    device.socket().write_all(&hello).unwrap();
    // Its answer shows that dispatch has dealt with the hello.
    device.socket().peek(&mut [0]).unwrap();
    driver.sync();
    assert!(driver.has_heard_nothing_else());
    assert_eq!(dispatch.tcp_figures(port), Some((1, 0)));
    device.shake_hands().unwrap();
    driver.expect_opened();
    assert_eq!(dispatch.tcp_figures(port), Some((1, 1)));
}

#[test]
fn a_late_driver_hears_of_tls_devices_and_ids_are_not_used_up_by_failures() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut stranger = Device::connect(port);
    stranger.send(b"not TLS at all\r\n\r\n");
    stranger.expect_end_after_anything();
    let _device = TlsDevice::connect(port);
    assert_eq!(driver.expect_opened().1, 0);
    let mut late = dispatch.driver(Tls, port).connect();
    assert_eq!(late.expect_opened(), ("127.0.0.1".to_owned(), 0));
}

// ---- Handshakes that fail -------------------------------------------------------------------

/// Passes when the port stays as it was, and one line of the log tells why.
#[track_caller]
fn expect_one_line(dispatch: &Dispatch, driver: &mut Driver, port: u16, why: &str) {
    dispatch.expect_logged(&["did not get in", &port.to_string(), why]);
    let log = dispatch.log();
    let port_words = format!("on port {port} did not get in");
    let lines: Vec<_> = log.lines().filter(|line| line.contains(&port_words)).collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    driver.sync();
    assert!(driver.has_heard_nothing_else());
    assert_eq!(dispatch.tcp_figures(port), Some((1, 0)));
    let mentions = log.lines().filter(|line| line.contains("connected to port")).count();
    assert_eq!(mentions, 0, "{log}");
}

#[test]
fn plain_http_on_a_tls_port_is_named_as_that() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = Device::connect(port);
    device.send(b"GET / HTTP/1.1\r\nHost: device\r\n\r\n");
    device.expect_end_after_anything();
    expect_one_line(&dispatch, &mut driver, port, "plain HTTP on a TLS port");
}

#[test]
fn anything_that_is_not_tls_is_named_as_that() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = Device::connect(port);
    device.send(&[0xff; 64]);
    device.expect_end_after_anything();
    expect_one_line(&dispatch, &mut driver, port, "not TLS");
}

#[test]
fn a_reset_in_the_middle_of_a_handshake_is_one_line() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = TlsDevice::begin(port, TlsVersion::V1_3, None);
    let hello = device.flight();
    let mut raw = Device::connect(port);
    raw.send(&hello);
    raw.stream().peek(&mut [0]).unwrap();
    drop(device);
    raw.reset();
    // The one that only connected and hung up had begun a handshake, too.
    eventually("both are logged", || dispatch.log().matches("did not get in").count() == 2);
    driver.sync();
    assert!(driver.has_heard_nothing_else());
    assert_eq!(dispatch.tcp_figures(port), Some((1, 0)));
}

#[test]
fn alerts_of_a_devices_own_choosing_fill_no_log() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = TlsDevice::begin(port, TlsVersion::V1_2, None);
    let hello = device.flight();
    let mut raw = Device::connect(port);
    raw.send(&hello);
    raw.stream().peek(&mut [0]).unwrap();
    for _ in 0..20 {
        // A warning that nobody asked for: no_renegotiation.
        let _ = raw.stream().write_all(&[21, 3, 3, 0, 2, 1, 100]);
    }
    raw.finish();
    raw.expect_end_after_anything();
    dispatch.expect_logged(&["did not get in", &port.to_string()]);
    driver.sync();
    let log = dispatch.log();
    assert!(!log.contains("AlertMessagePayload"), "{log}");
}

#[test]
fn an_end_in_the_middle_of_a_handshake_is_one_line() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = TlsDevice::begin(port, TlsVersion::V1_2, None);
    let hello = device.flight();
    device.socket().write_all(&hello[..hello.len() / 2]).unwrap();
    device.finish_without_close_notify();
    expect_one_line(&dispatch, &mut driver, port, "left in the middle of the handshake");
}

#[test]
fn openssl_with_an_old_version_is_refused_with_a_reason() {
    if !has_openssl("openssl_with_an_old_version_is_refused_with_a_reason") {
        return;
    }
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = OpenSsl::connect(port, &["-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"]);
    device.expect_exit();
    expect_one_line(&dispatch, &mut driver, port, "TLS");
}

/// Takes as long as the limit on handshakes, so it runs only when asked for.
#[test]
#[ignore = "takes 10 s"]
fn a_device_that_says_nothing_is_ended_after_ten_seconds() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let begun = std::time::Instant::now();
    let mut device = Device::connect(port);
    device.expect_end();
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(9) && took < Duration::from_secs(14), "{took:?}");
    expect_one_line(&dispatch, &mut driver, port, "took too long");
}

#[test]
fn a_device_that_says_nothing_shows_nowhere_and_harms_nobody() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let _silent: Vec<_> = (0..50).map(|_| Device::connect(port)).collect();
    let mut device = TlsDevice::connect(port);
    let (_, id) = driver.expect_opened();
    device.send(b"works");
    driver.expect_received(id, b"works");
    assert_eq!(dispatch.tcp_figures(port), Some((1, 1)));
    assert!(driver.has_heard_nothing_else());
}

#[test]
fn handshakes_under_way_count_toward_the_ceilings() {
    let dispatch = Dispatch::setup().arg("--max-devices-per-address").arg("2").start();
    let port = free_port();
    let mut driver = dispatch.driver(Tls, port).accept("127.0.0.0/8").connect();
    let silent = Device::connect(port);
    let _open = TlsDevice::connect(port);
    driver.expect_opened();
    let mut third = Device::connect(port);
    third.expect_end();
    dispatch.expect_logged(&["refused 127.0.0.1", "--max-devices-per-address"]);
    let elsewhere = Device::from("127.0.0.2", port);
    TlsDevice::over(elsewhere, TlsVersion::V1_3, None).shake_hands().unwrap();
    assert_eq!(driver.expect_opened().0, "127.0.0.2");
    // One that leaves makes room for another.
    drop(silent);
    dispatch.expect_logged(&["left in the middle of the handshake"]);
    TlsDevice::connect(port);
    assert_eq!(driver.expect_opened().0, "127.0.0.1");
}

#[test]
fn many_failures_a_second_do_not_fill_the_log() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    for _ in 0..60 {
        let mut device = Device::connect(port);
        device.send(b"GET / HTTP/1.1\r\n\r\n");
        device.expect_end_after_anything();
    }
    driver.sync();
    thread::sleep(Duration::from_millis(300));
    let lines = dispatch.log().matches("did not get in").count();
    assert!(lines < 30, "{lines} lines about 60 failures");
}

#[test]
fn a_device_that_goes_on_after_its_failure_gets_the_alert_and_no_reset() {
    let dispatch = Dispatch::start();
    let (_driver, port) = open_port(&dispatch);
    let mut device = Device::connect(port);
    device.send(&[b'x'; 100_000]);
    let alert = device.read_to_end();
    assert_eq!(alert[..3], [21, 3, 3], "an alert record: {alert:?}");
}

#[test]
fn a_failed_handshake_is_told_to_the_device_by_an_alert() {
    let dispatch = Dispatch::start();
    let authority = Authority::new("CA of the building");
    let stranger = Pair::self_signed("stranger");
    let port = free_port();
    let _driver = dispatch.driver(Tls, port).pem("client_ca", &authority.certificate).connect();
    for version in VERSIONS {
        let mut device = TlsDevice::begin(port, version, Some(&stranger));
        let error = device
            .shake_hands()
            .and_then(|()| {
                // What it sends meanwhile must not cost it the alert.
                let _ = device.socket().write_all(&[0; 4096]);
                device.read_some(&mut [0; 16])
            })
            .unwrap_err();
        assert!(error.to_string().contains("alert"), "{version:?}: {error}");
    }
}

// ---- Certificates of devices ----------------------------------------------------------------

#[test]
fn devices_must_show_a_certificate_of_client_ca() {
    let dispatch = Dispatch::start();
    let authority = Authority::new("CA of the building");
    let right = authority.sign("thermostat 7");
    let wrong = Authority::new("CA of the building").sign("thermostat 7");
    for version in VERSIONS {
        let port = free_port();
        let mut driver =
            dispatch.driver(Tls, port).pem("client_ca", &authority.certificate).connect();
        for own in [None, Some(&wrong)] {
            let mut device = TlsDevice::begin(port, version, own);
            let outcome = device.shake_hands().and_then(|()| device.read_some(&mut [0; 16]));
            assert!(outcome.is_err(), "{version:?}: it got in");
        }
        let at = |why| ["did not get in", why].map(str::to_owned);
        let port_words = format!("on port {port} did");
        for [line, why] in [at("no certificate"), at("another CA")] {
            dispatch.expect_logged(&[&line, &why, &port_words]);
        }
        driver.sync();
        assert!(driver.has_heard_nothing_else());
        assert_eq!(dispatch.tcp_figures(port), Some((1, 0)));

        let mut device = TlsDevice::begin(port, version, Some(&right));
        device.shake_hands().unwrap();
        let (_, id) = driver.expect_opened();
        device.send(b"it is me");
        driver.expect_received(id, b"it is me");
    }
    dispatch.expect_logged(&["thermostat 7", &fingerprint(&right)]);
}

fn fingerprint(pair: &Pair) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, &pair.der());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn openssl_gets_in_with_the_right_certificate_and_not_with_another() {
    if !has_openssl("openssl_gets_in_with_the_right_certificate_and_not_with_another") {
        return;
    }
    let dispatch = Dispatch::start();
    let authority = Authority::new("CA of the building");
    let port = free_port();
    let mut driver = dispatch.driver(Tls, port).pem("client_ca", &authority.certificate).connect();
    let place = std::env::temp_dir().join(format!("dispatch-{}", uuid::Uuid::new_v4().simple()));
    std::fs::create_dir(&place).unwrap();
    let files = |name: &str, pair: &Pair| {
        let both = place.join(name);
        std::fs::write(&both, pair.certificate.clone() + &pair.key).unwrap();
        both.to_str().unwrap().to_owned()
    };
    let right = files("right.pem", &authority.sign("valve"));
    let wrong = files("wrong.pem", &Pair::self_signed("valve"));
    for version in ["-tls1_2", "-tls1_3"] {
        let mut device = OpenSsl::connect(port, &[version, "-cert", &wrong, "-key", &wrong]);
        device.expect("alert");
        device.expect_exit();
        let mut device = OpenSsl::connect(port, &[version, "-cert", &right, "-key", &right]);
        let (_, id) = driver.expect_opened();
        device.send("open\n");
        driver.expect_received(id, b"open\n");
    }
    std::fs::remove_dir_all(&place).unwrap();
}

// ---- Ends -----------------------------------------------------------------------------------

#[test]
fn close_sends_what_was_written_and_close_notify() {
    let dispatch = Dispatch::start();
    for version in VERSIONS {
        let (mut driver, port) = open_port(&dispatch);
        let mut device = TlsDevice::begin(port, version, None);
        device.shake_hands().unwrap();
        let (ip, id) = driver.expect_opened();
        driver.write(&ip, id, b"last words");
        driver.close(&ip, id);
        assert_eq!(device.read_to_close_notify(), b"last words");
        driver.expect_closed(id);
    }
}

#[test]
fn a_driver_that_leaves_ends_its_devices_with_close_notify() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = TlsDevice::connect(port);
    driver.expect_opened();
    driver.leave();
    assert_eq!(device.read_to_close_notify(), b"");
}

#[test]
fn shutdown_sends_close_notify() {
    let mut dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut devices: Vec<_> = VERSIONS
        .into_iter()
        .map(|version| {
            let mut device = TlsDevice::begin(port, version, None);
            device.shake_hands().unwrap();
            let (ip, id) = driver.expect_opened();
            driver.write(&ip, id, b"last words");
            device
        })
        .collect();
    driver.sync();
    dispatch.signal("TERM");
    for device in &mut devices {
        assert_eq!(device.read_to_close_notify(), b"last words");
    }
    driver.expect_close_code(1001);
    drop(devices);
    assert_eq!(dispatch.expect_exit(Duration::from_secs(6)).code(), Some(0));
}

#[test]
fn openssl_sees_close_notify_on_shutdown() {
    if !has_openssl("openssl_sees_close_notify_on_shutdown") {
        return;
    }
    let mut dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = OpenSsl::connect(port, &[]);
    driver.expect_opened();
    dispatch.signal("TERM");
    device.expect("closed");
    device.expect_exit();
    assert_eq!(dispatch.expect_exit(Duration::from_secs(6)).code(), Some(0));
}

#[test]
fn a_devices_close_notify_is_its_end_and_is_answered() {
    let dispatch = Dispatch::start();
    for version in VERSIONS {
        let (mut driver, port) = open_port(&dispatch);
        let mut device = TlsDevice::begin(port, version, None);
        device.shake_hands().unwrap();
        let (_, id) = driver.expect_opened();
        device.send(b"bye");
        device.close_notify();
        driver.expect_received(id, b"bye");
        driver.expect_closed(id);
        // Its TCP connection is still open, so that it can tell an answer from a cut.
        assert_eq!(device.read_to_close_notify(), b"");
        dispatch.expect_tcp_figures(port, Some((1, 0)));
    }
}

#[test]
fn what_was_written_before_a_devices_close_notify_still_reaches_it() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let raw = Device::with_small_window(port);
    let mut device = TlsDevice::over(raw, TlsVersion::V1_3, None);
    device.shake_hands().unwrap();
    let (ip, id) = driver.expect_opened();
    let bytes = pattern(4, 2 * MIB);
    driver.write(&ip, id, &bytes);
    driver.sync();
    device.close_notify();
    assert_eq!(device.read_to_close_notify().len(), bytes.len());
    driver.expect_closed(id);
}

#[test]
fn a_device_that_hangs_up_without_close_notify_has_ended_too() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = TlsDevice::connect(port);
    let (_, id) = driver.expect_opened();
    device.send(b"bye");
    device.finish_without_close_notify();
    driver.expect_received(id, b"bye");
    driver.expect_closed(id);
}

#[test]
fn a_damaged_record_ends_the_device_and_nobody_else() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut bystander = TlsDevice::connect(port);
    let (_, other) = driver.expect_opened();
    let mut device = TlsDevice::connect(port);
    let (_, id) = driver.expect_opened();
    device.send(b"fine so far");
    device.socket().write_all(&[&[23, 3, 3, 0, 40][..], &[7; 40]].concat()).unwrap();
    driver.expect_received(id, b"fine so far");
    driver.expect_closed(id);
    bystander.send(b"still here");
    driver.expect_received(other, b"still here");
}

#[test]
fn a_key_update_is_followed() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = TlsDevice::connect(port);
    let (ip, id) = driver.expect_opened();
    for round in 0..3u8 {
        device.send(&[round; 10]);
        device.session().refresh_traffic_keys().unwrap();
        device.send(&[round; 20_000]);
        driver.expect_received(id, &[round; 20_010]);
        driver.write(&ip, id, &[round; 20_000]);
        device.expect(&[round; 20_000]);
    }
}

// ---- Load -----------------------------------------------------------------------------------

#[test]
fn many_devices_come_and_go() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    for round in 0..40u8 {
        let mut device = TlsDevice::connect(port);
        let (ip, id) = driver.expect_opened();
        driver.write(&ip, id, &[round; 3]);
        device.expect(&[round; 3]);
        drop(device);
        driver.expect_closed(id);
    }
    dispatch.expect_tcp_figures(port, Some((1, 0)));
}

#[test]
fn many_devices_that_begin_at_once_all_get_in() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut devices: Vec<_> =
        (0..100).map(|_| TlsDevice::begin(port, TlsVersion::V1_3, None)).collect();
    for device in &mut devices {
        let hello = device.flight();
        device.socket().write_all(&hello).unwrap();
    }
    for (n, device) in devices.iter_mut().enumerate() {
        device.shake_hands().unwrap();
        device.send(&[n as u8]);
    }
    let ids: Vec<u64> = (0..100).map(|_| driver.expect_opened().1).collect();
    assert!(ids.iter().copied().eq(0..100));
    // Which of them is which device is the order in which they came through.
    let mut said = Vec::new();
    while said.len() < 100 {
        let heard = driver.next();
        assert_eq!((heard.kind, heard.data.len()), (Kind::Received, 1));
        said.extend(heard.data);
    }
    said.sort_unstable();
    assert!(said.into_iter().eq(0..100));
    assert_eq!(dispatch.tcp_figures(port), Some((1, 100)));
}

#[test]
fn idle_tls_costs_no_processor_time() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut open = TlsDevice::connect(port);
    let (ip, id) = driver.expect_opened();
    // One in its handshake, one that waits for our close_notify to be noticed, one idle.
    let _silent = Device::connect(port);
    let mut leaving = TlsDevice::connect(port);
    let (_, gone) = driver.expect_opened();
    driver.close(&ip, gone);
    driver.expect_closed(gone);
    leaving.socket().write_all(&[0; 100]).unwrap();
    driver.sync();
    let before = dispatch.cpu_ticks();
    thread::sleep(Duration::from_millis(1000));
    let spent = dispatch.cpu_ticks() - before;
    assert!(spent <= 15, "{spent} hundredths of a second of nothing to do");
    driver.write(&ip, id, b"still there?");
    open.expect(b"still there?");
}

#[test]
fn a_congested_driver_holds_tls_devices_back_and_loses_nothing() {
    let dispatch = Dispatch::start();
    let port = free_port();
    let mut driver = dispatch.driver(Tls, port).small_window().connect();
    let mut device = TlsDevice::connect(port);
    let (_, id) = driver.expect_opened();
    let bytes = pattern(5, 8 * MIB);
    let sent = bytes.clone();
    let sending = thread::spawn(move || {
        device.send(&sent);
        device.close_notify();
        device
    });
    thread::sleep(Duration::from_millis(300));
    let heard = driver.collect(id);
    crate::util::assert_same_bytes(&heard, &bytes);
    drop(sending.join().unwrap());
}

#[test]
fn a_reader_that_ignores_kinds_is_not_confused_by_alerts() {
    let dispatch = Dispatch::start();
    let (mut driver, port) = open_port(&dispatch);
    let mut device = TlsDevice::connect(port);
    let opened = driver.next();
    assert_eq!(opened.kind, Kind::Opened);
    driver.close(&opened.ip, opened.id);
    let mut rest = Vec::new();
    // Sends after our close_notify; it is thrown away, and never heard as the device's.
    let _ = device.socket().read_to_end(&mut rest);
    let _ = device.socket().write_all(&[0; 64]);
    driver.expect_closed(opened.id);
    driver.sync();
    assert!(driver.has_heard_nothing_else());
}
