//! Drivers and devices that go on for as long as the test does: devices say something ten times a
//! second, drivers send it back, and whoever loses its connection comes again.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tungstenite::client::IntoClientRequest;
use tungstenite::{Message, WebSocket, client};

use crate::harness::message::{self, Kind};
use crate::harness::{Protocol, Tcp, Tls, Udp, encode};

use super::gaps::Gaps;
use super::network::{BALANCER, Network, Place};

const TALK_EVERY: Duration = Duration::from_millis(100);

/// How long a peer waits before it comes again, as drivers and devices in the field do at first.
const COME_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// How long anything may take before a peer takes its connection for lost.
const PATIENCE: Duration = Duration::from_secs(10);

/// How often a driver looks whether the test is over.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The peers of a test; they end with it.
pub struct Peers {
    network: Arc<Network>,
    token: String,
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
    pub drivers: Arc<Gaps>,
    pub devices: Arc<Gaps>,
}

impl Peers {
    pub fn new(network: Arc<Network>, token: &str) -> Self {
        Self {
            network,
            token: token.to_owned(),
            over: Arc::default(),
            threads: Vec::new(),
            drivers: Arc::default(),
            devices: Arc::default(),
        }
    }

    /// A driver of a port, and a device that it alone accepts, by its true address.
    pub fn add(&mut self, protocol: Protocol, port: u16, device: Ipv4Addr) {
        let name = format!("{device} on port {port}");
        let (token, driver) = (self.token.clone(), self.drivers.add(&format!("driver of {name}")));
        let drivers = Arc::clone(&self.drivers);
        self.spawn(move |over| {
            while !over.load(Ordering::Relaxed) {
                if let Ok(mut socket) = open_driver(protocol, port, device, &token) {
                    drivers.end_gap(driver);
                    let _ = echo(&mut socket, device, over);
                    drivers.begin_gap(driver);
                }
                thread::sleep(COME_AGAIN_AFTER);
            }
        });
        let (devices, own) = (Arc::clone(&self.devices), self.devices.add(&name));
        self.spawn(move |over| {
            while !over.load(Ordering::Relaxed) {
                let heard = || devices.end_and_begin_gap(own);
                let _ = match protocol {
                    Udp => talk_datagrams(device, port, over, heard),
                    Tcp | Tls => talk(device, port, over, heard),
                };
                devices.note_loss(own);
                thread::sleep(COME_AGAIN_AFTER);
            }
        });
    }

    pub fn forget_gaps(&self) {
        self.drivers.forget();
        self.devices.forget();
    }

    fn spawn(&mut self, act: impl FnOnce(&AtomicBool) + Send + 'static) {
        let (network, over) = (Arc::clone(&self.network), Arc::clone(&self.over));
        self.threads.push(thread::spawn(move || {
            network.enter(Place::Field);
            act(&over);
        }));
    }
}

impl Drop for Peers {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let ended = thread.join();
            assert!(ended.is_ok() || thread::panicking(), "a peer found something wrong");
        }
    }
}

// ---- Drivers ----------------------------------------------------------------------------------

fn open_driver(
    protocol: Protocol,
    port: u16,
    device: Ipv4Addr,
    token: &str,
) -> io::Result<WebSocket<TcpStream>> {
    let route = if protocol == Udp { "udp_dispatch" } else { "tcp_dispatch" };
    let url = format!("ws://{BALANCER}:3000/api/dispatch/v1/{route}?port={port}&accept={device}");
    let mut request = url.into_client_request().map_err(io::Error::other)?;
    let authorization = format!("Bearer {token}").parse().map_err(io::Error::other)?;
    request.headers_mut().insert("Authorization", authorization);
    let stream = TcpStream::connect_timeout(&SocketAddr::from((BALANCER, 3000)), PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    let (socket, _) = client(request, stream).map_err(io::Error::other)?;
    socket.get_ref().set_read_timeout(Some(LOOK_EVERY))?;
    Ok(socket)
}

/// Sends back what is received, until the connection ends.
fn echo(
    socket: &mut WebSocket<TcpStream>,
    device: Ipv4Addr,
    over: &AtomicBool,
) -> Result<(), tungstenite::Error> {
    while !over.load(Ordering::Relaxed) {
        let bytes = match socket.read() {
            Ok(Message::Binary(bytes)) => bytes,
            Ok(_) => continue,
            Err(tungstenite::Error::Io(error)) if is_timeout(&error) => continue,
            Err(error) => return Err(error),
        };
        let message = message::decode(&bytes).expect("dispatch sends messages that decode");
        let address = str::from_utf8(message.ip_address).expect("an address is text");
        assert_eq!(address, device.to_string(), "the true address");
        if message.kind == Kind::Received {
            let answer = encode(Kind::Write, address, message.id_or_port, message.data);
            socket.send(Message::Binary(answer.into()))?;
        }
    }
    Ok(())
}

// ---- Devices ----------------------------------------------------------------------------------

/// Talks until the connection ends.
fn talk(device: Ipv4Addr, port: u16, over: &AtomicBool, mut heard: impl FnMut()) -> io::Result<()> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from((device, 0)).into())?;
    socket.connect_timeout(&SocketAddr::from((BALANCER, port)).into(), PATIENCE)?;
    let mut stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE))?;
    for said in 0u64.. {
        if over.load(Ordering::Relaxed) {
            break;
        }
        let mut answer = [0; 8];
        stream.write_all(&said.to_be_bytes())?;
        stream.read_exact(&mut answer)?;
        assert_eq!(u64::from_be_bytes(answer), said, "no byte is lost within a connection");
        heard();
        thread::sleep(TALK_EVERY);
    }
    Ok(())
}

/// The same in datagrams, of which some may be lost.
fn talk_datagrams(
    device: Ipv4Addr,
    port: u16,
    over: &AtomicBool,
    mut heard: impl FnMut(),
) -> io::Result<()> {
    let socket = UdpSocket::bind((device, 0))?;
    socket.connect((BALANCER, port))?;
    socket.set_read_timeout(Some(LOOK_EVERY))?;
    while !over.load(Ordering::Relaxed) {
        // An answer may be an ICMP error: nobody has the port just then.
        if socket.send(b"trap").and_then(|_| socket.recv(&mut [0; 16])).is_ok() {
            heard();
        }
        thread::sleep(TALK_EVERY);
    }
    Ok(())
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}
