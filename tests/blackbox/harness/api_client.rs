//! Requests with a token, and answers in JSON.

use std::net::SocketAddr;

use serde_json::Value;

use super::{Http, Response};

/// Asks with one token, each time on a connection of its own.
#[derive(Debug, Clone)]
pub struct ApiClient {
    address: SocketAddr,
    token: String,
}

impl ApiClient {
    pub fn new(address: SocketAddr, token: &str) -> Self {
        Self { address, token: token.to_owned() }
    }

    #[track_caller]
    pub fn get(&self, target: &str) -> Response {
        self.request("GET", target, &[])
    }

    #[track_caller]
    pub fn delete(&self, target: &str) -> Response {
        self.request("DELETE", target, &[])
    }

    /// A request without a body; each of `headers` is a whole line without its end.
    #[track_caller]
    pub fn request(&self, method: &str, target: &str, headers: &[&str]) -> Response {
        let authorization = format!("Authorization: Bearer {}", self.token);
        let headers: Vec<_> = headers.iter().copied().chain([authorization.as_str()]).collect();
        Http::connect(self.address).request(method, target, &headers).response()
    }

    /// What a GET answers, which must be a 200 in JSON.
    #[track_caller]
    pub fn get_json(&self, target: &str) -> Value {
        self.get(target).expect_status(200).json()
    }
}
