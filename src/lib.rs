//! Dispatch opens TCP, TLS and UDP ports for *drivers*, which are programs connected by
//! WebSocket, and relays between them and the *devices* that connect to those ports.
//!
//! One process, one loop, one `mio::Poll`. The modules stand in layers, and an import points
//! down, never up:
//!
//! ```text
//! commands   main, run     what the command line asks for       cli, config, secrets, environment
//!            server        the loop: the only place that waits  curl, listen, signals, logging, clock
//!
//! reactor    everything that is connected, and what a turn of the loop does with it
//!            accept, arrive        connections in              http, subscribe, uplink
//!            downlink, datagrams   what they carry             backpressure, overload
//!            timeouts, reap        what ends them              shutdown, invariants, strain
//!
//! sockets    one connection each; never a poll, never an arena
//!            connection    a byte stream and its readiness      transport, tls
//!            http          requests in, answers out             driver, device, farewell
//!            port          a device port and its drivers        net, sockets, datagrams
//!
//! pure       no socket, no clock, no log
//!            message       what is on the wire                  frames, envelope, outbox
//!            request       HTTP heads                           query, refusal, response, api, proxy
//!            routes        who hears whom                       accept, guesses, throttle
//!            arena         names that outlive what they name    keys, worklist, waiting_line, timers, readiness
//!            gather        when a pause saves work
//!            limits        every bound, with its reason
//! ```
//!
//! # A turn
//!
//! 1. **Poll**, until something happens or is due ([`server`]). Events only set bits and list
//!    their source as having something to do.
//! 2. **Timers**: what is overdue is dealt with ([`timers`]; `now` is handed in).
//! 3. **Drive**: every listed source takes one bounded step. Who has more to do is listed again
//!    and comes with the next turn, after everybody else.
//! 4. **Flush**: every connection that was written to is flushed once: many messages, one write.
//!
//! # Where bytes go
//!
//! A device is read straight into the outbox of its driver, behind room for the headers, which
//! are put in front afterwards ([`envelope`], [`outbox`]): no copy. Further drivers get a copy of
//! the frame. A driver is read into one shared buffer; messages are unmasked and decoded where
//! they lie and copied once, into the outbox of their device ([`frames`], [`message`]).
//!
//! # What holds it together
//!
//! - **Everything is `&mut`.** The reactor has one arena for each kind of thing and lends two of
//!   them at a time. What is below it answers with enums and never calls back.
//! - **Keys, not references.** A [`arena::Key`] of something that is gone finds nothing, and that
//!   is an ordinary answer. The client ids of the protocol are separate and never reused.
//! - **Edges.** Events come once. Only `WouldBlock`, or a read that took less than it could,
//!   clears a bit; whoever stops for another reason lists itself ([`readiness`]).
//! - **Nothing grows without a bound.** A driver that does not keep up has its devices parked; a
//!   device that does not keep up holds its driver; both for a limited time ([`limits`]).
//! - **The network is a trait** ([`net`]): the same reactor runs over mio's sockets and over a
//!   simulated network and clock, where its promises are checked after every step.
//!
//! # Errors and bugs
//!
//! What peers send can't panic: it becomes an `Err` with words that help. What an `expect` says
//! can't happen would be a bug of ours.
#![forbid(unsafe_code)]

pub mod cli;
pub mod config;
pub mod environment;
pub mod run;
pub mod secrets;
pub mod server;

pub mod build_info;
pub mod clock;
pub mod curl;
pub mod descriptors;
pub mod listen;
pub mod logging;
pub mod signals;
pub mod url;

pub mod reactor;

pub mod connection;
pub mod datagrams;
pub mod device;
pub mod driver;
pub mod farewell;
pub mod http;
pub mod net;
pub mod port;
pub mod sockets;
pub mod tls;
pub mod transport;

pub mod accept;
pub mod api;
pub mod arena;
pub mod envelope;
pub mod frames;
pub mod gather;
pub mod guesses;
pub mod keys;
pub mod limits;
pub mod message;
pub mod outbox;
pub mod proxy;
pub mod query;
pub mod readiness;
pub mod refusal;
pub mod request;
pub mod response;
pub mod routes;
pub mod secret;
pub mod throttle;
pub mod timers;
pub mod waiting_line;
pub mod worklist;

pub mod fuzzing;
pub mod simulation;

#[cfg(test)]
mod scripted;
