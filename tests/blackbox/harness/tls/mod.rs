//! TLS from the other side.

mod bridge;
mod certificates;
mod device;
mod openssl;

pub use bridge::TlsBridge;
pub use certificates::{Authority, CertifiedKey};
pub use device::{TlsDevice, TlsVersion};
pub use openssl::{OpenSslClient, openssl};
