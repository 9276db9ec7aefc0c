//! Keys and certificates of the port: what is served, and what is refused.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::open_port;
use crate::harness::{
    Authority, CertifiedKey, Device, Dispatch, OpenSslClient, Tcp, TempFolder, Tls, TlsDevice,
    free_port, has_openssl, openssl,
};

#[test]
fn openssl_speaks_both_versions_with_every_kind_of_key() {
    if !has_openssl() {
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
        let mut device = OpenSslClient::connect(port, &[version]);
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
    let (first, second) = (CertifiedKey::self_signed("first"), CertifiedKey::self_signed("second"));
    let port = free_port();
    let request = |pair: &CertifiedKey| {
        dispatch
            .driver(Tls, port)
            .pem("private_key", &pair.key)
            .pem("certificate", &pair.certificate)
            .connect()
    };
    let (one, _two) = (request(&first), request(&second));
    assert_eq!(TlsDevice::connect(port).shown(), first.der());
    one.leave();
    assert_eq!(TlsDevice::connect(port).shown(), first.der());
}

#[test]
fn keys_are_judged_without_a_websocket_too() {
    let dispatch = Dispatch::start();
    let (pair, other) = (CertifiedKey::self_signed("one"), CertifiedKey::self_signed("other"));
    let ask = |keys: &[(&str, &str)]| {
        let port = free_port();
        let mut target = format!("/api/dispatch/v1/tls_dispatch?port={port}&accept=127.0.0.1");
        for (name, pem) in keys {
            target += &format!("&{name}={}", utf8_percent_encode(pem, NON_ALPHANUMERIC));
        }
        dispatch.get(&target)
    };
    let (key, certificate) = (("private_key", &*pair.key), ("certificate", &*pair.certificate));
    ask(&[("private_key", "invalid")]).expect_fault(400, "private_key");
    ask(&[certificate]).expect_fault(400, "private_key");
    ask(&[key, ("certificate", &other.certificate)]).expect_fault(400, "certificate");
    ask(&[key, certificate]).expect_status(426);
    ask(&[]).expect_status(426);
    dispatch.expect_nothing_open();
}

#[test]
fn parameters_that_cannot_be_used_are_named() {
    let dispatch = Dispatch::start();
    let (pair, other) = (CertifiedKey::self_signed("one"), CertifiedKey::self_signed("other"));
    let port = free_port();
    let request = || dispatch.driver(Tls, port);
    let garbage = "-----BEGIN PRIVATE KEY-----\nnot base64!\n-----END PRIVATE KEY-----\n";
    let with_key = || request().pem("private_key", &pair.key);

    request().pem("certificate", &pair.certificate).refused().expect_fault(400, "private_key");
    request().pem("private_key", "hello").refused().expect_fault(400, "private_key");
    request().pem("private_key", garbage).refused().expect_fault(400, "private_key");
    request().pem("private_key", &pair.certificate).refused().expect_fault(400, "private_key");
    request().pem("private_key", "\u{0}\u{ff}").refused().expect_fault(400, "private_key");
    with_key().pem("certificate", "hello").refused().expect_fault(400, "certificate");
    with_key().pem("certificate", &pair.key).refused().expect_fault(400, "certificate");
    with_key().pem("certificate", &other.certificate).refused().expect_fault(400, "certificate");
    request().pem("client_ca", "hello").refused().expect_fault(400, "client_ca");
    request().pem("client_ca", &pair.key).refused().expect_fault(400, "client_ca");
    dispatch.expect_nothing_open();
    assert!(Device::try_connect("127.0.0.1", port).is_err(), "the port is open");
}

#[test]
fn a_refusal_repeats_nothing_of_a_key() {
    let dispatch = Dispatch::start();
    let (pair, other) = (CertifiedKey::self_signed("one"), CertifiedKey::self_signed("other"));
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
    let words = answer.error();
    assert!(words.contains("tcp") && words.contains(&tcp_port.to_string()), "{words}");
    assert_eq!(dispatch.tcp_figures(tls_port), Some((1, 0)));
    assert_eq!(dispatch.tcp_figures(tcp_port), Some((1, 0)));
}

#[test]
fn nothing_is_written_to_disk() {
    let folder = TempFolder::new();
    let dispatch = Dispatch::setup()
        .through(&["/bin/sh", "-c", "cd \"$TMPDIR\" && exec \"$0\" \"$@\""])
        .env("TMPDIR", folder.as_str())
        .env("HOME", folder.as_str())
        .start();
    let pair = CertifiedKey::self_signed("one");
    let (_own, own) = open_port(&dispatch);
    let port = free_port();
    let _driver = dispatch.driver(Tls, port).pem("private_key", &pair.key).connect();
    TlsDevice::connect(own);
    TlsDevice::connect(port);
    let written = std::fs::read_dir(folder.path()).unwrap().count();
    let files = std::fs::read_dir(format!("/proc/{}/fd", dispatch.pid())).unwrap();
    let open: Vec<_> = files
        .filter_map(|file| std::fs::read_link(file.unwrap().path()).ok())
        .filter(|path| path.is_absolute() && !path.starts_with("/dev"))
        .collect();
    assert_eq!((written, open), (0, Vec::new()));
}
