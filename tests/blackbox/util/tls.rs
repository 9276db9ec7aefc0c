//! TLS from the other side.

mod bridge;
mod certificates;
mod device;
mod openssl;

pub use bridge::Bridge;
pub use certificates::{Authority, Pair};
pub use device::{TlsDevice, TlsVersion};
pub use openssl::{OpenSsl, has_openssl, openssl};
