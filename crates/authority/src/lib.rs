//! The authority: accounts, users, roles, access keys, policies and database instances, and the
//! decision on each database login.
//!
//! Path of one login: a database server's module sends a request over the Unix socket
//! ([`verifier_socket`]), or a server that cannot load a module binds to the LDAP listener
//! ([`ldap`]). Both pass a [`verifier::LoginRequest`] to the [`verifier::Verifier`], which reads
//! the [`store`], decides, and writes the decision to the [`log`] before it responds.

pub mod accept;
pub mod aws_managed;
pub mod effective_policies;
pub mod import_export;
pub mod issuer;
pub mod key_lookup;
pub mod ldap;
pub mod log;
pub mod model;
pub mod oidc;
pub mod random;
pub mod seal;
pub mod servers;
pub mod session;
pub mod store;
pub mod sts_verifier;
pub mod throttle;
pub mod verifier;
pub mod verifier_socket;
