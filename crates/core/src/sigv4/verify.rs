//! Verification of AWS requests signed by header or by query.

use std::time::{Duration, SystemTime};

use super::request::{canonical_query, hash};
use super::{ALGORITHM, KeyCache, Normalization, Request, Scope, Signature};
use crate::credentials::Secret;
use crate::name::AccessKeyId;
use crate::timestamp::AmzDate;

/// Maximum difference between the date of a request and the verifier's clock, in either direction.
/// AWS allows 15 minutes.
pub const SKEW: Duration = Duration::from_secs(15 * 60);

/// Maximum validity in seconds of a presigned request: seven days.
const MAX_EXPIRES: u64 = 604_800;

/// Rejection of the signature of a request. Each variant names the error code of AWS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// The request is not signed: `MissingAuthenticationToken`.
    #[error("the request is not signed")]
    Unsigned,
    /// A part is missing or malformed: `IncompleteSignature`.
    #[error("the {0} of the signature is missing or malformed")]
    Incomplete(&'static str),
    /// The scope has another region, service or day: `SignatureDoesNotMatch`.
    #[error("the credential scope is for another {0}")]
    Scope(&'static str),
    /// The request is too old: `RequestExpired`, or `SignatureDoesNotMatch` by header.
    #[error("the signature has expired")]
    Expired,
    /// The date is more than 15 minutes ahead: `SignatureDoesNotMatch`.
    #[error("the signature is not yet current")]
    NotYetCurrent,
    /// Another secret key signed, or the request was changed: `SignatureDoesNotMatch`.
    #[error("the signature does not match the request")]
    Mismatch,
}

/// The parsed, unverified signature of a request.
#[derive(Debug, Clone)]
pub struct SignedRequest {
    access_key_id: AccessKeyId,
    credential_scope: String,
    date: AmzDate,
    pub(super) signed_headers: Vec<String>,
    signature: Signature,
    session_token: Option<Secret>,
    lifetime: Lifetime,
}

/// Validity, which depends on the position of the signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lifetime {
    /// In a header: valid while the date is within [`SKEW`].
    Header,
    /// In the query: valid for this number of seconds.
    Query(u64),
}

impl SignedRequest {
    /// Parses the signature from the `Authorization` header or, without that header, from the
    /// query.
    ///
    /// # Errors
    /// [`RequestError::Unsigned`] and [`RequestError::Incomplete`].
    pub fn parse(request: &Request<'_>) -> Result<Self, RequestError> {
        match request.header("authorization") {
            Some(authorization) => Self::from_header(request, authorization),
            None if request.query.contains("X-Amz-Signature=") => Self::from_query(request),
            None => Err(RequestError::Unsigned),
        }
    }

    fn from_header(request: &Request<'_>, authorization: &str) -> Result<Self, RequestError> {
        let fields =
            authorization.strip_prefix(ALGORITHM).ok_or(RequestError::Incomplete("algorithm"))?;
        let field = |name: &'static str| {
            let mut found = fields
                .split(',')
                .filter_map(|field| field.trim().strip_prefix(name)?.strip_prefix('='));
            found.next().filter(|_| found.next().is_none()).ok_or(RequestError::Incomplete(name))
        };
        let date = request
            .header("x-amz-date")
            .and_then(AmzDate::parse)
            .ok_or(RequestError::Incomplete("date"))?;
        let token = request.header("x-amz-security-token").and_then(Secret::new);
        Self::assemble(
            field("Credential")?,
            date,
            field("SignedHeaders")?,
            field("Signature")?,
            token,
            Lifetime::Header,
        )
    }

    fn from_query(request: &Request<'_>) -> Result<Self, RequestError> {
        let parameters =
            super::canonical::parameters(request.query).ok_or(RequestError::Incomplete("query"))?;
        let field = |name: &'static str| {
            let mut found = parameters
                .iter()
                .filter(|(parameter, _)| parameter == name)
                .map(|(_, value)| value.as_ref());
            found.next().filter(|_| found.next().is_none()).ok_or(RequestError::Incomplete(name))
        };
        if field("X-Amz-Algorithm")? != ALGORITHM {
            return Err(RequestError::Incomplete("X-Amz-Algorithm"));
        }
        let date =
            AmzDate::parse(field("X-Amz-Date")?).ok_or(RequestError::Incomplete("X-Amz-Date"))?;
        let expires = field("X-Amz-Expires")?
            .parse()
            .ok()
            .filter(|seconds| (1..=MAX_EXPIRES).contains(seconds));
        let lifetime = Lifetime::Query(expires.ok_or(RequestError::Incomplete("X-Amz-Expires"))?);
        let token = field("X-Amz-Security-Token").ok().and_then(Secret::new);
        Self::assemble(
            field("X-Amz-Credential")?,
            date,
            field("X-Amz-SignedHeaders")?,
            field("X-Amz-Signature")?,
            token,
            lifetime,
        )
    }

    fn assemble(
        credential: &str,
        date: AmzDate,
        signed: &str,
        signature: &str,
        token: Option<Secret>,
        lifetime: Lifetime,
    ) -> Result<Self, RequestError> {
        let (id, scope) =
            credential.split_once('/').ok_or(RequestError::Incomplete("Credential"))?;
        let parsed = Scope::parse(scope).ok_or(RequestError::Incomplete("Credential"))?;
        if parsed.day != date.stamp().day() {
            return Err(RequestError::Scope("day"));
        }
        let signed_headers: Vec<String> = signed.split(';').map(str::to_owned).collect();
        if !signed_headers.iter().any(|name| name == "host") || !signed_headers.is_sorted() {
            return Err(RequestError::Incomplete("SignedHeaders"));
        }
        Ok(Self {
            access_key_id: id.parse().map_err(|_| RequestError::Incomplete("Credential"))?,
            credential_scope: scope.to_owned(),
            date,
            signed_headers,
            signature: Signature::parse(signature).ok_or(RequestError::Incomplete("Signature"))?,
            session_token: token,
            lifetime,
        })
    }

    /// The access key named by the signature.
    #[must_use]
    pub const fn access_key_id(&self) -> &AccessKeyId {
        &self.access_key_id
    }

    /// The region of the credential scope.
    #[must_use]
    pub fn region(&self) -> &str {
        Scope::parse(&self.credential_scope).map_or("", |scope| scope.region)
    }

    /// The service of the credential scope.
    #[must_use]
    pub fn service(&self) -> &str {
        Scope::parse(&self.credential_scope).map_or("", |scope| scope.service)
    }

    /// The session token of the request.
    #[must_use]
    pub const fn session_token(&self) -> Option<&Secret> {
        self.session_token.as_ref()
    }

    /// Verifies scope, signature and dates of `request`, from which `self` was parsed, with the
    /// secret key.
    ///
    /// # Errors
    /// Every [`RequestError`] but `Unsigned`.
    pub fn verify(
        &self,
        request: &Request<'_>,
        secret: &Secret,
        service: &str,
        keys: &KeyCache,
        now: SystemTime,
    ) -> Result<(), RequestError> {
        let scope =
            Scope::parse(&self.credential_scope).ok_or(RequestError::Incomplete("Credential"))?;
        if scope.service != service {
            return Err(RequestError::Scope("service"));
        }
        let query = match self.lifetime {
            Lifetime::Header => canonical_query(request.query, None),
            Lifetime::Query(_) => canonical_query(request.query, Some("X-Amz-Signature")),
        };
        let canonical = query.and_then(|query| {
            request.canonical(&query, &self.signed_headers, Normalization::Rfc3986)
        });
        let canonical = canonical.ok_or(RequestError::Incomplete("SignedHeaders"))?;
        let key = keys.key(self.access_key_id.as_str(), secret, &scope);
        if !key.sign(self.date.stamp().as_str(), &scope, hash(&canonical)).ct_eq(&self.signature) {
            return Err(RequestError::Mismatch);
        }
        self.current(now)
    }

    fn current(&self, now: SystemTime) -> Result<(), RequestError> {
        let signed = self.date.to_system_time();
        let last = match self.lifetime {
            Lifetime::Header => signed + SKEW,
            Lifetime::Query(seconds) => signed + Duration::from_secs(seconds),
        };
        match now {
            now if now + SKEW < signed => Err(RequestError::NotYetCurrent),
            now if now > last => Err(RequestError::Expired),
            _ => Ok(()),
        }
    }
}
