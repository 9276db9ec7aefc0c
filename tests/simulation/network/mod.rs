//! The simulated network: the inside with both of its sides, and the trait that the reactor sees.
//!
//! It knows nothing of what the bytes mean. The fuzzed session has it too, by path.

mod calls;
mod id;
mod our_side;
mod peer_side;
mod reading_order;
mod sim_net;
mod wire;

pub use calls::Calls;
pub use id::Id;
pub use reading_order::Overtaking;
pub use sim_net::SimNet;
pub use wire::{Faults, Standing, Wire, is_unreachable};
