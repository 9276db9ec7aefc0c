//! The samples in `examples/` and the commands in the manuals, run as a reader runs them: against
//! the real program. What a machine lacks for that is said loudly.

#[path = "../blackbox/harness/mod.rs"]
mod harness;

mod bytes;
mod commands;
mod program;
mod samples;
