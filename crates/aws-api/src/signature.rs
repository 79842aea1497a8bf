//! Who signed a request, by Signature Version 4.

use std::time::SystemTime;

use countersign_core::credentials::Secret;
use countersign_core::region::Region;
use countersign_core::sigv4::{Request, RequestError, SignedRequest};
use countersign_core::token::KeyStatus;

use super::Api;
use super::error::ApiError;
use countersign_authority::key_lookup::{KeyLookupError, ResolvedIdentity, ResolvedKey};
use countersign_authority::store::State;

/// Headers that a signature depends on: one that is there twice means one thing to the signer and another to somebody else.
const ONCE: [&str; 5] =
    ["authorization", "host", "x-amz-date", "x-amz-security-token", "x-amz-content-sha256"];

/// Whoever signed a request.
pub(super) struct Signed {
    pub(super) holder: ResolvedIdentity,
    /// The region that it was signed for.
    pub(super) region: Region,
}

/// The parts of the signature, not yet verified: they say which service is meant.
pub(super) fn parse(request: &Request<'_>) -> Result<SignedRequest, ApiError> {
    let times = |wanted: &str| {
        request.headers.iter().filter(|(name, _)| name.eq_ignore_ascii_case(wanted)).count()
    };
    if let Some(name) = ONCE.iter().find(|name| times(name) > 1) {
        return Err(ApiError::new(
            "IncompleteSignature",
            400,
            &format!("The header {name} is there more than once."),
        ));
    }
    SignedRequest::parse(request).map_err(refused)
}

/// Verifies a signature for `service`.
///
/// # Errors
/// AWS's error code for the first thing that is wrong.
pub(super) fn verify(
    api: &Api,
    state: &State,
    request: &Request<'_>,
    signed: &SignedRequest,
    service: &str,
    now: SystemTime,
) -> Result<Signed, ApiError> {
    let invalid = || {
        ApiError::new(
            "InvalidClientTokenId",
            403,
            "The security token included in the request is invalid.",
        )
    };
    let token = signed.session_token().map(Secret::expose);
    let key = ResolvedKey::find(state, api.store().sealing(), signed.access_key_id(), token)
        .map_err(|unheld| match unheld {
            KeyLookupError::Unknown | KeyLookupError::TokenMissing | KeyLookupError::TokenWrong => {
                invalid()
            }
            KeyLookupError::Corrupt(name) => ApiError::internal(&name),
        })?;
    if key.status != KeyStatus::Active {
        return Err(invalid());
    }
    signed
        .verify(request, &key.credentials.secret, service, api.verifier.keys(), now)
        .map_err(refused)?;
    if key.credentials.expires.is_some_and(|end| now >= end) {
        return Err(ApiError::new(
            "ExpiredToken",
            403,
            "The security token included in the request is expired",
        ));
    }
    let region = signed.region().parse().map_err(|_| refused(RequestError::Scope("region")))?;
    Ok(Signed { holder: key.identity, region })
}

/// AWS's code and status for a signature that does not do. Source: "Common errors" of the STS API reference.
fn refused(error: RequestError) -> ApiError {
    let message = format!("{error}.");
    match error {
        RequestError::Unsigned => ApiError::new(
            "MissingAuthenticationToken",
            403,
            "Request is missing Authentication Token",
        ),
        RequestError::Incomplete(_) => ApiError::new("IncompleteSignature", 400, &message),
        RequestError::Scope(_) | RequestError::Expired | RequestError::NotYetCurrent => {
            ApiError::new("SignatureDoesNotMatch", 403, &message)
        }
        RequestError::Mismatch => ApiError::new(
            "SignatureDoesNotMatch",
            403,
            "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access Key and signing method.",
        ),
    }
}
