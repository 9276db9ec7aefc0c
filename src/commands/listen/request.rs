//! What is asked of which server: the command line and the environment made sense of.

use std::sync::Arc;

use rustls::ClientConfig;

use crate::commands::cli::ListenArgs;
use crate::commands::config::parse_addresses;
use crate::commands::environment::{ConfigError, Environment};
use crate::commands::secrets::{self, DEFAULT_SECRET};
use crate::commands::url::{Scheme, Url};
use crate::net::tls;
use crate::protocol::accept_list::AcceptList;
use crate::protocol::http::registration::Protocol;
use crate::protocol::http::routes::BASE_PATHS;
use crate::protocol::secret::Secret;

/// Who may connect where `--accept` does not say it: this machine.
const LOOPBACK: &str = "127.0.0.0/8,::1";

/// What `any` stands for.
const ANYBODY: &str = "0.0.0.0/0,::/0";

/// A port that devices will use, and whom to hear there.
#[derive(Debug, Clone)]
pub struct PortRequest {
    /// How devices will talk.
    pub protocol: Protocol,
    /// Their port.
    pub port: u16,
    /// The devices to hear.
    pub accept: AcceptList,
}

/// A dispatch server, and how to get in.
pub struct Server {
    /// Where it is; the path is what comes before the routes.
    pub url: Url,
    /// What it wants to see.
    pub token: Secret,
    /// How to speak to it where the URL is an https one.
    pub tls: Option<Arc<ClientConfig>>,
}

impl PortRequest {
    /// What the command line asks for.
    ///
    /// # Errors
    /// An accept list that is none.
    pub fn from(args: &ListenArgs) -> Result<Self, ConfigError> {
        let protocol = match (args.udp, args.tls) {
            (true, _) => Protocol::Udp,
            (false, true) => Protocol::Tls,
            (false, false) => Protocol::Tcp,
        };
        let accept = accept(args).map_err(|error| ConfigError::new("--accept", &error))?;
        Ok(Self { protocol, port: args.port, accept })
    }

    /// Path and query of the request.
    pub fn target(&self, server: &Url) -> String {
        let accept = self.accept.to_string();
        let accept: String = form_urlencoded::byte_serialize(accept.as_bytes()).collect();
        let base = base_path(&server.target);
        format!("{base}/{}_dispatch?port={}&accept={accept}", self.protocol, self.port)
    }
}

impl Server {
    /// The server at this URL.
    ///
    /// # Errors
    /// A token or a certificate that cannot be read.
    pub fn from(
        url: &Url,
        args: &ListenArgs,
        environment: &Environment,
    ) -> Result<Self, ConfigError> {
        let token = match &args.token_file {
            Some(path) => Some(secrets::from_file(path)?),
            None => secrets::find(environment)?,
        };
        let tls = match url.scheme {
            Scheme::Http => None,
            Scheme::Https => Some(
                tls::client_config(args.ca.as_deref(), args.insecure)
                    .map_err(|why| ConfigError::new("--ca", &why))?,
            ),
        };
        let token = token.unwrap_or_else(|| Secret::new(DEFAULT_SECRET.to_owned()));
        Ok(Self { url: url.clone(), token, tls })
    }
}

fn accept(args: &ListenArgs) -> Result<AcceptList, String> {
    if args.accept.is_empty() {
        return match args.url {
            None => parse_addresses(LOOPBACK),
            // This machine, as seen from there, is nearly never what is meant.
            Some(_) => Err("with --url, say which devices are meant: addresses or ranges such as \
                            10.0.0.0/8, or any"
                .to_owned()),
        };
    }
    let is_any = |entry: &String| entry.trim().eq_ignore_ascii_case("any");
    let entries = args.accept.iter().map(|entry| if is_any(entry) { ANYBODY } else { entry });
    parse_addresses(&entries.collect::<Vec<_>>().join(","))
}

/// People paste what they have: the server's name alone, or the URL of one of its base paths.
fn base_path(target: &str) -> String {
    let path = target.split_once('?').map_or(target, |(path, _)| path).trim_end_matches('/');
    if BASE_PATHS.iter().any(|base| path.ends_with(base)) {
        path.to_owned()
    } else {
        format!("{path}{}", BASE_PATHS[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::cli::To;

    fn args() -> ListenArgs {
        ListenArgs {
            port: 6001,
            udp: false,
            tls: false,
            accept: Vec::new(),
            url: None,
            token_file: None,
            to: To::Last,
            crlf: false,
            json: false,
            ca: None,
            insecure: false,
        }
    }

    fn server(variables: &[(&str, &str)]) -> Result<Server, ConfigError> {
        let url = "http://dispatch:3000".parse().unwrap();
        let all = variables.iter().copied().chain([("SECRETS_PATH", "/nonexistent")]);
        Server::from(&url, &args(), &Environment::of(all))
    }

    #[test]
    fn this_machine_alone_is_accepted_unless_told_otherwise() {
        let request = PortRequest::from(&args()).unwrap();
        assert_eq!(request.accept.to_string(), "127.0.0.0/8,::1");
        let wider = ListenArgs { accept: vec!["10.0.0.0/8".into(), "::1".into()], ..args() };
        assert_eq!(PortRequest::from(&wider).unwrap().accept.to_string(), "10.0.0.0/8,::1");
        let wrong = ListenArgs { accept: vec!["::1".into(), "lobby".into()], ..args() };
        let error = PortRequest::from(&wrong).unwrap_err().to_string();
        assert!(error.starts_with("--accept: \"lobby\" "), "{error}");
    }

    #[test]
    fn anybody_is_any() {
        let any = ListenArgs { accept: vec!["Any".into()], ..args() };
        assert!(PortRequest::from(&any).unwrap().accept.is_everything());
    }

    #[test]
    fn of_another_server_it_must_be_said_who_is_accepted() {
        let url = "http://dispatch:3000".parse().unwrap();
        let unsaid = ListenArgs { url: Some(url), ..args() };
        let error = PortRequest::from(&unsaid).unwrap_err().to_string();
        assert!(error.starts_with("--accept: ") && error.contains("any"), "{error}");
        let said = ListenArgs { accept: vec!["any".into()], ..unsaid };
        assert!(PortRequest::from(&said).is_ok());
    }

    #[test]
    fn the_request_names_protocol_port_and_accept_list() {
        let target = |args: &ListenArgs, url: &str| {
            PortRequest::from(args).unwrap().target(&url.parse().unwrap())
        };
        let query = "port=6001&accept=127.0.0.0%2F8%2C%3A%3A1";
        let expected = format!("/api/dispatch/v1/tcp_dispatch?{query}");
        assert_eq!(target(&args(), "http://a"), expected);
        let udp = ListenArgs { udp: true, ..args() };
        let expected = format!("/api/server/udp_dispatch?{query}");
        assert_eq!(target(&udp, "http://a/api/server/?x=y"), expected);
        let tls = ListenArgs { tls: true, ..args() };
        let expected = format!("/behind/api/dispatch/v1/tls_dispatch?{query}");
        assert_eq!(target(&tls, "http://a/behind"), expected);
    }

    #[test]
    fn the_token_comes_from_the_environment() {
        let token = |variables: &[(&str, &str)]| server(variables).unwrap().token;
        assert_eq!(token(&[("PLACE_SERVER_SECRET", "s")]).expose(), "s");
        assert_eq!(token(&[]).expose(), DEFAULT_SECRET);
    }
}
