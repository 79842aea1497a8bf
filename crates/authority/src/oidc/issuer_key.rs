//! The authority as an issuer: its keys, the two documents it publishes, and the tokens of Kubernetes service accounts.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair, KeySize};
use aws_lc_rs::signature::{KeyPair as _, RSA_PKCS1_SHA256};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

/// The longest text of a private key that is read, in bytes: RSA with 8192 bits takes about 6,300.
const MAX_KEY_TEXT: usize = 8 * 1024;

/// Where under the issuer its keys are published, as EKS has it.
pub const KEYS_PATH: &str = "/keys";

/// Where under the issuer the discovery document is (OpenID Connect Discovery 1.0, section 4).
pub const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";

/// Why an issuer's key can't be made or used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IssuerKeyError {
    /// The cryptographic library failed.
    #[error(
        "the cryptographic library makes no key or signature: the system lacks random bytes or memory"
    )]
    Crypto,
    /// The text is not that of a key.
    #[error(
        "the issuer's stored key is not an RSA key of 2048 to 8192 bits in PKCS#8 and base64: restore it, or make a new one"
    )]
    Invalid,
}

/// A private key of the issuer, and its public half. `Debug` shows the id only.
pub struct IssuerKey {
    pair: KeyPair,
    id: String,
    modulus: String,
    exponent: String,
}

impl IssuerKey {
    /// A new key, RSA with 2048 bits.
    ///
    /// # Errors
    /// [`IssuerKeyError::Crypto`]
    pub fn generate() -> Result<Self, IssuerKeyError> {
        Self::of(KeyPair::generate(KeySize::Rsa2048).map_err(|_| IssuerKeyError::Crypto)?)
    }

    /// The key that [`Self::to_base64`] wrote.
    ///
    /// # Errors
    /// [`IssuerKeyError::Invalid`]
    pub fn from_base64(text: &str) -> Result<Self, IssuerKeyError> {
        if text.len() > MAX_KEY_TEXT {
            return Err(IssuerKeyError::Invalid);
        }
        let der = Zeroizing::new(STANDARD.decode(text).map_err(|_| IssuerKeyError::Invalid)?);
        Self::of(KeyPair::from_pkcs8(&der).map_err(|_| IssuerKeyError::Invalid)?)
    }

    /// The private key in PKCS#8 and base64, for storing: never for showing.
    ///
    /// # Errors
    /// [`IssuerKeyError::Crypto`]
    pub fn to_base64(&self) -> Result<Zeroizing<String>, IssuerKeyError> {
        let der: Pkcs8V1Der<'_> = self.pair.as_der().map_err(|_| IssuerKeyError::Crypto)?;
        Ok(Zeroizing::new(STANDARD.encode(der.as_ref())))
    }

    fn of(pair: KeyPair) -> Result<Self, IssuerKeyError> {
        let (n, e) = integers(pair.public_key().as_ref()).ok_or(IssuerKeyError::Invalid)?;
        let [modulus, exponent] = [n, e].map(|number| URL_SAFE_NO_PAD.encode(number));
        Ok(Self { id: thumbprint(&modulus, &exponent), modulus, exponent, pair })
    }

    /// The `kid`: the key's thumbprint (RFC 7638).
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The public half, as a JWK set lists it.
    #[must_use]
    pub fn public_jwk(&self) -> Value {
        json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": self.id, "n": self.modulus, "e": self.exponent })
    }

    /// A token with these claims, signed with RS256.
    ///
    /// # Errors
    /// [`IssuerKeyError::Crypto`]
    pub fn sign(&self, claims: &Map<String, Value>) -> Result<Zeroizing<String>, IssuerKeyError> {
        let mut token = Zeroizing::new(String::with_capacity(2048));
        let header = json!({ "alg": "RS256", "kid": self.id, "typ": "JWT" }).to_string();
        let payload = serde_json::to_vec(claims).map_err(|_| IssuerKeyError::Crypto)?;
        URL_SAFE_NO_PAD.encode_string(header, &mut token);
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(payload, &mut token);
        let mut signature = vec![0; self.pair.public_modulus_len()];
        let signed = self.pair.sign(
            &RSA_PKCS1_SHA256,
            &SystemRandom::new(),
            token.as_bytes(),
            &mut signature,
        );
        signed.map_err(|_| IssuerKeyError::Crypto)?;
        token.push('.');
        URL_SAFE_NO_PAD.encode_string(signature, &mut token);
        Ok(token)
    }
}

impl fmt::Debug for IssuerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuerKey").field("id", &self.id).finish_non_exhaustive()
    }
}

/// RFC 7638, section 3: the required members in this order, with no space.
fn thumbprint(modulus: &str, exponent: &str) -> String {
    let members = format!(r#"{{"e":"{exponent}","kty":"RSA","n":"{modulus}"}}"#);
    URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()))
}

/// Modulus and exponent out of an `RSAPublicKey` in DER (RFC 8017, appendix A.1.1), without leading zeros.
fn integers(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (sequence, []) = element(der, 0x30)? else {
        return None;
    };
    let (modulus, rest) = element(sequence, 0x02)?;
    let (exponent, []) = element(rest, 0x02)? else {
        return None;
    };
    let unsigned = |number: &'_ [u8]| number.iter().take_while(|byte| **byte == 0).count();
    Some((modulus.get(unsigned(modulus)..)?, exponent.get(unsigned(exponent)..)?))
}

/// The content of the element with this tag, and what stands behind it.
fn element(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (length, rest) = match der.strip_prefix(&[tag])? {
        [short @ ..=0x7f, rest @ ..] => (usize::from(*short), rest),
        [0x81, length, rest @ ..] => (usize::from(*length), rest),
        [0x82, high, low, rest @ ..] => (usize::from(u16::from_be_bytes([*high, *low])), rest),
        _ => return None,
    };
    rest.split_at_checked(length)
}

/// The JWK set of `keys`: those that sign, and those that signed what is still valid.
#[must_use]
pub fn jwks_document<'a>(keys: impl IntoIterator<Item = &'a IssuerKey>) -> Value {
    let keys: Vec<Value> = keys.into_iter().map(IssuerKey::public_jwk).collect();
    json!({ "keys": keys })
}

/// The discovery document of `issuer`, a URL without a closing slash, with the members that EKS publishes.
#[must_use]
pub fn discovery_document(issuer: &str) -> Value {
    json!({
        "issuer": issuer,
        "jwks_uri": format!("{issuer}{KEYS_PATH}"),
        "authorization_endpoint": "urn:kubernetes:programmatic_authorization",
        "response_types_supported": ["id_token"],
        "subject_types_supported": ["public"],
        "claims_supported": ["sub", "iss"],
        "id_token_signing_alg_values_supported": ["RS256"],
    })
}

/// The object in a cluster that a claim names.
#[derive(Debug, Clone, Copy)]
pub struct ClusterObject<'a> {
    /// Its name in its namespace.
    pub name: &'a str,
    /// Its UID.
    pub uid: &'a str,
}

/// What a projected service-account token says. Source: Kubernetes, "Managing Service Accounts", bound tokens.
#[derive(Debug, Clone, Copy)]
pub struct ServiceAccount<'a> {
    /// The cluster's issuer.
    pub issuer: &'a str,
    /// Whom the token is for: `sts.amazonaws.com` for IRSA, `pods.eks.amazonaws.com` for Pod Identity.
    pub audiences: &'a [&'a str],
    /// The namespace of both.
    pub namespace: &'a str,
    /// The account.
    pub account: ClusterObject<'a>,
    /// The pod that the token is bound to.
    pub pod: Option<ClusterObject<'a>>,
    /// When it is issued.
    pub now: SystemTime,
    /// How long it is good for; 600 s are the least that Kubernetes gives.
    pub lifetime: Duration,
    /// Its `jti`: unique, as a UUID.
    pub token_id: &'a str,
}

impl ServiceAccount<'_> {
    /// The claims, for [`IssuerKey::sign`].
    #[must_use]
    pub fn claims(&self) -> Map<String, Value> {
        let seconds = |at: SystemTime| {
            at.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs()
        };
        let object = |object: ClusterObject<'_>| json!({ "name": object.name, "uid": object.uid });
        let mut bound = Map::new();
        bound.insert("namespace".to_owned(), self.namespace.into());
        bound.extend(self.pod.map(|pod| ("pod".to_owned(), object(pod))));
        bound.insert("serviceaccount".to_owned(), object(self.account));
        let issued = seconds(self.now);
        let pairs: [(&str, Value); 8] = [
            ("aud", self.audiences.into()),
            ("exp", issued.saturating_add(self.lifetime.as_secs()).into()),
            ("iat", issued.into()),
            ("iss", self.issuer.into()),
            ("jti", self.token_id.into()),
            ("kubernetes.io", bound.into()),
            ("nbf", issued.into()),
            (
                "sub",
                format!("system:serviceaccount:{}:{}", self.namespace, self.account.name).into(),
            ),
        ];
        pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }
}

#[cfg(test)]
mod tests;
