//! What pages of other origins can reach of us.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::{io, thread};

use super::chromium::{Chromium, STARTS_WITHIN};
use crate::harness::{Dispatch, UPGRADE, free_port, patience};

/// Serves a page at its root, receives what that reports, and passes all else on to dispatch.
struct Site {
    address: SocketAddr,
    told: Receiver<String>,
}

impl Site {
    fn start(dispatch: SocketAddr, page: impl FnOnce(SocketAddr) -> String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback can be bound");
        let address = listener.local_addr().unwrap();
        let (page, (tell, told)) = (page(address), channel());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (page, tell) = (page.clone(), tell.clone());
                thread::spawn(move || serve(stream, dispatch, &page, &tell));
            }
        });
        Self { address, told }
    }

    /// What the page has to say in the end.
    #[track_caller]
    fn told(&self) -> String {
        let patience = STARTS_WITHIN * patience();
        self.told.recv_timeout(patience).expect("the browser runs the page")
    }
}

/// Serves one connection. The browser may have opened it in advance and send nothing on it.
fn serve(
    mut stream: TcpStream,
    dispatch: SocketAddr,
    page: &str,
    tell: &Sender<String>,
) -> io::Result<()> {
    let mut head = Vec::new();
    stream.set_read_timeout(Some(STARTS_WITHIN * patience()))?;
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.extend(byte);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let path = text.split(' ').nth(1).unwrap_or_default();
    if path.starts_with("/api/") {
        return pass_on(stream, dispatch, &head);
    }
    if let Some(words) = path.strip_prefix("/told/") {
        let _ = tell.send(words.to_owned());
    }
    let len = page.len();
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: {len}\r\n\
         Connection: close\r\n\r\n{page}"
    )
}

/// Does what a reverse proxy does for a WebSocket.
fn pass_on(mut client: TcpStream, to: SocketAddr, head: &[u8]) -> io::Result<()> {
    let mut server = TcpStream::connect(to)?;
    server.write_all(head)?;
    let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
    thread::spawn(move || {
        let _ = io::copy(&mut from_client, &mut to_server);
        to_server.shutdown(Shutdown::Both)
    });
    io::copy(&mut server, &mut client).map(drop)
}

/// A page that asks for a port with the right token, and reports the outcome.
fn page(dispatch: &Dispatch, asks: SocketAddr, port: u16) -> String {
    let token = dispatch.token();
    format!(
        "<script>
           const socket = new WebSocket('ws://{asks}/api/server/tcp_dispatch' +
             '?port={port}&accept=127.0.0.1&bearer_token={token}');
           socket.onopen = () => fetch('/told/opened');
           socket.onerror = () => fetch('/told/refused');
         </script>"
    )
}

#[test]
fn a_page_of_another_origin_opens_no_port_though_it_knows_the_token() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let site = Site::start(dispatch.address(), |_| page(&dispatch, dispatch.address(), port));
    let Some(_browser) = Chromium::open(&format!("http://{}/", site.address)) else { return };
    assert_eq!(site.told(), "refused");
    dispatch.expect_logged(&["tcp_dispatch refused: 403", "status=403"]);
    dispatch.expect_nothing_open();
    // It is the page's origin and nothing else: a program with the same request gets its port.
    let target = format!(
        "/api/server/tcp_dispatch?port={port}&accept=127.0.0.1&bearer_token={}",
        dispatch.token()
    );
    let mut http = dispatch.http();
    assert_eq!(http.request("GET", &target, &UPGRADE).response().status, 101);
}

#[test]
fn a_page_of_the_same_host_and_port_opens_one() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let site = Site::start(dispatch.address(), |own| page(&dispatch, own, port));
    let Some(browser) = Chromium::open(&format!("http://{}/", site.address)) else { return };
    assert_eq!(site.told(), "opened");
    dispatch.expect_tcp_figures(port, Some((1, 0)));
    drop(browser);
    dispatch.expect_nothing_open();
}
