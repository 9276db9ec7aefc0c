//! Which port is asked for: the command line made sense of.

use crate::commands::cli::ListenArgs;
use crate::commands::config::parse_addresses;
use crate::commands::environment::ConfigError;
use crate::protocol::accept_list::AcceptList;
use crate::protocol::http::registration::Protocol;

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

    /// Path and query of the request, below a server's base path.
    pub fn path(&self) -> String {
        let accept = self.accept.to_string();
        let accept: String = form_urlencoded::byte_serialize(accept.as_bytes()).collect();
        format!("/{}_dispatch?port={}&accept={accept}", self.protocol, self.port)
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
        let path = |args: &ListenArgs| PortRequest::from(args).unwrap().path();
        let query = "port=6001&accept=127.0.0.0%2F8%2C%3A%3A1";
        assert_eq!(path(&args()), format!("/tcp_dispatch?{query}"));
        let udp = ListenArgs { udp: true, ..args() };
        assert_eq!(path(&udp), format!("/udp_dispatch?{query}"));
        let tls = ListenArgs { tls: true, ..args() };
        assert_eq!(path(&tls), format!("/tls_dispatch?{query}"));
    }
}
