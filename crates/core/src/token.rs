//! RDS IAM authentication tokens: a presigned `connect` request for `rds-db`, valid for 15 minutes.
//!
//! ```text
//! HOST:PORT/?Action=connect&DBUser=USER&X-Amz-Algorithm=AWS4-HMAC-SHA256
//!     &X-Amz-Credential=KEY%2FDAY%2FREGION%2Frds-db%2Faws4_request&X-Amz-Date=…&X-Amz-Expires=900
//!     &X-Amz-SignedHeaders=host[&X-Amz-Security-Token=…]&X-Amz-Signature=…
//! ```
//!
//! [`mint`] writes the same bytes as botocore. [`UnverifiedToken::parse`] reads the tokens of any
//! SDK. [`UnverifiedToken::addressed_to`] and [`AddressedToken::verify`] are the only path from
//! there to a [`VerifiedToken`].
//!
//! ```
//! use std::time::SystemTime;
//!
//! use countersign_core::credentials::{Credentials, Secret};
//! use countersign_core::endpoint::Endpoint;
//! use countersign_core::name::{DbUser, Engine};
//! use countersign_core::sigv4::KeyCache;
//! use countersign_core::token::{KeyStatus, UnverifiedToken, mint};
//!
//! let credentials = Credentials {
//!     access_key_id: "AKIDEXAMPLE".parse()?,
//!     secret: Secret::new("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY").ok_or("empty")?,
//!     session_token: None,
//!     expires: None,
//! };
//! let endpoint = Endpoint {
//!     engine: Engine::Postgres,
//!     host: "orders.c9akciq32.us-east-1.rds.amazonaws.com".parse()?,
//!     port: 5432,
//!     region: "us-east-1".parse()?,
//! };
//! let user: DbUser = "jane".parse()?;
//! let (keys, now) = (KeyCache::default(), SystemTime::now());
//! let token = mint(&credentials, &endpoint, &user, &keys, now);
//!
//! let verified = UnverifiedToken::parse(token.expose())?
//!     .addressed_to(&[endpoint], &user)?
//!     .verify(&credentials, KeyStatus::Active, &keys, now)?;
//! assert_eq!(verified.user(), &user);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod format;
mod mint;
mod parse;
mod verify;

pub use format::{AuthToken, CLOCK_SKEW, LIFETIME, MAX_TOKEN, SERVICE};
pub use mint::mint;
pub use parse::UnverifiedToken;
pub use verify::{AddressedToken, KeyStatus, VerifiedToken};

#[cfg(test)]
mod tests;
