//! What a driver asks for in the query of its request: a port, whom to hear, and for TLS the key
//! and certificates.
//!
//! The PEM texts are only told apart from nothing here; whether they are keys is for TLS to say.
//! Messages never repeat a value, since any of them may be a secret put in the wrong place.

use std::borrow::Cow;
use std::fmt;

use crate::limits::{ACCEPT_MAX_ENTRIES, UNKNOWN_NAME_MAX_BYTES, UNKNOWN_NAMES_MAX};
use crate::protocol::accept_list::{AcceptError, AcceptList};
use crate::protocol::decimal::parse_decimal;
use crate::protocol::http::refusal::Refusal;
use crate::protocol::secret::Secret;

const PORT_RESTRICTION: &str = "1 to 65535";

const ACCEPT_RESTRICTION: &str =
    "IP addresses or CIDR ranges, separated by commas, such as 10.0.0.9,2001:db8::/32";

/// How devices talk to a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// Plain TCP.
    Tcp,
    /// TLS over TCP, ended here.
    Tls,
    /// UDP.
    Udp,
}

/// What kind of port a protocol takes: TCP and TLS share one set of port numbers, UDP has its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PortKind {
    /// A TCP port.
    Stream,
    /// A UDP port.
    Datagram,
}

impl Protocol {
    /// The kind of port that it takes.
    pub const fn port_kind(self) -> PortKind {
        match self {
            Protocol::Tcp | Protocol::Tls => PortKind::Stream,
            Protocol::Udp => PortKind::Datagram,
        }
    }
}

/// As paths and rules name it.
impl fmt::Display for PortKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            PortKind::Stream => "tcp",
            PortKind::Datagram => "udp",
        })
    }
}

/// As the log's `server_protocol` shows it.
impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Protocol::Tcp => "tcp",
            Protocol::Tls => "tls",
            Protocol::Udp => "udp",
        })
    }
}

/// What a driver asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Registration {
    /// How devices will talk.
    pub protocol: Protocol,
    /// The port to open; never 0.
    pub port: u16,
    /// The devices to hear.
    pub accept: AcceptList,
    /// Empty unless `protocol` is [`Protocol::Tls`].
    pub tls: TlsParameters,
}

/// The PEM texts of a TLS registration, as the driver sent them. There is no certificate without
/// a private key.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TlsParameters {
    /// The private key; without one, that of a self-signed certificate of this process is used.
    pub private_key: Option<Secret>,
    /// The certificate, with its chain after it; without one, the key signs its own.
    pub certificate: Option<String>,
    /// The authority that must have signed the devices' certificates.
    pub client_ca: Option<String>,
}

/// Reads a registration from what follows the `?` of a request. Parameters that it does not know
/// are ignored, and so are those of TLS for the other protocols.
///
/// # Errors
/// 422 for a missing parameter, 400 for an invalid one.
pub fn registration(protocol: Protocol, query: Option<&str>) -> Result<Registration, Refusal> {
    let query = query.unwrap_or_default();
    let port = port(query)?;
    let accept = accept(query)?;
    Ok(Registration { protocol, port, accept, tls: tls_parameters(protocol, query)? })
}

/// The names of parameters that a registration does not know, for the log: perhaps one is
/// misspelt. What looks like more than a name is left out, for it may be a token.
pub fn unknown_parameters(query: &str) -> Vec<String> {
    const KNOWN: [&str; 6] =
        ["port", "accept", "bearer_token", "private_key", "certificate", "client_ca"];
    let is_name = |name: &str| {
        (1..=UNKNOWN_NAME_MAX_BYTES).contains(&name.len())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
    };
    let names = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name);
    let unknown = names.filter(|name| is_name(name) && !KNOWN.contains(&name.as_ref()));
    unknown.take(UNKNOWN_NAMES_MAX).map(Cow::into_owned).collect()
}

/// The decoded value of the first parameter of this name.
pub fn first<'a>(query: &'a str, name: &str) -> Option<Cow<'a, str>> {
    form_urlencoded::parse(query.as_bytes())
        .find(|(found, _)| found == name)
        .map(|(_, value)| value)
}

fn tls_parameters(protocol: Protocol, query: &str) -> Result<TlsParameters, Refusal> {
    match protocol {
        Protocol::Tcp | Protocol::Udp => Ok(TlsParameters::default()),
        Protocol::Tls => pem_parameters(query),
    }
}

/// The decoded value of the one parameter of this name. It may be repeated, but not differ:
/// of two readers, say a proxy that filters ports and us, one could go by the first and the
/// other by the last.
pub(super) fn single<'a>(
    query: &'a str,
    name: &'static str,
) -> Result<Option<Cow<'a, str>>, Refusal> {
    let pairs = form_urlencoded::parse(query.as_bytes());
    let mut values = pairs.filter(|(found, _)| found == name).map(|(_, value)| value);
    let Some(first) = values.next() else { return Ok(None) };
    if values.any(|value| value != first) {
        let message = format!("the parameter {name} is given twice with different values");
        return Err(Refusal::invalid(name, message, "one value"));
    }
    Ok(Some(first))
}

fn port(query: &str) -> Result<u16, Refusal> {
    let text = single(query, "port")?.ok_or_else(|| Refusal::missing("port", PORT_RESTRICTION))?;
    parse_port(&text)
}

pub(super) fn parse_port(text: &str) -> Result<u16, Refusal> {
    let port = parse_decimal(text).filter(|port| *port > 0);
    port.ok_or_else(|| {
        Refusal::invalid("port", "the port is not a number from 1 to 65535", PORT_RESTRICTION)
    })
}

fn accept(query: &str) -> Result<AcceptList, Refusal> {
    let text =
        single(query, "accept")?.ok_or_else(|| Refusal::missing("accept", ACCEPT_RESTRICTION))?;
    AcceptList::parse(&text).map_err(|error| {
        let restriction = match error {
            AcceptError::Empty | AcceptError::NoAddress(_) => Cow::Borrowed(ACCEPT_RESTRICTION),
            AcceptError::TooMany => Cow::Owned(format!("at most {ACCEPT_MAX_ENTRIES} entries")),
        };
        Refusal::invalid("accept", format!("the accept list is not valid: {error}"), restriction)
    })
}

fn pem_parameters(query: &str) -> Result<TlsParameters, Refusal> {
    let private_key = pem(query, "private_key")?.filter(|text| !is_blank(text));
    let certificate = pem(query, "certificate")?.filter(|text| !is_blank(text));
    let client_ca = pem(query, "client_ca")?;
    if certificate.is_some() && private_key.is_none() {
        let message = "a certificate needs its private key, and there is no private_key";
        return Err(Refusal::invalid("private_key", message, "the certificate's key in PEM"));
    }
    // A blank key or certificate counts as left out, as drivers of PlaceOS send them. A blank
    // authority does not: leaving it out would let in everybody.
    if client_ca.as_deref().is_some_and(is_blank) {
        let message = "client_ca is empty; leave it out to let in devices without a certificate";
        return Err(Refusal::invalid("client_ca", message, "a certificate in PEM"));
    }
    Ok(TlsParameters { private_key: private_key.map(Secret::new), certificate, client_ca })
}

/// The PEM text of a parameter. In a query a plus means a blank, and must be sent as `%2B`. But
/// base64 is full of them, and clients forget; since base64 has no blanks, a plus is taken for
/// a plus in it, and for a blank only in the lines that begin and end it.
fn pem(query: &str, name: &'static str) -> Result<Option<String>, Refusal> {
    let literal = query.replace('+', "%2B");
    let Some(text) = single(&literal, name)? else { return Ok(None) };
    let lines = text.split_inclusive('\n').map(|line| {
        if line.starts_with("-----") { line.replace('+', " ") } else { line.to_owned() }
    });
    Ok(Some(lines.collect()))
}

fn is_blank(text: &str) -> bool {
    text.trim().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str =
        "-----BEGIN EC PRIVATE KEY-----\r\nab+/cd+\r\n+ef==\n-----END EC PRIVATE KEY-----\n";

    fn tcp(query: &str) -> Result<Registration, Refusal> {
        registration(Protocol::Tcp, Some(query))
    }

    fn tls(query: &str) -> Result<TlsParameters, Refusal> {
        registration(Protocol::Tls, Some(&format!("port=1&accept=::1&{query}"))).map(|r| r.tls)
    }

    /// Status, parameter and restriction.
    fn fault(refused: Result<impl fmt::Debug, Refusal>) -> (u16, &'static str) {
        let refusal = refused.unwrap_err();
        assert!(refusal.restriction.is_some(), "{refusal:?}");
        (refusal.status.code(), refusal.parameter.unwrap())
    }

    fn percent(text: &str) -> String {
        form_urlencoded::byte_serialize(text.as_bytes()).collect()
    }

    #[test]
    fn port_and_accept_are_read_and_the_rest_is_ignored() {
        let registration =
            tcp("x&bearer_token=t&port=6001&accept=10.0.0.0%2F8%2C+%3A%3A1&y=").unwrap();
        assert_eq!(registration.port, 6001);
        assert_eq!(registration.accept.to_string(), "10.0.0.0/8,::1");
        assert_eq!(registration.protocol, Protocol::Tcp);
        assert_eq!(registration.tls, TlsParameters::default());
    }

    #[test]
    fn names_are_percent_decoded_too() {
        assert_eq!(tcp("p%6Frt=1&accept=::1").unwrap().port, 1);
    }

    #[test]
    fn what_is_missing_is_named() {
        assert_eq!(fault(registration(Protocol::Udp, None)), (422, "port"));
        assert_eq!(fault(tcp("accept=::1")), (422, "port"));
        assert_eq!(fault(tcp("port=1")), (422, "accept"));
    }

    #[test]
    fn both_ends_of_the_port_range_are_ports() {
        assert_eq!(tcp("port=1&accept=::1").unwrap().port, 1);
        assert_eq!(tcp("port=65535&accept=::1").unwrap().port, 65535);
    }

    #[test]
    fn what_is_no_port_is_refused() {
        for bad in
            ["", "0", "65536", "-1", "%2B80", "+80", "80+", "8o", "0x50", "1.0", "99999999999"]
        {
            let refused = tcp(&format!("port={bad}&accept=::1"));
            assert_eq!(fault(refused), (400, "port"), "{bad}");
        }
        let refusal = tcp("port=0&accept=::1").unwrap_err();
        assert_eq!(refusal.restriction.as_deref(), Some("1 to 65535"));
    }

    #[test]
    fn what_is_no_accept_list_is_refused() {
        for bad in ["", "+", ",", "host", "10.0.0.0/33", "10.0.0.1%00"] {
            let refused = tcp(&format!("port=1&accept={bad}"));
            assert_eq!(fault(refused), (400, "accept"), "{bad}");
        }
    }

    #[test]
    fn a_repeated_parameter_must_not_differ() {
        assert_eq!(tcp("port=1&port=1&accept=::1").unwrap().port, 1);
        assert_eq!(fault(tcp("port=1&port=2&accept=::1")), (400, "port"));
        assert_eq!(fault(tcp("port=1&accept=::1&accept=::2")), (400, "accept"));
        assert_eq!(fault(tls("private_key=a&private_key=b")), (400, "private_key"));
    }

    #[test]
    fn pem_arrives_whole_with_every_plus() {
        let parameters =
            tls(&format!("private_key={0}&certificate={0}&client_ca={0}", percent(PEM)));
        let parameters = parameters.unwrap();
        assert_eq!(parameters.private_key.unwrap().expose(), PEM);
        assert_eq!(parameters.certificate.as_deref(), Some(PEM));
        assert_eq!(parameters.client_ca.as_deref(), Some(PEM));
    }

    #[test]
    fn a_plus_that_was_not_encoded_is_one_in_base64_and_a_blank_beside_it() {
        let careless = PEM.replace(' ', "%20").replace('\r', "%0D").replace('\n', "%0A");
        let key = tls(&format!("private_key={careless}")).unwrap().private_key.unwrap();
        assert_eq!(key.expose(), PEM);
    }

    #[test]
    fn a_certificate_needs_its_key() {
        assert_eq!(fault(tls("certificate=x")), (400, "private_key"));
        assert_eq!(fault(tls("certificate=x&private_key=")), (400, "private_key"));
    }

    #[test]
    fn blank_keys_count_as_left_out_but_a_blank_authority_does_not() {
        assert_eq!(tls("private_key=&certificate=%0A"), Ok(TlsParameters::default()));
        assert_eq!(fault(tls("client_ca=")), (400, "client_ca"));
    }

    #[test]
    fn other_protocols_ignore_the_parameters_of_tls() {
        let query = "port=1&accept=::1&certificate=x&client_ca=";
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let registration = registration(protocol, Some(query)).unwrap();
            assert_eq!(registration.tls, TlsParameters::default());
        }
    }

    #[test]
    fn tcp_and_tls_share_their_ports() {
        assert_eq!(Protocol::Tcp.port_kind(), Protocol::Tls.port_kind());
        assert_ne!(Protocol::Tcp.port_kind(), Protocol::Udp.port_kind());
        assert_eq!(
            [Protocol::Tcp, Protocol::Tls, Protocol::Udp].map(|p| p.to_string()),
            ["tcp", "tls", "udp"]
        );
    }

    #[test]
    fn unknown_parameters_are_named_and_never_shown() {
        let query = "port=1&acept=10.0.0.1&accept=::1&bearer_token=t&hunter2=&Hunter&=x&a%0Ab=1&z";
        assert_eq!(unknown_parameters(query), ["acept", "z"]);
        assert_eq!(unknown_parameters(&"x=1&".repeat(100)).len(), UNKNOWN_NAMES_MAX);
    }

    #[test]
    fn neither_debug_nor_a_refusal_repeats_a_value() {
        let query = "port=1&accept=::1&private_key=hunter2";
        let shown = format!("{:?}", registration(Protocol::Tls, Some(query)).unwrap());
        assert!(!shown.contains("hunter2"), "{shown}");
        for query in ["port=hunter2", "port=1&accept=hunter2", "port=1&port=hunter2"] {
            let refusal = tcp(query).unwrap_err();
            assert!(!format!("{refusal:?} {refusal} {}", refusal.body()).contains("hunter2"));
        }
    }
}
