//! The bare rustls loop that TLS is measured against.
//!
//! One thread that blocks, one driver, one device at a time, one direction. It reads and writes by
//! rustls' ordinary `Stream`, with the configuration that dispatch itself uses; toward drivers it
//! puts the headers in front, and from drivers it walks the lengths.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;

use dispatch::testing::net::tls::{SelfSigned, device_config};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::relay::LIFE_MAX;
use crate::options::Direction;
use crate::wire::HEADERS_MAX_BYTES;
use crate::wire::buffered::Buffered;
use crate::wire::to_driver::push_headers;
use crate::wire::to_relay::write_headers;

const READ_BYTES: usize = 64 << 10;

type Device = StreamOwned<ServerConnection, Buffered<TcpStream>>;

/// Takes one driver, then one device after the other, until the driver is gone or it has
/// lived for as long as the baseline may.
pub fn serve(driver_port: u16, device_port: u16, direction: Direction) -> io::Result<()> {
    std::thread::spawn(|| {
        std::thread::sleep(LIFE_MAX);
        std::process::exit(1);
    });
    let config = device_config(None, None, None, &mut SelfSigned::default())
        .map_err(|fault| io::Error::other(fault.message))?;
    let devices = TcpListener::bind((Ipv4Addr::LOCALHOST, device_port))?;
    let (mut driver, _) = TcpListener::bind((Ipv4Addr::LOCALHOST, driver_port))?.accept()?;
    driver.set_nodelay(true)?;
    for id in 0.. {
        let device = accept(&devices, &config.config)?;
        tell(&mut driver, 0, id)?;
        match direction {
            // An error is the device's end as well.
            Direction::DeviceToDriver => drop(to_driver(device, &mut driver, id)),
            Direction::DriverToDevice => to_device(&mut driver, device)?,
        }
        tell(&mut driver, 1, id)?;
    }
    Ok(())
}

fn accept(devices: &TcpListener, config: &Arc<ServerConfig>) -> io::Result<Device> {
    let (mut socket, _) = devices.accept()?;
    socket.set_nodelay(true)?;
    let mut session = ServerConnection::new(config.clone()).map_err(io::Error::other)?;
    while session.is_handshaking() || session.wants_write() {
        session.complete_io(&mut socket)?;
    }
    Ok(StreamOwned::new(session, Buffered::new(socket)))
}

fn tell(driver: &mut TcpStream, kind: u8, id: u64) -> io::Result<()> {
    let mut frame = Vec::new();
    push_headers(&mut frame, kind, b"127.0.0.1", id, 0);
    driver.write_all(&frame)
}

/// The headers go right-aligned in front of the data, so that one write takes both.
fn to_driver(mut device: Device, driver: &mut TcpStream, id: u64) -> io::Result<()> {
    let mut buffer = vec![0; HEADERS_MAX_BYTES + READ_BYTES];
    let mut headers = Vec::new();
    loop {
        let length = match device.read(&mut buffer[HEADERS_MAX_BYTES..])? {
            0 => return Ok(()),
            length => length,
        };
        headers.clear();
        push_headers(&mut headers, 2, b"127.0.0.1", id, length);
        let start = HEADERS_MAX_BYTES - headers.len();
        buffer[start..HEADERS_MAX_BYTES].copy_from_slice(&headers);
        driver.write_all(&buffer[start..HEADERS_MAX_BYTES + length])?;
    }
}

/// Each part of a message is written as it comes.
fn to_device(driver: &mut TcpStream, mut device: Device) -> io::Result<()> {
    let mut buffer = vec![0; HEADERS_MAX_BYTES + READ_BYTES];
    let (mut kept, mut rest) = (0, 0);
    loop {
        let end = match driver.read(&mut buffer[kept..])? {
            0 => return Ok(()),
            length => kept + length,
        };
        let mut at = 0;
        while at < end {
            if rest == 0 {
                let Some((header, size, _)) = write_headers(&buffer[at..end]) else { break };
                rest = size;
                at += header;
            }
            let part = &buffer[at..end.min(at + rest)];
            device.write_all(part)?;
            at += part.len();
            rest -= part.len();
        }
        buffer.copy_within(at..end, 0);
        kept = end - at;
    }
}
