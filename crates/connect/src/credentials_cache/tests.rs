use std::sync::Arc;

use countersign_core::credentials::Credentials;
use countersign_core::failure::{Class, Failure};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, yield_now};

use super::{CredentialsCache, CredentialsConfig, Loading, Role};
use crate::clock::ManualClock;
use crate::testing::{Loads, credentials, identity, noon, seconds, until};

fn unavailable() -> Failure {
    Failure::new(Class::Unavailable, "the source is away")
}

/// The key that is given, by its number.
fn number(credentials: &Credentials) -> &str {
    credentials.access_key_id.as_str().trim_start_matches("ASIAEXAMPLE")
}

async fn given(identity: &CredentialsCache) -> String {
    number(&identity.credentials().await.unwrap()).to_owned()
}

async fn refused(identity: &CredentialsCache) -> Failure {
    identity.credentials().await.unwrap_err()
}

/// Waits until a refresh in the background has come to something.
async fn settled(identity: &CredentialsCache, wanted: &str) {
    until(|| identity.describe().access_key_id.is_some_and(|id| id.as_str().ends_with(wanted)))
        .await;
}

/// A source that answers when it is let to.
fn gated(hand: &ManualClock) -> (CredentialsCache, Loads, Arc<Semaphore>) {
    let (loads, gate) = (Loads::default(), Arc::new(Semaphore::new(0)));
    let (counted, opened) = (loads.clone(), Arc::clone(&gate));
    let load = move || -> Loading {
        let (number, gate) = (counted.next(), Arc::clone(&opened));
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            Ok(credentials(number, None))
        })
    };
    (CredentialsCache::of("the gate", hand.clock(), load), loads, gate)
}

#[tokio::test(start_paused = true)]
async fn a_hundred_who_ask_at_once_are_one_load() {
    let (identity, loads, gate) = gated(&ManualClock::new(noon()));
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let identity = identity.clone();
        callers.spawn(async move { identity.credentials().await.unwrap() });
    }
    until(|| loads.count() == 1).await;
    gate.add_permits(100);
    let given = callers.join_all().await;
    assert!(given.iter().all(|one| Arc::ptr_eq(one, &given[0])));
    assert_eq!((given.len(), loads.count()), (100, 1));
}

#[tokio::test(start_paused = true)]
async fn who_goes_away_takes_the_load_from_nobody() {
    let (identity, loads, gate) = gated(&ManualClock::new(noon()));
    let first = tokio::spawn({
        let identity = identity.clone();
        async move { identity.credentials().await }
    });
    until(|| loads.count() == 1).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    gate.add_permits(1);
    assert_eq!((given(&identity).await.as_str(), loads.count()), ("1", 1));
}

#[tokio::test(start_paused = true)]
async fn credentials_are_refreshed_ahead_of_their_end() {
    for (life, ahead) in [(3600, 300), (1000, 200), (43_200, 300)] {
        let hand = ManualClock::new(noon());
        let time = hand.clock();
        let (identity, loads) = identity(&hand, move |number| {
            Ok(credentials(number, Some(time.now() + seconds(life))))
        });
        assert_eq!(given(&identity).await, "1");
        hand.set(noon() + seconds(life - ahead));
        assert_eq!(
            (given(&identity).await.as_str(), loads.count()),
            ("1", 1),
            "of {life} s: not yet"
        );
        hand.advance(seconds(1));
        assert_eq!(given(&identity).await, "1", "nobody waits for a refresh");
        settled(&identity, "2").await;
        assert_eq!((given(&identity).await.as_str(), loads.count()), ("2", 2));
    }
}

#[tokio::test(start_paused = true)]
async fn what_does_not_end_is_not_refreshed() {
    let hand = ManualClock::new(noon());
    let (identity, loads) = identity(&hand, |number| Ok(credentials(number, None)));
    given(&identity).await;
    hand.advance(seconds(10_000_000));
    assert_eq!((given(&identity).await.as_str(), loads.count()), ("1", 1));
}

/// Instance metadata is away for ten minutes, say.
#[tokio::test(start_paused = true)]
async fn a_refresh_that_fails_takes_nothing_away_until_the_end() {
    let hand = ManualClock::new(noon());
    let (identity, loads) = identity(&hand, |number| match number {
        1 => Ok(credentials(1, Some(noon() + seconds(3600)))),
        2..=4 => Err(unavailable()),
        _ => Ok(credentials(number, None)),
    });
    given(&identity).await;
    for (second, asked) in [(3400, 2), (3500, 3)] {
        hand.set(noon() + seconds(second));
        assert_eq!(given(&identity).await, "1");
        until(|| loads.count() == asked && identity.describe().failure.is_some()).await;
        assert_eq!(given(&identity).await, "1", "and the source is left alone for a moment");
        yield_now().await;
        assert_eq!(loads.count(), asked);
    }
    hand.set(noon() + seconds(3600));
    assert_eq!(refused(&identity).await, unavailable(), "the end is the end");
    hand.advance(seconds(2));
    assert_eq!(given(&identity).await, "5");
    assert_eq!(identity.describe().failure, None);
}

#[tokio::test(start_paused = true)]
async fn a_source_that_failed_is_not_asked_again_at_once() {
    let hand = ManualClock::new(noon());
    let (identity, loads) = identity(&hand, |_| Err(unavailable()));
    for _ in 0..50 {
        assert_eq!(refused(&identity).await, unavailable());
    }
    assert_eq!(loads.count(), 1);
    hand.advance(seconds(1));
    refused(&identity).await;
    assert_eq!(loads.count(), 2);
    hand.set(noon() - seconds(3600));
    refused(&identity).await;
    assert_eq!(loads.count(), 3, "a clock that was put back holds nobody up for an hour");
}

#[tokio::test(start_paused = true)]
async fn what_is_said_to_be_stale_is_read_anew_and_waited_for() {
    let hand = ManualClock::new(noon());
    let (identity, loads) = identity(&hand, |number| {
        if number == 3 { Err(unavailable()) } else { Ok(credentials(number, None)) }
    });
    assert_eq!(given(&identity).await, "1");
    identity.invalidate();
    assert_eq!(
        (given(&identity).await.as_str(), loads.count()),
        ("1", 1),
        "a moment ago it would have given the same"
    );
    hand.advance(seconds(1));
    assert_eq!(given(&identity).await, "2");
    assert_eq!(given(&identity).await, "2");
    hand.advance(seconds(1));
    identity.invalidate();
    assert_eq!(
        (given(&identity).await.as_str(), loads.count()),
        ("2", 3),
        "they serve on where that fails"
    );
    hand.advance(seconds(1));
    assert_eq!(
        (given(&identity).await.as_str(), loads.count()),
        ("4", 4),
        "and are asked for until it succeeds"
    );
}

#[tokio::test(start_paused = true)]
async fn what_became_stale_while_it_was_loaded_is_loaded_once_more() {
    let hand = ManualClock::new(noon());
    let (identity, loads, gate) = gated(&hand);
    let first = tokio::spawn({
        let identity = identity.clone();
        async move { identity.credentials().await.unwrap() }
    });
    until(|| loads.count() == 1).await;
    identity.invalidate();
    gate.add_permits(2);
    assert_eq!(number(&first.await.unwrap()), "1");
    hand.advance(seconds(1));
    assert_eq!(given(&identity).await, "2");
}

#[tokio::test(start_paused = true)]
async fn a_load_that_panics_is_an_error_and_no_end() {
    let hand = ManualClock::new(noon());
    let (identity, _) = identity(&hand, |number| {
        assert!(number > 1, "the first load panics: this is no failure of the test");
        Ok(credentials(number, None))
    });
    let failure = refused(&identity).await;
    assert_eq!(
        (failure.class, failure.detail.contains("was broken off")),
        (Class::Internal, true),
        "{failure}"
    );
    assert_eq!(given(&identity).await, "2");
}

#[tokio::test(start_paused = true)]
async fn a_source_has_a_minute() {
    let hand = ManualClock::new(noon());
    let identity =
        CredentialsCache::of("silence", hand.clock(), || Box::pin(std::future::pending()));
    let failure = refused(&identity).await;
    assert_eq!(
        (failure.class, failure.detail.as_str()),
        (Class::TimedOut, "silence gave no credentials within 60 s")
    );
}

#[tokio::test(start_paused = true)]
async fn credentials_that_have_ended_are_none() {
    let hand = ManualClock::new(noon());
    let (identity, _) = identity(&hand, |number| Ok(credentials(number, Some(noon()))));
    let failure = refused(&identity).await;
    assert_eq!(failure.class, Class::CredentialsExpired);
    assert!(failure.detail.contains("ASIAEXAMPLE1 ended at 2024-01-15T12:00:00.000Z"), "{failure}");
}

#[tokio::test(start_paused = true)]
async fn what_is_shown_is_not_secret() {
    let hand = ManualClock::new(noon());
    let (identity, _) =
        identity(&hand, |number| Ok(credentials(number, Some(noon() + seconds(900)))));
    assert_eq!(identity.describe().access_key_id, None, "to look is not to load");
    given(&identity).await;
    let shown = format!("{identity:?} {:?}", identity.describe());
    assert!(shown.contains("the test") && shown.contains("ASIAEXAMPLE1"), "{shown}");
    assert!(!shown.contains("nobody-sees"), "{shown}");
    assert_eq!(identity.describe().loaded, Some(noon()));
}

fn role(arn: &str) -> Role {
    Role { arn: arn.parse().unwrap(), external_id: None, session_name: None }
}

#[test]
fn a_chain_is_named_as_people_would() {
    assert_eq!(CredentialsConfig::default().to_string(), "the default chain");
    let roles = vec![
        role("arn:aws:iam::111122223333:role/a"),
        role("arn:aws:iam::444455556666:role/path/b"),
    ];
    let settings = CredentialsConfig { profile: Some("dev".to_owned()), roles, region: None };
    assert_eq!(
        settings.to_string(),
        "the profile \"dev\", then the role arn:aws:iam::111122223333:role/a, then the role arn:aws:iam::444455556666:role/path/b"
    );
}

#[test]
fn a_role_is_checked_before_sts_is_asked() {
    for wrong in [
        "",
        "role/a",
        "arn:aws:iam::111122223333:user/a",
        "arn:aws:iam::111122223333:role/",
        "arn:aws:iam::111122223333:role/a/",
        "arn:aws:iam::1:role/a",
        "arn:aws:iam:us-east-1:111122223333:role/a",
        "arn:aws:sts::111122223333:role/a",
    ] {
        assert!(wrong.parse::<super::RoleArn>().is_err(), "{wrong:?}");
    }
    let checked = |external_id: Option<&str>, session_name: Option<&str>, count| {
        let one = Role {
            external_id: external_id.map(str::to_owned),
            session_name: session_name.map(str::to_owned),
            ..role("arn:aws-cn:iam::111122223333:role/a")
        };
        CredentialsConfig { roles: vec![one; count], ..CredentialsConfig::default() }
            .check()
            .map_err(|failure| failure.class)
    };
    assert_eq!(checked(Some("a/b:c@d"), Some("jane.doe@x"), 8), Ok(()));
    assert_eq!(checked(Some(&"x".repeat(1224)), Some(&"x".repeat(64)), 1), Ok(()));
    let wrong = Err(Class::Configuration);
    assert_eq!(checked(None, None, 9), wrong);
    for external in ["", "x", &"x".repeat(1225), "a b", "\u{e4}\u{e4}"] {
        assert_eq!(checked(Some(external), None, 1), wrong, "{external:?}");
    }
    for session in ["", "x", &"x".repeat(65), "a/b"] {
        assert_eq!(checked(None, Some(session), 1), wrong, "{session:?}");
    }
}
