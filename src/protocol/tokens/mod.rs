//! Tokens: which ones there are, and what each may do.
//!
//! They are kept and compared as SHA-256, in constant time, so that neither memory nor the time of
//! a comparison shows one. Deliberately absent: a clock, since whoever makes an [`Access`] gives
//! the time, and files, since [`mod@file`] reads text.

mod digest;
pub mod file;
mod role;

use std::fmt;
use std::sync::Arc;

use crate::protocol::accept_list::AcceptList;
use crate::protocol::http::registration::PortKind;
use crate::protocol::port_rules::PortRules;
use crate::protocol::secret::Secret;

pub use digest::Digest;
pub use role::{Role, Roles};

/// Longest part of a rule that an answer repeats, in characters.
const RULE_SHOWN: usize = 200;

/// A token's rights.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Token {
    digest: Digest,
    /// The secret has none.
    name: Option<String>,
    roles: Roles,
    /// The ports that it may have to do with; any where there is no rule.
    ports: Option<PortRules>,
    /// Where the devices of its drivers may be; anywhere where there is no rule.
    accept: Option<AcceptList>,
    /// In seconds since 1970.
    expires: Option<i64>,
}

impl Token {
    /// The secret, which may do everything. An empty one is nobody's.
    pub fn of_secret(secret: &Secret) -> Option<Self> {
        let digest = Digest::of(secret.expose());
        let all = Self {
            digest,
            name: None,
            roles: Roles::ALL,
            ports: None,
            accept: None,
            expires: None,
        };
        (!secret.expose().is_empty()).then_some(all)
    }

    /// What logs and figures call it; `None` for the secret.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// What it may do.
    pub fn roles(&self) -> Roles {
        self.roles
    }

    /// When it ends, in seconds since 1970.
    pub fn expires(&self) -> Option<i64> {
        self.expires
    }

    /// Whether it has no rule about ports.
    pub fn covers_all_ports(&self) -> bool {
        self.ports.is_none()
    }

    /// Whether it may see what is about all ports together.
    ///
    /// # Errors
    /// The rule that forbids it, in words.
    pub fn check_all_ports(&self) -> Result<(), String> {
        match &self.ports {
            None => Ok(()),
            Some(rules) => Err(format!(
                "{self} is for the ports {}, and this is about all of them",
                brief(&rules.to_string())
            )),
        }
    }

    /// Whether it may have to do with this port.
    pub fn covers_port(&self, kind: PortKind, port: u16) -> bool {
        self.ports.as_ref().is_none_or(|rules| rules.allow(kind, port))
    }

    /// Whether it has a role.
    ///
    /// # Errors
    /// The rule that forbids it, in words.
    pub fn check_role(&self, role: Role) -> Result<(), String> {
        match self.roles.include(role) {
            true => Ok(()),
            false => Err(format!("{self} has the roles {}; this needs {role}", self.roles)),
        }
    }

    /// Whether it may have to do with this port.
    ///
    /// # Errors
    /// The rule that forbids it, in words.
    pub fn check_port(&self, kind: PortKind, port: u16) -> Result<(), String> {
        match &self.ports {
            Some(rules) if !rules.allow(kind, port) => Err(format!(
                "{self} is for the ports {}, and not for {kind} port {port}",
                brief(&rules.to_string())
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// Whether it may see all that passes on this port.
    ///
    /// # Errors
    /// The rule that forbids it, in words.
    pub fn check_monitor(&self, kind: PortKind, port: u16) -> Result<(), String> {
        self.check_role(Role::Operator)?;
        self.check_port(kind, port)
    }

    /// Whether its driver may have this port with these devices.
    ///
    /// # Errors
    /// The rule that forbids it, in words.
    pub fn check_driver(
        &self,
        kind: PortKind,
        port: u16,
        accept: &AcceptList,
    ) -> Result<(), String> {
        self.check_role(Role::Driver)?;
        self.check_port(kind, port)?;
        let Some(rule) = &self.accept else { return Ok(()) };
        match accept.first_outside(rule) {
            None => Ok(()),
            Some(entry) => Err(format!(
                "{self} is for devices in {}, and {entry} is not within",
                brief(&rule.to_string())
            )),
        }
    }
}

/// As reasons name it.
impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            None => f.write_str("the secret"),
            Some(name) => write!(f, "the token {name}"),
        }
    }
}

/// The beginning of a list with commas.
fn brief(list: &str) -> String {
    match list.char_indices().nth(RULE_SHOWN) {
        None => list.to_owned(),
        Some((end, _)) => {
            let end = list[..end].rfind(',').unwrap_or(end);
            format!("{} and more", &list[..end])
        }
    }
}

/// All tokens at a time.
#[derive(Debug, Clone, Default)]
pub struct Access {
    valid: Vec<Arc<Token>>,
    expired: Vec<Arc<Token>>,
}

/// What an offered token is.
#[derive(Debug, Clone, Copy)]
pub enum Standing<'a> {
    /// It may do what its rights say.
    Valid(&'a Arc<Token>),
    /// It was one once.
    Expired(&'a Arc<Token>),
    /// There is no such token.
    Unknown,
}

impl Access {
    /// The secret and these tokens, as they stand at a time in seconds since 1970.
    pub fn new(secret: Option<&Secret>, tokens: &[Arc<Token>], now: i64) -> Self {
        let secret = secret.and_then(Token::of_secret).map(Arc::new);
        let all = secret.into_iter().chain(tokens.iter().cloned());
        let is_valid = |token: &Arc<Token>| token.expires.is_none_or(|expires| now < expires);
        let (valid, expired) = all.partition(is_valid);
        Self { valid, expired }
    }

    /// The secret alone.
    #[cfg(feature = "testing")]
    pub fn of_secret(secret: &Secret) -> Self {
        Self::new(Some(secret), &[], 0)
    }

    /// How many tokens an offered one is compared with.
    pub fn count(&self) -> usize {
        self.valid.len() + self.expired.len()
    }

    /// What an offered token is. It takes as long whatever is offered and wherever it is found.
    pub fn judge(&self, offered: &str) -> Standing<'_> {
        if offered.is_empty() {
            return Standing::Unknown;
        }
        let digest = Digest::of(offered);
        let expired = find(&self.expired, &digest).map(Standing::Expired);
        let valid = find(&self.valid, &digest).map(Standing::Valid);
        valid.or(expired).unwrap_or(Standing::Unknown)
    }

    /// What has become of a token that was valid once.
    pub fn judge_again(&self, token: &Token) -> Standing<'_> {
        let same = |known: &&Arc<Token>| known.digest == token.digest;
        let expired = self.expired.iter().find(same).map(Standing::Expired);
        let valid = self.valid.iter().find(same).map(Standing::Valid);
        valid.or(expired).unwrap_or(Standing::Unknown)
    }
}

/// Looks at every token, so that the time does not tell where one was found.
fn find<'a>(tokens: &'a [Arc<Token>], digest: &Digest) -> Option<&'a Arc<Token>> {
    let mut found = None;
    for token in tokens {
        if token.digest.matches(digest) {
            found = Some(token);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token of the file whose text is "narrow".
    fn narrow(more: &str) -> Arc<Token> {
        let digest = Digest::of("narrow").to_string();
        let text = format!("[[token]]\nname = \"lifts\"\nsha256 = \"{digest}\"\n{more}\n");
        Arc::new(file::parse(&text).unwrap().remove(0))
    }

    fn accept(text: &str) -> AcceptList {
        AcceptList::parse(text).unwrap()
    }

    #[test]
    fn the_secret_may_do_everything_and_an_empty_one_is_nobodys() {
        let access = Access::of_secret(&Secret::new("own".into()));
        let Standing::Valid(token) = access.judge("own") else { panic!("it is known") };
        assert_eq!(token.name(), None);
        for role in [Role::Driver, Role::Viewer, Role::Operator] {
            assert_eq!(token.check_role(role), Ok(()));
        }
        assert_eq!(token.check_driver(PortKind::Datagram, 1, &accept("0.0.0.0/0,::/0")), Ok(()));
        assert!(matches!(access.judge("ow"), Standing::Unknown));
        let nobody = Access::of_secret(&Secret::new(String::new()));
        assert!(nobody.count() == 0 && matches!(nobody.judge(""), Standing::Unknown));
    }

    #[test]
    fn a_token_is_known_beside_the_secret_until_it_expires() {
        let token = narrow("roles = [\"driver\"]\nexpires = 1970-01-01T00:01:40Z");
        let secret = Secret::new("own".into());
        let access = |now| Access::new(Some(&secret), &[Arc::clone(&token)], now);
        assert_eq!((access(99).count(), access(100).count()), (2, 2), "all are compared");
        assert!(matches!(access(99).judge("narrow"), Standing::Valid(_)));
        assert!(matches!(access(100).judge("narrow"), Standing::Expired(_)));
        assert!(matches!(access(100).judge("own"), Standing::Valid(_)));
        assert!(matches!(access(100).judge_again(&token), Standing::Expired(_)));
        assert!(matches!(access(99).judge_again(&token), Standing::Valid(_)));
        let without = Access::of_secret(&secret);
        assert!(matches!(without.judge_again(&token), Standing::Unknown));
    }

    #[test]
    fn what_a_token_may_not_is_said_with_its_rule() {
        let token =
            narrow("roles = [\"driver\"]\nports = [\"tcp:6001-6010\"]\naccept = [\"10.1.0.0/16\"]");
        let check = |kind, port, list| token.check_driver(kind, port, &accept(list));
        assert_eq!(check(PortKind::Stream, 6010, "10.1.2.3,10.1.128.0/17"), Ok(()));
        for (refused, rule) in [
            (check(PortKind::Stream, 6011, "10.1.2.3"), "tcp:6001-6010"),
            (check(PortKind::Datagram, 6001, "10.1.2.3"), "udp port 6001"),
            (check(PortKind::Stream, 6001, "10.1.2.3,10.2.0.1"), "10.2.0.1/32 is not within"),
            (check(PortKind::Stream, 6001, "10.0.0.0/8"), "10.1.0.0/16"),
            (token.check_role(Role::Operator), "needs operator"),
            (token.check_role(Role::Viewer), "has the roles driver"),
        ] {
            let why = refused.unwrap_err();
            assert!(why.contains(rule) && why.contains("lifts"), "{why}");
        }
    }

    #[test]
    fn a_viewer_is_no_driver_and_an_operator_is_a_viewer() {
        let viewer = narrow("roles = [\"viewer\"]");
        assert!(viewer.check_driver(PortKind::Stream, 1, &accept("::1")).is_err());
        let operator = narrow("roles = [\"operator\"]");
        assert_eq!(operator.check_role(Role::Viewer), Ok(()));
        assert!(operator.covers_all_ports() && operator.check_monitor(PortKind::Stream, 1).is_ok());
        assert!(viewer.check_monitor(PortKind::Stream, 1).is_err());
        let one = narrow("roles = [\"operator\"]\nports = [\"tcp:1\"]");
        assert!(!one.covers_all_ports() && one.check_monitor(PortKind::Stream, 2).is_err());
        assert!(operator.check_role(Role::Driver).is_err());
    }

    #[test]
    fn a_long_rule_is_cut_between_two_entries() {
        let ports: Vec<_> = (1..=200).map(|port| port.to_string()).collect();
        let brief = brief(&ports.join(","));
        assert!(brief.len() < RULE_SHOWN + 20 && brief.ends_with(" and more"), "{brief}");
        let last = brief.trim_end_matches(" and more").rsplit(',').next().unwrap();
        assert!(ports.iter().any(|port| port == last), "{last}");
    }
}
