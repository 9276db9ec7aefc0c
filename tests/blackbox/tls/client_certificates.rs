//! Certificates of devices, which `client_ca` demands.

use super::VERSIONS;
use crate::harness::{
    Authority, CertifiedKey, Dispatch, OpenSslClient, TempFolder, Tls, TlsDevice, free_port,
    has_openssl,
};

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
            let outcome = device.handshake().and_then(|()| device.read_some(&mut [0; 16]));
            assert!(outcome.is_err(), "{version:?}: it got in");
        }
        let at = |why| ["did not get in", why].map(str::to_owned);
        let port_words = format!("on port {port} did");
        for [line, why] in [at("no certificate"), at("another CA")] {
            dispatch.expect_logged(&[&line, &why, &port_words]);
        }
        driver.expect_nothing_else();
        assert_eq!(dispatch.tcp_figures(port), Some((1, 0)));

        let mut device = TlsDevice::begin(port, version, Some(&right));
        device.handshake().unwrap();
        let (_, id) = driver.expect_opened();
        device.send(b"it is me");
        driver.expect_received(id, b"it is me");
    }
    dispatch.expect_logged(&["thermostat 7", &fingerprint(&right)]);
}

fn fingerprint(pair: &CertifiedKey) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, &pair.der());
    digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn openssl_gets_in_with_the_right_certificate_and_not_with_another() {
    if !has_openssl() {
        return;
    }
    let dispatch = Dispatch::start();
    let authority = Authority::new("CA of the building");
    let port = free_port();
    let mut driver = dispatch.driver(Tls, port).pem("client_ca", &authority.certificate).connect();
    let folder = TempFolder::new();
    let both = |pair: CertifiedKey| pair.certificate + &pair.key;
    let right = folder.write("right.pem", &both(authority.sign("valve")));
    let wrong = folder.write("wrong.pem", &both(CertifiedKey::self_signed("valve")));
    for version in ["-tls1_2", "-tls1_3"] {
        let mut device = OpenSslClient::connect(port, &[version, "-cert", &wrong, "-key", &wrong]);
        device.expect("alert");
        device.expect_exit();
        let mut device = OpenSslClient::connect(port, &[version, "-cert", &right, "-key", &right]);
        let (_, id) = driver.expect_opened();
        device.send("open\n");
        driver.expect_received(id, b"open\n");
    }
}
