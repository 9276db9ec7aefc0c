//! Data structures that the loop is built from: typed arenas, queues of keys, deadlines, and a limit
//! on how often something happens.
//!
//! They know no socket, no clock and no log, and nothing of what dispatch is for. The time is
//! always handed in.

pub mod arena;
pub mod budget;
pub mod histogram;
pub mod moment;
pub mod rate_limit;
pub mod ready_queue;
pub mod recent;
pub mod timers;
pub mod wait_queue;
