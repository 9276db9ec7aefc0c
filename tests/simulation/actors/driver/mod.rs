//! A driver of the simulation.

mod actor;
mod checks;
mod heard;

pub use actor::{DriverActor, Stage};
