//! The messages that the manual for drivers shows in hex are what goes over the wire.

use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};

use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket};

use crate::harness::{free_port, patience, skipped, test_name};
use crate::program::Server;

const PROTOCOL: &str = include_str!("../../docs/protocol.md");

/// The messages that the manual shows in hex, with their names.
fn messages_in_hex() -> Vec<(String, Vec<u8>)> {
    let rows = PROTOCOL.lines().filter_map(|line| {
        let mut bytes = Vec::new();
        let mut words = line.split_whitespace();
        let name = words.find(|word| match u8::from_str_radix(word, 16) {
            Ok(byte) if word.len() == 2 => {
                bytes.push(byte);
                false
            }
            Ok(_) | Err(_) => true,
        })?;
        (bytes.len() > 13).then(|| (name.to_owned(), bytes))
    });
    rows.collect()
}

fn connect_driver(server: &Server, route: &str, port: u16) -> WebSocket<TcpStream> {
    let mut request = server.url(route, port).into_client_request().unwrap();
    request.headers_mut().insert("Authorization", "Bearer testing".parse().unwrap());
    let stream = TcpStream::connect(("127.0.0.1", server.port)).unwrap();
    stream.set_read_timeout(Some(patience())).unwrap();
    tungstenite::client(request, stream).expect("it answers 101").0
}

fn received(driver: &mut WebSocket<TcpStream>) -> Vec<u8> {
    driver.read().expect("a message").into_data().to_vec()
}

#[test]
fn the_bytes_in_the_manual_are_those_of_a_tcp_device() {
    let messages = messages_in_hex();
    let names: Vec<_> = messages.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[..5], ["OPENED", "RECEIVED", "WRITE", "CLOSE", "CLOSED"]);
    let bytes = |index: usize| messages[index].1.clone();

    let (server, port) = (Server::start(), free_port());
    let mut driver = connect_driver(&server, "tcp_dispatch", port);
    let mut device = TcpStream::connect(("127.0.0.1", port)).unwrap();
    device.set_read_timeout(Some(patience())).unwrap();
    assert_eq!(received(&mut driver), bytes(0));
    device.write_all(b"hello\n").unwrap();
    assert_eq!(received(&mut driver), bytes(1));
    driver.send(Message::binary(bytes(2))).unwrap();
    driver.send(Message::binary(bytes(3))).unwrap();
    let mut answer = String::new();
    device.read_to_string(&mut answer).unwrap();
    assert_eq!(answer, "hi");
    assert_eq!(received(&mut driver), bytes(4));
}

#[test]
fn the_bytes_in_the_manual_are_those_of_a_udp_device() {
    let messages = messages_in_hex();
    let names: Vec<_> = messages.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names[5..8], ["RECEIVED", "WRITE", "RECEIVED"]);
    let Ok(device) = UdpSocket::bind("127.0.0.1:47808") else {
        skipped(&test_name(), "UDP port 47808 is in use here");
        return;
    };
    device.set_read_timeout(Some(patience())).unwrap();

    let (server, port) = (Server::start(), free_port());
    let mut driver = connect_driver(&server, "udp_dispatch", port);
    device.send_to(b"who", ("127.0.0.1", port)).unwrap();
    assert_eq!(received(&mut driver), messages[5].1);
    driver.send(Message::binary(messages[6].1.clone())).unwrap();
    let mut answer = [0; 16];
    let size = device.recv(&mut answer).unwrap();
    assert_eq!(&answer[..size], b"i am");
    device.send_to(b"", ("127.0.0.1", port)).unwrap();
    assert_eq!(received(&mut driver), messages[7].1);
}

#[test]
fn the_bytes_in_the_manual_for_ipv6_say_what_stands_above_them() {
    let (name, bytes) = messages_in_hex().pop().expect("it shows messages");
    let expected = [b"\x002001:db8::7\0".as_slice(), &300u64.to_be_bytes(), &0u32.to_be_bytes()];
    assert_eq!((name.as_str(), bytes), ("OPENED", expected.concat()));
}
