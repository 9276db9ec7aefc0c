//! The certificate of ports whose driver brings none: made when it is first asked for, kept in
//! memory, the same for all ports.
//!
//! There are two, for devices that know only one kind of key. The one with an elliptic curve is
//! made at once. An RSA key takes tenths of a second to find, for which a thread of its own looks;
//! until it has one, a device that knows nothing else fails its handshake and tries again.

use std::fmt;
use std::sync::{Arc, OnceLock};
use std::thread;

use rcgen::KeyPair;
use ring::rand::{SecureRandom, SystemRandom};
use rsa::pkcs8::EncodePrivateKey;
use rsa::rand_core::{TryCryptoRng, TryRng};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::self_signed;

/// What every device that knows RSA takes.
const RSA_BITS: usize = 2048;

/// The certificates of the process for ports that bring none.
#[derive(Debug, Default)]
pub enum SelfSigned {
    /// Nobody asked yet.
    #[default]
    Unmade,
    /// The same for every port.
    Made(Arc<BothKinds>),
}

/// One for each kind of key.
#[derive(Debug)]
pub struct BothKinds {
    elliptic: Arc<CertifiedKey>,
    rsa: OnceLock<Arc<CertifiedKey>>,
}

impl SelfSigned {
    pub(super) fn get(&mut self) -> Result<Arc<BothKinds>, String> {
        match self {
            SelfSigned::Made(both) => Ok(Arc::clone(both)),
            SelfSigned::Unmade => {
                let both = Arc::new(BothKinds::with_elliptic()?);
                BothKinds::look_for_rsa(Arc::clone(&both));
                *self = SelfSigned::Made(Arc::clone(&both));
                Ok(both)
            }
        }
    }
}

impl BothKinds {
    fn with_elliptic() -> Result<Self, String> {
        let pair = KeyPair::generate().map_err(|error| error.to_string())?;
        let key = PrivatePkcs8KeyDer::from(pair.serialize_der()).into();
        Ok(Self { elliptic: Arc::new(self_signed(key)?), rsa: OnceLock::new() })
    }

    fn look_for_rsa(both: Arc<Self>) {
        let look = move || match rsa_certificate() {
            Ok(certified) => drop(both.rsa.set(Arc::new(certified))),
            Err(why) => log::warn!("there is no certificate for devices that know only RSA: {why}"),
        };
        if let Err(why) = thread::Builder::new().name("rsa-key".into()).spawn(look) {
            log::warn!("there is no certificate for devices that know only RSA: {why}");
        }
    }
}

impl ResolvesServerCert for BothKinds {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let schemes = hello.signature_schemes();
        match self.elliptic.key.choose_scheme(schemes) {
            Some(_) => Some(Arc::clone(&self.elliptic)),
            None => self.rsa.get().cloned(),
        }
    }
}

fn rsa_certificate() -> Result<CertifiedKey, String> {
    let key = rsa::PrivateKey::new(&mut Random, RSA_BITS).map_err(|error| error.to_string())?;
    let der = key.to_pkcs8_der().map_err(|error| error.to_string())?;
    let der = PrivatePkcs8KeyDer::from(der.as_bytes().to_vec());
    self_signed(PrivateKeyDer::from(der))
}

/// ring's randomness, which asks the system itself and needs no device file.
struct Random;

/// The system gives none.
#[derive(Debug)]
struct NoRandomness;

impl fmt::Display for NoRandomness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the system gives no randomness")
    }
}

impl std::error::Error for NoRandomness {}

impl Random {
    fn fill<const LEN: usize>(&mut self) -> Result<[u8; LEN], NoRandomness> {
        let mut bytes = [0; LEN];
        self.try_fill_bytes(&mut bytes)?;
        Ok(bytes)
    }
}

impl TryRng for Random {
    type Error = NoRandomness;

    fn try_next_u32(&mut self) -> Result<u32, NoRandomness> {
        self.fill().map(u32::from_ne_bytes)
    }

    fn try_next_u64(&mut self) -> Result<u64, NoRandomness> {
        self.fill().map(u64::from_ne_bytes)
    }

    fn try_fill_bytes(&mut self, into: &mut [u8]) -> Result<(), NoRandomness> {
        SystemRandom::new().fill(into).map_err(|_| NoRandomness)
    }
}

impl TryCryptoRng for Random {}
