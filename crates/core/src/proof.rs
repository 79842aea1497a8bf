//! Proofs of identity: a presigned `GetCallerIdentity` as the password for a self-managed database.
//!
//! ```text
//! https://sts.REGION.amazonaws.com/?Action=GetCallerIdentity&Version=2011-06-15
//!     &X-Amz-Algorithm=AWS4-HMAC-SHA256
//!     &X-Amz-Credential=KEY%2FDAY%2FREGION%2Fsts%2Faws4_request
//!     &X-Amz-Date=…&X-Amz-Expires=900[&X-Amz-Security-Token=…]
//!     &X-Amz-SignedHeaders=host%3Bx-countersign-audience[%3Bx-countersign-user]&X-Amz-Signature=…
//! ```
//!
//! Only AWS knows the secret key, so the verifier sends the request to STS, which responds with the
//! identity that signed it. The text of the client is never forwarded: [`UnverifiedProof::request`]
//! builds a new request from checked parts and sets the two signed headers itself. STS rejects a
//! proof that was signed for another database.
//!
//! `x-countersign-audience` binds a proof to one database, so a verifier that receives it cannot
//! use it at another. The name of the instance is sufficient with one authority; with several, use
//! a unique name such as that of the host. `x-countersign-user` also binds the proof to one
//! database user. It is optional for the client: the verifier always requires the audience, and
//! requires the user if the proof was signed with one.

mod endpoint;
mod format;
mod mint;
mod parse;

pub use endpoint::{StsEndpoint, TrustedSts};
pub use format::{AUDIENCE_HEADER, Audience, Binding, MAX_PROOF, USER_HEADER};
pub use mint::{Proof, mint};
pub use parse::{StsRequest, UnverifiedProof};

#[cfg(test)]
mod tests;
