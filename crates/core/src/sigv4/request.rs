//! Signing of AWS requests by header and by query.

use std::collections::BTreeSet;
use std::fmt;
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};

use super::key::CanonicalHash;
use super::{ALGORITHM, EMPTY_PAYLOAD, Scope, SigningKey, canonical, encode};
use crate::credentials::{Credentials, Secret};
use crate::timestamp::AmzDate;

/// An HTTP request as it is sent, before or after signing.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// `GET`, `POST`, …
    pub method: &'a str,
    /// The path as sent, without the query.
    pub path: &'a str,
    /// The query, percent-encoded, without the `?`. Empty if there is none.
    pub query: &'a str,
    /// Names and values in the order sent.
    pub headers: &'a [(&'a str, &'a str)],
    /// The body to hash.
    pub payload: Payload<'a>,
}

impl fmt::Debug for Request<'_> {
    /// Omits query, headers and body, which may contain signatures and tokens.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Request({} {})", self.method, self.path)
    }
}

/// The body, as the signature covers it.
#[derive(Clone, Copy)]
pub enum Payload<'a> {
    /// No body, or an unsigned one.
    Empty,
    /// The body. Its hash is sent in the header `x-amz-content-sha256` when signing by header.
    Signed(&'a [u8]),
    /// The body, without a header for its hash.
    Body(&'a [u8]),
}

impl fmt::Debug for Payload<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Payload([redacted])")
    }
}

impl Payload<'_> {
    pub(super) fn hash(self) -> String {
        match self {
            Self::Empty => EMPTY_PAYLOAD.to_owned(),
            Self::Signed(body) | Self::Body(body) => {
                encode::hex32(&Sha256::digest(body).into()).map(char::from).into_iter().collect()
            }
        }
    }
}

/// Normalization of empty, `.` and `..` segments of the path before signing. Every service but S3
/// normalizes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Normalization {
    /// The path is normalized as in RFC 3986.
    Rfc3986,
    /// The path is not changed.
    AsSent,
}

/// Credentials to sign with, and if the session token is signed. Some services expect it to be
/// added after signing.
#[derive(Debug, Clone, Copy)]
pub enum Identity<'a> {
    /// The session token, if any, is signed.
    Whole(&'a Credentials),
    /// The session token is added after signing.
    TokenAfterwards(&'a Credentials),
}

impl<'a> Identity<'a> {
    const fn credentials(self) -> &'a Credentials {
        match self {
            Self::Whole(credentials) | Self::TokenAfterwards(credentials) => credentials,
        }
    }

    fn signed_token(self) -> Option<&'a str> {
        match self {
            Self::Whole(credentials) => credentials.session_token.as_ref().map(Secret::expose),
            Self::TokenAfterwards(_) => None,
        }
    }
}

/// Signs requests for one region and service.
#[derive(Debug, Clone, Copy)]
pub struct Signer<'a> {
    /// The credentials to sign with.
    pub identity: Identity<'a>,
    /// The region of the scope.
    pub region: &'a str,
    /// The service of the scope.
    pub service: &'a str,
    /// Normalization of the path.
    pub normalization: Normalization,
    /// The date of the signature.
    pub now: SystemTime,
}

impl Signer<'_> {
    /// Returns the headers to add: date, session token and hash of the body if any, and
    /// `Authorization`. Returns `None` if the query has a malformed escape.
    #[must_use]
    pub fn sign_by_header(&self, request: &Request<'_>) -> Option<Vec<(&'static str, String)>> {
        let stamp = AmzDate::at(self.now).stamp();
        let mut added = vec![("x-amz-date", stamp.as_str().to_owned())];
        added.extend(
            self.identity.signed_token().map(|token| ("x-amz-security-token", token.to_owned())),
        );
        if let Payload::Signed(_) = request.payload {
            added.push(("x-amz-content-sha256", request.payload.hash()));
        }
        let headers: Vec<(&str, &str)> = request
            .headers
            .iter()
            .copied()
            .chain(added.iter().map(|(name, value)| (*name, value.as_str())))
            .collect();
        let signed = sorted_names(&headers);
        let whole = Request { headers: &headers, ..*request };
        let query = canonical_query(request.query, None)?;
        let canonical = whole.canonical(&query, &signed, self.normalization)?;
        let scope = Scope { day: stamp.day(), region: self.region, service: self.service };
        let authorization = format!(
            "{ALGORITHM} Credential={}/{scope}, SignedHeaders={}, Signature={}",
            self.identity.credentials().access_key_id,
            signed.join(";"),
            self.signature(stamp.as_str(), &scope, &canonical)
        );
        if let Identity::TokenAfterwards(Credentials { session_token: Some(token), .. }) =
            self.identity
        {
            added.push(("x-amz-security-token", token.expose().to_owned()));
        }
        added.push(("authorization", authorization));
        Some(added)
    }

    /// Returns the complete query of the presigned request, valid for `expires`. Returns `None` if
    /// the query has a malformed escape.
    #[must_use]
    pub fn sign_by_query(&self, request: &Request<'_>, expires: Duration) -> Option<String> {
        let stamp = AmzDate::at(self.now).stamp();
        let scope = Scope { day: stamp.day(), region: self.region, service: self.service };
        let signed = sorted_names(request.headers);
        let credential = format!("{}/{scope}", self.identity.credentials().access_key_id);
        let (expires, names) = (expires.as_secs().to_string(), signed.join(";"));
        let mut added = vec![
            ("X-Amz-Algorithm", ALGORITHM),
            ("X-Amz-Credential", credential.as_str()),
            ("X-Amz-Date", stamp.as_str()),
            ("X-Amz-Expires", expires.as_str()),
            ("X-Amz-SignedHeaders", names.as_str()),
        ];
        added.extend(self.identity.signed_token().map(|token| ("X-Amz-Security-Token", token)));
        let parameters = canonical::parameters(request.query)?;
        let present = parameters.iter().map(|(name, value)| (&**name, &**value));
        let query = canonical::query(present.chain(added));
        let canonical = request.canonical(&query, &signed, self.normalization)?;
        let mut query =
            query + "&X-Amz-Signature=" + &self.signature(stamp.as_str(), &scope, &canonical);
        if let Identity::TokenAfterwards(Credentials { session_token: Some(token), .. }) =
            self.identity
        {
            query.push_str("&X-Amz-Security-Token=");
            encode::encode(&mut query, token.expose());
        }
        Some(query)
    }

    fn signature(&self, stamp: &str, scope: &Scope<'_>, canonical: &str) -> String {
        let key = SigningKey::derive(&self.identity.credentials().secret, scope);
        let mut out = String::with_capacity(64);
        key.sign(stamp, scope, hash(canonical)).write_to(&mut out);
        out
    }
}

impl Request<'_> {
    /// Returns the canonical request; `None` if a header in `signed` is absent.
    pub(super) fn canonical(
        &self,
        query: &str,
        signed: &[String],
        normalization: Normalization,
    ) -> Option<String> {
        let path = canonical::path(self.path, normalization == Normalization::Rfc3986);
        let headers = canonical::headers(self.headers, signed)?;
        Some(
            [
                self.method,
                "\n",
                &path,
                "\n",
                query,
                "\n",
                &headers,
                "\n",
                &signed.join(";"),
                "\n",
                &self.payload.hash(),
            ]
            .concat(),
        )
    }

    /// Returns the first header of that name, ignoring case.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(header, _)| header.eq_ignore_ascii_case(name))
            .map(|(_, value)| *value)
    }
}

pub(super) fn hash(canonical: &str) -> CanonicalHash {
    let mut hash = CanonicalHash::default();
    hash.update(canonical);
    hash
}

/// Returns the distinct names of `headers` in lower case, sorted.
fn sorted_names(headers: &[(&str, &str)]) -> Vec<String> {
    headers
        .iter()
        .map(|(name, _)| name.to_ascii_lowercase())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// Returns the canonical form of a raw query without the parameter `without`; `None` if an escape
/// is malformed.
pub(super) fn canonical_query(raw: &str, without: Option<&str>) -> Option<String> {
    let parameters = canonical::parameters(raw)?;
    Some(canonical::query(
        parameters
            .iter()
            .map(|(name, value)| (&**name, &**value))
            .filter(|(name, _)| Some(*name) != without),
    ))
}
