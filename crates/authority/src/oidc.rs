//! OpenID Connect: the tokens of identity providers, which `AssumeRoleWithWebIdentity` trusts, and those that the
//! authority issues itself, as a Kubernetes cluster does for its service accounts.
//!
//! A token of somebody else's goes [`jwt::parse`] → issuer and key id, unproven → [`discovery::Issuers::keys`] →
//! [`jwt::Unverified::verify`] → [`jwt::Claims`]. There is no other way to claims. Nothing in a token says where its key
//! is found: that follows from its issuer, which somebody registered.

pub mod discovery;
pub mod fetch;
pub mod issuer_key;
mod json;
pub mod jwk;
pub mod jwt;

pub(crate) use json::object;
