//! Everybody on the simulated network but the program: what they do and what they must hear.

pub mod addresses;
pub mod behaviour;
pub mod client;
pub mod device;
pub mod driver;
pub mod frames;
pub mod line;
pub mod monitor;
