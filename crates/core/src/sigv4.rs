//! AWS Signature Version 4: keys, canonical requests, signing and verifying.
//!
//! Source: "AWS Signature Version 4 for API requests" in the IAM user guide, and AWS's signing test
//! suite.
//!
//! ```
//! use std::time::SystemTime;
//!
//! use countersign_core::credentials::{Credentials, Secret};
//! use countersign_core::sigv4::{
//!     Identity, KeyCache, Normalization, Payload, Request, SignedRequest, Signer,
//! };
//!
//! let credentials = Credentials {
//!     access_key_id: "AKIDEXAMPLE".parse()?,
//!     secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY").ok_or("empty")?,
//!     session_token: None,
//!     expires: None,
//! };
//! let signer = Signer {
//!     identity: Identity::Whole(&credentials),
//!     region: "us-east-1",
//!     service: "sts",
//!     normalization: Normalization::Rfc3986,
//!     now: SystemTime::now(),
//! };
//! let headers = vec![("host", "sts.us-east-1.amazonaws.com")];
//! let payload = Payload::Signed(b"Action=GetCallerIdentity&Version=2011-06-15");
//! let request = Request { method: "POST", path: "/", query: "", headers: &headers, payload };
//! let added = signer.sign_by_header(&request).ok_or("malformed query")?;
//!
//! let mut sent = headers.clone();
//! sent.extend(added.iter().map(|(name, value)| (*name, value.as_str())));
//! let request = Request { headers: &sent, ..request };
//! let signed = SignedRequest::parse(&request)?;
//! signed.verify(&request, &credentials.secret, "sts", &KeyCache::default(), signer.now)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod canonical;
pub mod encode;
mod key;
mod precomputed_hmac;
mod request;
mod scope;
mod verify;

pub use key::{CanonicalHash, KeyCache, Signature, SigningKey};
pub use request::{Identity, Normalization, Payload, Request, Signer};
pub use scope::{ALGORITHM, EMPTY_PAYLOAD, Scope};
pub use verify::{RequestError, SKEW, SignedRequest};

#[cfg(test)]
mod tests;
