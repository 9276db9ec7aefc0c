//! Dispatch opens TCP, TLS and UDP ports for *drivers*, which are programs connected by
//! WebSocket, and relays between them and the *devices* that connect to those ports.
//!
//! One process, one thread that serves, one `mio::Poll`. The folders of `src` are layers, and an
//! import points down the list, never up:
//!
//! ```text
//! commands      what the command line asks for: flags, environment, `listen`, `watch` and others
//! server        the loop: the only place that waits and looks at a clock; signals
//! reactor       everything that is connected, and what one turn does with it
//! peers         one connection or port each, by role; never a poll, never an arena
//! net           the network as a trait, mio's sockets behind it, TLS, outbox, readiness
//! protocol      bytes to meaning and back; no socket, no clock, no log
//! collections   arena, ready queue, wait queue, timers, rate limit
//! logging       one writer thread, lines as text and JSON
//! limits        every bound, with its unit and its reason
//! ```
//!
//! # A turn
//!
//! 1. **Poll** until something happens or is due ([`server`]). Events only set readiness bits and
//!    queue their source once.
//! 2. **Timers**: deadlines that have come ([`collections::timers`]; `now` is handed in).
//! 3. **Drive**: each queued source takes one step. Each part of the turn has a share of
//!    operations ([`collections::budget`]); whatever does not fit stays queued, first come, first
//!    served. So no peer, and no crowd of them, can stretch a turn.
//! 4. **Flush**: connections that were written to are flushed, many messages with one `write`.
//! 5. **Close** what has ended.
//!
//! # Where bytes go
//!
//! A device is read straight into the outbox of its driver, behind room for the headers, which
//! are put in front afterwards ([`protocol::envelope`], [`net::outbox`]): no copy. Further drivers
//! get a copy of the frame. A driver is read into one shared buffer. Messages are unmasked and
//! decoded where they lie, and copied once into the outbox of their device; a long one goes to an
//! idle device without a copy ([`protocol::websocket`], [`protocol::message`]).
//!
//! # What holds it together
//!
//! - **Everything is `&mut`.** The reactor has one arena for each kind of thing and lends two of
//!   them at a time. What is below it answers with enums and never calls back.
//! - **Keys, not references.** A [`collections::arena::Key`] of something that is gone finds
//!   nothing, and that is an ordinary answer. The client ids of the protocol are separate and never
//!   reused.
//! - **Audiences are looked up, not kept.** Which drivers hear a device follows from their accept
//!   lists ([`peers::subscribers`]), so a driver that comes or goes costs no walk over devices.
//! - **Edges.** Events come once. Only `WouldBlock`, or a read that took less than it could, clears
//!   a readiness bit; a source that stops for another reason queues itself ([`net::readiness`]).
//! - **Nothing grows without a bound.** A driver that does not keep up has its devices parked; a
//!   device that does not keep up holds its driver; both for a limited time ([`limits`]).
//! - **The network is a trait** ([`net`]): the same reactor runs over mio's sockets and over a
//!   simulated network and clock, where its promises are checked after every turn.
//!
//! # Errors and bugs
//!
//! What peers send never panics: it becomes an `Err` with words that help. A panic is a bug of ours,
//! and each `expect` says why it cannot happen.
#![forbid(unsafe_code)]
// Pages about the inside are built by `cargo doc --document-private-items`.
#![allow(rustdoc::private_intra_doc_links)]

mod collections;
mod commands;
mod limits;
mod logging;
mod net;
mod peers;
mod protocol;
mod reactor;
mod server;

pub use commands::environment::Environment;
pub use commands::run;

/// What tests, benchmarks and fuzzing see of the inside. Nothing of it is promised.
#[cfg(feature = "testing")]
pub mod testing {
    /// Bounds that tests go up to and over.
    pub mod limits {
        pub use crate::limits::*;
    }

    /// The network as the reactor sees it, to be simulated.
    pub mod net {
        pub use crate::net::{Net, Stream, Token};
        pub use crate::net::{datagrams, readiness};

        /// TLS for the peers of tests.
        pub mod tls {
            pub use crate::net::tls::{AcceptAnything, SelfSigned};
            pub use crate::net::tls::{client_config, device_config, identity};
        }
    }

    /// What peers of tests speak.
    pub mod protocol {
        pub use crate::protocol::{accept_list, envelope, http, message};
        pub use crate::protocol::{proxy_header, secret, tokens, websocket};
    }

    /// The reactor, and what it says about itself.
    pub mod reactor {
        pub use crate::peers::figures::Traffic;
        pub use crate::reactor::{Gauges, MetricsSettings, Reactor, Settings};
    }
}
