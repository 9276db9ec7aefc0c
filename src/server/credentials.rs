//! The tokens that are in force: the secret, and the file of tokens. Both are read again when
//! their files change and on SIGHUP, and a token ends when its time has come.
//!
//! What can't be used changes nothing: the old tokens stay, and the log says why.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use jiff::Timestamp;
use log::{info, warn};
use mio::unix::SourceFd;
use mio::{Interest, Registry};

use crate::limits::{SECRET_MAX_BYTES, TOKENS_FILE_MAX_BYTES};
use crate::protocol::secret::{DEFAULT_SECRET, Secret};
use crate::protocol::tokens::{Access, Token, file};
use crate::server::config::SecretSource;
use crate::server::watch::{FollowedFile, Watch};

/// An editor's line break may come on top of a secret.
const SECRET_FILE_MAX_BYTES: usize = SECRET_MAX_BYTES + 2;

/// The tokens and where they come from.
pub struct Credentials {
    secret: Option<Secret>,
    secret_file: Option<FollowedFile>,
    tokens: Vec<Arc<Token>>,
    tokens_file: Option<FollowedFile>,
    watch: Option<Watch>,
    /// When the next of them ends.
    expiry: Option<SystemTime>,
}

impl Credentials {
    /// Reads the tokens, and watches their files from then on.
    ///
    /// # Errors
    /// The file of tokens and what is wrong with it.
    pub fn open(secret: SecretSource, tokens: Option<PathBuf>) -> Result<Self, String> {
        let (secret, secret_file) = match secret {
            SecretSource::None => (None, None),
            SecretSource::Given(secret) => (Some(secret), None),
            SecretSource::File { secret, path } => {
                (Some(secret), Some(FollowedFile::new(path, SECRET_FILE_MAX_BYTES)))
            }
        };
        let tokens_file = tokens.map(|path| FollowedFile::new(path, TOKENS_FILE_MAX_BYTES));
        let mut credentials = Self {
            secret,
            secret_file,
            tokens: Vec::new(),
            tokens_file,
            watch: None,
            expiry: None,
        };
        // Watched before it is read, so that no change in between is missed.
        credentials.start_watching();
        credentials.read_first()?;
        if credentials.secret.is_none() && credentials.tokens.is_empty() {
            warn!("there is no token at all: nobody can get in");
        }
        Ok(credentials)
    }

    /// Has a poll tell of changes by this token.
    ///
    /// # Errors
    /// The system's reason.
    pub fn watch(&self, registry: &Registry, token: mio::Token) -> io::Result<()> {
        let Some(watch) = &self.watch else { return Ok(()) };
        registry.register(&mut SourceFd(&watch.as_raw_fd()), token, Interest::READABLE)
    }

    /// All tokens as they stand at this time.
    pub fn access(&mut self, wall: SystemTime) -> Access {
        let now = unix_seconds(wall);
        let ends = self.tokens.iter().filter_map(|token| token.expires());
        let next = ends.filter(|expires| *expires > now).min();
        self.expiry = next.and_then(|next| Timestamp::from_second(next).ok()).map(SystemTime::from);
        Access::new(self.secret.as_ref(), &self.tokens, now)
    }

    /// Something happened beside one of the files.
    pub fn handle_event(&mut self, now: Instant) {
        if let Some(watch) = &mut self.watch
            && let Err(error) = watch.handle_event(now)
        {
            warn!("changes of tokens may be missed from now on, unless SIGHUP tells: {error}");
        }
    }

    /// All tokens where they are others than before: a file has changed, or one has expired.
    pub fn poll_changed(&mut self, now: Instant, wall: SystemTime) -> Option<Access> {
        let settled = self.watch.as_mut().is_some_and(|watch| watch.poll_settled(now));
        let expired = self.expiry.is_some_and(|expiry| wall >= expiry);
        let changed = settled && self.read_again(FollowedFile::poll_changed);
        (changed || expired).then(|| self.access(wall))
    }

    /// Reads everything again, whether it seems to have changed or not.
    pub fn reload(&mut self, wall: SystemTime) -> Option<Access> {
        self.read_again(|file| Some(file.read())).then(|| self.access(wall))
    }

    /// How long nothing is to be done.
    pub fn poll_timeout(&self, now: Instant, wall: SystemTime) -> Option<Duration> {
        let settled = self.watch.as_ref().and_then(|watch| watch.poll_timeout(now));
        let expired = self.expiry.map(|expiry| expiry.duration_since(wall).unwrap_or_default());
        [settled, expired].into_iter().flatten().min()
    }

    fn start_watching(&mut self) {
        let files = [&self.secret_file, &self.tokens_file].into_iter().flatten();
        let paths: Vec<_> = files.map(|file| file.path().to_owned()).collect();
        if paths.is_empty() {
            return;
        }
        match Watch::open(paths) {
            Ok(watch) => self.watch = Some(watch),
            Err(error) => warn!("changes of tokens are not noticed, unless SIGHUP tells: {error}"),
        }
    }

    fn read_first(&mut self) -> Result<(), String> {
        // It may be another one already than when it was asked whether there is one.
        let read = self.secret_file.as_mut().map(|file| file.read().and_then(|it| new_secret(&it)));
        if let Some(Ok(secret)) = read {
            self.secret = Some(secret);
        }
        let Some(file) = &mut self.tokens_file else { return Ok(()) };
        let tokens = file.read().and_then(|text| understand(&text));
        self.tokens = tokens.map_err(|why| at(file, &why))?;
        Ok(())
    }

    /// Whether anything of what `read` gives is to be used from now on.
    fn read_again(
        &mut self,
        read: impl Fn(&mut FollowedFile) -> Option<Result<String, String>>,
    ) -> bool {
        let secret = self.secret_file.as_mut().and_then(|file| {
            let text = read(file)?;
            text.and_then(|text| new_secret(&text)).map_err(|why| refuse(file, &why)).ok()
        });
        let tokens = self.tokens_file.as_mut().and_then(|file| {
            let text = read(file)?;
            text.and_then(|text| understand(&text)).map_err(|why| refuse(file, &why)).ok()
        });
        let changed = secret.is_some() || tokens.is_some();
        if let Some(secret) = secret {
            info!("the secret was read again");
            self.secret = Some(secret);
        }
        if let Some(tokens) = tokens {
            info!(tokens = tokens.len(); "the tokens were read again");
            self.tokens = tokens;
        }
        changed
    }
}

fn understand(text: &str) -> Result<Vec<Arc<Token>>, String> {
    let tokens = file::parse(text).map_err(|error| error.to_string())?;
    Ok(tokens.into_iter().map(Arc::new).collect())
}

/// A secret in the place of another one.
fn new_secret(text: &str) -> Result<Secret, String> {
    let secret = Secret::parse(text)?;
    match secret.expose() {
        "" => Err("it is empty".to_owned()),
        DEFAULT_SECRET => Err("it is the secret that everybody knows".to_owned()),
        _ => Ok(secret),
    }
}

fn refuse(file: &FollowedFile, why: &str) {
    warn!("the old tokens stay in use: {}", at(file, why));
}

fn at(file: &FollowedFile, why: &str) -> String {
    format!("{}: {why}", file.path().display())
}

/// Whole seconds since 1970. A clock that shows no year of ours has passed every date.
fn unix_seconds(time: SystemTime) -> i64 {
    Timestamp::try_from(time).map_or(i64::MAX, Timestamp::as_second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    use uuid::Uuid;

    use crate::limits::FILE_SETTLED;
    use crate::protocol::tokens::{Digest, Standing};

    /// A file of its own for one test, removed at the end.
    struct TokensFile(PathBuf);

    impl TokensFile {
        fn new(text: &str) -> Self {
            let name = format!("dispatch-credentials-{}.toml", Uuid::new_v4());
            let file = Self(std::env::temp_dir().join(name));
            file.write(text);
            file
        }

        fn write(&self, text: &str) {
            fs::write(&self.0, text).unwrap();
        }
    }

    impl Drop for TokensFile {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    fn entry(token: &str, more: &str) -> String {
        let digest = Digest::of(token);
        format!("[[token]]\nname = \"n\"\nsha256 = \"{digest}\"\nroles = [\"viewer\"]\n{more}\n")
    }

    fn open(file: &TokensFile) -> Credentials {
        Credentials::open(SecretSource::None, Some(file.0.clone())).unwrap()
    }

    fn knows(access: &Access, token: &str) -> bool {
        matches!(access.judge(token), Standing::Valid(_))
    }

    fn at_second(second: u64) -> SystemTime {
        Timestamp::from_second(second as i64).unwrap().into()
    }

    #[test]
    fn a_file_that_can_not_be_used_at_the_start_is_named_with_its_line() {
        let file = TokensFile::new("\n[[token]]\nname = 1\n");
        let error = Credentials::open(SecretSource::None, Some(file.0.clone())).err().unwrap();
        let path = file.0.display().to_string();
        assert!(error.starts_with(&path) && error.contains("line 3: name:"), "{error}");
    }

    #[test]
    fn a_file_that_changes_is_read_when_it_is_left_alone() {
        let file = TokensFile::new(&entry("old", ""));
        let (mut credentials, now) = (open(&file), Instant::now());
        assert!(knows(&credentials.access(at_second(0)), "old"));
        file.write(&entry("new", ""));
        credentials.handle_event(now);
        assert!(credentials.poll_changed(now, at_second(0)).is_none(), "it may not be complete");
        let access = credentials.poll_changed(now + FILE_SETTLED, at_second(0)).unwrap();
        assert!(knows(&access, "new") && !knows(&access, "old"));
    }

    #[test]
    fn what_can_not_be_used_leaves_the_old_tokens() {
        let file = TokensFile::new(&entry("old", ""));
        let mut credentials = open(&file);
        let mut now = Instant::now();
        let acts: [&dyn Fn(); 4] = [
            &|| file.write("[[token]]\nname = \"half"),
            &|| file.write(""),
            &|| fs::remove_file(&file.0).unwrap(),
            &|| file.write(&"#".repeat(TOKENS_FILE_MAX_BYTES + 1)),
        ];
        for act in acts {
            act();
            credentials.handle_event(now);
            now += FILE_SETTLED;
            assert!(credentials.poll_changed(now, at_second(0)).is_none());
            assert!(credentials.reload(at_second(0)).is_none());
            assert!(knows(&credentials.access(at_second(0)), "old"));
        }
        file.write(&entry("new", ""));
        assert!(knows(&credentials.reload(at_second(0)).unwrap(), "new"));
    }

    #[test]
    fn a_token_ends_when_its_time_has_come() {
        let text = entry("brief", "expires = 1970-01-01T00:00:10Z") + &entry("lasting", "");
        let file = TokensFile::new(&text);
        let (mut credentials, now) = (open(&file), Instant::now());
        assert!(knows(&credentials.access(at_second(4)), "brief"));
        let timeout = credentials.poll_timeout(now, at_second(4));
        assert_eq!(timeout, Some(Duration::from_secs(6)));
        assert!(credentials.poll_changed(now, at_second(9)).is_none());
        let access = credentials.poll_changed(now, at_second(10)).unwrap();
        assert!(!knows(&access, "brief") && knows(&access, "lasting"));
        assert_eq!(credentials.poll_timeout(now, at_second(10)), None);
        assert!(credentials.poll_changed(now, at_second(11)).is_none());
    }

    #[test]
    fn a_secret_from_a_file_is_replaced_but_not_by_one_that_everybody_knows() {
        let file = TokensFile::new("first\n");
        let secret = Secret::new("first".into());
        let source = SecretSource::File { secret, path: file.0.clone() };
        let mut credentials = Credentials::open(source, None).unwrap();
        for refused in ["", "\n", "testing\n", " blank "] {
            file.write(refused);
            assert!(credentials.reload(at_second(0)).is_none(), "{refused:?}");
        }
        file.write("second\n");
        let access = credentials.reload(at_second(0)).unwrap();
        assert!(knows(&access, "second") && !knows(&access, "first"));
    }

    #[test]
    fn what_no_file_gave_is_not_watched() {
        let given = SecretSource::Given(Secret::new("own".into()));
        let mut credentials = Credentials::open(given, None).unwrap();
        assert!(credentials.watch.is_none());
        assert_eq!(credentials.poll_timeout(Instant::now(), at_second(0)), None);
        assert!(credentials.reload(at_second(0)).is_none());
        assert!(knows(&credentials.access(at_second(0)), "own"));
    }
}
