//! AWS credentials, which no output shows: `Debug` is redacted, there is no `Display` and no `Serialize`, and the
//! memory is wiped on drop.

use std::fmt;
use std::hint::black_box;
use std::time::SystemTime;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::name::AccessKeyId;

/// A secret text: an access key's secret, or a session token.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Takes the text; an empty one is no secret.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Option<Self> {
        let text = Zeroizing::new(text.into());
        (!text.is_empty()).then_some(Self(text))
    }

    /// The text itself, for signing, storing and comparing: never for showing.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether both are the same, in a time that depends on the length alone.
    #[must_use]
    pub fn ct_eq(&self, other: &str) -> bool {
        same(self.0.as_bytes(), other.as_bytes())
    }
}

/// Whether both are the same, in a time that depends on the lengths alone: every byte is looked at, and only the sum of what
/// differs is judged.
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    let differences = one.iter().zip(other).fold(0, |sum, (one, other)| sum | (one ^ other));
    one.len() == other.len() && black_box(differences).ct_eq(&0).into()
}

/// Overwrites what must not stay in memory. As sure as zeroize's own way, which stores byte after byte, and much quicker.
pub(crate) fn wipe(bytes: &mut [u8]) {
    bytes.fill(0);
    zeroize::optimization_barrier(bytes);
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// What a client signs with: an access key, and for temporary ones the session's token and end.
#[derive(Debug, Clone)]
pub struct Credentials {
    /// The public half.
    pub access_key_id: AccessKeyId,
    /// The secret half.
    pub secret: Secret,
    /// The token of temporary credentials.
    pub session_token: Option<Secret>,
    /// When temporary credentials end, where that is known.
    pub expires: Option<SystemTime>,
}
