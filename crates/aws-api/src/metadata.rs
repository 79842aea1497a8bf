//! Where machines, pods and people get credentials from, other than STS: the service account issuer's documents, the EKS Pod
//! Identity agent, ECS's endpoint and the SSO portal, by path beside the query protocol; and EC2's metadata, on an address of
//! its own.
//!
//! None of their requests is signed: what counts is what they bring, a token of a kind that each place has.

mod assumption;
mod container;
pub(super) mod imds;
mod issuer;
mod pod_identity;
mod portal;

use std::sync::Arc;
use std::time::SystemTime;

use countersign_core::name::InvalidName;
use countersign_core::region::Region;
use hyper::{Method, Response};

use super::api::Api;
use super::context::{RequestContext, Source};
use super::error::ApiError;
use super::parameters::Parameters;
use crate::context::ReceivedRequest;
use countersign_authority::oidc::issuer_key::{DISCOVERY_PATH, KEYS_PATH};
use countersign_authority::store::State;

/// The EKS Pod Identity agent's path, and where the ids of ECS's begin.
pub(super) const POD_IDENTITY_PATH: &str = "/v1/credentials";
pub(super) const CONTAINER_PATH: &str = "/v2/credentials/";

/// The longest token that any of them takes, in bytes: a service account's. Source: `WebIdentityToken` in the STS API reference.
const MAX_TOKEN: usize = countersign_authority::oidc::jwt::MAX_TOKEN;

/// Answers a request whose path is one of these places'; `None` for every other, which is the query protocol's.
pub(super) fn respond(api: &Api, received: &ReceivedRequest) -> Option<Response<String>> {
    let place: fn(&MetadataRequest<'_>) -> Response<String> = match received.head.uri.path() {
        DISCOVERY_PATH => issuer::discovery,
        KEYS_PATH => issuer::keys,
        POD_IDENTITY_PATH => pod_identity::credentials,
        path if path.starts_with(CONTAINER_PATH) => container::credentials,
        portal::CREDENTIALS_PATH => portal::credentials,
        portal::ACCOUNTS_PATH => portal::accounts,
        portal::ROLES_PATH => portal::roles,
        portal::LOGOUT_PATH => portal::logout,
        _ => return None,
    };
    Some(match MetadataRequest::new(api, received) {
        Ok(visit) => place(&visit),
        Err(error) => crate::response::error(super::sts::STS.namespace, &error),
    })
}

/// One request to such a place, and the state that it met.
struct MetadataRequest<'a> {
    api: &'a Api,
    received: &'a ReceivedRequest,
    state: Arc<State>,
    now: SystemTime,
    address: String,
    region: Region,
    parameters: Parameters,
}

impl<'a> MetadataRequest<'a> {
    fn new(api: &'a Api, received: &'a ReceivedRequest) -> Result<Self, ApiError> {
        Ok(Self {
            api,
            received,
            state: api.store().state()?,
            now: SystemTime::now(),
            address: received.peer.ip().to_canonical().to_string(),
            region: "us-east-1".parse().map_err(|error: InvalidName| ApiError::internal(&error))?,
            parameters: Parameters::parse(
                received.head.uri.query().unwrap_or_default().as_bytes(),
            )?,
        })
    }

    fn is(&self, method: &Method) -> bool {
        self.received.head.method == method
    }

    /// The one header of that name, trimmed; `None` where there are several, or none.
    fn header(&self, name: &str) -> Option<&'a str> {
        let mut all = self.received.head.headers.get_all(name).iter();
        let only = all.next().filter(|_| all.next().is_none())?;
        only.to_str().ok().map(str::trim)
    }

    /// As the trust policies are asked.
    fn call(&self) -> RequestContext<'_> {
        RequestContext {
            api: self.api,
            state: Arc::clone(&self.state),
            identity: None,
            parameters: &self.parameters,
            region: &self.region,
            source: Source {
                address: &self.address,
                agent: self.header("user-agent").unwrap_or_default(),
            },
            now: self.now,
        }
    }
}

#[cfg(test)]
mod tests;
