use std::time::{Duration, SystemTime};

use countersign_core::credentials::{Credentials, Secret};
use countersign_core::failure::Class;

use super::outlive_token;

fn ending(expires: Option<SystemTime>) -> Credentials {
    Credentials {
        access_key_id: "ASIAIOSFODNN7EXAMPLE".parse().unwrap(),
        secret: Secret::new("s").unwrap(),
        session_token: None,
        expires,
    }
}

#[test]
fn credentials_must_outlive_the_token() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let check = |left: u64| {
        outlive_token(&ending(Some(now + Duration::from_secs(left))), now)
            .map_err(|failure| failure.class)
    };
    assert_eq!(outlive_token(&ending(None), now), Ok(()));
    assert_eq!(check(900), Ok(()));
    assert_eq!(check(870), Ok(()), "a session of fifteen minutes that is a moment old");
    assert_eq!(check(869), Err(Class::CredentialsExpired));
    let ended = outlive_token(&ending(Some(now - Duration::from_secs(1))), now).unwrap_err();
    assert!(ended.detail.contains("ended at 2023-11-14T22:13:19.000Z"), "{}", ended.detail);
}
