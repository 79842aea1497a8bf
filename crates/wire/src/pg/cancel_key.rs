//! Key that cancels a session's statements.

use std::fmt;

/// Minimum length of a secret, in bytes: the length in protocol 3.0.
pub const MIN_SECRET: usize = 4;

/// Maximum length of a secret, in bytes: "The maximum key length is 256 bytes" (`BackendKeyData`).
pub const MAX_SECRET: usize = 256;

/// Length of PostgreSQL 18's secrets in protocol 3.2, in bytes (`MAX_CANCEL_KEY_LENGTH`).
const LONG_SECRET: usize = 32;

/// Content of `BackendKeyData` and `CancelRequest`. Any holder can cancel the session's statements.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct CancelKey {
    /// Process ID of the server, as the client sees it.
    pub process_id: u32,
    /// Secret of [`MIN_SECRET`] to [`MAX_SECRET`] bytes.
    pub secret: Vec<u8>,
}

impl CancelKey {
    /// Creates a key with a random secret of the protocol version's length.
    ///
    /// Clients identify their session by the process ID in notifications and for
    /// `pg_terminate_backend`, so the server's own ID is used if it is known.
    ///
    /// # Errors
    /// If the operating system provides no random numbers.
    pub fn random(process_id: Option<u32>, minor: u16) -> Result<Self, getrandom::Error> {
        let mut secret = vec![0; if minor < 2 { MIN_SECRET } else { LONG_SECRET }];
        getrandom::fill(&mut secret)?;
        // Clients store it as a signed integer, and some accept only positive process IDs.
        let random = || getrandom::u32().map(|random| (random >> 1).max(1));
        Ok(Self { process_id: process_id.map_or_else(random, Ok)?, secret })
    }

    /// Returns the encoding in both messages: the process ID in four bytes, then the secret.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.process_id.to_be_bytes(), self.secret.as_slice()].concat()
    }

    /// Parses the bytes after the request code of a `CancelRequest`, or the payload of a
    /// `BackendKeyData`.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let (process_id, secret) = bytes.split_first_chunk()?;
        let fits = (MIN_SECRET..=MAX_SECRET).contains(&secret.len());
        fits.then(|| Self { process_id: u32::from_be_bytes(*process_id), secret: secret.to_vec() })
    }
}

impl fmt::Debug for CancelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CancelKey").field("process_id", &self.process_id).finish_non_exhaustive()
    }
}
