//! A UDP port of the soak. Datagrams may be lost; what arrives is whole, from the right sender, in
//! order and there once.

use std::collections::HashMap;
use std::net::{IpAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::driver_writer::DriverWriter;
use super::rng::Rng;
use super::stream::Source;
use super::world::{StopOnPanic, World};
use crate::harness::message::{self, Kind, Message};
use crate::harness::{BINARY, CLOSE, Driver, PING, PONG, Udp, encode, free_port};

const PEERS: usize = 3;
const HEADER_BYTES: usize = 8;

/// Number `count` of a sender: the count, and bytes that belong to it.
fn datagram(count: u64, len: usize) -> Vec<u8> {
    let mut bytes = count.to_be_bytes().to_vec();
    bytes.extend(Source::new(count as u32).next(len));
    bytes
}

#[track_caller]
fn check(data: &[u8], newest: &mut u64) {
    let count = u64::from_be_bytes(*data.first_chunk().expect("a datagram has a header"));
    assert!(count > *newest, "datagram {count} comes behind {newest}");
    *newest = count;
    assert!(data == datagram(count, data.len() - HEADER_BYTES), "datagram {count} is damaged");
}

pub fn run(world: &World, mut rng: Rng) {
    let _stop = StopOnPanic(world);
    let port = free_port();
    while !world.is_over() {
        world.figures.drivers.fetch_add(1, Ordering::Relaxed);
        let mut driver = world.dispatch.driver(Udp, port).accept("127.0.0.0/8").connect();
        let (writer, is_over) = (DriverWriter::of(&driver), AtomicBool::new(false));
        let until = Instant::now() + rng.millis(10_000);
        let mut reading = rng.fork();
        thread::scope(|scope| {
            scope.spawn(|| {
                let _stop = StopOnPanic(world);
                receive(world, &mut driver, &writer, &mut reading);
            });
            let peers: Vec<_> = (0..PEERS).map(|_| (rng.fork(), &is_over)).collect();
            for (rng, is_over) in peers {
                scope.spawn(move || {
                    let _stop = StopOnPanic(world);
                    exchange(world, port, is_over, rng);
                });
            }
            while Instant::now() < until && !world.is_over() {
                thread::sleep(Duration::from_millis(20));
            }
            is_over.store(true, Ordering::Relaxed);
            writer.close();
        });
    }
}

/// Checks what the peers sent, and sends each something now and then.
fn receive(world: &World, driver: &mut Driver, writer: &DriverWriter, rng: &mut Rng) {
    let mut newest: HashMap<(Vec<u8>, u64), u64> = HashMap::new();
    let mut sent = 0;
    while let Some(frame) = driver.socket().frame() {
        match frame.opcode {
            PING => drop(writer.send(PONG, &frame.payload)),
            CLOSE => return,
            _ => {
                let message = message::decode(&frame.payload).expect("it decodes");
                let Message { kind, ip_address, id_or_port: id, data } = message;
                assert_eq!(kind, Kind::Received);
                check(data, newest.entry((ip_address.to_vec(), id)).or_default());
                world.figures.datagrams_received.fetch_add(1, Ordering::Relaxed);
                sent += 1;
                let ip = String::from_utf8(ip_address.to_vec()).unwrap();
                let answer = datagram(sent, rng.size(60_000));
                writer.send(BINARY, &encode(Kind::Write, &ip, id, &answer));
            }
        }
        if rng.one_in(5000) {
            thread::sleep(rng.millis(2000));
        }
    }
}

fn exchange(world: &World, port: u16, is_over: &AtomicBool, mut rng: Rng) {
    let own: IpAddr = format!("127.0.0.{}", 1 + rng.below(200)).parse().unwrap();
    let socket = UdpSocket::bind((own, 0)).expect("loopback can be bound");
    socket.set_nonblocking(true).unwrap();
    let (mut sent, mut newest) = (0, 0);
    let mut bytes = vec![0; 65_536];
    while !is_over.load(Ordering::Relaxed) {
        for _ in 0..rng.below(50) {
            sent += 1;
            let len = rng.size(60_000);
            if socket.send_to(&datagram(sent, len), ("127.0.0.1", port)).is_ok() {
                world.figures.datagrams_up.fetch_add(1, Ordering::Relaxed);
            }
        }
        while let Ok((len, _)) = socket.recv_from(&mut bytes) {
            check(&bytes[..len], &mut newest);
            world.figures.datagrams_down.fetch_add(1, Ordering::Relaxed);
        }
        thread::sleep(rng.millis(20));
    }
}
