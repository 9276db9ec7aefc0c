//! Where the bearer token comes from.
//!
//! It comes from the environment or a file, never from the command line, which every user of
//! the machine can read in `/proc`.

use std::io;
use std::path::{Path, PathBuf};

use crate::commands::environment::{ConfigError, Environment};
use crate::limits::SECRET_MAX_BYTES;
use crate::net::files;
use crate::protocol::secret::Secret;
use crate::server::config::SecretSource;

/// The variable, and the name of the file, that should hold the token.
pub const SECRET_NAME: &str = "PLACE_SERVER_SECRET";

/// The older name, used where the other is absent.
const OLDER_NAME: &str = "SERVER_SECRET";

/// The token that the environment or a file in `$SECRETS_PATH` gives, if any; never an empty one.
///
/// # Errors
/// A variable that is no text, or a file that is there and cannot be read.
pub fn find(environment: &Environment) -> Result<SecretSource, ConfigError> {
    let folder = folder(environment)?;
    for name in [SECRET_NAME, OLDER_NAME] {
        let found = match environment.get(name)? {
            Some(text) => {
                let secret = Secret::parse(&text).map_err(|why| ConfigError::new(name, &why))?;
                SecretSource::Given(secret)
            }
            None => in_folder(&folder, name)?,
        };
        if found.secret().is_some_and(|secret| !secret.expose().is_empty()) {
            return Ok(found);
        }
    }
    Ok(SecretSource::None)
}

/// Why a token that may be in the folder cannot be seen there, where that is so.
///
/// # Errors
/// A variable that is no text.
pub fn why_unseen(environment: &Environment) -> Result<Option<String>, ConfigError> {
    let path = folder(environment)?.join(SECRET_NAME);
    Ok(path.try_exists().err().map(|error| format!("{}: {error}", path.display())))
}

/// Reads the token from a file that the user named.
///
/// # Errors
/// The file cannot be read, is empty, too long, or no text.
pub fn from_file(path: &Path) -> Result<Secret, ConfigError> {
    let named = |why: &str| ConfigError::new(&path.display().to_string(), why);
    let secret = read(path).map_err(|error| named(&error.to_string()))?;
    if secret.expose().is_empty() { Err(named("holds no token")) } else { Ok(secret) }
}

fn folder(environment: &Environment) -> Result<PathBuf, ConfigError> {
    let given = environment.get("SECRETS_PATH")?;
    Ok(given.map_or_else(|| PathBuf::from("/run/secrets"), PathBuf::from))
}

fn in_folder(folder: &Path, name: &str) -> Result<SecretSource, ConfigError> {
    let path: PathBuf = folder.join(name);
    // A folder that we may not look into may well hold nothing for us; a file that is there and
    // cannot be read is a mistake.
    if !path.try_exists().unwrap_or(false) {
        return Ok(SecretSource::None);
    }
    let named = |error| ConfigError::new(name, &format!("{}: {error}", path.display()));
    let secret = read(&path).map_err(named)?;
    Ok(SecretSource::File { secret, path })
}

fn read(path: &Path) -> io::Result<Secret> {
    // An editor's line break is no part of the secret, and so may come on top.
    let bytes = files::read(path, SECRET_MAX_BYTES + 2)?;
    let text = String::from_utf8(bytes).map_err(|_| io::Error::other("is not UTF-8 text"))?;
    Secret::parse(&text).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A folder of its own for one test, removed at the end.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("dispatch-{name}-{}", std::process::id()));
            fs::create_dir_all(&path).unwrap();
            Self(path)
        }

        fn write(&self, name: &str, text: &[u8]) -> PathBuf {
            fs::write(self.0.join(name), text).unwrap();
            self.0.join(name)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn find_with(
        folder: &Folder,
        variables: &[(&str, &str)],
    ) -> Result<Option<String>, ConfigError> {
        let folder = folder.0.to_str().unwrap();
        let all = variables.iter().copied().chain([("SECRETS_PATH", folder)]);
        let environment = Environment::of(all);
        Ok(find(&environment)?.secret().map(|secret| secret.expose().to_owned()))
    }

    #[test]
    fn the_newer_name_wins_over_the_older() {
        let folder = Folder::new("newer");
        let both = [("SERVER_SECRET", "old"), (SECRET_NAME, "new")];
        assert_eq!(find_with(&folder, &both).unwrap().as_deref(), Some("new"));
        assert_eq!(find_with(&folder, &both[..1]).unwrap().as_deref(), Some("old"));
    }

    #[test]
    fn a_file_is_read_when_the_variable_is_unset_or_empty() {
        let folder = Folder::new("file");
        folder.write(SECRET_NAME, b"from the file\n");
        assert_eq!(find_with(&folder, &[]).unwrap().as_deref(), Some("from the file"));
        let empty = find_with(&folder, &[(SECRET_NAME, "")]).unwrap();
        assert_eq!(empty.as_deref(), Some("from the file"));
        let variable = find_with(&folder, &[(SECRET_NAME, "v")]).unwrap();
        assert_eq!(variable.as_deref(), Some("v"));
    }

    #[test]
    fn an_empty_file_counts_as_none() {
        let folder = Folder::new("empty");
        folder.write(SECRET_NAME, b"\n");
        assert_eq!(find_with(&folder, &[]).unwrap(), None);
        assert_eq!(find_with(&folder, &[("SERVER_SECRET", "o")]).unwrap().as_deref(), Some("o"));
    }

    #[test]
    fn a_file_that_cannot_be_used_is_an_error_that_names_it() {
        let folder = Folder::new("bad");
        let long = folder.write("long", &[b'x'; SECRET_MAX_BYTES + 1]);
        assert!(from_file(&long).unwrap_err().to_string().contains("at most"));
        let longer = folder.write("longer", &[b'x'; SECRET_MAX_BYTES + 9]);
        assert!(from_file(&longer).unwrap_err().to_string().contains("larger than"));
        let binary = folder.write(SECRET_NAME, &[0xff, 0xfe]);
        let error = find_with(&folder, &[]).unwrap_err().to_string();
        assert!(error.starts_with(SECRET_NAME), "{error}");
        assert!(error.contains(&binary.display().to_string()), "{error}");
        assert!(from_file(&folder.0.join("absent")).is_err());
        assert!(from_file(&folder.write("none", b"")).is_err());
        assert!(from_file(&folder.write("blanks", b" token \n")).is_err());
    }
}
