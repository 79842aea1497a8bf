//! AWS's API over HTTP: the query protocol of STS, IAM and RDS on one endpoint, and the metadata
//! services.
//!
//! Path of one request: `http` receives it within limits, `route` finds the service and the
//! action, `signature` authenticates the caller, and the action asks the policies
//! (`RequestContext::authorize`) before it does anything. `metadata` serves paths outside of the
//! query protocol.

mod action;
mod api;
mod context;
#[cfg(test)]
mod documentation_tests;
mod error;
mod http;
mod iam;
mod metadata;
mod page;
mod parameters;
mod rds;
mod response;
mod route;
pub mod server;
mod signature;
mod sts;
#[cfg(test)]
mod testing;
mod xml;

pub use api::Api;
pub use http::{serve, serve_metadata};
pub use metadata::imds::Machine;

#[cfg(test)]
mod tests;
