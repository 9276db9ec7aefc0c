//! The routes: what is asked for, who may ask, and in which order a request is found wanting.
//!
//! 404, 405, 429 or 401, 403 for the token's role, 400 for the handshake, 403 for a foreign web
//! page, 422 or 400 for a parameter, then 403 for a rule of the token: so an outsider learns nothing of a port, and a driver gets the most useful answer. A
//! request that is good but for the WebSocket is told so last, so that all of it can be tried out
//! with curl. Opening the port, and what can go wrong with it, is not known here.

use std::sync::Arc;

use crate::protocol::decimal::parse_decimal;
use crate::protocol::http::authorization::{Gate, authorise, token_of};
use crate::protocol::http::handshake::websocket_key;
use crate::protocol::http::ports::{self, Page, PortName};
use crate::protocol::http::refusal::{Methods, Refusal, Status};
use crate::protocol::http::registration::{self, Protocol, Registration};
use crate::protocol::http::request::{Method, Request};
use crate::protocol::tokens::{Role, Token};

pub use crate::protocol::http::handshake::Scheme;

/// Where the routes are; older drivers use the second.
pub const BASE_PATHS: [&str; 2] = ["/api/dispatch/v1", "/api/server"];

/// What a path stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// The status page.
    Page,
    /// Who listens where.
    Statistics,
    /// Whether we are there.
    Health,
    /// Whether drivers can be taken.
    Ready,
    /// Which version we are.
    Version,
    /// A driver's WebSocket.
    Register(Protocol),
    /// The metrics.
    Metrics,
    /// All open ports.
    Ports,
    /// One open port.
    Port,
    /// A device of a port, to be closed.
    Device,
    /// A driver of a port, to be closed.
    Driver,
    /// The WebSocket of an operator who watches a port.
    Monitor,
}

impl Endpoint {
    /// What a token must allow; `None` where none is needed.
    pub const fn role(self) -> Option<Role> {
        match self {
            Endpoint::Page | Endpoint::Health | Endpoint::Ready | Endpoint::Version => None,
            Endpoint::Statistics | Endpoint::Metrics | Endpoint::Ports | Endpoint::Port => {
                Some(Role::Viewer)
            }
            Endpoint::Device | Endpoint::Driver | Endpoint::Monitor => Some(Role::Operator),
            Endpoint::Register(_) => Some(Role::Driver),
        }
    }

    /// The methods that it takes.
    pub const fn methods(self) -> Methods {
        match self {
            Endpoint::Page
            | Endpoint::Statistics
            | Endpoint::Health
            | Endpoint::Ready
            | Endpoint::Version
            | Endpoint::Register(_)
            | Endpoint::Metrics
            | Endpoint::Ports
            | Endpoint::Port
            | Endpoint::Monitor => Methods::Read,
            Endpoint::Device | Endpoint::Driver => Methods::Delete,
        }
    }
}

/// One line of the table of routes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RouteRow {
    /// What follows the base path. A segment in braces stands for any other.
    pub suffix: &'static str,
    /// What it stands for.
    pub endpoint: Endpoint,
    /// What it is for, in a few words.
    pub purpose: &'static str,
}

/// All routes, under each of [`BASE_PATHS`].
pub const ROUTES: [RouteRow; 13] = [
    RouteRow { suffix: "", endpoint: Endpoint::Statistics, purpose: "statistics" },
    RouteRow { suffix: "/healthz", endpoint: Endpoint::Health, purpose: "health check" },
    RouteRow { suffix: "/readyz", endpoint: Endpoint::Ready, purpose: "takes drivers?" },
    RouteRow { suffix: "/version", endpoint: Endpoint::Version, purpose: "version" },
    RouteRow {
        suffix: "/tcp_dispatch",
        endpoint: Endpoint::Register(Protocol::Tcp),
        purpose: "WebSocket: serve a TCP port",
    },
    RouteRow {
        suffix: "/tls_dispatch",
        endpoint: Endpoint::Register(Protocol::Tls),
        purpose: "WebSocket: serve a TLS port",
    },
    RouteRow {
        suffix: "/udp_dispatch",
        endpoint: Endpoint::Register(Protocol::Udp),
        purpose: "WebSocket: serve a UDP port",
    },
    RouteRow { suffix: METRICS_PATH, endpoint: Endpoint::Metrics, purpose: "metrics" },
    RouteRow { suffix: "/ports", endpoint: Endpoint::Ports, purpose: "all open ports" },
    RouteRow {
        suffix: "/ports/{protocol}/{port}",
        endpoint: Endpoint::Port,
        purpose: "an open port, its drivers and devices",
    },
    RouteRow {
        suffix: "/ports/{protocol}/{port}/devices/{id}",
        endpoint: Endpoint::Device,
        purpose: "close a device",
    },
    RouteRow {
        suffix: "/ports/{protocol}/{port}/drivers/{id}",
        endpoint: Endpoint::Driver,
        purpose: "close a driver",
    },
    RouteRow {
        suffix: "/ports/{protocol}/{port}/monitor",
        endpoint: Endpoint::Monitor,
        purpose: "WebSocket: watch what passes on a port",
    },
];

/// Where the status page is.
pub const PAGE_PATH: &str = "/";

/// Where the metrics are as well, outside of the base paths: there Prometheus looks for them.
pub const METRICS_PATH: &str = "/metrics";

/// What a good request wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Route {
    /// The status page.
    Page,
    /// The statistics.
    Statistics,
    /// A 200.
    Health,
    /// A 200 while drivers can be taken.
    Ready,
    /// The version.
    Version,
    /// A port, and then a WebSocket.
    Register {
        /// What the driver asks for.
        registration: Registration,
        /// The key of its handshake.
        websocket_key: String,
    },
    /// A port without a WebSocket: a 426, after everything else was found to be right.
    PlainRegister {
        /// What a driver would ask for.
        registration: Registration,
    },
    /// The metrics.
    Metrics,
    /// All open ports.
    Ports(Page<PortName>),
    /// One open port.
    Port {
        /// Which.
        port: PortName,
        /// Which of its devices.
        page: Page<u64>,
    },
    /// The end of a device.
    CloseDevice {
        /// Its port.
        port: PortName,
        /// Its client id.
        id: u64,
    },
    /// The end of a driver.
    CloseDriver {
        /// Its port.
        port: PortName,
        /// The id of its request.
        id: String,
    },
    /// A port to be watched, and then a WebSocket.
    Monitor {
        /// Which.
        port: PortName,
        /// The key of its handshake.
        websocket_key: String,
    },
    /// The same without a WebSocket: a 426, unless the port can't be watched.
    PlainMonitor {
        /// Which.
        port: PortName,
    },
}

/// Who may see the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricsAccess {
    /// Who shows the token of a viewer.
    Viewers,
    /// Whoever asks.
    Everybody,
}

/// What a request wants, and who wants it.
#[derive(Debug, Clone)]
pub struct Routed {
    /// The token that it shows, where it is or was one.
    pub token: Option<Arc<Token>>,
    /// What it wants, or the answer to one that is not good.
    pub outcome: Result<Route, Refusal>,
}

/// Finds out what a request wants.
pub fn route(
    request: &Request,
    scheme: Scheme,
    gate: Gate<'_>,
    metrics_access: MetricsAccess,
) -> Routed {
    let found = find(&request.path).ok_or_else(Refusal::not_found).and_then(|(endpoint, names)| {
        check_method(&request.method, endpoint.methods()).map(|()| (endpoint, names))
    });
    let (endpoint, names) = match found {
        Ok(found) => found,
        Err(refusal) => return Routed { token: None, outcome: Err(refusal) },
    };
    let (token, allowed) = match (endpoint, metrics_access, endpoint.role()) {
        (Endpoint::Metrics, MetricsAccess::Everybody, _) | (_, _, None) => (None, Ok(())),
        (_, _, Some(role)) => authorise(request, gate, role),
    };
    let outcome = allowed.and_then(|()| {
        let route = understand(request, scheme, endpoint, &names)?;
        token.iter().try_for_each(|token| check_rules(token, &route))?;
        Ok(route)
    });
    Routed { token, outcome }
}

/// Whether a wrong token was offered. One who offers none is not guessing.
pub fn is_guess(request: &Request, refusal: &Refusal) -> bool {
    refusal.status == Status::Unauthorized && token_of(request).is_some()
}

/// Whether the rules of a token allow what it is shown for.
fn check_rules(token: &Token, route: &Route) -> Result<(), Refusal> {
    let checked = match route {
        Route::Page | Route::Health | Route::Ready | Route::Version => Ok(()),
        // These show what the token allows, and no more.
        Route::Statistics | Route::Ports(_) => Ok(()),
        Route::Metrics => token.check_all_ports(),
        Route::Register { registration, .. } | Route::PlainRegister { registration } => {
            let Registration { protocol, port, accept, .. } = registration;
            token.check_driver(protocol.port_kind(), *port, accept)
        }
        Route::Port { port, .. }
        | Route::CloseDevice { port, .. }
        | Route::CloseDriver { port, .. }
        | Route::Monitor { port, .. }
        | Route::PlainMonitor { port } => token.check_port(port.kind, port.number),
    };
    checked.map_err(Refusal::forbidden)
}

fn understand(
    request: &Request,
    scheme: Scheme,
    endpoint: Endpoint,
    names: &[&str],
) -> Result<Route, Refusal> {
    match (endpoint, names) {
        (Endpoint::Page, _) => Ok(Route::Page),
        (Endpoint::Health, _) => Ok(Route::Health),
        (Endpoint::Ready, _) => Ok(Route::Ready),
        (Endpoint::Version, _) => Ok(Route::Version),
        (Endpoint::Statistics, _) => Ok(Route::Statistics),
        (Endpoint::Register(protocol), _) => register(request, scheme, protocol),
        (Endpoint::Metrics, _) => Ok(Route::Metrics),
        (Endpoint::Ports, _) => Ok(Route::Ports(ports::ports_page(request.query.as_deref())?)),
        (Endpoint::Port, [kind, port]) => {
            let port = ports::port_name(kind, port)?;
            Ok(Route::Port { port, page: ports::devices_page(request.query.as_deref())? })
        }
        (Endpoint::Device, [kind, port, id]) => {
            let port = ports::port_name(kind, port)?;
            Ok(Route::CloseDevice { port, id: ports::device_id(id)? })
        }
        (Endpoint::Driver, [kind, port, id]) => {
            Ok(Route::CloseDriver { port: ports::port_name(kind, port)?, id: (*id).to_owned() })
        }
        (Endpoint::Monitor, [kind, port]) => watch(request, scheme, kind, port),
        (Endpoint::Port | Endpoint::Device | Endpoint::Driver | Endpoint::Monitor, _) => {
            Err(Refusal::not_found())
        }
    }
}

/// The port that a driver asks for, as far as that can be read, whatever else is wrong with the
/// request; `None` where it is none of a driver.
pub fn asked_port(request: &Request) -> Option<(Protocol, Option<u16>)> {
    match find(&request.path) {
        Some((Endpoint::Register(protocol), _)) => {
            let text = registration::first(request.query.as_deref().unwrap_or_default(), "port");
            Some((protocol, text.and_then(|text| parse_decimal(&text)).filter(|port| *port > 0)))
        }
        Some(_) | None => None,
    }
}

fn check_method(method: &Method, methods: Methods) -> Result<(), Refusal> {
    match (method, methods) {
        (Method::Get | Method::Head, Methods::Read) | (Method::Delete, Methods::Delete) => Ok(()),
        (Method::Get | Method::Head | Method::Delete | Method::Other(_), _) => {
            Err(Refusal::method_not_allowed(methods))
        }
    }
}

/// The path as a log line may show it: none that is no route, for people do put their token into
/// the path, and we cannot know where.
pub fn path_for_log(request: &Request) -> &str {
    match find(&request.path) {
        Some(_) => &request.path,
        None => "(no route)",
    }
}

/// What a path stands for, and the segments that fill its gaps.
fn find(path: &str) -> Option<(Endpoint, Vec<&str>)> {
    if path == PAGE_PATH {
        return Some((Endpoint::Page, Vec::new()));
    }
    let path = path.strip_suffix('/').unwrap_or(path);
    if path == METRICS_PATH {
        return Some((Endpoint::Metrics, Vec::new()));
    }
    let suffix = BASE_PATHS.iter().find_map(|base| path.strip_prefix(base))?;
    ROUTES.iter().find_map(|row| Some((row.endpoint, fill(row.suffix, suffix)?)))
}

/// The segments of `suffix` that stand where those of `pattern` are in braces, if the others are
/// the same.
fn fill<'a>(pattern: &str, suffix: &'a str) -> Option<Vec<&'a str>> {
    let mut names = Vec::new();
    let (mut wanted, mut found) = (pattern.split('/'), suffix.split('/'));
    loop {
        match (wanted.next(), found.next()) {
            (None, None) => return Some(names),
            (Some(gap), Some(name)) if gap.starts_with('{') => names.push(name),
            (Some(wanted), Some(found)) if wanted == found => {}
            (Some(_), Some(_)) | (Some(_), None) | (None, Some(_)) => return None,
        }
    }
}

fn register(request: &Request, scheme: Scheme, protocol: Protocol) -> Result<Route, Refusal> {
    let websocket_key = websocket_key(request, scheme)?;
    let registration = registration::registration(protocol, request.query.as_deref())?;
    Ok(match websocket_key {
        Some(websocket_key) => Route::Register { registration, websocket_key },
        None => Route::PlainRegister { registration },
    })
}

fn watch(request: &Request, scheme: Scheme, kind: &str, port: &str) -> Result<Route, Refusal> {
    let websocket_key = websocket_key(request, scheme)?;
    let port = ports::port_name(kind, port)?;
    Ok(match websocket_key {
        Some(websocket_key) => Route::Monitor { port, websocket_key },
        None => Route::PlainMonitor { port },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::http::registration::PortKind;
    use crate::protocol::http::request;
    use crate::protocol::secret::Secret;
    use crate::protocol::tokens::{Access, Digest, file};

    const HANDSHAKE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    fn request(line: &str, fields: &str) -> Request {
        let head = format!("{line} HTTP/1.1\r\nHost: Own:3000\r\n{fields}\r\n");
        request::parse(head.as_bytes()).unwrap().unwrap().0
    }

    fn asked(line: &str, fields: &str) -> Result<Route, Refusal> {
        let access = Access::of_secret(&Secret::new("t".to_owned()));
        let gate = Gate::Open(&access);
        route(&request(line, fields), Scheme::Http, gate, MetricsAccess::Viewers).outcome
    }

    fn code(line: &str, fields: &str) -> u16 {
        asked(line, fields).expect_err(line).status.code()
    }

    #[test]
    fn both_base_paths_lead_to_the_same_routes_with_or_without_a_slash() {
        for base in BASE_PATHS {
            for slash in ["", "/"] {
                let get = |suffix| asked(&format!("GET {base}{suffix}{slash}?bearer_token=t"), "");
                assert_eq!(get(""), Ok(Route::Statistics));
                assert_eq!(get("/healthz"), Ok(Route::Health));
                assert_eq!(get("/readyz"), Ok(Route::Ready));
                assert_eq!(get("/version"), Ok(Route::Version));
                let ports = ports::ports_page(None).unwrap();
                assert_eq!(get("/ports"), Ok(Route::Ports(ports)));
                let page = Page { after: Some(7), limit: 9 };
                let port = PortName { kind: PortKind::Stream, number: 6001 };
                let line =
                    format!("GET {base}/ports/tcp/6001{slash}?after=7&limit=9&bearer_token=t");
                assert_eq!(asked(&line, ""), Ok(Route::Port { port, page }));
                let delete = |what| {
                    asked(&format!("DELETE {base}/ports/tcp/6001/{what}{slash}?bearer_token=t"), "")
                };
                assert_eq!(delete("devices/7"), Ok(Route::CloseDevice { port, id: 7 }));
                let watch = format!("GET {base}/ports/tcp/6001/monitor{slash}?bearer_token=t");
                let websocket_key = "dGhlIHNhbXBsZSBub25jZQ==".to_owned();
                assert_eq!(asked(&watch, HANDSHAKE), Ok(Route::Monitor { port, websocket_key }));
                assert_eq!(asked(&watch, ""), Ok(Route::PlainMonitor { port }));
                let id = "a-b".to_owned();
                assert_eq!(delete("drivers/a-b"), Ok(Route::CloseDriver { port, id }));
            }
        }
    }

    #[test]
    fn each_protocol_has_its_route() {
        for (suffix, protocol) in
            [("tcp", Protocol::Tcp), ("tls", Protocol::Tls), ("udp", Protocol::Udp)]
        {
            let line =
                format!("GET /api/server/{suffix}_dispatch?bearer_token=t&port=9&accept=::1");
            let Ok(Route::Register { registration, websocket_key }) = asked(&line, HANDSHAKE)
            else {
                panic!("{suffix} was refused");
            };
            assert_eq!((registration.protocol, registration.port), (protocol, 9));
            assert_eq!(websocket_key, "dGhlIHNhbXBsZSBub25jZQ==");
        }
    }

    #[test]
    fn only_a_wrong_token_is_a_guess() {
        let refused = |line| asked(line, "").expect_err(line);
        let guess = |line| is_guess(&request(line, ""), &refused(line));
        assert!(guess("GET /api/server?bearer_token=wrong"));
        assert!(!guess("GET /api/server"), "it has no token");
        assert!(!guess("GET /api/server/nowhere?bearer_token=t"), "its token is right");
    }

    #[test]
    fn the_page_health_and_version_need_no_token() {
        assert_eq!(asked("GET /", ""), Ok(Route::Page));
        assert_eq!(asked("HEAD /api/server/healthz", ""), Ok(Route::Health));
        assert_eq!(asked("GET /api/server/version", ""), Ok(Route::Version));
        assert_eq!(code("GET /api/server", ""), 401);
    }

    #[test]
    fn other_paths_are_not_found() {
        for path in [
            "//",
            "/api",
            "/api/serverx",
            "/api/server//",
            "/api/server/x",
            "/API/server",
            "/api/server/%68ealthz",
            "/api/server/../server",
            "*",
            "/api/server/tcp_dispatch&port=1",
            "/api/server/ports/tcp",
            "/api/server/ports/tcp/1/devices",
            "/api/server/ports/tcp/1/devices/1/2",
        ] {
            assert_eq!(code(&format!("GET {path}"), ""), 404, "{path}");
        }
    }

    #[test]
    fn a_request_is_refused_for_the_first_thing_that_is_wrong() {
        let path = "/api/server/tcp_dispatch";
        assert_eq!(code("POST /nowhere", ""), 404);
        assert_eq!(code(&format!("POST {path}"), ""), 405);
        assert_eq!(code(&format!("GET {path}"), ""), 401);
        let get =
            |query: &str, fields: &str| asked(&format!("GET {path}?bearer_token=t{query}"), fields);
        let code = |query: &str, fields: &str| get(query, fields).expect_err(query).status.code();
        let bad = HANDSHAKE.replace("==", "");
        assert_eq!(code("", &bad), 400);
        let other_version = HANDSHAKE.replace("13", "8");
        for handshake in [HANDSHAKE, "", &other_version] {
            assert_eq!(code("", handshake), 422);
            assert_eq!(code("&port=0", handshake), 400);
            assert_eq!(code("&port=1&accept=lobby", handshake), 400);
        }
        let tls = "GET /api/server/tls_dispatch?bearer_token=t&port=1&accept=::1&certificate=x";
        assert_eq!(asked(tls, "").unwrap_err().status.code(), 400);
    }

    #[test]
    fn so_is_one_for_the_end_of_a_device() {
        let device = "/api/server/ports/tcp/0/devices/1";
        assert_eq!(code(&format!("GET {device}"), ""), 405);
        assert_eq!(code(&format!("DELETE {device}"), ""), 401);
        assert_eq!(code(&format!("DELETE {device}?bearer_token=t"), ""), 400);
    }

    #[test]
    fn what_a_driver_asks_for_is_known_whatever_is_wrong_with_it() {
        let port = |line| asked_port(&request(line, ""));
        assert_eq!(port("GET /api/server/tls_dispatch?port=9"), Some((Protocol::Tls, Some(9))));
        for bad in ["POST /api/server/tls_dispatch?port=0", "GET /api/server/tls_dispatch"] {
            assert_eq!(port(bad), Some((Protocol::Tls, None)), "{bad}");
        }
        assert_eq!(port("GET /api/server/ports?port=9"), None);
    }

    #[test]
    fn a_request_that_is_good_but_for_the_websocket_is_told_apart() {
        let query = "/api/server/tcp_dispatch?bearer_token=t&port=9&accept=::1";
        let other_version = HANDSHAKE.replace("13", "8");
        for (method, fields) in
            [("GET", ""), ("GET", &other_version), ("HEAD", ""), ("HEAD", HANDSHAKE)]
        {
            let plain = asked(&format!("{method} {query}"), fields);
            assert!(matches!(plain, Ok(Route::PlainRegister { .. })), "{method} {fields}");
        }
    }

    #[test]
    fn only_routes_are_logged() {
        let path = |path: &str| path_for_log(&request(&format!("GET {path}"), "")).to_owned();
        assert_eq!(path("/api/server/version?x=y"), "/api/server/version");
        for secret in ["/hunter2", "/api/server/hunter2", "/api/server&bearer_token=hunter2"] {
            assert!(!path(secret).contains("hunter2"), "{secret}");
        }
    }

    /// Asks with a token of a file that has these lines.
    fn asked_with(rules: &str, line: &str) -> Result<Route, Refusal> {
        let digest = Digest::of("narrow");
        let text = format!("[[token]]\nname = \"narrow\"\nsha256 = \"{digest}\"\n{rules}\n");
        let tokens: Vec<_> = file::parse(&text).unwrap().into_iter().map(Arc::new).collect();
        let access = Access::new(None, &tokens, 0);
        let fields = format!("Authorization: narrow\r\n{HANDSHAKE}");
        let gate = Gate::Open(&access);
        let routed = route(&request(line, &fields), Scheme::Http, gate, MetricsAccess::Viewers);
        assert_eq!(routed.token.unwrap().name(), Some("narrow"), "whatever comes of it");
        routed.outcome
    }

    #[test]
    fn each_route_needs_its_role() {
        let driver = "GET /api/server/tcp_dispatch?port=9&accept=::1";
        let figures = ["GET /api/server", "GET /api/server/ports", "GET /api/server/ports/tcp/9"];
        let closing = ["devices/7", "drivers/x"];
        for (role, may) in [
            ("driver", [true, false, false]),
            ("viewer", [false, true, false]),
            ("operator", [false, true, true]),
        ] {
            let asked = |line: &str| asked_with(&format!("roles = [\"{role}\"]"), line);
            let check = |line: &str, may: bool| match asked(line) {
                Ok(_) => assert!(may, "{role}: {line}"),
                Err(refusal) => {
                    assert_eq!(refusal.status.code(), 403, "{role}: {line}: {refusal}");
                    assert!(!may && refusal.message.contains("narrow"), "{role}: {refusal}");
                }
            };
            check(driver, may[0]);
            figures.iter().for_each(|line| check(line, may[1]));
            for what in closing {
                check(&format!("DELETE /api/server/ports/tcp/9/{what}"), may[2]);
            }
            check("GET /api/server/ports/tcp/9/monitor", may[2]);
        }
    }

    #[test]
    fn a_tokens_rules_are_looked_at_after_the_parameters() {
        let rules = "roles = [\"driver\", \"operator\"]\nports = [\"tcp:9\"]\n\
                     accept = [\"10.1.0.0/16\"]";
        let asked = |line: &str| asked_with(rules, line).map_err(|refusal| refusal.status.code());
        let driver =
            |query: &str| asked(&format!("GET /api/server/tcp_dispatch?{query}")).map(drop);
        assert_eq!(driver("port=9&accept=10.1.2.3"), Ok(()));
        assert_eq!(driver("port=8&accept=10.1.2.3"), Err(403));
        assert_eq!(driver("port=9&accept=10.2.2.3"), Err(403));
        assert_eq!(driver("port=8"), Err(422));
        assert!(asked("GET /api/server/ports/tcp/9").is_ok());
        assert!(asked("DELETE /api/server/ports/tcp/9/devices/1").is_ok());
        for elsewhere in ["GET /api/server/ports/tcp/8", "GET /api/server/ports/udp/9"] {
            assert_eq!(asked(elsewhere), Err(403), "{elsewhere}");
        }
        assert_eq!(asked("DELETE /api/server/ports/udp/9/drivers/x"), Err(403));
        assert_eq!(asked("GET /api/server/ports/udp/9/monitor"), Err(403));
        assert_eq!(asked("GET /api/server/ports/tcp/0"), Err(400));
        assert_eq!(asked("GET /metrics"), Err(403), "they are about all ports");
    }

    #[test]
    fn a_page_of_another_origin_is_refused() {
        let line = "GET /api/server/tcp_dispatch?bearer_token=t&port=9&accept=::1";
        let from = |origin: &str| asked(line, &format!("{HANDSHAKE}Origin: {origin}\r\n"));
        assert!(from("http://own:3000").is_ok());
        let monitor = "GET /api/server/ports/tcp/1/monitor?bearer_token=t";
        assert_eq!(code(monitor, &format!("{HANDSHAKE}Origin: http://evil:3000\r\n")), 403);
        for foreign in ["http://evil:3000", "http://own", "null", "file://own:3000", "own:3000", ""]
        {
            assert_eq!(from(foreign).unwrap_err().status.code(), 403, "{foreign}");
        }
    }
}
