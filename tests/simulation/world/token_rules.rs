//! The tokens of the world, of which drivers have three, and what they allow.

use std::sync::Arc;

use dispatch::testing::protocol::secret::Secret;
use dispatch::testing::protocol::tokens::{Access, Digest, file};

use crate::actors::driver::DriverActor;

/// The secret.
const SECRET: &str = "sim";

/// What drivers show, one after the other.
const TOKENS: [&str; 3] = [SECRET, "one", "two"];

/// A token of the file, and the port that it is for, if that is a single one.
pub(super) type Rule = (&'static str, Option<u16>);

/// What is in the file at first.
pub(super) const EVERYBODY: [Rule; 2] = [("one", None), ("two", None)];

/// The token of a driver.
pub(super) fn token_of(driver: usize) -> &'static str {
    TOKENS[driver % TOKENS.len()]
}

/// The tokens as the reactor gets them, by way of the file.
pub(super) fn access(rules: &[Rule]) -> Result<Access, String> {
    let mut text = "# tokens\n".to_owned();
    for (token, port) in rules {
        let digest = Digest::of(token);
        let entry = format!("name = \"{token}\"\nsha256 = \"{digest}\"\nroles = [\"driver\"]\n");
        text.push_str(&format!("[[token]]\n{entry}"));
        text.extend(port.map(|port| format!("ports = [\"{port}\"]\n")));
    }
    let tokens = file::parse(&text).map_err(|error| error.to_string())?;
    let tokens: Vec<_> = tokens.into_iter().map(Arc::new).collect();
    Ok(Access::new(Some(&Secret::new(SECRET.into())), &tokens, 0))
}

/// Whether a driver's token allows what it asks for.
pub(super) fn is_allowed(rules: &[Rule], driver: &DriverActor) -> bool {
    let allows = |(token, port): &Rule| {
        *token == driver.token && port.is_none_or(|port| port == driver.port)
    };
    driver.token == SECRET || rules.iter().any(allows)
}
