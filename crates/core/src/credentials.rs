//! AWS credentials. Secrets have a redacted `Debug`, no `Display` and no `Serialize`, and are wiped
//! from memory on drop.

use std::fmt;
use std::hint::black_box;
use std::time::SystemTime;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::name::AccessKeyId;

/// A secret text: a secret access key or a session token.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Wraps a text; `None` if it is empty.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = Zeroizing::new(text.into());
        (!text.is_empty()).then_some(Self(text))
    }

    /// Returns the text for signing, storing and comparing. It must not be displayed.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Returns true if both are equal, in a time that depends only on the lengths.
    #[must_use]
    pub fn ct_eq(&self, other: &str) -> bool {
        bytes_ct_eq(self.0.as_bytes(), other.as_bytes())
    }
}

/// Returns true if both are equal, in a time that depends only on the lengths: every byte is
/// compared, and only the accumulated difference is branched on.
pub(crate) fn bytes_ct_eq(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |sum, (one, other)| sum | (one ^ other));
    one.len() == other.len() && black_box(differences).ct_eq(&0).into()
}

/// Overwrites secret bytes. As reliable as `Zeroize` for slices, which stores byte by byte, and
/// much faster.
pub(crate) fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    zeroize::optimization_barrier(bytes);
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// Credentials to sign with: an access key and, for temporary credentials, the session token and
/// expiry.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The access key ID.
    pub access_key_id: AccessKeyId,
    /// The secret access key.
    pub secret: Secret,
    /// The session token of temporary credentials.
    pub session_token: Option<Secret>,
    /// Expiry of temporary credentials, if known.
    pub expires: Option<SystemTime>,
}
