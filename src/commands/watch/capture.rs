//! The file that `--pcap` names: packets in the form that Wireshark and tcpdump read.
//!
//! It is the classic form, with times in microseconds and packets that begin with their IP header.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::commands::client::event::Event;
use crate::commands::environment::ConfigError;
use crate::commands::terminal::failure::Failure;
use crate::protocol::http::registration::PortKind;

use super::packets::Packets;

/// Its first bytes, which say that numbers have the lowest byte first.
const MAGIC: u32 = 0xa1b2_c3d4;

/// The version of the form.
const VERSION: [u16; 2] = [2, 4];

/// Packets are not cut: none is longer than IP allows.
const SNAP_BYTES: u32 = 262_144;

/// Packets begin with their IP header, of either version.
const LINKTYPE_RAW: u32 = 101;

/// A file being written.
pub struct CaptureFile {
    path: PathBuf,
    file: BufWriter<File>,
    packets: Packets,
}

impl CaptureFile {
    /// Begins it anew. `server` is the address that devices seem to talk to.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn create(
        path: &Path,
        kind: PortKind,
        server: IpAddr,
        port: u16,
    ) -> Result<Self, ConfigError> {
        let create = || {
            let mut file = BufWriter::new(File::create(path)?);
            file.write_all(&head())?;
            Ok(file)
        };
        let file =
            create().map_err(|error: io::Error| ConfigError::new("--pcap", &at(path, &error)))?;
        Ok(Self { path: path.to_owned(), file, packets: Packets::new(kind, server, port) })
    }

    /// Adds what stands for an event on the wire.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn handle_event(&mut self, time: Timestamp, event: &Event<'_>) -> Result<(), Failure> {
        let Self { path, file, packets } = self;
        packets
            .handle_event(event, |packet| {
                file.write_all(&packet_head(time, packet.len()))?;
                file.write_all(packet)
            })
            .map_err(|error| failure(path, &error))
    }

    /// Whoever reads the file sees what there is.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn flush(&mut self) -> Result<(), Failure> {
        self.file.flush().map_err(|error| failure(&self.path, &error))
    }
}

fn at(path: &Path, error: &io::Error) -> String {
    format!("{}: {error}", path.display())
}

fn failure(path: &Path, error: &io::Error) -> Failure {
    Failure::Other(at(path, error))
}

fn head() -> Vec<u8> {
    let mut head = MAGIC.to_le_bytes().to_vec();
    head.extend(VERSION.iter().flat_map(|number| number.to_le_bytes()));
    // The time zone and the accuracy of times, which are always 0.
    head.extend([0; 8]);
    head.extend(SNAP_BYTES.to_le_bytes());
    head.extend(LINKTYPE_RAW.to_le_bytes());
    head
}

fn packet_head(time: Timestamp, bytes: usize) -> [u8; 16] {
    let micros = u64::try_from(time.as_microsecond()).unwrap_or_default();
    // The form has room for 32 bits of seconds, which last until 2106.
    let (seconds, micros) = ((micros / 1_000_000) as u32, (micros % 1_000_000) as u32);
    let bytes = bytes as u32;
    let mut head = [0; 16];
    for (field, number) in head.chunks_exact_mut(4).zip([seconds, micros, bytes, bytes]) {
        field.copy_from_slice(&number.to_le_bytes());
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_a_head_and_so_has_each_packet() {
        assert_eq!(head().len(), 24);
        assert_eq!(head()[..8], [0xd4, 0xc3, 0xb2, 0xa1, 2, 0, 4, 0]);
        assert_eq!(head()[20..], [101, 0, 0, 0]);
        let head = packet_head("1970-01-01T00:00:02.000003Z".parse().unwrap(), 4);
        assert_eq!(head, [2, 0, 0, 0, 3, 0, 0, 0, 4, 0, 0, 0, 4, 0, 0, 0]);
    }

    #[test]
    fn a_file_that_cannot_be_made_is_named() {
        let path = Path::new("/nonexistent/file.pcap");
        let created = CaptureFile::create(path, PortKind::Stream, [127, 0, 0, 1].into(), 1);
        let error = created.err().unwrap().to_string();
        assert!(error.starts_with("--pcap: /nonexistent/file.pcap: "), "{error}");
    }
}
