use countersign_authority::oidc::jwk::Jwks;
use countersign_authority::oidc::jwt::{Validation, parse};

/// Data of an identity provider: its keys on the first line, a token on the second.
pub fn identity(data: &[u8]) {
    let (keys, token) = data
        .split_at_checked(data.iter().position(|byte| *byte == b'\n').unwrap_or(0))
        .unwrap_or_default();
    let keys = Jwks::parse(keys);
    let Ok(token) = str::from_utf8(token).map(str::trim) else {
        return;
    };
    let (Ok(keys), Ok(token)) = (keys, parse(token)) else {
        return;
    };
    let expected = Validation {
        issuer: "https://issuer.example/id/1",
        audiences: &["sts.amazonaws.com"],
        now: crate::fixture::now(),
    };
    if let Ok(claims) = token.verify(&keys, expected) {
        assert_eq!(claims.issuer, expected.issuer, "a token of another issuer was accepted");
        assert!(claims.expires > expected.now, "an expired token was accepted");
        assert!(
            token.key_id().is_some_and(|id| keys.has(id)),
            "a token without a known key was accepted"
        );
    }
}
