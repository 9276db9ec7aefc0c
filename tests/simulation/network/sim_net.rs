//! The simulated network as the reactor sees it.
//!
//! The two ends of a simulated socket share the network by counted reference: a socket of the
//! trait [`Net`] is read without it at hand, as a descriptor is. Nothing of this is in the program.

use std::cell::{RefCell, RefMut};
use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use dispatch::testing::net::datagrams::{Arrival, DatagramBatch};
use dispatch::testing::net::{Net, Stream, Token};

use super::id::Id;
use super::wire::Wire;

/// A network in memory. Its clones are the same network.
#[derive(Clone)]
pub struct SimNet(Rc<RefCell<Wire>>);

/// One of its streams.
pub struct SimStream {
    net: SimNet,
    id: Id,
}

/// One of its listeners.
pub struct SimListener {
    net: SimNet,
    id: Id,
    address: SocketAddr,
}

/// One of its UDP sockets.
pub struct SimUdp {
    net: SimNet,
    id: Id,
}

impl SimNet {
    /// A network with nothing on it; the seed decides over its faults.
    pub fn new(seed: u64) -> Self {
        Self(Rc::new(RefCell::new(Wire::new(seed))))
    }

    /// The inside, for the peers.
    pub fn wire(&self) -> RefMut<'_, Wire> {
        self.0.borrow_mut()
    }

    fn listen(&self, address: SocketAddr, token: Token) -> io::Result<SimListener> {
        let id = self.wire().listen(address.port(), token)?;
        Ok(SimListener { net: self.clone(), id, address })
    }
}

impl Net for SimNet {
    type Stream = SimStream;
    type Listener = SimListener;
    type Udp = SimUdp;

    fn open_http(&mut self, address: SocketAddr, token: Token) -> io::Result<SimListener> {
        self.listen(address, token)
    }

    fn open_tcp(&mut self, port: u16, token: Token) -> io::Result<SimListener> {
        self.listen(([0, 0, 0, 0], port).into(), token)
    }

    fn open_udp(&mut self, port: u16, token: Token) -> io::Result<SimUdp> {
        let id = self.wire().bind(port, token)?;
        Ok(SimUdp { net: self.clone(), id })
    }

    fn local_address(&self, listener: &SimListener) -> io::Result<SocketAddr> {
        Ok(listener.address)
    }

    fn accept(&mut self, listener: &SimListener) -> io::Result<(SimStream, SocketAddr)> {
        let (id, peer) = self.wire().accept(listener.id)?;
        Ok((SimStream { net: self.clone(), id }, peer))
    }

    fn watch(&mut self, stream: &mut SimStream, token: Token) -> io::Result<()> {
        self.wire().watch(stream.id, token)
    }

    fn receive(&mut self, udp: &SimUdp, batch: &mut DatagramBatch) -> io::Result<()> {
        self.wire().take_failure(udp.id)?;
        let (slots, filled) = batch.refill();
        for slot in slots {
            let Some((from, data)) = self.wire().receive(udp.id) else { break };
            slot[..data.len()].copy_from_slice(&data);
            filled.push(Arrival { from, to: None, len: data.len() });
        }
        match filled.is_empty() {
            true => Err(ErrorKind::WouldBlock.into()),
            false => Ok(()),
        }
    }

    fn send(
        &mut self,
        udp: &SimUdp,
        _: Option<IpAddr>,
        to: SocketAddr,
        data: &[u8],
    ) -> io::Result<()> {
        self.wire().send(udp.id, to, data)
    }
}

impl Stream for SimStream {
    fn peek(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.net.wire().peek(self.id, into)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.net.wire().finish(self.id)
    }
}

impl Read for SimStream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.net.wire().read(self.id, into)
    }
}

impl Write for SimStream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.net.wire().write(self.id, data)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for SimStream {
    fn drop(&mut self) {
        self.net.wire().close(self.id);
    }
}

impl Drop for SimListener {
    fn drop(&mut self) {
        self.net.wire().close_listener(self.id);
    }
}

impl Drop for SimUdp {
    fn drop(&mut self) {
        self.net.wire().close_udp(self.id);
    }
}
