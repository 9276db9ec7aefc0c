//! The status page with what a running dispatcher knows, not with figures that were made up.

use super::tab::{Tab, button};
use crate::harness::{Device, Dispatch, Driver, Running, Tcp, Udp, UdpPeer, free_port};

/// What the page shows.
const PAGE: &str = "document.querySelector('main').innerText";

fn opened_at(dispatch: &Dispatch, place: &str) -> Option<Tab> {
    opened_with(dispatch, dispatch.token(), place)
}

/// The live view of a port, once it shows what passes.
#[track_caller]
fn live_at(dispatch: &Dispatch, port: &str) -> Option<Tab> {
    let mut tab = opened_at(dispatch, &format!("{port}/live"))?;
    expect_shown(&mut tab, &["Watching."]);
    Some(tab)
}

fn opened_with(dispatch: &Dispatch, token: &str, place: &str) -> Option<Tab> {
    let mut tab = Tab::open(&format!("http://{}/#/{place}", dispatch.address()))?;
    tab.expect("document.activeElement.id === 'token'");
    tab.type_text(token);
    tab.press("Enter");
    tab.expect("document.querySelector('#token') === null");
    Some(tab)
}

#[track_caller]
fn expect_shown(tab: &mut Tab, parts: &[&str]) {
    for part in parts {
        tab.expect(&format!("{PAGE}.includes({part:?})"));
    }
}

fn with_device(dispatch: &Dispatch, port: u16) -> (Driver, Device, String, u64) {
    let mut driver = dispatch.driver(Tcp, port).header("X-Module-ID: mod-12").connect();
    let device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    (driver, device, ip, id)
}

#[test]
fn a_token_that_the_server_does_not_know_is_said_to_be_wrong() {
    let dispatch = Dispatch::start();
    let Some(mut tab) = Tab::open(&format!("http://{}/", dispatch.address())) else { return };
    tab.expect("document.activeElement.id === 'token'");
    tab.type_text("guess");
    tab.press("Enter");
    tab.expect("document.querySelector('[role=alert]').textContent.includes('wrong')");
    assert_eq!(tab.eval("sessionStorage.length"), 0);
    tab.expect_no_fault();
}

#[test]
fn a_token_with_any_letters_lists_the_ports_and_opens_the_live_view() {
    let dispatch = Dispatch::setup().token("a token with ü").start();
    let port = free_port();
    let _driver = dispatch.driver(Udp, port).connect();
    let Some(mut tab) = live_at(&dispatch, &format!("udp/{port}")) else { return };
    tab.expect_no_fault();
}

#[test]
fn a_port_is_listed_and_opens_on_its_driver_and_its_device() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let (mut driver, mut device, ip, id) = with_device(&dispatch, port);
    device.send(b"hello");
    driver.expect_received(id, b"hello");
    driver.write(&ip, id, b"hi");
    device.expect(b"hi");
    let Some(mut tab) = opened_at(&dispatch, "") else { return };
    tab.expect("document.querySelectorAll('.ports .row').length === 1");
    let cell = |name: &str| format!("document.querySelector('.ports .row {name}').textContent");
    assert_eq!(tab.text(&cell(".port")), format!("TCP{port}"));
    assert_eq!(tab.text(&cell(".drivers")), "1");
    assert_eq!(tab.text(&cell(".device-count")), "1");
    tab.click("document.querySelector('.ports .row a')");
    let at = format!("127.0.0.1:{}", device.port());
    let request = driver.socket().response().header("x-request-id").expect("an id").to_owned();
    let received = "From devices 0 B/s · 5 B in 1 message";
    let sent = "To devices 0 B/s · 2 B in 1 message";
    expect_shown(&mut tab, &["mod-12", "the secret", &request, &at, received, sent]);
    tab.expect_no_fault();
}

#[test]
fn the_live_view_shows_what_passes_in_both_directions_and_who_is_turned_away() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Tcp, port).connect();
    let Some(mut tab) = live_at(&dispatch, &format!("tcp/{port}")) else { return };
    let mut device = Device::connect(port);
    let (ip, id) = driver.expect_opened();
    device.send(b"level 42\r\n");
    driver.expect_received(id, b"level 42\r\n");
    driver.write(&ip, id, b"STATUS?");
    device.expect(b"STATUS?");
    driver.close(&ip, id);
    driver.expect_closed(id);
    let stranger = Device::connect_from("127.0.0.2", port);
    let away = format!("127.0.0.2:{}", stranger.port());
    expect_shown(&mut tab, &["connected", "from device", "level 42\\r\\n", "to device", "STATUS?"]);
    expect_shown(&mut tab, &["close asked", "disconnected", &away, "no driver accepts it"]);
    assert_eq!(tab.eval("document.querySelectorAll('#log .entry').length"), 6);
    driver.leave();
    expect_shown(&mut tab, &["Trying again"]);
    let _driver = dispatch.driver(Tcp, port).connect();
    expect_shown(&mut tab, &["Watching."]);
    tab.expect_no_fault();
}

#[test]
fn datagrams_are_live_with_the_port_of_whom_they_come_from() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Udp, port).connect();
    let Some(mut tab) = live_at(&dispatch, &format!("udp/{port}")) else { return };
    let peer = UdpPeer::bind("127.0.0.1");
    peer.send(port, b"trap");
    driver.expect_datagram("127.0.0.1", peer.port(), b"trap");
    expect_shown(&mut tab, &["trap", &format!("127.0.0.1:{}", peer.port())]);
    tab.expect_no_fault();
}

#[test]
fn a_text_is_shown_as_dispatch_watch_shows_it() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Udp, port).connect();
    let Some(mut tab) = live_at(&dispatch, &format!("udp/{port}")) else { return };
    let url = format!("http://{}", dispatch.address());
    let args = ["watch", &port.to_string(), "--udp", "--url", &url];
    let watching = Running::start(&args, &[("PLACE_SERVER_SECRET", dispatch.token())]);
    watching.error_line();
    let peer = UdpPeer::bind("127.0.0.1");
    for (nth, text) in
        ["level 42\r\n", r"C:\door\7", "Tür\töffnen", "two\nlines", " "].iter().enumerate()
    {
        peer.send(port, text.as_bytes());
        driver.expect_datagram("127.0.0.1", peer.port(), text.as_bytes());
        let line = watching.line();
        let (_, in_terminal) =
            line.split_once(if text.len() == 1 { " byte  " } else { " bytes  " }).unwrap();
        tab.expect(&format!("document.querySelectorAll('#log .data').length > {nth}"));
        let on_page =
            tab.text("Array.from(document.querySelectorAll('#log .data')).at(-1).textContent");
        assert_eq!(on_page, in_terminal);
    }
    tab.expect_no_fault();
}

#[test]
fn who_is_turned_away_is_named_with_the_reason() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let _driver = dispatch.driver(Tcp, port).connect();
    dispatch.driver(Tcp, port).token("wrong").refused().expect_status(401);
    let mut stranger = Device::connect_from("127.0.0.2", port);
    stranger.expect_end_after_anything();
    let Some(mut tab) = opened_at(&dispatch, &format!("tcp/{port}")) else { return };
    let reason = "not in the accept list of any driver";
    expect_shown(&mut tab, &["Devices turned away (1)", "127.0.0.2", reason]);
    tab.eval("location.hash = '#/turned-away'");
    expect_shown(&mut tab, &[&format!("TCP {port}"), "401"]);
    tab.expect_no_fault();
}

#[test]
fn a_device_is_closed_once_the_question_is_answered() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let (mut driver, mut device, _, id) = with_device(&dispatch, port);
    let Some(mut tab) = opened_at(&dispatch, &format!("tcp/{port}")) else { return };
    tab.click("document.querySelector('.devices .row button')");
    tab.expect("document.querySelector('#sure').open");
    driver.expect_nothing_else();
    tab.click(&button("Close device"));
    driver.expect_closed(id);
    device.expect_end();
    tab.expect("document.querySelector('#notice').textContent.endsWith('is closed.')");
    expect_shown(&mut tab, &["No device is connected."]);
    tab.expect_no_fault();
}

#[test]
fn a_driver_is_closed_once_the_question_is_answered() {
    let (dispatch, port) = (Dispatch::start(), free_port());
    let mut driver = dispatch.driver(Udp, port).header("X-Module-ID: mod-12").connect();
    let Some(mut tab) = opened_at(&dispatch, &format!("udp/{port}")) else { return };
    tab.click("document.querySelector('.driver button')");
    tab.expect("document.querySelector('#sure').open");
    driver.expect_nothing_else();
    tab.click(&button("Close driver"));
    driver.expect_close_code(1008);
    expect_shown(&mut tab, &[&format!("udp port {port} is not open")]);
    tab.expect_no_fault();
}

#[test]
fn a_token_for_viewers_shows_a_port_without_what_it_may_not_do() {
    // SHA-256 of 'viewer'.
    let tokens = "[[token]]\nname = \"reception\"\nroles = [\"viewer\"]\nsha256 = \"d35ca5051b82ffc326a3b0b6574a9a3161dee16b9478a199ee39cd803ce5b799\"\n";
    let dispatch = Dispatch::setup().file("--tokens", "tokens.toml", tokens).start();
    let port = free_port();
    let (_driver, device, ..) = with_device(&dispatch, port);
    let Some(mut tab) = opened_with(&dispatch, "viewer", &format!("tcp/{port}")) else { return };
    expect_shown(&mut tab, &[&format!("127.0.0.1:{}", device.port())]);
    tab.expect("document.querySelector('header').innerText.includes('token reception')");
    let page = tab.text(PAGE);
    assert!(!page.contains("Close") && !page.contains("Watch live"), "{page}");
    tab.expect_no_fault();
}
