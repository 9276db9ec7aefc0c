//! Black-box tests: the built program, and real sockets on loopback. Of its insides they know what
//! the harness imports: the message codec, the limits, and what trusts any certificate. Each test is
//! one sentence of the contract.
//!
//! They are one binary, since a binary per topic would link the same harness many times.

mod harness;

mod attacks;
mod backpressure;
mod browser;
mod ceilings;
mod drivers;
mod faults;
mod governing;
mod http;
mod https;
mod lifecycle;
mod logs;
mod proxy;
mod readiness;
mod seeing;
mod shutdown;
mod soak;
mod tcp;
mod tls;
mod udp;
