use std::sync::Arc;

use countersign_core::credentials::Credentials;
use countersign_core::failure::{Class, Failure};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, yield_now};

use super::{CredentialsCache, CredentialsConfig, LoadFuture, Role};
use crate::clock::ManualClock;
use crate::testing::{Loads, credentials, noon, scripted_cache, seconds, until};

fn unavailable() -> Failure {
    Failure::new(Class::Unavailable, "the source is unavailable")
}

/// The number in the access key id.
fn number(credentials: &Credentials) -> &str {
    credentials.access_key_id.as_str().trim_start_matches("ASIAEXAMPLE")
}

async fn loaded_number(cache: &CredentialsCache) -> String {
    number(&cache.credentials().await.unwrap()).to_owned()
}

async fn load_error(cache: &CredentialsCache) -> Failure {
    cache.credentials().await.unwrap_err()
}

/// Waits until a background refresh has loaded the credentials with number `wanted`.
async fn wait_for_refresh(cache: &CredentialsCache, wanted: &str) {
    until(|| cache.status().access_key_id.is_some_and(|id| id.as_str().ends_with(wanted))).await;
}

/// A source whose loads complete when the semaphore has permits.
fn gated(manual: &ManualClock) -> (CredentialsCache, Loads, Arc<Semaphore>) {
    let (loads, gate) = (Loads::default(), Arc::new(Semaphore::new(0)));
    let (counted, opened) = (loads.clone(), Arc::clone(&gate));
    let load = move || -> LoadFuture {
        let (number, gate) = (counted.next(), Arc::clone(&opened));
        Box::pin(async move {
            gate.acquire().await.unwrap().forget();
            Ok(credentials(number, None))
        })
    };
    (CredentialsCache::with_loader("the gate", manual.clock(), load), loads, gate)
}

#[tokio::test(start_paused = true)]
async fn a_hundred_concurrent_calls_are_one_load() {
    let (cache, loads, gate) = gated(&ManualClock::new(noon()));
    let mut callers = JoinSet::new();
    for _ in 0..100 {
        let cache = cache.clone();
        callers.spawn(async move { cache.credentials().await.unwrap() });
    }
    until(|| loads.count() == 1).await;
    gate.add_permits(100);
    let given = callers.join_all().await;
    assert!(given.iter().all(|one| Arc::ptr_eq(one, &given[0])));
    assert_eq!((given.len(), loads.count()), (100, 1));
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_caller_does_not_abort_the_load() {
    let (cache, loads, gate) = gated(&ManualClock::new(noon()));
    let first = tokio::spawn({
        let cache = cache.clone();
        async move { cache.credentials().await }
    });
    until(|| loads.count() == 1).await;
    first.abort();
    assert!(first.await.unwrap_err().is_cancelled());
    gate.add_permits(1);
    assert_eq!((loaded_number(&cache).await.as_str(), loads.count()), ("1", 1));
}

#[tokio::test(start_paused = true)]
async fn credentials_are_refreshed_before_they_expire() {
    for (lifetime, ahead) in [(3600, 300), (1000, 200), (43_200, 300)] {
        let manual = ManualClock::new(noon());
        let time = manual.clock();
        let (cache, loads) = scripted_cache(&manual, move |number| {
            Ok(credentials(number, Some(time.now() + seconds(lifetime))))
        });
        assert_eq!(loaded_number(&cache).await, "1");
        manual.set(noon() + seconds(lifetime - ahead));
        assert_eq!(
            (loaded_number(&cache).await.as_str(), loads.count()),
            ("1", 1),
            "lifetime of {lifetime} s: not yet"
        );
        manual.advance(seconds(1));
        assert_eq!(loaded_number(&cache).await, "1", "callers do not wait for a refresh");
        wait_for_refresh(&cache, "2").await;
        assert_eq!((loaded_number(&cache).await.as_str(), loads.count()), ("2", 2));
    }
}

#[tokio::test(start_paused = true)]
async fn credentials_without_expiry_are_not_refreshed() {
    let manual = ManualClock::new(noon());
    let (cache, loads) = scripted_cache(&manual, |number| Ok(credentials(number, None)));
    loaded_number(&cache).await;
    manual.advance(seconds(10_000_000));
    assert_eq!((loaded_number(&cache).await.as_str(), loads.count()), ("1", 1));
}

/// For example, instance metadata is unavailable for ten minutes.
#[tokio::test(start_paused = true)]
async fn a_failed_refresh_keeps_the_credentials_until_they_expire() {
    let manual = ManualClock::new(noon());
    let (cache, loads) = scripted_cache(&manual, |number| match number {
        1 => Ok(credentials(1, Some(noon() + seconds(3600)))),
        2..=4 => Err(unavailable()),
        _ => Ok(credentials(number, None)),
    });
    loaded_number(&cache).await;
    for (second, count) in [(3400, 2), (3500, 3)] {
        manual.set(noon() + seconds(second));
        assert_eq!(loaded_number(&cache).await, "1");
        until(|| loads.count() == count && cache.status().failure.is_some()).await;
        assert_eq!(
            loaded_number(&cache).await,
            "1",
            "and the source is not called again within a second"
        );
        yield_now().await;
        assert_eq!(loads.count(), count);
    }
    manual.set(noon() + seconds(3600));
    assert_eq!(load_error(&cache).await, unavailable(), "expired credentials are not returned");
    manual.advance(seconds(2));
    assert_eq!(loaded_number(&cache).await, "5");
    assert_eq!(cache.status().failure, None);
}

#[tokio::test(start_paused = true)]
async fn a_failed_source_is_not_called_again_within_a_second() {
    let manual = ManualClock::new(noon());
    let (cache, loads) = scripted_cache(&manual, |_| Err(unavailable()));
    for _ in 0..50 {
        assert_eq!(load_error(&cache).await, unavailable());
    }
    assert_eq!(loads.count(), 1);
    manual.advance(seconds(1));
    load_error(&cache).await;
    assert_eq!(loads.count(), 2);
    manual.set(noon() - seconds(3600));
    load_error(&cache).await;
    assert_eq!(loads.count(), 3, "a clock that was set back does not delay the next load");
}

#[tokio::test(start_paused = true)]
async fn invalidated_credentials_are_reloaded_before_use() {
    let manual = ManualClock::new(noon());
    let (cache, loads) = scripted_cache(&manual, |number| {
        if number == 3 { Err(unavailable()) } else { Ok(credentials(number, None)) }
    });
    assert_eq!(loaded_number(&cache).await, "1");
    cache.invalidate();
    assert_eq!(
        (loaded_number(&cache).await.as_str(), loads.count()),
        ("1", 1),
        "a source called less than a second ago would return the same"
    );
    manual.advance(seconds(1));
    assert_eq!(loaded_number(&cache).await, "2");
    assert_eq!(loaded_number(&cache).await, "2");
    manual.advance(seconds(1));
    cache.invalidate();
    assert_eq!(
        (loaded_number(&cache).await.as_str(), loads.count()),
        ("2", 3),
        "a failed reload keeps the old ones"
    );
    manual.advance(seconds(1));
    assert_eq!(
        (loaded_number(&cache).await.as_str(), loads.count()),
        ("4", 4),
        "and are count for until it succeeds"
    );
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_during_a_load_causes_another_load() {
    let manual = ManualClock::new(noon());
    let (cache, loads, gate) = gated(&manual);
    let first = tokio::spawn({
        let cache = cache.clone();
        async move { cache.credentials().await.unwrap() }
    });
    until(|| loads.count() == 1).await;
    cache.invalidate();
    gate.add_permits(2);
    assert_eq!(number(&first.await.unwrap()), "1");
    manual.advance(seconds(1));
    assert_eq!(loaded_number(&cache).await, "2");
}

#[tokio::test(start_paused = true)]
async fn a_load_that_panics_is_an_error_and_can_be_repeated() {
    let manual = ManualClock::new(noon());
    let (cache, _) = scripted_cache(&manual, |number| {
        assert!(number > 1, "the first load panics as the test intends");
        Ok(credentials(number, None))
    });
    let failure = load_error(&cache).await;
    assert_eq!(
        (failure.class, failure.detail.contains("was aborted")),
        (Class::Internal, true),
        "{failure}"
    );
    assert_eq!(loaded_number(&cache).await, "2");
}

#[tokio::test(start_paused = true)]
async fn a_load_times_out_after_a_minute() {
    let manual = ManualClock::new(noon());
    let cache = CredentialsCache::with_loader("a silent source", manual.clock(), || {
        Box::pin(std::future::pending())
    });
    let failure = load_error(&cache).await;
    assert_eq!(
        (failure.class, failure.detail.as_str()),
        (Class::TimedOut, "a silent source returned no credentials within 60 s")
    );
}

#[tokio::test(start_paused = true)]
async fn expired_credentials_are_an_error() {
    let manual = ManualClock::new(noon());
    let (cache, _) = scripted_cache(&manual, |number| Ok(credentials(number, Some(noon()))));
    let failure = load_error(&cache).await;
    assert_eq!(failure.class, Class::CredentialsExpired);
    assert!(
        failure.detail.contains("ASIAEXAMPLE1 expired at 2024-01-15T12:00:00.000Z"),
        "{failure}"
    );
}

#[tokio::test(start_paused = true)]
async fn status_and_debug_hide_secrets() {
    let manual = ManualClock::new(noon());
    let (cache, _) =
        scripted_cache(&manual, |number| Ok(credentials(number, Some(noon() + seconds(900)))));
    assert_eq!(cache.status().access_key_id, None, "status does not load");
    loaded_number(&cache).await;
    let shown = format!("{cache:?} {:?}", cache.status());
    assert!(shown.contains("the test") && shown.contains("ASIAEXAMPLE1"), "{shown}");
    assert!(!shown.contains("hidden"), "{shown}");
    assert_eq!(cache.status().loaded, Some(noon()));
}

fn role(arn: &str) -> Role {
    Role { arn: arn.parse().unwrap(), external_id: None, session_name: None }
}

#[test]
fn a_configuration_is_displayed_in_words() {
    assert_eq!(CredentialsConfig::default().to_string(), "the default chain");
    let roles = vec![
        role("arn:aws:iam::111122223333:role/a"),
        role("arn:aws:iam::444455556666:role/path/b"),
    ];
    let settings = CredentialsConfig { profile: Some("dev".to_owned()), roles, region: None };
    assert_eq!(
        settings.to_string(),
        "the profile \"dev\", then the role arn:aws:iam::111122223333:role/a, then the role \
         arn:aws:iam::444455556666:role/path/b"
    );
}

#[test]
fn a_role_is_checked_before_sts_is_called() {
    for invalid in [
        "",
        "role/a",
        "arn:aws:iam::111122223333:user/a",
        "arn:aws:iam::111122223333:role/",
        "arn:aws:iam::111122223333:role/a/",
        "arn:aws:iam::1:role/a",
        "arn:aws:iam:us-east-1:111122223333:role/a",
        "arn:aws:sts::111122223333:role/a",
    ] {
        assert!(invalid.parse::<super::RoleArn>().is_err(), "{invalid:?}");
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
    let invalid = Err(Class::Configuration);
    assert_eq!(checked(None, None, 9), invalid);
    for external in ["", "x", &"x".repeat(1225), "a b", "\u{e4}\u{e4}"] {
        assert_eq!(checked(Some(external), None, 1), invalid, "{external:?}");
    }
    for session in ["", "x", &"x".repeat(65), "a/b"] {
        assert_eq!(checked(None, Some(session), 1), invalid, "{session:?}");
    }
}
