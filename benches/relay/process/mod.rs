//! Relays as processes on a CPU of their own, and what can be told of them from outside: CPU time,
//! memory, system calls.
//!
//! Deliberately absent: drivers, devices, and what a figure means.

pub mod machine;
pub mod memory;
pub mod peer;
pub mod ports;
pub mod relay;
pub mod running;
pub mod sample;
pub mod subject;
pub mod system_calls;
pub mod tunnel;
pub mod window;
