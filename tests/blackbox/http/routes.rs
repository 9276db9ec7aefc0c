//! Which routes there are, and what they answer.

use super::{BASES, HEALTH, TCP};
use crate::harness::{Dispatch, free_port};

#[test]
fn both_base_paths_answer_with_and_without_a_slash_at_the_end() {
    let dispatch = Dispatch::start();
    for base in BASES {
        for slash in ["", "/"] {
            dispatch.get(&format!("{base}{slash}")).expect_status(200);
            dispatch.get(&format!("{base}/healthz{slash}")).expect_status(200);
            dispatch.get(&format!("{base}/version{slash}")).expect_status(200);
            let target = format!("{base}/tcp_dispatch{slash}?port={}&accept=::1", free_port());
            assert_eq!(dispatch.upgrade(&target).status, 101, "{target}");
            let target = format!("{base}/udp_dispatch{slash}?port={}&accept=::1", free_port());
            assert_eq!(dispatch.upgrade(&target).status, 101, "{target}");
        }
    }
}

#[test]
fn health_and_version_need_no_token() {
    let dispatch = Dispatch::start();
    dispatch.http().get(HEALTH).expect_status(200);
    let version = dispatch.http().get("/api/server/version").expect_status(200).json();
    assert_eq!(version["service"], "dispatch");
    for name in ["commit", "version", "build_time", "platform_version"] {
        assert!(version[name].is_string(), "{name} in {version}");
    }
}

#[test]
fn the_status_page_needs_no_token_and_may_load_nothing_else() {
    let dispatch = Dispatch::start();
    let page = dispatch.http().get("/").expect_status(200);
    assert_eq!(page.header("content-type"), Some("text/html; charset=utf-8"));
    let policy = page.header("content-security-policy").expect("a policy");
    for part in ["default-src 'none'", "connect-src 'self'", "frame-ancestors 'none'"] {
        assert!(policy.contains(part), "{part} in {policy}");
    }
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"));
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"));
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    let head = dispatch.http().request("HEAD", "/", &[]).head().expect_status(200);
    assert_eq!(head.header("content-length"), page.header("content-length"));
    dispatch.http().request("POST", "/", &["Content-Length: 0"]).response().expect_status(405);
}

#[test]
fn an_unknown_path_is_a_404() {
    let dispatch = Dispatch::start();
    for path in ["//", "/api", "/api/dispatch", "/api/dispatch/v2", "/api/dispatch/v1/nothing"] {
        dispatch.get(path).expect_status(404).error();
        dispatch.api().delete(path).expect_status(404).error();
    }
}

#[test]
fn another_method_is_a_405_that_allows_get() {
    let dispatch = Dispatch::start();
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        for path in ["/api/dispatch/v1", HEALTH, "/api/server/version", TCP] {
            let headers = [dispatch.authorization(), "Content-Length: 0".to_owned()];
            let headers = headers.each_ref().map(String::as_str);
            let response = dispatch.http().request(method, path, &headers).response();
            let response = response.expect_status(405);
            let allowed = response.header("allow").expect("Allow").to_owned();
            assert!(allowed.split(',').any(|method| method.trim() == "GET"), "{allowed}");
            response.error();
        }
    }
}
