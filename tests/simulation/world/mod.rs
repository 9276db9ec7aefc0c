//! A world around the reactor: its drivers, devices, peers and clients, what happens to them, and
//! what must be true of them.

mod accept_rates;
mod actions;
mod check_fairness;
mod check_limits;
mod check_state;
mod check_work;
mod clients;
mod datagrams;
mod devices;
mod driver_messages;
mod drivers;
mod final_checks;
mod misbehaviour;
mod monitors;
mod proxy_headers;
mod scenario;
mod state;
mod token_rules;
mod tokens;
mod turn;

pub use scenario::Scenario;
pub use state::World;
