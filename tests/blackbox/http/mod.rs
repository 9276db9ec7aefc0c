//! The HTTP side: routes, tokens, refusals, and connections.

mod connections;
mod parameters;
mod requests;
mod routes;
mod tokens;
mod upgrades;

const BASES: [&str; 2] = ["/api/dispatch/v1", "/api/server"];
const HEALTH: &str = "/api/dispatch/v1/healthz";
const TCP: &str = "/api/dispatch/v1/tcp_dispatch";
