//! The status page, as a browser shows it: floods, hostile names and whatever else a stand-in makes
//! up.

use serde_json::json;

use super::stand_in::{Figures, StandIn, TOKEN, detail, port};
use super::tab::{Tab, button};
use crate::harness::Dispatch;

/// Opens the page and gives it the token, as somebody would who has no mouse.
fn signed_in(stand_in: &StandIn) -> Option<Tab> {
    let mut tab = Tab::open(&stand_in.url())?;
    tab.expect("document.activeElement.id === 'token'");
    tab.type_text(TOKEN);
    tab.press("Enter");
    tab.expect("document.querySelectorAll('.ports .row').length > 0");
    Some(tab)
}

fn opened_at(stand_in: &StandIn, place: &str) -> Option<Tab> {
    let mut tab = signed_in(stand_in)?;
    tab.eval(&format!("location.hash = '#/{place}'"));
    Some(tab)
}

fn entries(about: &str) -> String {
    format!("[...document.querySelectorAll('#log .entry')].filter(e => {about})")
}

/// A message of the monitor, as the protocol has it.
fn message(kind: u8, ip: &str, id: u64, data: &[u8]) -> Vec<u8> {
    let size = u32::try_from(data.len()).unwrap();
    let parts = [&[kind], ip.as_bytes(), &[0], &id.to_be_bytes(), &size.to_be_bytes(), data];
    parts.concat()
}

#[test]
fn the_page_asks_for_a_token_first() {
    let dispatch = Dispatch::start();
    let Some(mut tab) = Tab::open(&format!("http://{}/", dispatch.address())) else { return };
    tab.expect("document.activeElement.id === 'token'");
    tab.expect("document.activeElement.type === 'password'");
    tab.expect("document.querySelector('#version').textContent.startsWith('dispatch ')");
    assert_eq!(tab.eval("document.querySelector('nav').hidden"), true);
    tab.expect_no_fault();
}

#[test]
fn a_wrong_token_is_said_to_be_wrong_and_forgotten() {
    let dispatch = Dispatch::start();
    let stand_in = StandIn::start(&dispatch, Figures::default());
    let Some(mut tab) = Tab::open(&stand_in.url()) else { return };
    tab.expect("document.activeElement.id === 'token'");
    tab.type_text("guess");
    tab.press("Enter");
    tab.expect("document.querySelector('[role=alert]').textContent.includes('wrong')");
    assert_eq!(tab.eval("sessionStorage.length"), 0);
    tab.expect_no_fault();
}

#[test]
fn the_token_is_asked_for_once_and_forgotten_on_signing_out() {
    let dispatch = Dispatch::start();
    let stand_in = StandIn::start(&dispatch, Figures::default());
    let Some(mut tab) = signed_in(&stand_in) else { return };
    tab.eval("location.reload()");
    tab.expect("document.querySelectorAll('.ports .row').length === 1");
    tab.click(&button("Sign out"));
    tab.expect("Boolean(document.querySelector('#token'))");
    assert_eq!(tab.eval("sessionStorage.length"), 0);
    assert_eq!(tab.text("document.cookie"), "");
    tab.expect_no_fault();
}

#[test]
fn a_port_is_shown_with_drivers_devices_and_those_that_were_turned_away() {
    let dispatch = Dispatch::start();
    let stand_in = StandIn::start(&dispatch, Figures::default());
    let Some(mut tab) = signed_in(&stand_in) else { return };
    let row = tab.text("document.querySelector('.ports .row').innerText");
    assert!(row.contains("6001") && row.contains("17"), "{row}");
    tab.press("ArrowDown");
    tab.press("Enter");
    tab.expect("document.querySelectorAll('.devices .row').length === 2");
    let page = tab.text("document.querySelector('main').innerText");
    for part in ["mod-12", "lifts", "10.1.0.0/16", "10.1.2.7:50007", "10.9.9.9", "accept list"] {
        assert!(page.contains(part), "{part} in {page}");
    }
    tab.click(&button("Copy address"));
    tab.expect("document.querySelector('#notice').textContent.startsWith('10.9.9.9 is copied')");
    tab.press("Escape");
    tab.expect("location.hash === '#/'");
    tab.expect_no_fault();
}

#[test]
fn a_graph_goes_on_when_the_clock_of_the_server_is_set_right() {
    let dispatch = Dispatch::start();
    let stand_in = StandIn::start(&dispatch, Figures::default());
    let Some(mut tab) = opened_at(&stand_in, "tcp/6001") else { return };
    let points = "document.querySelector('.big path.in')?.getAttribute('d')?.split('L').length";
    tab.expect(&format!("{points} > 4"));
    tab.expect_no_fault();
}

#[test]
fn four_thousand_ports_take_a_screenful_of_rows() {
    let dispatch = Dispatch::start();
    let ports = (6001..10_001).map(port).collect();
    let stand_in = StandIn::start(&dispatch, Figures { ports, ..Figures::default() });
    let Some(mut tab) = signed_in(&stand_in) else { return };
    let rows = "document.querySelectorAll('.ports .row').length";
    assert!(tab.eval(rows).as_u64().unwrap() < 60);
    tab.press("ArrowDown");
    tab.press("End");
    tab.expect("document.activeElement.textContent === '10000'");
    assert!(tab.eval(rows).as_u64().unwrap() < 60);
    tab.press("/");
    tab.type_text("7777");
    tab.expect(&format!("{rows} === 1"));
    tab.set_size(390, 800);
    tab.expect("document.documentElement.scrollWidth <= 390");
    tab.expect_no_fault();
}

#[test]
fn what_others_wrote_is_shown_as_text() {
    let evil = "<img src=x onerror='window.ran=1'>\u{202e}txt\u{1b}[31m";
    let mut detail = detail();
    detail["drivers"][0]["module"] = json!(evil);
    detail["devices"][0]["tls"] =
        json!({ "version": "TLS 1.3", "subject": evil, "fingerprint": null });
    let refused_registrations = vec![json!({
        "address": evil, "module": evil, "protocol": "tcp", "port": 6001, "status": 409,
        "reason": evil, "count": 3, "last": "2026-01-02T03:04:05Z",
    })];
    let messages = vec![message(2, "10.1.2.3", 7, evil.as_bytes())];
    let figures = Figures { detail, refused_registrations, messages, ..Figures::default() };
    let dispatch = Dispatch::start();
    let stand_in = StandIn::start(&dispatch, figures);
    let Some(mut tab) = signed_in(&stand_in) else { return };
    for (place, element) in [
        ("tcp/6001", ".driver strong"),
        ("turned-away", ".wrong .reason"),
        ("tcp/6001/live", "#log .data"),
    ] {
        tab.eval(&format!("location.hash = '#/{place}'"));
        tab.expect(&format!("Boolean(document.querySelector('{element}'))"));
        let shown = tab.text(&format!("document.querySelector('{element}').textContent"));
        assert_eq!(shown, "<img src=x onerror='window.ran=1'>\\u{202e}txt\\x1b[31m");
    }
    assert_eq!(tab.eval("document.querySelector('img') === null && !window.ran"), true);
    tab.expect_no_fault();
}

#[test]
fn the_live_view_shows_both_directions_and_what_was_left_out() {
    let messages = vec![
        message(0, "10.1.2.3", 7, b""),
        message(2, "10.1.2.3", 7, b"level 42\\\r\n\x02\xff"),
        message(3, "10.1.2.3", 7, "STATUS \u{e7}a?".as_bytes()),
        message(8, "10.9.9.9", 50_000, b"not_accepted"),
        message(9, "", 1234, b""),
        message(1, "10.1.2.3", 7, b""),
    ];
    let dispatch = Dispatch::start();
    let stand_in = StandIn::start(&dispatch, Figures { messages, ..Figures::default() });
    let Some(mut tab) = opened_at(&stand_in, "tcp/6001/live") else { return };
    tab.expect("document.querySelectorAll('#log .entry').length === 6");
    // Its text is there once it is laid out.
    tab.expect("document.querySelector('#log').innerText.includes('left out')");
    let log = tab.text("document.querySelector('#log').innerText");
    for part in [
        "connected",
        "from device",
        "level 42\\\\\\r\\n\\x02\\xff",
        "to device",
        "STATUS \u{e7}a?",
        "turned away",
        "10.9.9.9:50000",
        "1,234 messages left out",
        "disconnected",
    ] {
        assert!(log.contains(part), "{part} in {log}");
    }
    assert!(tab.text("document.querySelector('.foot').innerText").contains("1,234 left out"));
    tab.click(&button("Hex"));
    let dumped = "document.querySelector('#log').innerText.includes('6c 65 76 65 6c 20 34 32  5c 0d 0a 02 ff')";
    tab.expect(dumped);
    tab.click(&button("From devices"));
    tab.expect(&format!("!{dumped}"));
    tab.press("/");
    tab.type_text("53 54 41");
    tab.expect(&format!("{}.length === 1", entries("!e.classList.contains('gap')")));
    tab.expect_no_fault();
}

#[test]
fn a_paused_live_view_stands_still() {
    let messages = vec![message(2, "10.1.2.3", 7, b"again")];
    let dispatch = Dispatch::start();
    let stand_in =
        StandIn::start(&dispatch, Figures { messages, is_flood: true, ..Figures::default() });
    let Some(mut tab) = opened_at(&stand_in, "tcp/6001/live") else { return };
    tab.expect("document.querySelectorAll('#log .entry').length > 50");
    tab.press("p");
    let log = "document.querySelector('#log').innerText";
    let still = tab.text(log);
    tab.expect("document.querySelector('.foot').innerText.includes('since the pause')");
    tab.expect("document.querySelector('.foot').innerText.includes('left out')");
    assert_eq!(tab.text(log), still);
    tab.press("p");
    tab.expect(&format!("!{}", "document.querySelector('.foot').innerText.includes('pause')"));
    tab.expect_no_fault();
}

#[test]
fn a_flood_leaves_the_page_usable_and_is_counted() {
    let messages = (0..500).map(|n| message(2, "10.1.2.3", n, &[b'a'; 200])).collect();
    let dispatch = Dispatch::start();
    let stand_in =
        StandIn::start(&dispatch, Figures { messages, is_flood: true, ..Figures::default() });
    let Some(mut tab) = opened_at(&stand_in, "tcp/6001/live") else { return };
    let came = "Number(/([\\d,]+) message/.exec(document.querySelector('.foot').innerText)?.[1].replaceAll(',', ''))";
    tab.expect(&format!("{came} > 50000"));
    assert!(tab.eval("document.querySelectorAll('#log .entry').length").as_u64().unwrap() <= 400);
    tab.press("/");
    tab.type_text("#499");
    tab.expect(&format!("{}.length > 0", entries("e.textContent.includes('#499')")));
    let others = entries("!e.classList.contains('gap') && !e.textContent.includes('#499')");
    tab.expect(&format!("{others}.length === 0"));
    tab.press("Escape");
    tab.expect_no_fault();
}

#[test]
fn closing_asks_first() {
    let dispatch = Dispatch::start();
    let stand_in = StandIn::start(&dispatch, Figures::default());
    let Some(mut tab) = opened_at(&stand_in, "tcp/6001") else { return };
    let close = "document.querySelectorAll('.devices .row button')[1]";
    tab.click(close);
    tab.expect("document.querySelector('#sure').open");
    let question = tab.text("document.querySelector('#sure').innerText");
    assert!(question.contains("device 7 at 10.1.2.7?"), "{question}");
    // Return takes the safe way out.
    tab.press("Enter");
    tab.expect("!document.querySelector('#sure').open");
    assert!(stand_in.deleted().is_empty());
    tab.click(close);
    tab.click(&button("Close device"));
    assert_eq!(stand_in.next_deleted(), "/ports/tcp/6001/devices/7");
    tab.click("document.querySelector('.driver button')");
    tab.click(&button("Close driver"));
    let driver = "/ports/tcp/6001/drivers/00000000-0000-4000-8000-00000000000a";
    assert_eq!(stand_in.next_deleted(), driver);
    tab.expect_no_fault();
}

#[test]
fn who_may_only_look_has_no_live_view_and_closes_nothing() {
    let dispatch = Dispatch::start();
    let stand_in = StandIn::start(&dispatch, Figures { roles: &["viewer"], ..Figures::default() });
    let Some(mut tab) = opened_at(&stand_in, "tcp/6001") else { return };
    tab.expect("document.querySelectorAll('.devices .row').length === 2");
    let page = tab.text("document.querySelector('main').innerText");
    assert!(!page.contains("Close") && !page.contains("Watch live"), "{page}");
    tab.expect_no_fault();
}
