//! What an attacker tries, and what comes of it.

mod crowds;
mod secrets;
mod smuggling;
mod websocket;
mod wrong_tokens;

const HEALTH: &str = "/api/server/healthz";
