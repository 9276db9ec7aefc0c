//! Certificate and key of our own listener: read from files, and again when they change.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::sign::SingleCertAndKey;

use super::{certify, load_key, parse_chain, parse_key, peer, server_config};
use crate::limits::TLS_FILE_MAX_BYTES;
use crate::net::files;

/// What a certificate and its key come to.
struct Pair {
    config: Arc<ServerConfig>,
    expires_seconds: Option<u64>,
}

/// What our own HTTP listener serves: HTTP/1.1 with the certificate (and chain) and key from
/// these PEM files.
///
/// # Errors
/// Names the file and what is wrong with it.
fn read_pair(cert: &Path, key: &Path) -> Result<Pair, String> {
    let chain = parse_chain(&read(cert)?).map_err(at(cert))?;
    let expires_seconds = chain.first().and_then(peer::expires_seconds);
    let loaded = parse_key(&read(key)?).and_then(load_key).map_err(at(key))?;
    let certified = certify(loaded, chain).map_err(at(cert))?;
    let mut config = server_config(Arc::new(SingleCertAndKey::from(certified)), None)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Pair { config: Arc::new(config), expires_seconds })
}

/// A configuration that follows its files. New connections take [`Reloadable::config`]; those
/// that exist keep the one they began with.
pub struct Reloadable {
    cert: PathBuf,
    key: PathBuf,
    seen: [Stamp; 2],
    pair: Pair,
}

/// What tells one version of a file from the next; `None` while it cannot be seen.
type Stamp = Option<(SystemTime, u64)>;

impl Reloadable {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn open(cert: PathBuf, key: PathBuf) -> Result<Self, String> {
        // Looked at before reading: a change in between is then seen as one, and not missed.
        let seen = [stamp(&cert), stamp(&key)];
        let pair = read_pair(&cert, &key)?;
        Ok(Self { cert, key, seen, pair })
    }

    /// What is served now.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.pair.config.clone()
    }

    /// When the certificate ends, in seconds since 1970.
    pub fn expires_seconds(&self) -> Option<u64> {
        self.pair.expires_seconds
    }

    /// Reads the files again if time of change or size of either is another than when they were
    /// last read. `None`: nothing changed.
    ///
    /// # Errors
    /// Why the new pair cannot be used; the old one stays, and the same files are not tried
    /// again.
    #[must_use]
    pub fn poll_changed(&mut self) -> Option<Result<(), String>> {
        let now = [stamp(&self.cert), stamp(&self.key)];
        (now != self.seen).then(|| self.reload())
    }

    /// Reads the files again, changed or not (SIGHUP).
    ///
    /// # Errors
    /// Why they cannot be used; the old pair stays.
    pub fn reload(&mut self) -> Result<(), String> {
        self.seen = [stamp(&self.cert), stamp(&self.key)];
        self.pair = read_pair(&self.cert, &self.key)?;
        Ok(())
    }
}

fn stamp(path: &Path) -> Stamp {
    let metadata = fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// A whole file, if it is of a size that such files have.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, String> {
    files::read(path, TLS_FILE_MAX_BYTES).map_err(|error| at(path)(error.to_string()))
}

fn at(path: &Path) -> impl Fn(String) -> String {
    move |why| format!("{}: {why}", path.display())
}
