//! Which server is meant, and how to get in: what `--url` and its companions say.

use std::sync::Arc;

use rustls::ClientConfig;

use crate::commands::cli::ServerArgs;
use crate::commands::environment::{ConfigError, Environment};
use crate::commands::secrets;
use crate::commands::url::{Scheme, Url};
use crate::net::tls;
use crate::protocol::http::routes::BASE_PATHS;
use crate::protocol::secret::{DEFAULT_SECRET, Secret};

/// A dispatch server, and how to get in.
pub struct Server {
    /// Where it is; the path is what comes before the routes.
    pub url: Url,
    /// What it wants to see.
    pub token: Secret,
    /// How to speak to it where the URL is an https one.
    pub tls: Option<Arc<ClientConfig>>,
}

impl Server {
    /// The server that the command line names.
    ///
    /// # Errors
    /// A token or a certificate that cannot be read.
    pub fn of(args: &ServerArgs, environment: &Environment) -> Result<Self, ConfigError> {
        let ServerArgs { url, token_file, ca, insecure } = args;
        let token = match token_file {
            Some(path) => Some(secrets::from_file(path)?),
            None => secrets::find(environment)?.into_secret(),
        };
        let tls = match url.scheme {
            Scheme::Http => None,
            Scheme::Https => Some(
                tls::client_config(ca.as_deref(), *insecure)
                    .map_err(|why| ConfigError::new("--ca", &why))?,
            ),
        };
        let token = token.unwrap_or_else(|| Secret::new(DEFAULT_SECRET.to_owned()));
        Ok(Self { url: url.clone(), token, tls })
    }

    /// The URL of a path below the base path.
    pub fn at(&self, path: &str) -> Url {
        let target = format!("{}{path}", base_path(&self.url.target));
        Url { target, ..self.url.clone() }
    }
}

/// People paste what they have: the server's name alone, or the URL of one of its base paths.
fn base_path(target: &str) -> String {
    let path = target.split_once('?').map_or(target, |(path, _)| path).trim_end_matches('/');
    if BASE_PATHS.iter().any(|base| path.ends_with(base)) {
        path.to_owned()
    } else {
        format!("{path}{}", BASE_PATHS[0])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn server(url: &str, variables: &[(&str, &str)]) -> Server {
        let all = variables.iter().copied().chain([("SECRETS_PATH", "/nonexistent")]);
        let environment = Environment::of(all);
        let url = url.parse().unwrap();
        let args = ServerArgs { url, token_file: None, ca: None, insecure: false };
        Server::of(&args, &environment).unwrap()
    }

    #[test]
    fn a_path_is_below_the_base_path() {
        for (url, target) in [
            ("http://a", "/api/dispatch/v1/ports"),
            ("http://a/api/server/?x=y", "/api/server/ports"),
            ("http://a/behind", "/behind/api/dispatch/v1/ports"),
        ] {
            assert_eq!(server(url, &[]).at("/ports").target, target);
        }
    }

    #[test]
    fn the_token_comes_from_the_environment() {
        let token = |variables: &[(&str, &str)]| server("http://dispatch:3000", variables).token;
        assert_eq!(token(&[("PLACE_SERVER_SECRET", "s")]).expose(), "s");
        assert_eq!(token(&[]).expose(), DEFAULT_SECRET);
    }
}
