//! The service account issuer's two documents, for whoever else is to verify its tokens.

use hyper::{Method, Response};
use serde_json::json;

use super::request::MetadataRequest;
use crate::response::json;
use countersign_authority::issuer::{jwks, signing_key};
use countersign_authority::oidc::issuer_key::discovery_document;

/// `GET /.well-known/openid-configuration` (OpenID Connect Discovery 1.0, section 4).
pub(super) fn discovery(visit: &MetadataRequest<'_>) -> Response<String> {
    if !visit.is(&Method::GET) {
        return json(405, &json!({ "error": "GET it" }));
    }
    json(200, &discovery_document(&visit.api.issuer))
}

/// `GET /keys`: a JWK set (RFC 7517, section 5).
pub(super) fn keys(visit: &MetadataRequest<'_>) -> Response<String> {
    if !visit.is(&Method::GET) {
        return json(405, &json!({ "error": "GET it" }));
    }
    // There is a key before the first token: who reads the set early must not keep an empty one.
    let made =
        signing_key(visit.api.store(), visit.now).and_then(|_| Ok(visit.api.store().state()?));
    match made.and_then(|state| jwks(&state)) {
        Ok(keys) => json(200, &keys),
        Err(error) => {
            tracing::error!(%error, "the issuer's keys can't be shown");
            json(500, &json!({ "error": "the keys can't be read" }))
        }
    }
}
