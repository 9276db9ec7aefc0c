//! What an operator decides: which ports may be opened, where and by whom, and how often drivers are
//! pinged.

mod allow_ports;
mod device_bind;
mod pings;
mod tokens;
