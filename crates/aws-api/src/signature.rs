//! Authentication of callers by Signature Version 4.

use std::time::SystemTime;

use countersign_authority::key_lookup::{KeyLookupError, ResolvedIdentity, ResolvedKey};
use countersign_authority::store::State;
use countersign_core::credentials::Secret;
use countersign_core::region::Region;
use countersign_core::sigv4::{Request, RequestError, SignedRequest};
use countersign_core::token::KeyStatus;

use crate::api::Api;
use crate::error::ApiError;

/// Headers that a signature depends on. A repeated one could mean one value to the signer and
/// another to the server.
const UNIQUE_HEADERS: [&str; 5] =
    ["authorization", "host", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"];

/// Caller of a request whose signature is verified.
pub(crate) struct Authenticated {
    pub(crate) identity: ResolvedIdentity,
    /// Region that the request is signed for.
    pub(crate) region: Region,
}

/// Parses the signature without verifying it: it names the service that the request is for.
pub(crate) fn parse(request: &Request<'_>) -> Result<SignedRequest, ApiError> {
    let count = |wanted: &str| {
        request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).count()
    };
    if let Some(name) = UNIQUE_HEADERS.iter().find(|name| count(name) > 1) {
        return Err(ApiError::new(
            "IncompleteSignature",
            400,
            &format!("The header {name} is present more than once."),
        ));
    }
    SignedRequest::parse(request).map_err(signature_error)
}

/// Verifies a signature for `service`.
///
/// # Errors
/// AWS's error for the first check that fails.
pub(crate) fn verify(
    api: &Api,
    state: &State,
    request: &Request<'_>,
    signed: &SignedRequest,
    service: &str,
    now: SystemTime,
) -> Result<Authenticated, ApiError> {
    let token = signed.session_token().map(Secret::expose);
    let key = ResolvedKey::find(state, api.store().sealing(), signed.access_key_id(), token)
        .map_err(|error| match error {
            KeyLookupError::Unknown | KeyLookupError::TokenMissing | KeyLookupError::TokenWrong => {
                ApiError::invalid_token()
            }
            KeyLookupError::Corrupt(name) => ApiError::internal(&name),
        })?;
    if key.status != KeyStatus::Active {
        return Err(ApiError::invalid_token());
    }
    signed
        .verify(request, &key.credentials.secret, service, api.verifier.keys(), now)
        .map_err(signature_error)?;
    if key.credentials.expires.is_some_and(|end| now >= end) {
        return Err(ApiError::new(
            "ExpiredToken",
            403,
            "The security token included in the request is expired",
        ));
    }
    let region =
        signed.region().parse().map_err(|_| signature_error(RequestError::Scope("region")))?;
    Ok(Authenticated { identity: key.identity, region })
}

/// Returns AWS's code and status for an invalid signature.
/// Source: "Common errors" of the STS API reference.
fn signature_error(error: RequestError) -> ApiError {
    let message = format!("{error}.");
    match error {
        RequestError::Unsigned => ApiError::unsigned(),
        RequestError::Incomplete(_) => ApiError::new("IncompleteSignature", 400, &message),
        RequestError::Scope(_) | RequestError::Expired | RequestError::NotYetCurrent => {
            ApiError::new("SignatureDoesNotMatch", 403, &message)
        }
        RequestError::Mismatch => ApiError::new(
            "SignatureDoesNotMatch",
            403,
            "The request signature we calculated does not match the signature you provided. Check \
             your AWS Secret Access Key and signing method.",
        ),
    }
}
