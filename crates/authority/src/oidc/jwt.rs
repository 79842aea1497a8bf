//! JSON Web Tokens (RFC 7519) in the compact form of RFC 7515, signed with RS256 or ES256: nothing else is read.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::jwk::{Algorithm, Jwk, Jwks};
use super::object;

/// The longest token that is read, in bytes: what STS takes as a `WebIdentityToken`.
pub const MAX_TOKEN: usize = 20_000;

/// How far ahead of the clock here a token's `nbf` and `iat` may lie. Its `exp` has no such grace, as with AWS.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// The last second that a date in a token may name: the end of the year 9999.
const LAST_SECOND: u64 = 253_402_300_799;

/// Header members that bring a key along, say where one is, or change what the token means. Who signed would choose
/// what verifies: they are refused, not ignored.
const REFUSED_MEMBERS: [&str; 6] = ["jwk", "jku", "x5u", "x5c", "crit", "b64"];

/// Why a token was refused: a sentence for the log. None repeats the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// It is not three pieces of base64url with the JSON that must be in them.
    #[error("the web identity token is malformed: {0}")]
    Malformed(&'static str),
    /// `none`, an algorithm with a shared secret, or one that is not supported.
    #[error("the web identity token's algorithm is neither RS256 nor ES256")]
    UnsupportedAlgorithm,
    /// Its header brings a key along or demands an extension.
    #[error("the web identity token's header has the member {0:?}, which is not accepted")]
    ForbiddenHeader(&'static str),
    /// The issuer has no key with its id and of its algorithm's type.
    #[error(
        "the issuer has no key with the web identity token's key id that is of its algorithm's type"
    )]
    UnknownKey,
    /// The key that its id names did not sign it.
    #[error("the web identity token's signature is not valid under the issuer's key")]
    BadSignature,
    /// A claim is missing or has the wrong type.
    #[error("the web identity token's claim {0:?} is missing or malformed")]
    MissingClaim(&'static str),
    /// Somebody else issued it.
    #[error("the web identity token was issued by another issuer than the identity provider's")]
    WrongIssuer,
    /// It is meant for somebody else.
    #[error("the web identity token's audience is none of the identity provider's client ids")]
    WrongAudience,
    /// Its `exp` is past.
    #[error("the web identity token has expired")]
    Expired,
    /// Its `nbf` or `iat` lies ahead.
    #[error(
        "the web identity token is not yet valid, or the clocks differ by more than five minutes"
    )]
    NotYetValid,
}

impl TokenError {
    /// What STS answers. Source: "Errors" of `AssumeRoleWithWebIdentity` in the STS API reference.
    #[must_use]
    pub const fn aws_code(&self) -> &'static str {
        match self {
            Self::Expired => "ExpiredTokenException",
            Self::Malformed(_)
            | Self::UnsupportedAlgorithm
            | Self::ForbiddenHeader(_)
            | Self::UnknownKey
            | Self::BadSignature
            | Self::MissingClaim(_)
            | Self::WrongIssuer
            | Self::WrongAudience
            | Self::NotYetValid => "InvalidIdentityToken",
        }
    }
}

/// What a token says of itself. Nothing of it has been checked but its form.
pub struct UnverifiedJwt<'a> {
    algorithm: Algorithm,
    key_id: Option<String>,
    claims: Map<String, Value>,
    issuer: String,
    signed: &'a str,
    signature: Vec<u8>,
}

impl fmt::Debug for UnverifiedJwt<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Unverified")
            .field("issuer", &self.issuer)
            .field("key_id", &self.key_id)
            .finish_non_exhaustive()
    }
}

/// What a token must say to be of use.
#[derive(Debug, Clone, Copy)]
pub struct Validation<'a> {
    /// The `iss` of the provider whose keys these are, to the letter.
    pub issuer: &'a str,
    /// One of which must be among its `aud`.
    pub audiences: &'a [&'a str],
    /// The time.
    pub now: SystemTime,
}

/// What an issuer says of a subject, proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `iss`
    pub issuer: String,
    /// `sub`
    pub subject: String,
    /// `aud`, of which there is at least one.
    pub audience: Vec<String>,
    /// `exp`
    pub expires: SystemTime,
    /// `iat`
    pub issued: Option<SystemTime>,
    /// Every other claim that is a text, a boolean or a number, or a list of these such as `amr`, as text: for condition keys.
    pub other_claims: BTreeMap<String, Vec<String>>,
}

/// Reads a token.
///
/// # Errors
/// [`TokenError::Malformed`], [`TokenError::UnsupportedAlgorithm`], [`TokenError::ForbiddenHeader`] and, where `iss` is
/// absent, [`TokenError::MissingClaim`].
pub fn parse(token: &str) -> Result<UnverifiedJwt<'_>, TokenError> {
    let malformed = TokenError::Malformed;
    if token.len() > MAX_TOKEN {
        return Err(malformed("it is longer than 20,000 bytes"));
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(malformed("it has no dots"))?;
    let (header, payload) = signed
        .split_once('.')
        .filter(|(_, payload)| !payload.contains('.'))
        .ok_or(malformed("it is not three parts"))?;
    let decoded = |part: &str, what| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed(what));
    let header = object(&decoded(header, "its header is not base64url")?)
        .ok_or(malformed("its header is not a JSON object with each key once"))?;
    let algorithm = header
        .get("alg")
        .and_then(Value::as_str)
        .and_then(Algorithm::named)
        .ok_or(TokenError::UnsupportedAlgorithm)?;
    if let Some(member) = REFUSED_MEMBERS.into_iter().find(|member| header.contains_key(*member)) {
        return Err(TokenError::ForbiddenHeader(member));
    }
    let key_id = match header.get("kid") {
        None => None,
        Some(Value::String(id)) => Some(id.clone()),
        Some(_) => return Err(malformed("its key id is not a string")),
    };
    let claims = object(&decoded(payload, "its payload is not base64url")?)
        .ok_or(malformed("its payload is not a JSON object with each key once"))?;
    let issuer = text(&claims, "iss")?;
    let signature = decoded(signature, "its signature is not base64url")?;
    if signature.is_empty() {
        return Err(malformed("it is not signed"));
    }
    Ok(UnverifiedJwt { algorithm, key_id, claims, issuer, signed, signature })
}

impl UnverifiedJwt<'_> {
    /// Who claims to have issued it: only good for finding the keys.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Which key claims to have signed it: only good for finding the key.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// A claim of any form: proven only once [`Self::verify`] has succeeded.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }

    /// Checks signature, issuer, times and audience.
    ///
    /// # Errors
    /// Every [`TokenError`] that does not come of parsing, in that order: who can't sign learns nothing about the rest.
    pub fn verify(&self, keys: &Jwks, expected: Validation<'_>) -> Result<Claims, TokenError> {
        let id = self.key_id.as_deref().ok_or(TokenError::UnknownKey)?;
        let mut named = keys.with_id(id).filter(|key| key.algorithm() == self.algorithm).peekable();
        named.peek().ok_or(TokenError::UnknownKey)?;
        if !named.any(|key| self.is_signed_by(key)) {
            return Err(TokenError::BadSignature);
        }
        if self.issuer != expected.issuer {
            return Err(TokenError::WrongIssuer);
        }
        let claims = self.claims()?;
        let latest = expected.now + CLOCK_SKEW;
        if date(&self.claims, "nbf")?.is_some_and(|from| from > latest)
            || claims.issued.is_some_and(|at| at > latest)
        {
            return Err(TokenError::NotYetValid);
        }
        if expected.now >= claims.expires {
            return Err(TokenError::Expired);
        }
        if !claims.audience.iter().any(|one| expected.audiences.contains(&one.as_str())) {
            return Err(TokenError::WrongAudience);
        }
        Ok(claims)
    }

    fn is_signed_by(&self, key: &Jwk) -> bool {
        key.algorithm() == self.algorithm && key.verifies(self.signed.as_bytes(), &self.signature)
    }

    fn claims(&self) -> Result<Claims, TokenError> {
        let registered = ["iss", "sub", "aud", "exp", "iat", "nbf"];
        let others = self.claims.iter().filter(|(name, _)| !registered.contains(&name.as_str()));
        Ok(Claims {
            issuer: self.issuer.clone(),
            subject: text(&self.claims, "sub")?,
            audience: audience(&self.claims).ok_or(TokenError::MissingClaim("aud"))?,
            expires: date(&self.claims, "exp")?.ok_or(TokenError::MissingClaim("exp"))?,
            issued: date(&self.claims, "iat")?,
            other_claims: others
                .filter_map(|(name, value)| Some((name.clone(), words(value)?)))
                .collect(),
        })
    }
}

fn text(claims: &Map<String, Value>, name: &'static str) -> Result<String, TokenError> {
    let text = claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    text.map(str::to_owned).ok_or(TokenError::MissingClaim(name))
}

/// A string, or a list of strings (RFC 7519, section 4.1.3).
fn audience(claims: &Map<String, Value>) -> Option<Vec<String>> {
    let audience: Vec<String> = match claims.get("aud")? {
        Value::String(one) => vec![one.clone()],
        Value::Array(several) => {
            several.iter().map(|one| one.as_str().map(str::to_owned)).collect::<Option<_>>()?
        }
        _ => return None,
    };
    (!audience.is_empty() && !audience.iter().any(String::is_empty)).then_some(audience)
}

/// Seconds since 1970 (RFC 7519, section 2); fractions are cut off, as no check here is so fine.
fn date(claims: &Map<String, Value>, name: &'static str) -> Result<Option<SystemTime>, TokenError> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    let whole = |number: f64| {
        (number >= 0.0)
            .then(|| Duration::try_from_secs_f64(number).ok())
            .flatten()
            .map(|since| since.as_secs())
    };
    let seconds = value
        .as_u64()
        .or_else(|| value.as_f64().and_then(whole))
        .filter(|seconds| *seconds <= LAST_SECOND);
    let seconds = seconds.ok_or(TokenError::MissingClaim(name))?;
    Ok(Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)))
}

fn words(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(several) => several.iter().map(word).collect(),
        one => word(one).map(|word| vec![word]),
    }
}

fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests;
