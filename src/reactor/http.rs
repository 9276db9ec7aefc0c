//! HTTP: connections in, requests, and their answers.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use log::{debug, warn};
use rustls::ServerConfig;

use crate::collections::timers::Armed;
use crate::limits::{
    ACCEPT_OPERATIONS, ANSWER_BYTES_FACTOR, DRIVER_CLOSE_MAX, HTTP_CONNECTIONS_MAX,
    REQUESTS_REFUSED_LOGGED_PER_SECOND,
};
use crate::net::connection::Connection;
use crate::net::tls::is_plain_http;
use crate::net::transport::Transport;
use crate::net::{Net, random};
use crate::peers::driver::Name;
use crate::peers::http_client::{HttpClient, Progress};
use crate::peers::http_listener::HttpListener;
use crate::peers::keys::{HttpClientKey, HttpListenerKey, Source};
use crate::protocol::address::address_group;
use crate::protocol::http::forwarded::client_ip;
use crate::protocol::http::request::Request;
use crate::protocol::http::response::{Refusal, Response, ResponseMode, Stamp};
use crate::protocol::http::routes::{self, Route, Routed};

use super::Reactor;
use super::accept::Pause;

/// An `X-Request-ID`. Where the system gives no randomness they are all the same, which is better
/// than no answer.
fn new_request_id() -> String {
    random::uuid().unwrap_or_default().to_string()
}

impl<N: Net> Reactor<N> {
    /// Opens one of our own HTTP listeners and gives its address.
    ///
    /// # Errors
    /// The system's reason.
    pub fn open_http_listener(&mut self, address: SocketAddr) -> io::Result<SocketAddr> {
        let Self { http_listeners, net, .. } = self;
        let key = http_listeners.try_insert_with(|key| {
            let listener = net.open_http(address, Source::HttpListener(key).into())?;
            let address = net.local_address(&listener)?;
            Ok::<_, io::Error>(HttpListener { listener, address, armed: Armed::default() })
        })?;
        Ok(self.http_listeners.get(key).map_or(address, |listener| listener.address))
    }

    /// Serves HTTP over TLS from now on, with these certificates. Connections that are there
    /// keep theirs. The end of the certificate is in seconds since 1970.
    pub fn set_https(&mut self, config: Arc<ServerConfig>, expires_seconds: Option<u64>) {
        self.certificates.https = Some(config);
        self.certificates.https_expires_seconds = expires_seconds;
    }

    pub(super) fn drive_http_listener(&mut self, key: HttpListenerKey) {
        while !self.budget.is_spent() {
            self.budget.spend(ACCEPT_OPERATIONS);
            let Some(listener) = self.http_listeners.get(key) else { return };
            match self.net.accept(&listener.listener) {
                Ok((stream, peer)) => self.accept_http(stream, peer.ip().to_canonical()),
                Err(error) => match self.pause_after(&error) {
                    Pause::Again => {}
                    pause => return self.pause_http_listener(key, pause),
                },
            }
        }
        self.ready.http_listeners.insert(key);
    }

    /// Takes an HTTP connection, for which another gives way where there are too many.
    fn accept_http(&mut self, stream: N::Stream, peer: IpAddr) {
        let transport = match &self.certificates.https {
            Some(config) => Transport::tls(stream, Arc::clone(config)),
            None => Ok(Transport::Plain(stream)),
        };
        let Ok(transport) = transport else { return };
        let mut connection = Connection::new(transport);
        if self.http_clients.len() >= HTTP_CONNECTIONS_MAX {
            self.evict_longest_waiting();
        }
        let Self { http_clients, net, now, .. } = self;
        let watched = http_clients.try_insert_with(|key| {
            net.watch(connection.socket(), Source::HttpClient(key).into())?;
            Ok::<_, io::Error>(HttpClient::new(connection, peer, *now))
        });
        if let Ok(key) = watched {
            self.rearm_http(key);
        }
    }

    fn evict_longest_waiting(&mut self) {
        let Some((key, peer)) = self.longest_waiting() else { return };
        if let Some(left_out) = self.log_limits.evictions.allow(1, self.now) {
            warn!(
                client_ip:% = peer, left_out = left_out;
                "{HTTP_CONNECTIONS_MAX} HTTP connections are too many: one from {peer} gives way"
            );
        }
        self.evict(key);
    }

    /// Of the address that has the most HTTP connections, the one that has been waiting longest.
    fn longest_waiting(&self) -> Option<(HttpClientKey, IpAddr)> {
        let mut crowds: HashMap<IpAddr, usize> = HashMap::new();
        for (_, http) in self.http_clients.iter() {
            *crowds.entry(address_group(http.peer)).or_default() += 1;
        }
        let longest = self.http_clients.iter().max_by_key(|(_, http)| {
            (crowds[&address_group(http.peer)], Reverse(http.waiting_since()))
        });
        longest.map(|(key, http)| (key, http.peer))
    }

    fn pause_http_listener(&mut self, key: HttpListenerKey, pause: Pause) {
        let Some(listener) = self.http_listeners.get_mut(key) else { return };
        match pause {
            Pause::Blocked => {}
            Pause::Again => self.ready.http_listeners.insert(key),
            Pause::Until(then) => {
                self.timers.set(Source::HttpListener(key), &mut listener.armed, Some(then))
            }
        }
    }
}

impl<N: Net> Reactor<N> {
    pub(super) fn drive_http(&mut self, key: HttpClientKey) {
        let Some(http) = self.http_clients.get_mut(key) else { return };
        self.budget.spend(http.operations());
        match http.step(&mut self.buffers, &mut self.scratch.read, self.now) {
            Ok(Progress::Waiting) => {}
            Ok(Progress::Over) => return self.end_http(key),
            Ok(Progress::Refused(refusal)) => self.refuse_head(key, refusal),
            Ok(Progress::Request(request)) => self.handle_request(key, &request),
            Err(error) if is_plain_http(&error) => return self.refuse_plain_http(key),
            Err(error) => {
                debug!(client_ip:% = http.peer; "the HTTP client {} is gone: {error}", http.peer);
                return self.end_http(key);
            }
        }
        self.rearm_http(key);
        if self.http_clients.get(key).is_some_and(|http| http.is_ready()) {
            self.ready.http_clients.insert(key);
        }
    }

    /// Ends an HTTP connection after what is queued on it.
    pub(super) fn end_http(&mut self, key: HttpClientKey) {
        let Some(http) = self.take_http(key) else { return };
        let (connection, outbox, _) = http.into_parts();
        self.start_closing_unlisted(connection, outbox, DRIVER_CLOSE_MAX);
    }

    /// Ends an HTTP connection for another one. Within its TLS handshake it can't be told.
    pub(super) fn evict(&mut self, key: HttpClientKey) {
        if self.http_clients.get(key).is_some_and(|http| http.owes_answer()) {
            let refusal = Refusal::unavailable("too many connections at once; try again later");
            let name = self.name_unread(key);
            self.answer(key, &refusal.into(), &name, ResponseMode::LAST);
        }
        self.end_http(key);
    }

    /// Cuts off an HTTP connection, with what is queued on it.
    pub(super) fn drop_http(&mut self, key: HttpClientKey) {
        let Some(http) = self.take_http(key) else { return };
        let (_, mut outbox, _) = http.into_parts();
        outbox.clear(&mut self.buffers);
    }

    /// Takes an HTTP connection out, to be ended or to become a driver.
    pub(super) fn take_http(&mut self, key: HttpClientKey) -> Option<HttpClient<N::Stream>> {
        let mut http = self.http_clients.remove(key)?;
        self.timers.set(Source::HttpClient(key), &mut http.armed, None);
        Some(http)
    }

    fn refuse_head(&mut self, key: HttpClientKey, refusal: Refusal) {
        let name = self.name_unread(key);
        self.log_refusal("request", &refusal, &name);
        self.answer(key, &refusal.into(), &name, ResponseMode::LAST);
    }

    /// Tells a client that speaks HTTP where HTTPS is served, so that it can understand it.
    fn refuse_plain_http(&mut self, key: HttpClientKey) {
        let name = self.name_unread(key);
        let refusal = Refusal::bad_request("HTTPS is served here: ask by https:// or wss://");
        self.log_refusal("request", &refusal, &name);
        let mut answer = Vec::new();
        let date = self.calendar.http_date(self.now);
        let stamp = Stamp { request_id: &name.request_id, date: &date };
        Response::from(refusal).write(&mut answer, stamp, ResponseMode::LAST);
        let Some(http) = self.take_http(key) else { return };
        let (connection, mut outbox, _) = http.into_parts();
        let socket = match connection.into_transport() {
            Transport::Plain(socket) => socket,
            Transport::Tls(stream) => stream.into_socket(),
        };
        outbox.extend(&mut self.buffers, &answer);
        let connection = Connection::new(Transport::Plain(socket));
        self.start_closing_unlisted(connection, outbox, DRIVER_CLOSE_MAX);
    }

    fn handle_request(&mut self, key: HttpClientKey, request: &Request) {
        let Some(http) = self.http_clients.get(key) else { return };
        let (scheme, mut name) = (http.scheme(), self.name(http.peer, request));
        let access = self.settings.metrics.access;
        self.spend_for_tokens();
        let Routed { token, outcome } = routes::route(request, scheme, self.gate(&name), access);
        name.token = token;
        let shown = name.token.as_deref();
        let answered = match outcome {
            Ok(Route::Page) => Ok(Response::Page),
            Ok(Route::Health) => Ok(Response::Empty),
            Ok(Route::Ready) => self.check_ready().map(|()| Response::Empty),
            Ok(Route::Version) => Ok(Response::Json(self.settings.version_json.clone())),
            Ok(Route::Statistics) => {
                let is_shown = |kind, port| shown.is_some_and(|it| it.covers_port(kind, port));
                Ok(Response::Json(self.statistics_of(is_shown).to_json()))
            }
            Ok(Route::Metrics) => Ok(Response::Metrics(self.metrics_text())),
            Ok(Route::Ports(page)) => Ok(Response::Json(self.ports_json(page, shown))),
            Ok(Route::Port { port, page }) => self.port_json(port, page, shown).map(Response::Json),
            Ok(Route::CloseDevice { port, id }) => {
                self.close_device(port, id).map(|()| Response::Done)
            }
            Ok(Route::CloseDriver { port, id }) => {
                self.close_driver(port, &id).map(|()| Response::Done)
            }
            Ok(Route::PlainMonitor { port }) => {
                let judged = self.check_watchable(port);
                Err(judged.err().unwrap_or_else(Refusal::upgrade_required))
            }
            Ok(Route::Monitor { port, websocket_key }) => {
                match self.watch(key, request, port, &websocket_key, &name) {
                    Ok(()) => return,
                    Err(refusal) => Err(refusal),
                }
            }
            Ok(Route::PlainRegister { registration }) => {
                let judged = self.check_registration(&registration);
                Err(judged.err().unwrap_or_else(Refusal::upgrade_required))
            }
            Ok(Route::Register { registration, websocket_key }) => {
                match self.register(key, request, registration, &websocket_key, &name) {
                    Ok(()) => return,
                    Err(refusal) => Err(refusal),
                }
            }
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = &answered {
            self.note_refused_registration(&name, request, refusal);
            if routes::is_guess(request, refusal) {
                self.count_guess(&name);
            }
        }
        let response = answered.unwrap_or_else(Response::from);
        self.log_answer(request, &response, &name);
        self.answer(key, &response, &name, ResponseMode::of(request));
    }

    /// Who makes a request, for the log and for the rules about addresses.
    fn name(&self, peer: IpAddr, request: &Request) -> Name {
        let trusted = self.settings.trusted_proxies.as_ref();
        Name {
            request_id: request.request_id.clone().unwrap_or_else(new_request_id),
            client_ip: client_ip(peer, request.forwarded_for.as_deref(), trusted),
            module: request.module_id.clone(),
            token: None,
        }
    }

    /// The same for one whose request is not known.
    fn name_unread(&self, key: HttpClientKey) -> Name {
        let peer = self.http_clients.get(key).map(|http| http.peer);
        Name {
            request_id: new_request_id(),
            client_ip: peer.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
            module: None,
            token: None,
        }
    }

    pub(super) fn answer(
        &mut self,
        key: HttpClientKey,
        response: &Response,
        name: &Name,
        mode: ResponseMode,
    ) {
        let date = self.calendar.http_date(self.now);
        let stamp = Stamp { request_id: &name.request_id, date: &date };
        let Some(http) = self.http_clients.get_mut(key) else { return };
        self.counters.count_answer(response.code());
        http.answer(response, stamp, mode, &mut self.buffers, self.now);
        // What was made for a HEAD is not queued.
        let made = response.made_bytes().max(http.queued_bytes());
        self.budget.spend_bytes(ANSWER_BYTES_FACTOR * made);
    }

    fn log_answer(&mut self, request: &Request, response: &Response, name: &Name) {
        let (status, path) = (response.code(), routes::path_for_log(request));
        match response {
            Response::Refused(refusal) => self.log_refusal(path, refusal, name),
            Response::Json(_)
            | Response::Metrics(_)
            | Response::Page
            | Response::Empty
            | Response::Done
            | Response::SwitchToWebsocket { .. } => debug!(
                client_ip:% = name.client_ip, request_id = name.request_id.as_str(),
                event_source = name.event_source(), token = name.token_name(), status = status;
                "{path} answered"
            ),
        }
    }

    /// Anybody may ask for what is refused, thousands of times a second: that must not fill the
    /// disk that the log is on.
    fn log_refusal(&mut self, what: &str, refusal: &Refusal, name: &Name) {
        let most = REQUESTS_REFUSED_LOGGED_PER_SECOND;
        let Some(left_out) = self.log_limits.refused_requests.allow(most, self.now) else { return };
        warn!(
            client_ip:% = name.client_ip, request_id = name.request_id.as_str(),
            event_source = name.event_source(), token = name.token_name(),
            status = refusal.status.code(),
            left_out = left_out;
            "{what} refused: {refusal}"
        );
    }
}
