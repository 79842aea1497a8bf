//! AWS Signature Version 4: keys, canonical forms, signing and verifying of requests.
//!
//! Source: "AWS Signature Version 4 for API requests" in the IAM user guide, and AWS's own signing test suite.

mod canonical;
pub mod encode;
mod key;
mod keyed;
mod request;
mod verify;

pub use key::{CanonicalHash, KeyCache, Scope, Signature, SigningKey};
pub use request::{Identity, Normalization, Payload, Request, Signer};
pub use verify::{RequestError, SKEW, SignedRequest};

/// The one algorithm there is.
pub const ALGORITHM: &str = "AWS4-HMAC-SHA256";

/// The SHA-256 of nothing, in hexadecimal: the payload hash of every token.
pub const EMPTY_PAYLOAD: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

/// What closes every credential scope.
const TERMINATOR: &str = "aws4_request";

#[cfg(test)]
mod tests;
