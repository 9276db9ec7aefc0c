//! What others read: Kubernetes, Docker Compose, Prometheus, shells, and who builds the image.

use crate::harness::{Dispatch, TempFolder, skipped, test_name};
use crate::parts::{file, has, output, printed, succeed, text};

fn path(name: &str) -> String {
    file(name).to_str().expect("the path is text").to_owned()
}

#[test]
fn kubernetes_takes_the_manifest_and_its_probes_ask_what_there_is() {
    // A folder of packages of its own may have it.
    let python = std::env::var("DISPATCH_CHECKERS").unwrap_or_else(|_| "python3".to_owned());
    if !has(&["python3"]) {
        return;
    }
    if !output(&python, &["-c", "import kubernetes_validate"]).status.success() {
        return skipped(&test_name(), "no kubernetes-validate for python3 here");
    }
    let check = format!("{}/tests/deploy/kubernetes.py", env!("CARGO_MANIFEST_DIR"));
    let checked = output(&python, &[&check, &path("kubernetes.yaml")]);
    let printed = printed(&checked);
    assert!(checked.status.success(), "{printed}");
    let dispatch = Dispatch::start();
    let probes: Vec<_> = printed.lines().filter_map(|line| line.split_once("Probe ")).collect();
    assert_eq!(probes.len(), 3, "{printed}");
    for (_, path) in probes {
        dispatch.http().get(path).expect_status(200);
    }
}

#[test]
fn docker_compose_takes_its_file() {
    if has(&["docker-compose"]) {
        succeed("docker-compose", &["-f", &path("compose.yaml"), "config", "--quiet"]);
    }
}

#[test]
fn the_dockerfile_has_nothing_that_is_advised_against() {
    if has(&["hadolint"]) {
        succeed("hadolint", &["--failure-threshold", "style", &path("Dockerfile")]);
    }
}

#[test]
fn the_scripts_have_nothing_that_is_advised_against() {
    if has(&["shellcheck"]) {
        let scripts = ["release", "static-build", "udp-follow"].map(path);
        succeed("shellcheck", &scripts.each_ref().map(String::as_str));
    }
}

#[test]
fn each_alert_is_raised_by_what_it_is_for_and_by_nothing_else() {
    if !has(&["promtool"]) {
        return;
    }
    succeed("promtool", &["check", "rules", &path("alerts.yml")]);
    let folder = TempFolder::new();
    folder.write("alerts.yml", &text("alerts.yml"));
    let cases = include_str!("alerts.yml");
    for alert in text("alerts.yml").lines().filter_map(|line| line.trim().strip_prefix("- alert: "))
    {
        assert_eq!(cases.matches(&format!("alertname: {alert}")).count(), 2, "{alert} is tried");
    }
    succeed("promtool", &["test", "rules", &folder.write("cases.yml", cases)]);
}
