//! The key that a session's statements are cancelled with.

use std::fmt;

/// The least a secret holds, in bytes: all that protocol 3.0 has room for.
pub const MIN_SECRET: usize = 4;

/// The most a secret holds, in bytes: "The maximum key length is 256 bytes" (`BackendKeyData`).
pub const MAX_SECRET: usize = 256;

/// What PostgreSQL 18 gives with protocol 3.2, in bytes (`MAX_CANCEL_KEY_LENGTH`).
const LONG_SECRET: usize = 32;

/// What `BackendKeyData` gives and `CancelRequest` brings back. Whoever knows it can cancel.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CancelKey {
    /// The server's process, in clients' eyes.
    pub process: u32,
    /// The secret, of [`MIN_SECRET`] to [`MAX_SECRET`] bytes.
    pub secret: Vec<u8>,
}

impl CancelKey {
    /// A key that nobody can guess, of the length that the protocol's minor version has room for. Clients know their session by its
    /// process, among those that notify or can be terminated, so it is the server's where that has told one.
    ///
    /// # Errors
    /// Where the system gives no random numbers.
    pub fn random(process: Option<u32>, minor: u16) -> Result<Self, getrandom::Error> {
        let mut secret = vec![0; if minor < 2 { MIN_SECRET } else { LONG_SECRET }];
        getrandom::fill(&mut secret)?;
        // Clients hold it in a signed integer, and some take only a positive one for a process.
        let random = || getrandom::u32().map(|random| (random >> 1).max(1));
        Ok(Self { process: process.map_or_else(random, Ok)?, secret })
    }

    /// As both messages have it: four bytes of the process, and the secret.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.process.to_be_bytes(), self.secret.as_slice()].concat()
    }

    /// From what follows the code of a `CancelRequest`, or the kind of a `BackendKeyData`.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (process, secret) = bytes.split_first_chunk()?;
        let fits = (MIN_SECRET..=MAX_SECRET).contains(&secret.len());
        fits.then(|| Self { process: u32::from_be_bytes(*process), secret: secret.to_vec() })
    }
}

impl fmt::Debug for CancelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelKey").field("process", &self.process).finish_non_exhaustive()
    }
}
