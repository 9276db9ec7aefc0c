//! Black-box tests: the built program, real sockets on loopback, and nothing of its insides but
//! the message codec, the bounds and what trusts any certificate. Each test is one sentence of the contract.
//!
//! All of it is one binary, since a binary per topic would link the same harness ten times.

mod harness;

mod attacks;
mod backpressure;
mod browser;
mod ceilings;
mod drivers;
mod faults;
mod http;
mod https;
mod lifecycle;
mod logs;
mod proxy;
mod readiness;
mod shutdown;
mod soak;
mod tcp;
mod tls;
mod udp;
