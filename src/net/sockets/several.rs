//! A device port's sockets: one for all addresses, or one for each address that the operator
//! names.
//!
//! All of them have the same token: an event does not say which one it is about, so each is tried
//! in turn.

use std::cell::Cell;
use std::io::{self, ErrorKind};
use std::net::{IpAddr, SocketAddr};

use mio::Interest;
use mio::event::Source;

use super::{Udp, canonical, tcp};
use crate::net::{Token, is_blocked};

/// Sockets that are opened and closed together.
pub struct Several<T> {
    /// Each with the address that it is bound to; never empty.
    sockets: Vec<(IpAddr, T)>,
    /// The one that is tried first, so that a flood on one address does not hide the others.
    turn: Cell<usize>,
}

impl<T> Several<T> {
    /// Opens one socket for each address, or none at all.
    pub(super) fn open(
        addresses: &[IpAddr],
        port: u16,
        open: impl Fn(SocketAddr) -> io::Result<T>,
    ) -> io::Result<Self> {
        let opened = addresses.iter().map(|&ip| Ok((ip, open(SocketAddr::new(ip, port))?)));
        Ok(Self { sockets: opened.collect::<io::Result<_>>()?, turn: Cell::new(0) })
    }

    /// One socket, which is bound to this address.
    pub(super) fn one(address: IpAddr, socket: T) -> Self {
        Self { sockets: vec![(address, socket)], turn: Cell::new(0) }
    }

    /// Whether there are more than one.
    pub(super) fn are_many(&self) -> bool {
        self.sockets.len() > 1
    }

    pub(super) fn first(&self) -> io::Result<&T> {
        let first = self.sockets.first().map(|(_, socket)| socket);
        first.ok_or_else(|| ErrorKind::AddrNotAvailable.into())
    }

    /// Does something with the first socket, in turn, that does not say `WouldBlock`.
    pub(super) fn in_turn<R>(&self, mut attempt: impl FnMut(&T) -> io::Result<R>) -> io::Result<R> {
        for _ in 0..self.sockets.len() {
            let turn = self.turn.get();
            self.turn.set((turn + 1) % self.sockets.len());
            match attempt(&self.sockets[turn].1) {
                Err(error) if is_blocked(&error) => {}
                done => return done,
            }
        }
        Err(ErrorKind::WouldBlock.into())
    }

    /// The socket that is bound to `from`, or else one that reaches `to`: of its family, and on the
    /// loopback interface where that is.
    pub(super) fn toward(&self, from: Option<IpAddr>, to: SocketAddr) -> io::Result<&T> {
        if let Some((_, socket)) = self.sockets.iter().find(|(bound, _)| Some(*bound) == from) {
            return Ok(socket);
        }
        let to = canonical(to).ip();
        let reaching = |(bound, _): &&(IpAddr, T)| reaches(*bound, to);
        let same_scope = |(bound, _): &&(IpAddr, T)| {
            reaches(*bound, to) && bound.is_loopback() == to.is_loopback()
        };
        let found = self.sockets.iter().find(same_scope).or(self.sockets.iter().find(reaching));
        found.map(|(_, socket)| socket).map_or_else(|| self.first(), Ok)
    }
}

/// Whether a socket that is bound to `bound` can have a peer at `peer`.
fn reaches(bound: IpAddr, peer: IpAddr) -> bool {
    bound.is_ipv4() == peer.is_ipv4() || (bound.is_ipv6() && bound.is_unspecified())
}

impl Several<tcp::Listener> {
    pub(super) fn register(&mut self, registry: &mio::Registry, token: Token) -> io::Result<()> {
        for (_, listener) in &mut self.sockets {
            register(registry, listener.source(), token, Interest::READABLE)?;
        }
        Ok(())
    }
}

impl Several<Udp> {
    pub(super) fn register(&mut self, registry: &mio::Registry, token: Token) -> io::Result<()> {
        for (_, udp) in &mut self.sockets {
            register(registry, udp.source(), token, Interest::READABLE | Interest::WRITABLE)?;
        }
        Ok(())
    }
}

fn register(
    registry: &mio::Registry,
    source: &mut impl Source,
    token: Token,
    what: Interest,
) -> io::Result<()> {
    registry.register(source, mio::Token(token.0), what)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    /// Sockets that are nothing but their addresses.
    fn several(texts: &[&str]) -> Several<String> {
        Several::open(&addresses(texts), 162, |address| Ok(address.to_string())).unwrap()
    }

    #[test]
    fn one_address_that_can_not_be_had_is_none_at_all() {
        let open = |address: SocketAddr| match address.ip().is_loopback() {
            true => Ok(()),
            false => Err(ErrorKind::AddrInUse.into()),
        };
        let opened = Several::open(&addresses(&["127.0.0.1", "10.0.0.1"]), 162, open);
        assert_eq!(opened.map(drop).unwrap_err().kind(), ErrorKind::AddrInUse);
    }

    #[test]
    fn each_socket_has_its_turn_and_a_blocked_one_is_passed_over() {
        let several = several(&["127.0.0.1", "127.0.0.2", "127.0.0.3"]);
        let next = || {
            several.in_turn(|socket| match socket.as_str() {
                "127.0.0.2:162" => Err(ErrorKind::WouldBlock.into()),
                other => Ok(other.to_owned()),
            })
        };
        let seen: Vec<_> = (0..4).map(|_| next().unwrap()).collect();
        assert_eq!(seen, ["127.0.0.1:162", "127.0.0.3:162", "127.0.0.1:162", "127.0.0.3:162"]);
        let blocked = several.in_turn(|_| Err::<(), _>(ErrorKind::WouldBlock.into()));
        assert_eq!(blocked.unwrap_err().kind(), ErrorKind::WouldBlock);
    }

    #[test]
    fn a_peer_is_reached_from_an_address_of_its_kind() {
        let several = several(&["::1", "127.0.0.1", "10.0.0.1", "2001:db8::1"]);
        for (to, from) in [
            ("127.0.0.9:7", "127.0.0.1:162"),
            ("10.0.0.9:7", "10.0.0.1:162"),
            ("[::ffff:10.0.0.9]:7", "10.0.0.1:162"),
            ("[::1]:7", "[::1]:162"),
            ("[2001:db8::9]:7", "[2001:db8::1]:162"),
        ] {
            assert_eq!(several.toward(None, to.parse().unwrap()).unwrap(), from, "{to}");
        }
    }
}
