//! Guessed tokens.

use crate::harness::limits::WRONG_TOKENS_MAX;
use crate::harness::{Dispatch, Http, Response, Tcp, eventually, free_port};

const GUESS: &str = "GET /api/server HTTP/1.1\r\nHost: d\r\nAuthorization: Bearer wrong\r\n\r\n";

/// A client at 127.0.0.2 that offers wrong tokens.
struct Guesser(Http);

impl Guesser {
    fn connect(dispatch: &Dispatch) -> Self {
        Self(dispatch.http_from("127.0.0.2"))
    }

    /// Offers so many wrong tokens at a stretch, faster than they are given back.
    fn guess(&mut self, count: usize) -> Vec<u16> {
        self.0.send(GUESS.repeat(count));
        (0..count).map(|_| self.0.response().status).collect()
    }

    /// Asks for the statistics with the right token, straight behind many wrong ones.
    fn ask_after_guesses(&mut self, dispatch: &Dispatch) -> Response {
        let right = GUESS.replace("Bearer wrong", &format!("Bearer {}", dispatch.token()));
        let count = 2 * WRONG_TOKENS_MAX as usize;
        self.0.send(GUESS.repeat(count) + &right);
        for _ in 0..count {
            self.0.response();
        }
        self.0.response()
    }
}

#[test]
fn an_address_that_has_used_up_its_wrong_tokens_is_told_to_wait() {
    let dispatch = Dispatch::start();
    let mut guesser = Guesser::connect(&dispatch);
    let most = WRONG_TOKENS_MAX as usize;
    let statuses = guesser.guess(most);
    assert!(statuses.iter().all(|&status| status == 401), "{statuses:?}");
    eventually("a guess is not looked at", || guesser.guess(most).contains(&429));
    eventually("the answer says when to come again", || {
        guesser.0.send(GUESS);
        let response = guesser.0.response();
        response.status == 429 && {
            assert_eq!(response.header("retry-after"), Some("1"));
            response.error().contains("too many wrong tokens")
        }
    });
}

#[test]
fn even_the_right_token_is_not_looked_at_so_that_no_answer_tells_which_it_is() {
    let dispatch = Dispatch::start();
    let mut guesser = Guesser::connect(&dispatch);
    eventually("the right token behind many wrong ones is refused", || {
        guesser.ask_after_guesses(&dispatch).status == 429
    });
}

#[test]
fn who_has_the_right_token_gets_in_again_soon_after_the_wrong_ones() {
    let dispatch = Dispatch::start();
    Guesser::connect(&dispatch).guess(3 * WRONG_TOKENS_MAX as usize);
    eventually("the right token is taken again", || {
        let authorization = dispatch.authorization();
        let mut http = dispatch.http_from("127.0.0.2");
        http.request("GET", "/api/server", &[&authorization]).response().status == 200
    });
}

#[test]
fn a_guesser_keeps_nobody_out_at_another_address() {
    let dispatch = Dispatch::start();
    let mut guesser = Guesser::connect(&dispatch);
    for _ in 0..5 {
        guesser.guess(2 * WRONG_TOKENS_MAX as usize);
        dispatch.get("/api/server").expect_status(200);
        dispatch.driver(Tcp, free_port()).connect();
    }
}

#[test]
fn what_needs_no_token_is_answered_to_a_guesser_too() {
    let dispatch = Dispatch::start();
    let mut guesser = Guesser::connect(&dispatch);
    guesser.guess(2 * WRONG_TOKENS_MAX as usize);
    guesser.0.get("/api/server/healthz").expect_status(200);
}
