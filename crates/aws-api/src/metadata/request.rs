//! Request of a metadata service.

use std::sync::Arc;
use std::time::SystemTime;

use countersign_authority::store::State;
use countersign_core::name::InvalidName;
use countersign_core::region::Region;
use hyper::Method;

use crate::api::Api;
use crate::context::{ReceivedRequest, RequestContext, Source};
use crate::error::ApiError;
use crate::parameters::Parameters;

/// Maximum size in bytes of a token: a service account's is the largest.
/// Source: `WebIdentityToken` in the STS API reference.
pub(super) const MAX_TOKEN: usize = countersign_authority::oidc::jwt::MAX_TOKEN;

/// Request of a metadata service, and the state it is checked against.
pub(super) struct MetadataRequest<'a> {
    pub(super) api: &'a Api,
    pub(super) received: &'a ReceivedRequest,
    pub(super) state: Arc<State>,
    pub(super) now: SystemTime,
    pub(super) region: Region,
    pub(super) parameters: Parameters,
    pub(super) address: String,
}

impl<'a> MetadataRequest<'a> {
    pub(super) fn new(api: &'a Api, received: &'a ReceivedRequest) -> Result<Self, ApiError> {
        let query = received.head.uri.query().unwrap_or_default();
        Ok(Self {
            api,
            received,
            state: api.store().state()?,
            now: SystemTime::now(),
            region: "us-east-1".parse().map_err(|error: InvalidName| ApiError::internal(&error))?,
            parameters: Parameters::parse(query.as_bytes())?,
            address: received.peer.ip().to_canonical().to_string(),
        })
    }

    pub(super) fn is(&self, method: &Method) -> bool {
        self.received.head.method == method
    }

    /// Returns the trimmed value of a header; `None` if it is absent or repeated.
    pub(super) fn header(&self, name: &str) -> Option<&'a str> {
        let mut all = self.received.head.headers.get_all(name).iter();
        let only = all.next().filter(|_| all.next().is_none())?;
        only.to_str().ok().map(str::trim)
    }

    /// Returns the context in which trust policies are evaluated.
    pub(super) fn context(&self) -> RequestContext<'_> {
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
