//! No token is shown, to nobody and nowhere.

use super::{FILE, entry, setup};
use crate::harness::{Tcp, free_port};

#[test]
fn neither_the_log_nor_an_answer_has_a_token_or_its_digest() {
    let token = "a-token-that-nobody-may-see";
    let rules = "roles = [\"driver\", \"operator\"]\nports = [\"1\"]";
    let tokens = entry("lifts", token, rules);
    let digest = tokens.split("sha256 = \"").nth(1).unwrap()[..64].to_owned();
    let dispatch = setup(&tokens).env("LOG_LEVEL", "trace").start();
    let mut answers = vec![
        dispatch.api_as(token).get("/api/server").text(),
        dispatch.api_as(token).get("/api/server/ports").text(),
        dispatch.driver(Tcp, free_port()).token(token).refused().text(),
        dispatch.driver(Tcp, free_port()).token(&digest).refused().expect_status(401).text(),
        dispatch.http().get(&format!("/api/server?bearer_token={token}")).text(),
    ];
    for spoilt in [
        tokens.replace(&digest, token),
        tokens.replace("[\"1\"]", &format!("[\"{token}\"]")),
        tokens.replace("roles = [", &format!("{token} = [")),
        format!("{tokens}{token}"),
    ] {
        let before = dispatch.count_logged("the old tokens stay");
        dispatch.files().replace(FILE, &spoilt);
        crate::harness::eventually("the fault is told", || {
            dispatch.count_logged("the old tokens stay") > before
        });
    }
    dispatch.get("/api/server").expect_status(200);
    answers.push(dispatch.log());
    for text in answers {
        assert!(!text.contains(token) && !text.contains(&digest), "{text}");
    }
}

#[test]
fn wrong_tokens_are_counted_whichever_tokens_there_are() {
    let dispatch = setup(&entry("lifts", "narrow", "roles = [\"driver\"]")).start();
    let guess = "GET /api/server HTTP/1.1\r\nHost: d\r\nAuthorization: Bearer x\r\n\r\n";
    crate::harness::eventually("a guesser is told to wait", || {
        let mut http = dispatch.http_from("127.0.0.2");
        http.send(guess.repeat(200));
        (0..200).any(|_| http.response().status == 429)
    });
}
