#![allow(clippy::string_slice, reason = "the texts of these tests are ASCII")]

use std::time::{Duration, SystemTime};

use proptest::prelude::*;

use super::{AuthToken, KeyStatus, UnverifiedToken, VerifiedToken, mint};
use crate::credentials::{Credentials, Secret};
use crate::endpoint::Endpoint;
use crate::failure::{Class, Failure};
use crate::name::{DbUser, Engine};
use crate::sigv4::KeyCache;
use crate::timestamp::AmzDate;

const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

#[derive(serde::Deserialize)]
struct Vector {
    name: String,
    access_key: String,
    secret_key: String,
    session_token: Option<String>,
    region: String,
    host: String,
    port: u16,
    user: String,
    time_iso: String,
    generator: String,
    token: String,
}

impl Vector {
    fn endpoint(&self) -> Endpoint {
        endpoint(&self.host, self.port, &self.region)
    }

    fn credentials(&self) -> Credentials {
        Credentials {
            access_key_id: self.access_key.parse().unwrap(),
            secret: Secret::new(&*self.secret_key).unwrap(),
            session_token: self.session_token.clone().and_then(Secret::new),
            expires: None,
        }
    }

    fn now(&self) -> SystemTime {
        AmzDate::parse(&self.time_iso.replace(['-', ':'], "")).unwrap().to_system_time()
    }
}

fn vectors() -> Vec<Vector> {
    serde_json::from_str(include_str!("../../../../vectors/rds-tokens.json")).unwrap()
}

fn endpoint(host: &str, port: u16, region: &str) -> Endpoint {
    Endpoint {
        engine: Engine::Postgres,
        host: host.parse().unwrap(),
        port,
        region: region.parse().unwrap(),
    }
}

fn credentials(session_token: Option<&str>) -> Credentials {
    Credentials {
        access_key_id: "AKIAIOSFODNN7EXAMPLE".parse().unwrap(),
        secret: Secret::new(SECRET).unwrap(),
        session_token: session_token.and_then(Secret::new),
        expires: None,
    }
}

fn noon() -> SystemTime {
    AmzDate::parse("20240115T120000Z").unwrap().to_system_time()
}

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn here() -> Endpoint {
    endpoint("mydb.123456789012.us-east-1.rds.amazonaws.com", 5432, "us-east-1")
}

fn jane() -> DbUser {
    "jane_doe".parse().unwrap()
}

fn verify(
    token: &str,
    endpoint: &Endpoint,
    user: &DbUser,
    key: &Credentials,
    now: SystemTime,
) -> Result<VerifiedToken, Failure> {
    let token =
        UnverifiedToken::parse(token)?.addressed_to(std::slice::from_ref(endpoint), user)?;
    token.verify(key, KeyStatus::Active, &KeyCache::default(), now)
}

fn minted() -> AuthToken {
    mint(&credentials(None), &here(), &jane(), &KeyCache::default(), noon())
}

/// Returns the class of the failure that rejects `token` if the token of [`minted`] is valid.
fn failure_class(token: &str) -> Class {
    verify(token, &here(), &jane(), &credentials(None), noon()).unwrap_err().class
}

#[test]
fn minted_tokens_equal_those_of_botocore() {
    let mut count = 0;
    for vector in vectors().iter().filter(|vector| vector.generator.starts_with("botocore")) {
        let token = mint(
            &vector.credentials(),
            &vector.endpoint(),
            &vector.user.parse().unwrap(),
            &KeyCache::default(),
            vector.now(),
        );
        assert_eq!(token.expose(), vector.token, "{}", vector.name);
        count += 1;
    }
    assert_eq!(count, 6);
}

#[test]
fn tokens_of_every_sdk_are_verified_and_changed_tokens_rejected() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 24);
    for vector in &vectors {
        let (endpoint, user, key) =
            (vector.endpoint(), vector.user.parse().unwrap(), vector.credentials());
        let check = |token: &str, now| {
            verify(token, &endpoint, &user, &key, now).map_err(|failure| failure.class)
        };
        assert!(
            check(&vector.token, vector.now()).is_ok(),
            "{} by {}",
            vector.name,
            vector.generator
        );
        assert_eq!(check(&vector.token, vector.now() + seconds(901)).unwrap_err(), Class::Expired);
        let tampered = vector.token.replace("X-Amz-Expires=900", "X-Amz-Expires=899");
        assert_eq!(
            check(&tampered, vector.now()).unwrap_err(),
            Class::SignatureMismatch,
            "{}",
            vector.name
        );
    }
}

#[test]
fn each_claim_of_a_token_is_checked() {
    let good = minted();
    let good = good.expose();
    assert!(verify(good, &here(), &jane(), &credentials(None), noon()).is_ok());
    assert_eq!(failure_class(&good.replace("rds-db", "dsql")), Class::WrongService);
    assert_eq!(
        failure_class(&good.replace("Action=connect", "Action=DbConnect")),
        Class::WrongAction
    );
    assert_eq!(failure_class(&good.replace("us-east-1%2F", "us-east-2%2F")), Class::WrongRegion);
    assert_eq!(failure_class(&good.replace("mydb.", "other.")), Class::WrongHost);
    assert_eq!(failure_class(&good.replace(":5432", ":5433")), Class::WrongPort);
    assert_eq!(failure_class(&good.replace("jane_doe", "Jane_doe")), Class::WrongUser);
    assert_eq!(
        failure_class(&good.replace("AKIAIOSFODNN7EXAMPLE", "AKIAIOSFODNN7EXAMPLF")),
        Class::UnknownKey
    );
    assert_eq!(
        failure_class(&good.replace("X-Amz-Expires=900", "X-Amz-Expires=901")),
        Class::LifetimeTooLong
    );
    assert_eq!(failure_class(&good.replace("T120000Z", "T120001Z")), Class::SignatureMismatch);
    let last = good.chars().last().unwrap();
    let other = if last == '0' { '1' } else { '0' };
    assert_eq!(
        failure_class(&format!("{}{other}", &good[..good.len() - 1])),
        Class::SignatureMismatch
    );
}

#[test]
fn malformed_text_is_rejected_and_never_repeated() {
    let good = minted();
    let good = good.expose();
    for broken in [
        "",
        "hunter2",
        "hunter2?",
        "hunter2?a",
        &format!("https://{good}"),
        &good.replace(":5432", ""),
        &good.replace(":5432", ":0"),
        &good.replace(":5432", ":99999"),
        &good.replace(":5432", ":+5432"),
        &good.replace(":5432/", ":5432/path"),
        &good.replace("&DBUser=jane_doe", ""),
        &good.replace("DBUser=jane_doe", "DBUser="),
        &good.replace("DBUser=jane_doe", "DBUser=%zz"),
        &good.replace("DBUser=jane_doe", "DBUser=jane_doe&DBUser=root"),
        &good.replace("DBUser=jane_doe", "DBUser=jane_doe&dbuser=root"),
        &good.replace("SHA256", "SHA1"),
        &good.replace("aws4_request", "aws5_request"),
        &good.replace("%2F20240115%2F", "%2F20240116%2F"),
        &good.replace("SignedHeaders=host", "SignedHeaders=date"),
        &good.replace("Expires=900", "Expires=0"),
        &good.replace("Expires=900", "Expires=-1"),
        &good.replace("Expires=900", "Expires=99999999999999999999"),
        &good[..good.len() - 1],
        &format!("{good}\n"),
        &format!("{good}{}", "&a=b".repeat(20_000)),
    ] {
        let failure = verify(broken, &here(), &jane(), &credentials(None), noon()).unwrap_err();
        assert_eq!(failure.class, Class::Malformed, "{broken}");
        assert!(!failure.detail.contains("hunter2"));
    }
}

#[test]
fn time_bounds_are_exact() {
    let good = minted();
    let at = |now| {
        verify(good.expose(), &here(), &jane(), &credentials(None), now)
            .map_err(|failure| failure.class)
    };
    assert!(at(noon() + seconds(900)).is_ok());
    assert_eq!(at(noon() + seconds(901)).unwrap_err(), Class::Expired);
    assert!(at(noon() - seconds(300)).is_ok());
    assert_eq!(at(noon() - seconds(301)).unwrap_err(), Class::NotYetValid);
}

#[test]
fn session_token_must_match_and_not_be_expired() {
    let session = Credentials {
        expires: Some(noon() + seconds(60)),
        ..credentials(Some("FwoGZXIvYXdzEBYaDJ+/="))
    };
    let with = mint(&session, &here(), &jane(), &KeyCache::default(), noon());
    let without = minted();
    let check = |token: &AuthToken, key: &Credentials, now| {
        verify(token.expose(), &here(), &jane(), key, now).map_err(|failure| failure.class)
    };
    assert!(check(&with, &session, noon()).is_ok());
    assert_eq!(check(&with, &session, noon() + seconds(60)).unwrap_err(), Class::SessionExpired);
    assert_eq!(check(&without, &session, noon()).unwrap_err(), Class::SessionTokenMissing);
    assert_eq!(
        check(&with, &credentials(Some("other")), noon()).unwrap_err(),
        Class::SessionTokenWrong
    );
    assert_eq!(check(&with, &credentials(None), noon()).unwrap_err(), Class::SessionTokenWrong);
}

#[test]
fn inactive_key_and_wrong_secret_have_different_classes() {
    let good = minted();
    let addressed =
        || UnverifiedToken::parse(good.expose()).unwrap().addressed_to(&[here()], &jane()).unwrap();
    let keys = KeyCache::default();
    let other = Credentials { secret: Secret::new("other").unwrap(), ..credentials(None) };
    assert!(addressed().verify(&credentials(None), KeyStatus::Active, &keys, noon()).is_ok());
    let failure_class = |key: &Credentials, status| {
        addressed().verify(key, status, &keys, noon()).unwrap_err().class
    };
    assert_eq!(failure_class(&credentials(None), KeyStatus::Inactive), Class::InactiveKey);
    // The cache holds the key of the right secret; it must not be used for another secret.
    assert_eq!(failure_class(&other, KeyStatus::Active), Class::SignatureMismatch);
}

#[test]
fn any_endpoint_matches_only_as_host_and_port_together() {
    let reader = endpoint("c.cluster-ro-abc.us-east-1.rds.amazonaws.com", 5433, "us-east-1");
    let both = [here(), reader.clone()];
    let check = |signed: &Endpoint| {
        let token = mint(&credentials(None), signed, &jane(), &KeyCache::default(), noon());
        UnverifiedToken::parse(token.expose())
            .unwrap()
            .addressed_to(&both, &jane())
            .map(|token| token.endpoint)
            .map_err(|failure| failure.class)
    };
    assert_eq!(check(&reader), Ok(reader.clone()));
    assert_eq!(check(&here()), Ok(here()));
    assert_eq!(check(&Endpoint { port: 5432, ..reader }).unwrap_err(), Class::WrongPort);
}

#[test]
fn hosts_of_any_case_and_partition_port_443_and_long_tokens_are_verified() {
    let long = "A+/=".repeat(2048);
    for (host, port, region) in [
        ("MyDb.ABC.us-east-1.RDS.amazonaws.com", 5432, "us-east-1"),
        ("db.abc.rds.cn-north-1.amazonaws.com.cn", 5432, "cn-north-1"),
        ("db.abc.us-gov-west-1.rds.amazonaws.com", 3306, "us-gov-west-1"),
        ("db.abc.us-east-1.rds.amazonaws.com", 443, "us-east-1"),
        ("::1", 5432, "us-east-1"),
    ] {
        let endpoint = endpoint(host, port, region);
        for session in [None, Some(long.as_str())] {
            let key = credentials(session);
            let token = mint(&key, &endpoint, &jane(), &KeyCache::default(), noon());
            assert!(verify(token.expose(), &endpoint, &jane(), &key, noon()).is_ok(), "{host}");
            let no_slash = token.expose().replacen("/?", "?", 1);
            assert!(
                verify(&no_slash, &endpoint, &jane(), &key, noon()).is_ok(),
                "{host} without the slash"
            );
        }
    }
}

#[test]
fn debug_shows_no_secret() {
    let key = credentials(Some("FwoGSESSION"));
    let token = mint(&key, &here(), &jane(), &KeyCache::default(), noon());
    let parsed = UnverifiedToken::parse(token.expose()).unwrap();
    let shown = format!("{key:?} {token:?} {parsed:?}");
    assert!(
        !shown.contains(SECRET) && !shown.contains("FwoGSESSION") && !shown.contains("Signature="),
        "{shown}"
    );
}

proptest! {
    #[test]
    fn minted_tokens_are_verified(
        user in "[^\0]{1,60}",
        session in proptest::option::of("[ -~]{1,200}"),
        port in 1_u16..,
        later in 0_u64..=900,
    ) {
        let (key, endpoint) = (credentials(session.as_deref()), Endpoint { port, ..here() });
        let user = user.parse::<DbUser>().unwrap();
        let token = mint(&key, &endpoint, &user, &KeyCache::default(), noon());
        let now = noon() + seconds(later);
        prop_assert!(verify(token.expose(), &endpoint, &user, &key, now).is_ok());
    }

    #[test]
    fn parsing_never_panics(text in ".{0,400}") {
        let _ = UnverifiedToken::parse(&text);
    }

    #[test]
    fn tokens_with_a_flipped_bit_are_rejected(at in 0_usize..420, bit in 0_u8..7) {
        let good = minted();
        let mut bytes = good.expose().as_bytes().to_vec();
        let at = at % bytes.len();
        bytes[at] ^= 1 << bit;
        let changed = String::from_utf8_lossy(&bytes).into_owned();
        // The case of the host and of escapes is not significant.
        prop_assume!(!changed.eq_ignore_ascii_case(good.expose()));
        prop_assert!(verify(&changed, &here(), &jane(), &credentials(None), noon()).is_err());
    }
}
