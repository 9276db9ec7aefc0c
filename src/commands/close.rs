//! `dispatch close`: ends one device or one driver.

use std::process::ExitCode;

use serde_json::Value as Json;

use crate::commands::cli::CloseArgs;
use crate::commands::client::ServerError;
use crate::commands::client::http::{Method, ask};
use crate::commands::client::server::Server;
use crate::commands::environment::{ConfigError, Environment};
use crate::commands::ports::port_path;
use crate::commands::terminal::failure::{Failure, exit};
use crate::commands::terminal::say;
use crate::protocol::http::registration::PortKind;

/// Ends what the arguments name.
pub fn run(args: &CloseArgs, environment: &Environment) -> ExitCode {
    exit(close(args, environment))
}

fn close(args: &CloseArgs, environment: &Environment) -> Result<(), Failure> {
    let CloseArgs { port, id, driver, udp, server } = args;
    let server = Server::of(server, environment)?;
    let kind = if *udp { PortKind::Datagram } else { PortKind::Stream };
    let path = port_path(kind, *port);
    match (driver, kind) {
        (true, _) => close_driver(&server, &path, *port, id),
        (false, PortKind::Datagram) => {
            let why = "UDP has no connections that could be closed; --driver closes a driver";
            Err(ConfigError::new("--udp", why).into())
        }
        (false, PortKind::Stream) => close_device(&server, &path, *port, id),
    }
}

fn close_device(server: &Server, path: &str, port: u16, id: &str) -> Result<(), Failure> {
    let number: u64 = id.parse().map_err(|_| {
        let why = "the id of a device is a number, which `dispatch ports PORT` shows; \
                   a driver is closed with --driver";
        ConfigError::new("ID", why)
    })?;
    ask(server, Method::Delete, &format!("{path}/devices/{number}"))?;
    say(&format!("device {number} on port {port} is closed"));
    Ok(())
}

/// Tables show the first characters of an id. They do, as long as they mean one driver.
fn close_driver(server: &Server, path: &str, port: u16, id: &str) -> Result<(), Failure> {
    let answer = ask(server, Method::Get, &format!("{path}?limit=1"))?;
    let answer: Json = serde_json::from_slice(&answer)
        .map_err(|error| Failure::Other(format!("no valid answer: {error}")))?;
    let id = driver_id(&answer, id)?;
    let escaped: String = form_urlencoded::byte_serialize(id.as_bytes()).collect();
    ask(server, Method::Delete, &format!("{path}/drivers/{escaped}"))?;
    say(&format!("driver {id} on port {port} is closed"));
    Ok(())
}

fn driver_id(answer: &Json, begin: &str) -> Result<String, ServerError> {
    let drivers = answer["drivers"].as_array().into_iter().flatten();
    let ids: Vec<&str> = drivers.filter_map(|driver| driver["id"].as_str()).collect();
    // One that is whole may be the beginning of another.
    if ids.contains(&begin) {
        return Ok(begin.to_owned());
    }
    let mut meant = ids.into_iter().filter(|id| id.starts_with(begin));
    match (meant.next(), meant.next()) {
        (Some(id), None) => Ok(id.to_owned()),
        (Some(_), Some(_)) => {
            Err(ServerError::Failed(format!("the ids of several drivers begin with {begin}")))
        }
        (None, _) => Err(ServerError::Failed(format!("no driver's id begins with {begin}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_beginning_of_an_id_is_enough_where_it_means_one_driver() {
        let answer = json!({"drivers": [{"id": "abc"}, {"id": "abd"}, {"id": "x"}, {"id": "xy"}]});
        let id = |begin| driver_id(&answer, begin);
        assert_eq!(id("abd").as_deref(), Ok("abd"));
        assert_eq!(id("x").as_deref(), Ok("x"));
        assert_eq!(id("xy").as_deref(), Ok("xy"));
        assert!(id("ab").unwrap_err().to_string().contains("several"));
        assert!(id("z").unwrap_err().to_string().contains("no driver"));
        assert!(driver_id(&json!({}), "").is_err());
    }
}
