//! stub
use crate::net::Stream;
use std::io::{self, Read, Write};
/// stub
pub enum Transport<S> {
    /// plain
    Plain(S),
}
/// stub
pub enum Handshake {
    /// done
    Done,
    /// blocked
    Blocked,
}
impl<S: Stream> Transport<S> {
    /// stub
    pub fn tls(socket: S, _: std::sync::Arc<rustls::ServerConfig>) -> io::Result<Self> {
        Ok(Transport::Plain(socket))
    }

    /// stub
    pub fn handshake(&mut self) -> io::Result<Handshake> {
        Ok(Handshake::Done)
    }
    /// stub
    pub fn wants_write(&self) -> bool {
        false
    }
    /// stub
    pub fn has_input(&self) -> bool {
        false
    }
    /// stub
    pub fn short_read_means_empty(&self) -> bool {
        true
    }
    /// stub
    pub fn socket(&mut self) -> &mut S {
        match self {
            Transport::Plain(s) => s,
        }
    }
}
impl<S: Stream> Read for Transport<S> {
    fn read(&mut self, b: &mut [u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(s) => s.read(b),
        }
    }
}
impl<S: Stream> Write for Transport<S> {
    fn write(&mut self, b: &[u8]) -> io::Result<usize> {
        match self {
            Transport::Plain(s) => s.write(b),
        }
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
impl<S: Stream> Stream for Transport<S> {
    fn finish(&mut self) -> io::Result<()> {
        match self {
            Transport::Plain(s) => s.finish(),
        }
    }
}
