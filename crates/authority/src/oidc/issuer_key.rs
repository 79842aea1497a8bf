//! The authority as an issuer: its keys, its two public documents, and tokens of Kubernetes service
//! accounts.

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
use x509_parser::prelude::FromDer as _;
use x509_parser::public_key::RSAPublicKey;
use zeroize::Zeroizing;

/// Maximum length in bytes of an encoded private key: RSA with 8192 bits takes about 6,300.
const MAX_KEY_TEXT: usize = 8 * 1024;

/// Path of the key document under the issuer, as on EKS.
pub const KEYS_PATH: &str = "/keys";

/// Path of the discovery document under the issuer (OpenID Connect Discovery 1.0, section 4).
pub const DISCOVERY_PATH: &str = "/.well-known/openid-configuration";

/// Reason for which an issuer's key cannot be created or used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum IssuerKeyError {
    /// The cryptographic library failed.
    #[error("cannot create a key or signature: the system lacks random bytes or memory")]
    Crypto,
    /// The text is not an encoded key.
    #[error(
        "cannot read the issuer's stored key: it is not an RSA key of 2048 to 8192 bits in PKCS#8 \
         and base64; restore it, or create a new one"
    )]
    Invalid,
}

/// Private key of the issuer with its public key. `Debug` prints the id only.
pub struct IssuerKey {
    pair: KeyPair,
    id: String,
    modulus: String,
    exponent: String,
}

impl IssuerKey {
    /// Generates an RSA key of 2048 bits.
    ///
    /// # Errors
    /// [`IssuerKeyError::Crypto`]
    pub fn generate() -> Result<Self, IssuerKeyError> {
        Self::of(KeyPair::generate(KeySize::Rsa2048).map_err(|_| IssuerKeyError::Crypto)?)
    }

    /// Decodes a key that [`Self::to_base64`] encoded.
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

    /// Encodes the private key in PKCS#8 and base64 for storage. Never log or print it.
    ///
    /// # Errors
    /// [`IssuerKeyError::Crypto`]
    pub fn to_base64(&self) -> Result<Zeroizing<String>, IssuerKeyError> {
        let der: Pkcs8V1Der<'_> = self.pair.as_der().map_err(|_| IssuerKeyError::Crypto)?;
        Ok(Zeroizing::new(STANDARD.encode(der.as_ref())))
    }

    fn of(pair: KeyPair) -> Result<Self, IssuerKeyError> {
        let (n, e) = rsa_components(pair.public_key().as_ref()).ok_or(IssuerKeyError::Invalid)?;
        let [modulus, exponent] = [n, e].map(|number| URL_SAFE_NO_PAD.encode(number));
        Ok(Self { id: thumbprint(&modulus, &exponent), modulus, exponent, pair })
    }

    /// Returns the `kid`: the key's thumbprint (RFC 7638).
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Returns the public key as a member of a JWK set.
    #[must_use]
    pub fn public_jwk(&self) -> Value {
        json!({
            "kty": "RSA", "use": "sig", "alg": "RS256",
            "kid": self.id, "n": self.modulus, "e": self.exponent,
        })
    }

    /// Signs a token with these claims with RS256.
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

/// Computes the thumbprint of RFC 7638, section 3, from the required members in their order,
/// without spaces.
fn thumbprint(modulus: &str, exponent: &str) -> String {
    let members = format!(r#"{{"e":"{exponent}","kty":"RSA","n":"{modulus}"}}"#);
    URL_SAFE_NO_PAD.encode(digest(&SHA256, members.as_bytes()))
}

/// Returns modulus and exponent of an `RSAPublicKey` in DER (RFC 8017, appendix A.1.1), without
/// leading zeros.
fn rsa_components(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let ([], key) = RSAPublicKey::from_der(der).ok()? else {
        return None;
    };
    let zeros = |number: &'_ [u8]| number.iter().take_while(|byte| **byte == 0).count();
    let (modulus, exponent) = (key.modulus, key.exponent);
    Some((modulus.get(zeros(modulus)..)?, exponent.get(zeros(exponent)..)?))
}

/// Returns the JWK set of `keys`: the key that signs, and earlier keys whose tokens may be valid.
#[must_use]
pub fn jwks_document<'a>(keys: impl IntoIterator<Item = &'a IssuerKey>) -> Value {
    let keys: Vec<Value> = keys.into_iter().map(IssuerKey::public_jwk).collect();
    json!({ "keys": keys })
}

/// Returns the discovery document of `issuer`, a URL without trailing slash, with the members that
/// EKS publishes.
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

/// Kubernetes object that a claim names.
#[derive(Debug, Clone, Copy)]
pub struct ClusterObject<'a> {
    /// Name in the namespace.
    pub name: &'a str,
    /// UID.
    pub uid: &'a str,
}

/// Data of a projected service account token. Source: Kubernetes, "Managing Service Accounts",
/// bound tokens.
#[derive(Debug, Clone, Copy)]
pub struct ServiceAccountClaims<'a> {
    /// URL of the cluster's issuer.
    pub issuer: &'a str,
    /// Audiences: `sts.amazonaws.com` for IRSA, `pods.eks.amazonaws.com` for Pod Identity.
    pub audiences: &'a [&'a str],
    /// Namespace of service account and pod.
    pub namespace: &'a str,
    /// Service account.
    pub account: ClusterObject<'a>,
    /// Pod that the token is bound to.
    pub pod: Option<ClusterObject<'a>>,
    /// Time of issue.
    pub now: SystemTime,
    /// Lifetime of the token; Kubernetes issues at least 600 s.
    pub lifetime: Duration,
    /// `jti`: a unique id, such as a UUID.
    pub token_id: &'a str,
}

impl ServiceAccountClaims<'_> {
    /// Returns the claims for [`IssuerKey::sign`].
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
mod tests {
    #![allow(clippy::string_slice, reason = "the texts of these tests are ASCII")]

    use std::time::{Duration, SystemTime};

    use serde_json::{Value, json};

    use super::{
        ClusterObject, IssuerKey, IssuerKeyError, ServiceAccountClaims, discovery_document,
        jwks_document, rsa_components, thumbprint,
    };
    use crate::oidc::jwk::Jwks;
    use crate::oidc::jwt::{TokenError, Validation, parse};

    const ISSUER: &str = "https://issuer.example/id/1";

    /// RFC 7638, section 3.1.
    const MODULUS: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

    fn service_account(now: SystemTime) -> ServiceAccountClaims<'static> {
        ServiceAccountClaims {
            issuer: ISSUER,
            audiences: &["sts.amazonaws.com"],
            namespace: "shop",
            account: ClusterObject { name: "web", uid: "c1" },
            pod: Some(ClusterObject { name: "web-0", uid: "d2" }),
            now,
            lifetime: Duration::from_secs(3600),
            token_id: "e3",
        }
    }

    #[test]
    fn the_thumbprint_equals_that_of_the_rfc() {
        assert_eq!(thumbprint(MODULUS, "AQAB"), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    }

    #[test]
    fn a_decoded_key_equals_the_encoded_one() {
        let key = IssuerKey::generate().unwrap();
        let text = key.to_base64().unwrap();
        let again = IssuerKey::from_base64(&text).unwrap();
        assert_eq!((key.id(), key.public_jwk()), (again.id(), again.public_jwk()));
        assert_eq!(again.to_base64().unwrap(), text);
        assert_eq!(format!("{key:?}"), format!("IssuerKey {{ id: {:?}, .. }}", key.id()));
        assert_eq!(key.public_jwk()["e"], "AQAB");
        for text in ["", "AAAA", "not base64", &text[4..], &"A".repeat(10_000)] {
            assert_eq!(IssuerKey::from_base64(text).err(), Some(IssuerKeyError::Invalid));
        }
    }

    #[test]
    fn tokens_verify_with_the_published_keys_before_and_after_a_rotation() {
        let [old, new] = [(); 2].map(|()| IssuerKey::generate().unwrap());
        let published = Jwks::parse(jwks_document([&new, &old]).to_string().as_bytes()).unwrap();
        let now = SystemTime::now();
        let expected = Validation { issuer: ISSUER, audiences: &["sts.amazonaws.com"], now };
        for key in [&old, &new] {
            let token = key.sign(&service_account(now).claims()).unwrap();
            let claims = parse(&token).unwrap().verify(&published, expected).unwrap();
            assert_eq!(claims.subject, "system:serviceaccount:shop:web");
            let withdrawn = Jwks::parse(jwks_document([]).to_string().as_bytes()).unwrap();
            assert_eq!(
                parse(&token).unwrap().verify(&withdrawn, expected),
                Err(TokenError::UnknownKey)
            );
        }
    }

    #[test]
    fn claims_of_a_service_account_equal_those_of_kubernetes() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_705_320_000);
        let expected = json!({
            "aud": ["sts.amazonaws.com"],
            "exp": 1_705_323_600,
            "iat": 1_705_320_000,
            "iss": ISSUER,
            "jti": "e3",
            "kubernetes.io": {
                "namespace": "shop",
                "pod": { "name": "web-0", "uid": "d2" },
                "serviceaccount": { "name": "web", "uid": "c1" }
            },
            "nbf": 1_705_320_000,
            "sub": "system:serviceaccount:shop:web"
        });
        assert_eq!(Value::Object(service_account(now).claims()), expected);
        let podless = ServiceAccountClaims { pod: None, ..service_account(now) }.claims();
        assert!(podless["kubernetes.io"].get("pod").is_none());
    }

    #[test]
    fn the_discovery_document_equals_that_of_eks() {
        let document = discovery_document(ISSUER);
        assert_eq!(
            (&document["issuer"], &document["jwks_uri"]),
            (&json!(ISSUER), &json!("https://issuer.example/id/1/keys"))
        );
        assert_eq!(document["id_token_signing_alg_values_supported"], json!(["RS256"]));
    }

    #[test]
    fn malformed_der_is_rejected() {
        for der in [
            &[][..],
            &[0x30],
            &[0x30, 2, 2],
            &[0x30, 3, 2, 1, 1],
            &[0x30, 0x83, 0, 0, 1, 2],
            &[0x30, 6, 2, 1, 1, 2, 1, 1, 0],
            &[0x31, 0],
        ] {
            assert!(rsa_components(der).is_none(), "{der:?}");
        }
        assert_eq!(
            rsa_components(&[0x30, 7, 2, 2, 0, 0x80, 2, 1, 3]),
            Some((&[0x80][..], &[3][..]))
        );
    }
}
