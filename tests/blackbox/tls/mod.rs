//! TLS device ports: `tls_dispatch` with real peers.

mod bytes;
mod certificates;
mod client_certificates;
mod ends;
mod handshakes;
mod load;

use crate::harness::{Dispatch, Driver, Tls, TlsVersion, free_port};

const MIB: usize = 1 << 20;
const VERSIONS: [TlsVersion; 2] = [TlsVersion::V1_2, TlsVersion::V1_3];

fn open_port(dispatch: &Dispatch) -> (Driver, u16) {
    let port = free_port();
    (dispatch.driver(Tls, port).connect(), port)
}
