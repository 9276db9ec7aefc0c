//! Our own listener over TLS: https and wss on the same routes, and certificates that change.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::harness::limits::HTTP_CONNECTIONS_MAX;
use crate::harness::{
    Authority, CertifiedKey, Device, Dispatch, DriverRequest, Http, OpenSslClient, Protocol, Tcp,
    TempFolder, Tls, TlsBridge, TlsDevice, TlsVersion, Udp, allow_many_descriptors,
    assert_same_bytes, eventually, free_port, has_openssl, patience, pattern, run, write_through,
};

/// A dispatcher that serves https.
struct HttpsServer {
    dispatch: Dispatch,
    bridge: TlsBridge,
}

impl HttpsServer {
    fn start(pair: &CertifiedKey) -> Self {
        let setup = Dispatch::setup().file("--tls-cert", "cert.pem", &pair.certificate);
        let dispatch = setup.file_env("SG_TLS_KEY", "key.pem", &pair.key).start();
        let bridge = TlsBridge::to(dispatch.address());
        Self { dispatch, bridge }
    }

    /// Puts another certificate and key in the place of those that are there.
    fn replace(&self, certificate: &str, key: &str) {
        self.dispatch.files().replace("key.pem", key);
        self.dispatch.files().replace("cert.pem", certificate);
    }

    fn driver(&self, protocol: Protocol, port: u16) -> DriverRequest {
        self.dispatch.driver_at(self.bridge.address(), protocol, port)
    }

    fn http(&self) -> Http {
        Http::connect(self.bridge.address())
    }

    /// Connects, and gives the certificate that is shown.
    fn shown(&self) -> rustls::pki_types::CertificateDer<'static> {
        self.http().get("/api/server/healthz").expect_status(200);
        self.bridge.shown().expect("a handshake was made")
    }

    fn url(&self, host: &str) -> String {
        format!("https://{host}:{}/api/dispatch/v1/healthz", self.dispatch.address().port())
    }
}

#[test]
fn the_metrics_say_when_the_certificate_ends() {
    let secure = HttpsServer::start(&CertifiedKey::self_signed("dispatch.example"));
    let target = format!("/metrics?bearer_token={}", secure.dispatch.token());
    let text = secure.http().get(&target).expect_status(200).text();
    let name = "dispatch_certificate_expires_seconds ";
    let end = text.lines().find_map(|line| line.strip_prefix(name)).expect("the end");
    // rcgen's certificates last until the year 4096.
    assert_eq!(end.parse(), Ok(67_090_118_400_i64), "{end}");
}

#[test]
fn the_same_routes_are_served_over_https() {
    let secure = HttpsServer::start(&CertifiedKey::self_signed("dispatch.example"));
    assert!(secure.dispatch.log().contains("listening on https://"));
    let mut http = secure.http();
    let authorization = secure.dispatch.authorization();
    for _ in 0..3 {
        http.get("/api/server/healthz").expect_status(200);
        http.get("/api/dispatch/v1/version").expect_status(200).json();
        let answer = http.request("GET", "/api/server", &[&authorization]).response();
        assert!(answer.expect_status(200).json()["tcp_clients"].is_object());
    }
    http.get("/api/server").expect_status(401);
    // Pipelined, so that the second request waits inside TLS and raises no event.
    let mut http = secure.http();
    let one = "GET /api/server/healthz HTTP/1.1\r\nHost: d\r\n\r\n";
    http.send(one.repeat(5));
    for _ in 0..5 {
        http.response().expect_status(200);
    }
}

#[test]
fn a_crowd_that_makes_no_handshake_keeps_nobody_out() {
    allow_many_descriptors();
    let secure = HttpsServer::start(&CertifiedKey::self_signed("dispatch.example"));
    let connect = |_| TcpStream::connect(secure.dispatch.address()).expect("it accepts");
    let _crowd: Vec<_> = (0..HTTP_CONNECTIONS_MAX + 200).map(connect).collect();
    secure.http().get("/api/server/healthz").expect_status(200);
    secure.driver(Tcp, free_port()).connect();
}

#[test]
fn drivers_speak_wss() {
    let secure = HttpsServer::start(&CertifiedKey::self_signed("dispatch.example"));
    let (tcp, tls, udp) = (free_port(), free_port(), free_port());
    let mut over_tcp = secure.driver(Tcp, tcp).connect();
    let mut over_tls = secure.driver(Tls, tls).connect();
    let _over_udp = secure.driver(Udp, udp).connect();
    let mut plain = Device::connect(tcp);
    let (ip, id) = over_tcp.expect_opened();
    plain.send(b"up");
    over_tcp.expect_received(id, b"up");
    over_tcp.write(&ip, id, b"down");
    plain.expect(b"down");
    let mut sealed = TlsDevice::connect(tls);
    let (ip, id) = over_tls.expect_opened();
    sealed.send(b"up");
    over_tls.expect_received(id, b"up");
    over_tls.write(&ip, id, b"down");
    sealed.expect(b"down");
    over_tls.leave();
    assert_eq!(sealed.read_to_close_notify(), b"");
    over_tcp.leave();
}

#[test]
fn twelve_mib_go_both_ways_over_wss() {
    let secure = HttpsServer::start(&CertifiedKey::self_signed("dispatch.example"));
    let port = free_port();
    let mut driver = secure.driver(Tls, port).connect();
    let mut device = TlsDevice::connect(port);
    let (ip, id) = driver.expect_opened();
    let (down, up) = (pattern(1, 12 << 20), pattern(2, 12 << 20));
    let (wanted, sent) = (down.clone(), up.clone());
    let mut sender = driver.sender();
    let writing = std::thread::spawn(move || {
        for chunk in down.chunks(1 << 20) {
            write_through(&mut sender, &ip, id, chunk);
        }
    });
    let talking = std::thread::spawn(move || {
        for (out, expected) in sent.chunks(60_000).zip(wanted.chunks(60_000)) {
            device.send(out);
            device.expect(expected);
        }
        device
    });
    driver.expect_received(id, &up);
    writing.join().unwrap();
    drop(talking.join().unwrap());
    driver.expect_closed(id);
}

#[test]
fn a_driver_over_wss_that_does_not_read_holds_its_devices_back_and_loses_nothing() {
    let secure = HttpsServer::start(&CertifiedKey::self_signed("dispatch.example"));
    let port = free_port();
    let mut driver = secure.driver(Tcp, port).small_window().connect();
    let mut device = Device::connect(port);
    let (_, id) = driver.expect_opened();
    let bytes = pattern(7, 6 << 20);
    let sent = bytes.clone();
    let sending = std::thread::spawn(move || {
        device.send(&sent);
        device.finish();
        device
    });
    std::thread::sleep(Duration::from_millis(300));
    driver.socket().widen_window();
    assert_same_bytes(&driver.collect(id), &bytes);
    drop(sending.join().unwrap());
}

#[test]
fn shutdown_says_goodbye_over_wss() {
    let mut secure = HttpsServer::start(&CertifiedKey::self_signed("dispatch.example"));
    let port = free_port();
    let mut driver = secure.driver(Tcp, port).connect();
    secure.dispatch.signal("TERM");
    driver.expect_close_code(1001);
    assert_eq!(secure.dispatch.expect_exit().code(), Some(0));
}

#[test]
fn openssl_is_answered_with_close_notify() {
    if !has_openssl() {
        return;
    }
    let secure = HttpsServer::start(&CertifiedKey::self_signed("dispatch.example"));
    for version in ["-tls1_2", "-tls1_3"] {
        let port = secure.dispatch.address().port();
        let mut client = OpenSslClient::connect(port, &[version, "-alpn", "http/1.1"]);
        let request = "GET /api/server/healthz HTTP/1.1\r\nHost: d\r\nConnection: close\r\n\r\n";
        client.send(request);
        client.expect("HTTP/1.1 200");
        client.expect("closed");
        client.expect_exit();
        assert!(client.output().contains("ALPN protocol: http/1.1"), "{}", client.output());
    }
}

#[test]
fn a_plain_client_on_the_https_port_is_told_so_and_harms_nobody() {
    let secure = HttpsServer::start(&CertifiedKey::self_signed("dispatch.example"));
    let mut plain = TcpStream::connect(secure.dispatch.address()).unwrap();
    plain.set_read_timeout(Some(patience())).unwrap();
    let request = format!(
        "GET /api/server?bearer_token={} HTTP/1.1\r\nHost: d\r\n\r\n",
        secure.dispatch.token()
    );
    plain.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    plain.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(answer.contains("https://"), "{answer}");
    secure.dispatch.expect_logged(&["request refused", "https://", "client_ip=127.0.0.1"]);
    assert!(!secure.dispatch.log().contains(secure.dispatch.token()));
    secure.http().get("/api/server/healthz").expect_status(200);
}

#[test]
fn a_web_page_in_the_clear_may_not_connect() {
    let secure = HttpsServer::start(&CertifiedKey::self_signed("dispatch.example"));
    let target = format!("/api/server/tcp_dispatch?port={}&accept=127.0.0.1", free_port());
    let authorization = secure.dispatch.authorization();
    for (scheme, status) in [("http", 403), ("https", 426)] {
        let origin = format!("Origin: {scheme}://localhost");
        let headers = ["Host: localhost", &authorization, &origin];
        let request = format!("GET {target} HTTP/1.1\r\n{}\r\n\r\n", headers.join("\r\n"));
        secure.http().send(request).response().expect_status(status);
    }
}

#[test]
fn a_silent_client_costs_no_processor_time() {
    let secure = HttpsServer::start(&CertifiedKey::self_signed("dispatch.example"));
    let _silent = TcpStream::connect(secure.dispatch.address()).unwrap();
    let mut idle = secure.http();
    idle.get("/api/server/healthz").expect_status(200);
    secure.dispatch.expect_idle(15);
    idle.get("/api/server/healthz").expect_status(200);
}

// ---- Certificates that change ---------------------------------------------------------------

#[test]
fn a_changed_certificate_is_served_to_new_connections_and_drops_none() {
    let (old, new) = (CertifiedKey::self_signed("old"), CertifiedKey::self_signed("new"));
    let secure = HttpsServer::start(&old);
    let port = free_port();
    let mut driver = secure.driver(Tcp, port).connect();
    let mut keeping = secure.http();
    keeping.get("/api/server/healthz").expect_status(200);
    assert_eq!(secure.shown(), old.der());
    secure.replace(&new.certificate, &new.key);
    eventually("the new certificate is shown", || secure.shown() == new.der());
    keeping.get("/api/server/healthz").expect_status(200);
    driver.sync();
    let _device = Device::connect(port);
    driver.expect_opened();
}

#[test]
fn sighup_reads_the_certificate_again_and_drops_nothing() {
    let (old, new) = (CertifiedKey::self_signed("old"), CertifiedKey::self_signed("new"));
    let secure = HttpsServer::start(&old);
    let port = free_port();
    let mut driver = secure.driver(Tcp, port).connect();
    secure.replace(&new.certificate, &new.key);
    secure.dispatch.signal("HUP");
    secure.dispatch.expect_logged(&["the certificate was read again"]);
    assert_eq!(secure.shown(), new.der());
    driver.sync();
    secure.dispatch.signal("HUP");
    eventually("both are logged", || {
        secure.dispatch.log().matches("the certificate was read again").count() == 2
    });
    driver.sync();
}

#[test]
fn sighup_ends_no_server_without_a_certificate() {
    let dispatch = Dispatch::start();
    dispatch.signal("HUP");
    dispatch.get("/api/server/healthz").expect_status(200);
}

#[test]
fn a_bad_new_pair_is_logged_once_and_the_old_one_stays() {
    let (old, new) = (CertifiedKey::self_signed("old"), CertifiedKey::self_signed("new"));
    let bad = [
        ("garbage".to_owned(), new.key.clone()),
        (new.certificate.clone(), "garbage".to_owned()),
        (new.certificate.clone(), old.key.clone()),
        (String::new(), String::new()),
    ];
    for (certificate, key) in bad {
        let secure = HttpsServer::start(&old);
        let mut keeping = secure.http();
        // Once it is answered it was accepted, too. Accepting looks at the files, and would find
        // the pair half replaced.
        keeping.get("/api/server/healthz").expect_status(200);
        secure.replace(&certificate, &key);
        for _ in 0..3 {
            assert_eq!(secure.shown(), old.der());
        }
        secure.dispatch.expect_logged(&["the old certificate stays in use", ".pem"]);
        let log = secure.dispatch.log();
        assert_eq!(log.matches("the old certificate stays in use").count(), 1, "{log}");
        secure.dispatch.signal("HUP");
        eventually("SIGHUP is answered", || {
            let log = secure.dispatch.log();
            log.matches("the old certificate stays in use").count() == 2
        });
        keeping.get("/api/server/healthz").expect_status(200);
        // A good one is taken afterwards.
        secure.replace(&new.certificate, &new.key);
        eventually("the new certificate is shown", || secure.shown() == new.der());
    }
}

#[test]
fn files_that_vanish_leave_the_old_pair_in_use() {
    let old = CertifiedKey::self_signed("old");
    let secure = HttpsServer::start(&old);
    fs::remove_file(secure.dispatch.files().file("key.pem")).unwrap();
    assert_eq!(secure.shown(), old.der());
    secure.dispatch.expect_logged(&["the old certificate stays in use", "key.pem"]);
    assert_eq!(secure.shown(), old.der());
}

#[test]
fn a_pair_that_cannot_be_used_is_no_start() {
    let (pair, other) = (CertifiedKey::self_signed("one"), CertifiedKey::self_signed("other"));
    let folder = TempFolder::new();
    let (cert, key) = (folder.file("cert.pem"), folder.file("key.pem"));
    let words = ["-p", "0", "--tls-cert", &cert, "--tls-key", &key];
    let missing = run(&words, &[]);
    folder.write("cert.pem", &pair.certificate);
    folder.write("key.pem", &other.key);
    let mismatch = run(&words, &[]);
    for (output, why) in [(missing, "cert.pem"), (mismatch, "belongs to another key")] {
        let errors = String::from_utf8_lossy(&output.stderr).into_owned()
            + &String::from_utf8_lossy(&output.stdout);
        assert!(!output.status.success() && errors.contains(why), "{errors}");
        assert!(!errors.contains("panicked"), "{errors}");
    }
}

// ---- The health check -----------------------------------------------------------------------

#[test]
fn curl_checks_https_by_the_ca_that_it_is_given() {
    let authority = Authority::new("CA of the building");
    let secure = HttpsServer::start(&authority.sign("dispatch.example"));
    let ca = &secure.dispatch.files().write("ca.pem", &authority.certificate);
    let wrong = &secure.dispatch.files().write("wrong.pem", &Authority::new("another").certificate);
    let url = &secure.url("localhost");

    assert_eq!(run(&["--curl", url, "--ca", ca], &[]).status.code(), Some(0));
    assert_eq!(run(&["--curl", &secure.url("127.0.0.1"), "--ca", ca], &[]).status.code(), Some(0));
    assert_eq!(run(&["--curl", url, "--insecure"], &[]).status.code(), Some(0));
    let by_the_system = run(&["--curl", url], &[]);
    let by_another = run(&["--curl", url, "--ca", wrong], &[]);
    let by_nothing = run(&["--curl", url, "--ca", "/nonexistent/ca.pem"], &[]);
    for output in [by_the_system, by_another, by_nothing] {
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert_eq!(errors.trim().lines().count(), 1, "{errors}");
    }
    let elsewhere = HttpsServer::start(&authority.sign_for("elsewhere", &["dispatch.example"]));
    let by_another_name = run(&["--curl", &elsewhere.url("localhost"), "--ca", ca], &[]);
    assert_eq!(by_another_name.status.code(), Some(1));
}

#[test]
fn curl_takes_a_self_signed_certificate_as_its_own_ca() {
    let pair = CertifiedKey::self_signed("dispatch.example");
    let secure = HttpsServer::start(&pair);
    let cert = secure.dispatch.files().file("cert.pem");
    let output = run(&["--curl", &secure.url("localhost"), "--ca", &cert], &[]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{errors}");
}

#[test]
fn old_versions_of_tls_get_no_further_than_new_ones() {
    let secure = HttpsServer::start(&CertifiedKey::self_signed("dispatch.example"));
    let port = secure.dispatch.address().port();
    for version in [TlsVersion::V1_2, TlsVersion::V1_3] {
        let mut client = TlsDevice::begin(port, version, None);
        client.handshake().unwrap();
        client.send(b"GET /api/server/healthz HTTP/1.0\r\n\r\n");
        let answer = client.read_to_close_notify();
        assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&answer));
    }
}
