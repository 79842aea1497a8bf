//! JSON Web Tokens (RFC 7519) in the compact form of RFC 7515, signed with RS256 or ES256.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use super::jwk::{Algorithm, Jwk, Jwks};
use super::object;

/// Maximum size in bytes of a token, the limit of STS for a `WebIdentityToken`.
pub const MAX_TOKEN: usize = 20_000;

/// Maximum time by which `nbf` and `iat` may lie in the future. `exp` has no such tolerance, as on
/// AWS.
pub const CLOCK_SKEW: Duration = Duration::from_secs(5 * 60);

/// Maximum date in a token: the end of the year 9999, in seconds since 1970.
const LAST_SECOND: u64 = 253_402_300_799;

/// Header members that contain a key, name its location, or change the meaning of the token. With
/// them the signer would choose the key that verifies the token, so they are rejected and not
/// ignored.
const REFUSED_MEMBERS: [&str; 6] = ["jwk", "jku", "x5u", "x5c", "crit", "b64"];

/// Reason for the rejection of a token. No text contains the token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    /// The token is not three parts of base64url with the required JSON.
    #[error("malformed web identity token: {0}")]
    Malformed(&'static str),
    /// The algorithm is `none`, uses a shared secret, or is not supported.
    #[error("web identity token's algorithm is neither RS256 nor ES256")]
    UnsupportedAlgorithm,
    /// The header contains a key or demands an extension.
    #[error("web identity token's header has the member {0:?}, which is not accepted")]
    ForbiddenHeader(&'static str),
    /// The issuer has no key with the token's key id and the type of its algorithm.
    #[error("issuer has no key with the web identity token's key id and algorithm")]
    UnknownKey,
    /// The signature does not verify with the key that the key id selects.
    #[error("web identity token's signature is not valid for the issuer's key")]
    BadSignature,
    /// A claim is missing or has the wrong type.
    #[error("web identity token's claim {0:?} is missing or malformed")]
    MissingClaim(&'static str),
    /// Another issuer issued the token.
    #[error("web identity token's issuer is not the identity provider")]
    WrongIssuer,
    /// The token is for another audience.
    #[error("web identity token's audience is none of the identity provider's client ids")]
    WrongAudience,
    /// `exp` has passed.
    #[error("web identity token has expired")]
    Expired,
    /// `nbf` or `iat` lies in the future.
    #[error("web identity token is not yet valid, or the clocks differ by more than five minutes")]
    NotYetValid,
}

impl TokenError {
    /// Returns the error code of STS. Source: "Errors" of `AssumeRoleWithWebIdentity` in the STS
    /// API reference.
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

/// Parsed token. Only its form has been checked.
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

/// Conditions that a token must meet.
#[derive(Debug, Clone, Copy)]
pub struct Validation<'a> {
    /// Required `iss`: the provider whose keys verify the token.
    pub issuer: &'a str,
    /// Accepted audiences; one of them must be among `aud`.
    pub audiences: &'a [&'a str],
    /// Current time.
    pub now: SystemTime,
}

/// Claims of a verified token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claims {
    /// `iss`
    pub issuer: String,
    /// `sub`
    pub subject: String,
    /// `aud`, with at least one element.
    pub audience: Vec<String>,
    /// `exp`
    pub expires: SystemTime,
    /// `iat`
    pub issued: Option<SystemTime>,
    /// All other claims that are strings, booleans, numbers, or lists of these such as `amr`, as
    /// text for condition keys.
    pub other_claims: BTreeMap<String, Vec<String>>,
}

/// Parses a token.
///
/// # Errors
/// [`TokenError::Malformed`], [`TokenError::UnsupportedAlgorithm`],
/// [`TokenError::ForbiddenHeader`]; [`TokenError::MissingClaim`] if `iss` is missing.
pub fn parse(token: &str) -> Result<UnverifiedJwt<'_>, TokenError> {
    let malformed = TokenError::Malformed;
    if token.len() > MAX_TOKEN {
        return Err(malformed("longer than 20,000 bytes"));
    }
    let (signed, signature) = token.rsplit_once('.').ok_or(malformed("not three parts"))?;
    let (header, payload) = signed
        .split_once('.')
        .filter(|(_, payload)| !payload.contains('.'))
        .ok_or(malformed("not three parts"))?;
    let decoded = |part: &str, what| URL_SAFE_NO_PAD.decode(part).map_err(|_| malformed(what));
    let header = object(&decoded(header, "header is not base64url")?)
        .ok_or(malformed("header is not a JSON object without duplicate keys"))?;
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
        Some(_) => return Err(malformed("key id is not a string")),
    };
    let claims = object(&decoded(payload, "payload is not base64url")?)
        .ok_or(malformed("payload is not a JSON object without duplicate keys"))?;
    let issuer = text(&claims, "iss")?;
    let signature = decoded(signature, "signature is not base64url")?;
    if signature.is_empty() {
        return Err(malformed("signature is empty"));
    }
    Ok(UnverifiedJwt { algorithm, key_id, claims, issuer, signed, signature })
}

impl UnverifiedJwt<'_> {
    /// Returns the unverified issuer, which selects the keys.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Returns the unverified key id, which selects the key.
    #[must_use]
    pub fn key_id(&self) -> Option<&str> {
        self.key_id.as_deref()
    }

    /// Returns an unverified claim; it is valid only after [`Self::verify`] succeeded.
    #[must_use]
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.claims.get(name)
    }

    /// Verifies signature, issuer, times and audience, in this order, so that a client without the
    /// key learns nothing about the other checks.
    ///
    /// # Errors
    /// Each [`TokenError`] that [`parse`] does not return.
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
                .filter_map(|(name, value)| Some((name.clone(), claim_values(value)?)))
                .collect(),
        })
    }
}

fn text(claims: &Map<String, Value>, name: &'static str) -> Result<String, TokenError> {
    let text = claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
    text.map(str::to_owned).ok_or(TokenError::MissingClaim(name))
}

/// A string or a list of strings (RFC 7519, section 4.1.3).
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

/// Parses seconds since 1970 (RFC 7519, section 2). Fractions are cut off, because no check needs
/// them.
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

fn claim_values(value: &Value) -> Option<Vec<String>> {
    match value {
        Value::Array(several) => several.iter().map(claim_text).collect(),
        one => claim_text(one).map(|text| vec![text]),
    }
}

fn claim_text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Bool(_) | Value::Number(_) => Some(value.to_string()),
        Value::Null | Value::Array(_) | Value::Object(_) => None,
    }
}

#[cfg(test)]
mod tests;
