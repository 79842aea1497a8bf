#![allow(clippy::string_slice, reason = "the texts of these tests are ASCII")]

use serde_json::{Value, json};

use super::{Algorithm, InvalidJwks, Jwks, MAX_DOCUMENT, MAX_KEYS};

/// RFC 7515, appendices A.2 and A.3.
const MODULUS: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";

fn rsa() -> Value {
    json!({ "kty": "RSA", "kid": "rsa", "n": MODULUS, "e": "AQAB" })
}

fn ec() -> Value {
    json!({ "kty": "EC", "crv": "P-256", "kid": "ec", "x": X, "y": Y })
}

fn with(mut key: Value, name: &str, value: impl Into<Value>) -> Value {
    key[name] = value.into();
    key
}

fn without(mut key: Value, name: &str) -> Value {
    key.as_object_mut().unwrap().remove(name);
    key
}

fn set(keys: &[Value]) -> Result<Jwks, InvalidJwks> {
    Jwks::parse(json!({ "keys": keys }).to_string().as_bytes())
}

#[test]
fn rsa_and_ec_keys_are_read() {
    let keys = set(&[
        with(rsa(), "use", "sig"),
        with(with(ec(), "alg", "ES256"), "key_ops", json!(["verify"])),
    ])
    .unwrap();
    let found: Vec<_> = keys.keys().iter().map(|key| (key.id(), key.algorithm())).collect();
    assert_eq!(found, [("rsa", Algorithm::Rs256), ("ec", Algorithm::Es256)]);
    assert!(keys.has("ec") && !keys.has("other"));
}

#[test]
fn unusable_keys_are_ignored() {
    let short = &MODULUS[..172];
    let off_curve = with(ec(), "y", X);
    for key in [
        json!({}),
        json!({ "kty": "oct", "kid": "rsa", "k": "AAAA" }),
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": "okp", "x": X }),
        without(rsa(), "kid"),
        without(rsa(), "n"),
        without(ec(), "y"),
        without(rsa(), "kty"),
        with(rsa(), "kid", ""),
        with(rsa(), "kid", 1),
        with(rsa(), "kid", "x".repeat(1025)),
        with(rsa(), "n", short),
        with(rsa(), "n", format!("{MODULUS}=")),
        with(rsa(), "n", format!("AA{}", &MODULUS[2..])),
        with(rsa(), "n", "A".repeat(20_000)),
        with(rsa(), "e", "AA"),
        with(rsa(), "e", "AQ"),
        with(rsa(), "e", "AQAA"),
        with(rsa(), "e", "AQABAQAB"),
        with(rsa(), "e", ""),
        with(rsa(), "use", "enc"),
        with(rsa(), "use", Value::Null),
        with(rsa(), "key_ops", json!(["encrypt"])),
        with(rsa(), "key_ops", "verify"),
        with(rsa(), "alg", "ES256"),
        with(rsa(), "alg", "RS512"),
        with(rsa(), "alg", "none"),
        with(ec(), "alg", "RS256"),
        with(ec(), "crv", "P-384"),
        with(ec(), "crv", "secp256k1"),
        with(ec(), "x", "AA"),
        with(ec(), "x", format!("{X}=")),
        off_curve,
    ] {
        let keys = set(&[key.clone(), rsa()]).unwrap();
        assert_eq!(keys.keys().len(), 1, "{key}");
    }
}

#[test]
fn documents_that_are_not_a_set_are_rejected() {
    let duplicate = r#"{"keys": [], "keys": []}"#;
    let inner = r#"{"keys": [{"kty": "RSA", "kid": "a", "kid": "b"}]}"#;
    for text in ["", "{}", "[]", r#"{"keys": {}}"#, r#"{"keys": [1]}"#, duplicate, inner] {
        assert_eq!(Jwks::parse(text.as_bytes()).err(), Some(InvalidJwks), "{text}");
    }
    assert!(set(&vec![ec(); MAX_KEYS]).is_ok());
    assert!(set(&vec![ec(); MAX_KEYS + 1]).is_err());
    let long = format!("{}{}", json!({ "keys": [] }), " ".repeat(MAX_DOCUMENT));
    assert!(Jwks::parse(long.as_bytes()).is_err());
}
