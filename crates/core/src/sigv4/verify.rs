//! Verifying signed AWS requests, by header and by query.

use std::time::{Duration, SystemTime};

use super::request::{canonical_query, hash};
use super::{ALGORITHM, KeyCache, Normalization, Request, Scope, Signature};
use crate::credentials::Secret;
use crate::name::AccessKeyId;
use crate::timestamp::AmzDate;

/// How far a request's date may lie from the verifier's clock, either way. AWS: 15 minutes.
pub const SKEW: Duration = Duration::from_secs(15 * 60);

/// The longest that a request signed by query may be valid, in seconds: seven days.
const MAX_EXPIRES: u64 = 604_800;

/// Why a request's signature was refused; each has an error code of AWS's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// There is no signature: `MissingAuthenticationToken`.
    #[error("the request carries no signature")]
    Unsigned,
    /// A part is missing or malformed: `IncompleteSignature`.
    #[error("the signature's {0} is missing or malformed")]
    Incomplete(&'static str),
    /// Signed for another region, service or day: `SignatureDoesNotMatch`.
    #[error("the credential scope names another {0}")]
    Scope(&'static str),
    /// Too old: `RequestExpired`, `SignatureDoesNotMatch` by header.
    #[error("the signature has expired")]
    Expired,
    /// Dated more than 15 minutes ahead: `SignatureDoesNotMatch`.
    #[error("the signature is not yet current")]
    NotYetCurrent,
    /// Another secret, or another request: `SignatureDoesNotMatch`.
    #[error("the signature does not match the request")]
    Mismatch,
}

/// The signature's parts as a request carries them: not yet verified.
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

/// Where the signature stands decides how long it lasts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lifetime {
    /// In a header: while the date is within [`SKEW`].
    Header,
    /// In the query: for the seconds that it says.
    Query(u64),
}

impl SignedRequest {
    /// Takes the signature's parts out of the `Authorization` header, or out of the query where there is no such header.
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

    /// The key that claims to have signed.
    #[must_use]
    pub const fn access_key_id(&self) -> &AccessKeyId {
        &self.access_key_id
    }

    /// The region that the signature claims to be for.
    #[must_use]
    pub fn region(&self) -> &str {
        Scope::parse(&self.credential_scope).map_or("", |scope| scope.region)
    }

    /// The service that the signature claims to be for.
    #[must_use]
    pub fn service(&self) -> &str {
        Scope::parse(&self.credential_scope).map_or("", |scope| scope.service)
    }

    /// The session token that came with the request.
    #[must_use]
    pub const fn session_token(&self) -> Option<&Secret> {
        self.session_token.as_ref()
    }

    /// Checks scope, dates and signature of `request`, from which `self` was parsed, against the key's `secret`.
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
