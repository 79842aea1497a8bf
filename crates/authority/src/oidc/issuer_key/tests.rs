#![allow(clippy::string_slice, reason = "the texts of these tests are ASCII")]

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use super::{
    ClusterObject, IssuerKey, IssuerKeyError, ServiceAccount, discovery_document, jwks_document,
    rsa_components, thumbprint,
};
use crate::oidc::jwk::Jwks;
use crate::oidc::jwt::{TokenError, Validation, parse};

const ISSUER: &str = "https://issuer.example/id/1";

/// RFC 7638, section 3.1.
const MODULUS: &str = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";

fn service_account(now: SystemTime) -> ServiceAccount<'static> {
    ServiceAccount {
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
    let podless = ServiceAccount { pod: None, ..service_account(now) }.claims();
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
    assert_eq!(rsa_components(&[0x30, 7, 2, 2, 0, 0x80, 2, 1, 3]), Some((&[0x80][..], &[3][..])));
}
