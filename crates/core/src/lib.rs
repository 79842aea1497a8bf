//! What Countersign knows about IAM database authentication, with no I/O in it.
//!
//! Tokens are minted and verified ([`token`]) with Signature Version 4 ([`sigv4`]), policies are decided
//! ([`policy`]), and every way in which that can fail has one name ([`failure`]). The two database shells ask a
//! verifier through [`ask`]; what was decided is written as an [`audit`] record.
//!
//! Nothing here is asynchronous, opens a socket, reads the clock or the environment: the time is an argument.

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
