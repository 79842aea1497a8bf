//! IAM database authentication without I/O.
//!
//! The crate mints and verifies tokens ([`token`]) with Signature Version 4 ([`sigv4`]), evaluates
//! IAM policies ([`policy`]) and gives every failure a class ([`failure`]). The PAM module and the
//! MySQL plugin call a verifier over [`verifier_protocol`]; each decision becomes an [`audit`]
//! record.
//!
//! Nothing here is asynchronous, opens a socket, or reads the clock or the environment: the time is
//! an argument.

pub mod arn;
pub mod audit;
pub mod credentials;
pub mod diagnostic;
pub mod endpoint;
pub mod failure;
pub mod json;
pub mod name;
pub mod policy;
pub mod principal;
pub mod proof;
pub mod region;
pub mod sigv4;
pub mod timestamp;
pub mod token;
pub mod verifier_protocol;
