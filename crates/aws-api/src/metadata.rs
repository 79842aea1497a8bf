//! Metadata services: sources of credentials other than STS.
//!
//! The service account issuer's documents, the EKS Pod Identity agent, the ECS endpoint and the
//! SSO portal are paths beside the query protocol. EC2's metadata service has an address of its
//! own. Their requests are not signed: each service authenticates its client by a token.

mod assumption;
mod container;
pub(crate) mod imds;
mod issuer;
mod pod_identity;
mod portal;
mod request;

use countersign_authority::oidc::issuer_key::{DISCOVERY_PATH, KEYS_PATH};
use hyper::Response;

use crate::api::Api;
use crate::context::ReceivedRequest;
use crate::response;
use crate::sts::STS;
use request::MetadataRequest;

/// Path of the EKS Pod Identity agent.
const POD_IDENTITY_PATH: &str = "/v1/credentials";

/// Answers a request for the path of a metadata service; `None` for other paths, which belong to
/// the query protocol.
pub(crate) fn respond(api: &Api, received: &ReceivedRequest) -> Option<Response<String>> {
    let service: fn(&MetadataRequest<'_>) -> Response<String> = match received.head.uri.path() {
        DISCOVERY_PATH => issuer::discovery,
        KEYS_PATH => issuer::keys,
        POD_IDENTITY_PATH => pod_identity::credentials,
        path if path.starts_with(container::CONTAINER_PATH) => container::credentials,
        portal::CREDENTIALS_PATH => portal::credentials,
        portal::ACCOUNTS_PATH => portal::accounts,
        portal::ROLES_PATH => portal::roles,
        portal::LOGOUT_PATH => portal::logout,
        _ => return None,
    };
    Some(match MetadataRequest::new(api, received) {
        Ok(request) => service(&request),
        Err(error) => response::error(STS.namespace, &error),
    })
}

#[cfg(test)]
mod tests;
