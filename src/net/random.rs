//! Randomness, from ring: it asks the system itself and needs no device file, which an image with
//! nothing but the program may lack.

use ring::rand::{SecureRandom, SystemRandom};
use uuid::{Builder, Uuid};

use crate::limits::TOKEN_BYTES;

/// A random UUID; `None` where the system gives no randomness.
pub fn uuid() -> Option<Uuid> {
    let mut bytes = [0; 16];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(Builder::from_random_bytes(bytes).into_uuid())
}

/// The bytes of a token that nobody guesses; `None` where the system gives no randomness.
pub fn token() -> Option<[u8; TOKEN_BYTES]> {
    let mut bytes = [0; TOKEN_BYTES];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_is_of_the_random_kind_and_no_other_is_the_same() {
        let (one, other) = (uuid().unwrap(), uuid().unwrap());
        assert_eq!(one.get_version(), Some(uuid::Version::Random));
        assert_ne!(one, other);
    }
}
