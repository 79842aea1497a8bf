//! The authority: it knows accounts, users, roles, keys, policies and database instances, and decides who may log in.
//!
//! The way of one login: a database server's module asks over the [`daemon`]'s Unix socket, or a server that can't load
//! one binds to the [`ldap`] front; both bring a [`verifier::Login`] to the [`verifier::Verifier`], which reads the
//! [`store`], decides, and writes the [`log`] before it answers. [`api`] speaks AWS's own API to the clients.

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
