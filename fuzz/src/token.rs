use countersign_core::endpoint::Endpoint;
use countersign_core::name::{DbUser, Engine};
use countersign_core::sigv4::KeyCache;
use countersign_core::token::{KeyStatus, UnverifiedToken, VerifiedToken};

/// Token in place of a password: parsed, addressed and verified.
pub fn token(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let Ok(token) = UnverifiedToken::parse(text) else {
        return;
    };
    let _ = token.check();
    let Some((endpoint, user)) = database() else {
        return;
    };
    if let Some(verified) = verify(token, &endpoint, &user) {
        assert_eq!(
            (verified.endpoint(), verified.user()),
            (&endpoint, &user),
            "a token was accepted for another endpoint or user"
        );
    }
}

fn verify(token: UnverifiedToken<'_>, endpoint: &Endpoint, user: &DbUser) -> Option<VerifiedToken> {
    let addressed = token.addressed_to(std::slice::from_ref(endpoint), user).ok()?;
    addressed
        .verify(
            &crate::fixture::key()?,
            KeyStatus::Active,
            &KeyCache::default(),
            crate::fixture::now(),
        )
        .ok()
}

/// Returns the endpoint and the user of the seeds.
fn database() -> Option<(Endpoint, DbUser)> {
    let host = "mydb.123456789012.us-east-1.rds.amazonaws.com".parse().ok()?;
    let endpoint =
        Endpoint { engine: Engine::Postgres, host, port: 5432, region: "us-east-1".parse().ok()? };
    Some((endpoint, "jane_doe".parse().ok()?))
}
