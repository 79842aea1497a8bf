//! Documents of the service account issuer, for services that verify its tokens.

use hyper::{Method, Response};
use serde_json::json;

use super::request::MetadataRequest;
use crate::response::json;
use countersign_authority::issuer::{jwks, signing_key};
use countersign_authority::oidc::issuer_key::discovery_document;

/// `GET /.well-known/openid-configuration` (OpenID Connect Discovery 1.0, section 4).
pub(super) fn discovery(request: &MetadataRequest<'_>) -> Response<String> {
    if !request.is(&Method::GET) {
        return json(405, &json!({ "error": "method not allowed: use GET" }));
    }
    json(200, &discovery_document(&request.api.issuer))
}

/// `GET /keys`: a JWK set (RFC 7517, section 5).
pub(super) fn keys(request: &MetadataRequest<'_>) -> Response<String> {
    if !request.is(&Method::GET) {
        return json(405, &json!({ "error": "method not allowed: use GET" }));
    }
    // Creates a key before the first token: a verifier must not cache an empty key set.
    let state = signing_key(request.api.store(), request.now)
        .and_then(|_| Ok(request.api.store().state()?));
    match state.and_then(|state| jwks(&state)) {
        Ok(keys) => json(200, &keys),
        Err(error) => {
            tracing::error!(%error, "cannot read the issuer's keys");
            json(500, &json!({ "error": "cannot read the keys" }))
        }
    }
}
