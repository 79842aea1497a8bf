#![allow(clippy::string_slice, reason = "the texts of these tests are ASCII")]

use std::time::{Duration, SystemTime};

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair,
    EcdsaSigningAlgorithm, KeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Claims, MAX_TOKEN, TokenError, Validation, parse};
use crate::oidc::issuer_key::{IssuerKey, jwks_document};
use crate::oidc::jwk::Jwks;

const ISSUER: &str = "https://issuer.example/id/1";

const NOW: u64 = 1_705_320_000;

/// RFC 7515, appendices A.2 and A.3.
const RSA_KEY: &str = r#"{"keys": [{"kty": "RSA", "kid": "2010-12-29", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ"}]}"#;
const RSA_TOKEN: &str = "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw";
const EC_KEY: &str = r#"{"keys": [{
    "kty": "EC", "crv": "P-256", "kid": "e9bc097a-ce51-4036-9562-d2ade882db0d",
    "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
    "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;
const EC_TOKEN: &str = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q";

fn at(seconds: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn claims() -> Value {
    json!({
        "iss": ISSUER, "sub": "system:serviceaccount:shop:web", "aud": ["sts.amazonaws.com"],
        "exp": NOW + 600, "iat": NOW, "nbf": NOW,
    })
}

fn claiming(name: &str, value: impl Into<Value>) -> Value {
    let mut claims = claims();
    claims[name] = value.into();
    claims
}

fn encoded(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

/// Issuer with a P-256 key, which is generated quickly.
struct Issuer(EcdsaKeyPair);

impl Issuer {
    fn new() -> Self {
        Self::on(&ECDSA_P256_SHA256_FIXED_SIGNING)
    }

    fn on(curve: &'static EcdsaSigningAlgorithm) -> Self {
        Self(EcdsaKeyPair::generate(curve).unwrap())
    }

    fn jwk(&self, id: &str) -> Value {
        let point = &self.0.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        let [x, y] = [x, y].map(|coordinate| URL_SAFE_NO_PAD.encode(coordinate));
        json!({ "kty": "EC", "crv": "P-256", "kid": id, "x": x, "y": y })
    }

    fn keys(&self) -> Jwks {
        keys(&[self.jwk("key")])
    }

    fn signed(&self, header: &str, claims: &str) -> String {
        let input =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.0.sign(&SystemRandom::new(), input.as_bytes()).unwrap();
        format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn token(&self, claims: &Value) -> String {
        self.signed(r#"{"alg":"ES256","kid":"key"}"#, &claims.to_string())
    }
}

fn keys(keys: &[Value]) -> Jwks {
    Jwks::parse(json!({ "keys": keys }).to_string().as_bytes()).unwrap()
}

fn verify_at(token: &str, keys: &Jwks, now: SystemTime) -> Result<Claims, TokenError> {
    parse(token)?.verify(
        keys,
        Validation { issuer: ISSUER, audiences: &["other", "sts.amazonaws.com"], now },
    )
}

fn verify(token: &str, keys: &Jwks) -> Result<Claims, TokenError> {
    verify_at(token, keys, at(NOW))
}

#[test]
fn examples_of_the_rfc_verify_with_their_own_keys_only() {
    let [rsa, ec] = [RSA_KEY, EC_KEY].map(|text| Jwks::parse(text.as_bytes()).unwrap());
    let (rsa, ec) = (&rsa.keys()[0], &ec.keys()[0]);
    for (text, own, other) in [(RSA_TOKEN, rsa, ec), (EC_TOKEN, ec, rsa)] {
        let token = parse(text).unwrap();
        assert_eq!((token.issuer(), token.key_id()), ("joe", None));
        assert!(token.is_signed_by(own) && !token.is_signed_by(other));
        let longer = text.replacen(".eyJ", ".IHsi", 1);
        assert!(parse(&longer).is_err());
        let (rest, _) = text.rsplit_once('.').unwrap();
        let moved = [rest, ".", RSA_TOKEN.rsplit_once('.').unwrap().1].concat();
        assert_eq!(parse(&moved).unwrap().is_signed_by(own), text == RSA_TOKEN);
    }
}

#[test]
fn a_valid_token_yields_its_claims() {
    let issuer = Issuer::new();
    let mut payload = claims();
    payload["amr"] = json!(["authenticated", "mfa"]);
    payload["email_verified"] = json!(true);
    payload["level"] = json!(3);
    payload["kubernetes.io"] = json!({ "namespace": "shop" });
    payload["mixed"] = json!(["a", {}]);
    let claims = verify(&issuer.token(&payload), &issuer.keys()).unwrap();
    assert_eq!(
        (claims.issuer.as_str(), claims.subject.as_str()),
        (ISSUER, "system:serviceaccount:shop:web")
    );
    assert_eq!(
        (claims.audience, claims.expires, claims.issued),
        (vec!["sts.amazonaws.com".to_owned()], at(NOW + 600), Some(at(NOW)))
    );
    let others: Vec<_> = claims
        .other_claims
        .iter()
        .map(|(name, values)| format!("{name}={}", values.join(",")))
        .collect();
    assert_eq!(others, ["amr=authenticated,mfa", "email_verified=true", "level=3"]);
    let one = claiming("aud", "other");
    assert_eq!(verify(&issuer.token(&one), &issuer.keys()).unwrap().audience, ["other"]);
}

#[test]
fn each_wrong_claim_has_its_error() {
    let issuer = Issuer::new();
    let far = NOW + 301;
    for (claims, expected) in [
        (claiming("iss", "https://issuer.example/id/2"), TokenError::WrongIssuer),
        (claiming("iss", format!("{ISSUER}/")), TokenError::WrongIssuer),
        (claiming("aud", "sts.amazonaws.com.evil.example"), TokenError::WrongAudience),
        (claiming("aud", json!([])), TokenError::MissingClaim("aud")),
        (claiming("aud", json!(["sts.amazonaws.com", 1])), TokenError::MissingClaim("aud")),
        (claiming("aud", Value::Null), TokenError::MissingClaim("aud")),
        (claiming("sub", ""), TokenError::MissingClaim("sub")),
        (claiming("sub", json!(["a"])), TokenError::MissingClaim("sub")),
        (claiming("exp", NOW), TokenError::Expired),
        (claiming("exp", NOW - 1), TokenError::Expired),
        (claiming("exp", -1), TokenError::MissingClaim("exp")),
        (claiming("exp", 1e300), TokenError::MissingClaim("exp")),
        (claiming("exp", u64::MAX), TokenError::MissingClaim("exp")),
        (claiming("exp", format!("{far}")), TokenError::MissingClaim("exp")),
        (claiming("exp", Value::Null), TokenError::MissingClaim("exp")),
        (claiming("nbf", far), TokenError::NotYetValid),
        (claiming("iat", far), TokenError::NotYetValid),
        (claiming("nbf", "soon"), TokenError::MissingClaim("nbf")),
    ] {
        assert_eq!(verify(&issuer.token(&claims), &issuer.keys()), Err(expected), "{claims}");
    }
    let mut without = claims();
    without.as_object_mut().unwrap().remove("exp");
    assert_eq!(
        verify(&issuer.token(&without), &issuer.keys()),
        Err(TokenError::MissingClaim("exp"))
    );
    assert_eq!(parse(&issuer.token(&json!({}))).err(), Some(TokenError::MissingClaim("iss")));
    for (name, value) in [
        ("nbf", json!(NOW + 300)),
        ("iat", json!(NOW + 300)),
        ("exp", json!(NOW as f64 + 0.5 + 1.0)),
    ] {
        assert!(verify(&issuer.token(&claiming(name, value)), &issuer.keys()).is_ok(), "{name}");
    }
}

#[test]
fn unsigned_tokens_and_other_algorithms_are_rejected() {
    let issuer = Issuer::new();
    let payload = encoded(&claims());
    for name in [
        "none", "None", "NONE", "HS256", "HS512", "RS512", "RS1", "PS256", "ES384", "EdDSA",
        "rs256", "",
    ] {
        let header = encoded(&json!({ "alg": name, "kid": "key" }));
        for signature in ["", "AAAA"] {
            let token = format!("{header}.{payload}.{signature}");
            assert_eq!(parse(&token).err(), Some(TokenError::UnsupportedAlgorithm), "{name}");
        }
    }
    let good = issuer.token(&claims());
    let (rest, _) = good.rsplit_once('.').unwrap();
    assert_eq!(parse(&format!("{rest}.")).err(), Some(TokenError::Malformed("signature is empty")));
    assert!(matches!(parse(rest), Err(TokenError::Malformed(_))));
    for header in [json!({}), json!({ "alg": null }), json!({ "alg": ["RS256"] })] {
        assert_eq!(
            parse(&format!("{}.{payload}.AAAA", encoded(&header))).err(),
            Some(TokenError::UnsupportedAlgorithm)
        );
    }
}

/// The public key is not secret: a token signed with it as an HMAC secret must not verify.
#[test]
fn an_hmac_with_the_public_key_is_rejected() {
    let key = IssuerKey::generate().unwrap();
    let keys = Jwks::parse(jwks_document([&key]).to_string().as_bytes()).unwrap();
    for (name, expected) in
        [("HS256", TokenError::UnsupportedAlgorithm), ("RS256", TokenError::BadSignature)]
    {
        let input =
            format!("{}.{}", encoded(&json!({ "alg": name, "kid": key.id() })), encoded(&claims()));
        for secret in [key.public_jwk()["n"].as_str().unwrap(), &key.public_jwk().to_string()] {
            let secret = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret.as_bytes());
            let signature =
                URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&secret, input.as_bytes()));
            assert_eq!(verify(&format!("{input}.{signature}"), &keys), Err(expected.clone()));
        }
    }
}

#[test]
fn the_key_id_selects_the_key_and_the_key_the_algorithm() {
    let (issuer, other) = (Issuer::new(), Issuer::new());
    let good = issuer.token(&claims());
    let rsa = IssuerKey::generate().unwrap();
    let rsa_named = |id: &str| {
        let mut jwk = rsa.public_jwk();
        jwk["kid"] = id.into();
        jwk
    };
    for (known, expected) in [
        (keys(&[other.jwk("key")]), TokenError::BadSignature),
        (keys(&[other.jwk("key"), issuer.jwk("another")]), TokenError::BadSignature),
        (keys(&[issuer.jwk("another")]), TokenError::UnknownKey),
        (keys(&[rsa_named("key")]), TokenError::UnknownKey),
        (keys(&[]), TokenError::UnknownKey),
    ] {
        assert_eq!(verify(&good, &known), Err(expected), "{known:?}");
    }
    assert!(verify(&good, &keys(&[rsa_named("key"), other.jwk("key"), issuer.jwk("key")])).is_ok());
    let nameless = issuer.signed(r#"{"alg":"ES256"}"#, &claims().to_string());
    assert_eq!(verify(&nameless, &issuer.keys()), Err(TokenError::UnknownKey));
    let number = issuer.signed(r#"{"alg":"ES256","kid":1}"#, &claims().to_string());
    assert!(matches!(verify(&number, &issuer.keys()), Err(TokenError::Malformed(_))));
}

#[test]
fn an_ec_key_of_another_curve_is_not_used() {
    let issuer = Issuer::on(&ECDSA_P384_SHA384_FIXED_SIGNING);
    let mut honest = issuer.jwk("key");
    honest["crv"] = "P-384".into();
    for key in [honest, issuer.jwk("key")] {
        assert_eq!(verify(&issuer.token(&claims()), &keys(&[key])), Err(TokenError::UnknownKey));
    }
    let here = Issuer::new();
    let signature = issuer.token(&claims());
    assert_eq!(verify(&signature, &here.keys()), Err(TokenError::BadSignature));
}

#[test]
fn headers_with_a_key_or_an_extension_are_rejected() {
    let (issuer, thief) = (Issuer::new(), Issuer::new());
    for member in ["jwk", "jku", "x5u", "x5c", "crit", "b64"] {
        let header = json!({ "alg": "ES256", "kid": "key", member: thief.jwk("key") });
        let token = thief.signed(&header.to_string(), &claims().to_string());
        assert_eq!(verify(&token, &issuer.keys()), Err(TokenError::ForbiddenHeader(member)));
    }
}

#[test]
fn duplicate_keys_are_rejected_in_header_and_payload() {
    let issuer = Issuer::new();
    let claims = claims().to_string();
    for header in [
        r#"{"alg":"none","alg":"ES256","kid":"key"}"#,
        r#"{"alg":"ES256","kid":"key","kid":"other"}"#,
    ] {
        assert!(matches!(parse(&issuer.signed(header, &claims)), Err(TokenError::Malformed(_))));
    }
    let twice = claims.replacen('{', r#"{"sub":"admin","#, 1);
    assert!(matches!(
        parse(&issuer.signed(r#"{"alg":"ES256","kid":"key"}"#, &twice)),
        Err(TokenError::Malformed(_))
    ));
}

#[test]
fn malformed_and_oversize_tokens_are_rejected() {
    let issuer = Issuer::new();
    let good = issuer.token(&claims());
    let padded = format!("{good}=");
    let spaced = format!("{good}\n");
    let four = format!("{good}.AAAA");
    let standard = good.replace(['-', '_'], "+");
    for text in ["", ".", "..", "...", "a.b.c", &padded, &spaced, &four, &format!("{standard}+")] {
        assert!(matches!(parse(text), Err(TokenError::Malformed(_))), "{text}");
    }
    for end in 0..good.len() {
        assert!(verify(&good[..end], &issuer.keys()).is_err(), "cut at {end}");
    }
    let filled = |length: usize| issuer.token(&claiming("x", "x".repeat(length)));
    let longest = (14_000..15_000).map(filled).find(|token| token.len() >= MAX_TOKEN - 1).unwrap();
    assert!(longest.len() <= MAX_TOKEN && verify(&longest, &issuer.keys()).is_ok());
    assert!(matches!(verify(&filled(15_000), &issuer.keys()), Err(TokenError::Malformed(_))));
}

#[test]
fn signatures_of_another_length_or_of_zeros_are_rejected() {
    let issuer = Issuer::new();
    let good = issuer.token(&claims());
    let (input, signature) = good.rsplit_once('.').unwrap();
    let raw = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let zeros = URL_SAFE_NO_PAD.encode([0; 64]);
    let long = URL_SAFE_NO_PAD.encode([&[0][..], &raw].concat());
    for signature in [zeros, long, URL_SAFE_NO_PAD.encode(&raw[..63])] {
        assert_eq!(
            verify(&format!("{input}.{signature}"), &issuer.keys()),
            Err(TokenError::BadSignature)
        );
    }
}

#[test]
fn every_error_has_an_sts_code() {
    assert_eq!(TokenError::Expired.aws_code(), "ExpiredTokenException");
    assert_eq!(TokenError::BadSignature.aws_code(), "InvalidIdentityToken");
    assert_eq!(TokenError::WrongAudience.aws_code(), "InvalidIdentityToken");
}

proptest! {
    #[test]
    fn replacing_any_character_invalidates_the_token(
        at: prop::sample::Index,
        with in "[A-Za-z0-9_.-]",
    ) {
        let issuer = Issuer::new();
        let mut token = issuer.token(&claims());
        let at = at.index(token.len());
        prop_assume!(token.get(at..=at) != Some(&with));
        token.replace_range(at..=at, &with);
        prop_assert!(verify(&token, &issuer.keys()).is_err());
    }

    #[test]
    fn arbitrary_text_is_rejected(text in ".*") {
        prop_assert!(parse(&text).is_err());
    }
}
