//! `dispatch token`: makes a token, and the entry for it in the file of tokens.
//!
//! Nothing is written anywhere: the token is shown once, and the entry has its SHA-256 alone.

use clap::Args;
use data_encoding::BASE64URL_NOPAD;
use serde_json::json;

use crate::net::random;
use crate::protocol::tokens::{Digest, Role, file};

/// `dispatch token`.
#[derive(Debug, Clone, Args)]
#[command(after_help = "\
Examples:
  dispatch token lifts                          a token for drivers
  dispatch token display --roles viewer         one that sees figures
  dispatch token lifts --json | jq -r .token    the token alone")]
pub struct TokenArgs {
    /// Name of the token, for logs and figures
    #[arg(value_name = "NAME", value_parser = parse_name)]
    name: String,
    /// What it may do: driver, viewer, operator, with commas
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_value = "driver", value_parser = parse_role)]
    roles: Vec<Role>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

/// A new token, and its entry for the file of tokens.
///
/// # Errors
/// The system gives no randomness.
pub fn make(args: &TokenArgs) -> Result<String, String> {
    let bytes = random::token().ok_or("the system gives no randomness for a token")?;
    Ok(show(args, &BASE64URL_NOPAD.encode(&bytes)))
}

fn show(args: &TokenArgs, token: &str) -> String {
    let TokenArgs { name, roles, json } = args;
    let sha256 = Digest::of(token).to_string();
    let roles: Vec<_> = roles.iter().map(|role| role.name()).collect();
    if *json {
        let object = json!({ "name": name, "token": token, "sha256": sha256, "roles": roles });
        return format!("{object}\n");
    }
    format!(
        "The token, for whoever is to use it. It is shown this once:\n\n{token}\n\n\
         What belongs in the file of --tokens:\n\n{}",
        entry(name, &sha256, &roles)
    )
}

fn entry(name: &str, sha256: &str, roles: &[&str]) -> String {
    let roles: Vec<_> = roles.iter().map(|role| format!("\"{role}\"")).collect();
    let roles = roles.join(", ");
    format!("[[token]]\nname = \"{name}\"\nsha256 = \"{sha256}\"\nroles = [{roles}]\n")
}

fn parse_name(text: &str) -> Result<String, String> {
    match file::is_name(text) {
        true => Ok(text.to_owned()),
        false => Err("a name has 1 to 64 letters, digits and signs, and no quotes".to_owned()),
    }
}

fn parse_role(text: &str) -> Result<Role, String> {
    Role::parse(text.trim()).ok_or_else(|| "it is none of driver, viewer and operator".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args(name: &str, json: bool) -> TokenArgs {
        TokenArgs { name: name.to_owned(), roles: vec![Role::Driver, Role::Operator], json }
    }

    #[test]
    fn the_entry_is_one_that_the_file_takes() {
        let shown = show(&args("lifts", false), "abc");
        let (words, entry) = shown.split_once("[[token]]").unwrap();
        assert!(words.contains("\nabc\n"), "{words}");
        assert!(!entry.contains("abc"), "{entry}");
        let tokens = file::parse(&format!("[[token]]{entry}")).unwrap();
        assert_eq!(tokens[0].name(), Some("lifts"));
        assert_eq!(tokens[0].roles().to_string(), "driver, viewer, operator");
    }

    #[test]
    fn programs_get_an_object() {
        let object: serde_json::Value =
            serde_json::from_str(&show(&args("lifts", true), "abc")).unwrap();
        assert_eq!(object["token"], "abc");
        assert_eq!(object["sha256"], Digest::of("abc").to_string());
        assert_eq!(object["roles"], json!(["driver", "operator"]));
    }

    #[test]
    fn each_token_is_another_and_long_enough_not_to_be_guessed() {
        let token = || make(&args("lifts", true)).unwrap();
        let (one, other) = (token(), token());
        assert_ne!(one, other);
        let object: serde_json::Value = serde_json::from_str(&one).unwrap();
        assert_eq!(object["token"].as_str().unwrap().len(), 43);
    }

    #[test]
    fn a_name_that_the_file_would_refuse_is_refused_here() {
        for wrong in ["", "a\"b", "a\nb", " a"] {
            assert!(parse_name(wrong).is_err(), "{wrong:?}");
        }
        assert!(parse_role("root").is_err());
    }
}
