use std::time::SystemTime;

use countersign_core::failure::{Class, Failure};

use super::*;

const NOW: SystemTime = SystemTime::UNIX_EPOCH;

fn unavailable() -> Failure {
    Failure::new(Class::Unavailable, "nobody listens on db:5432")
}

#[test]
fn a_target_that_nobody_has_logged_in_to_is_healthy() {
    assert!(Health::default().is_healthy());
}

#[test]
fn a_few_failures_in_a_row_make_a_target_unhealthy_and_one_login_mends_it() {
    let health = Health::default();
    for _ in 1..FAILURES {
        health.failed(&unavailable(), NOW);
        assert!(health.is_healthy());
    }
    health.failed(&unavailable(), NOW);
    assert!(!health.is_healthy());
    let failure = health.report().failure.expect("it failed");
    assert_eq!((failure.class, failure.consecutive_failures), (Class::Unavailable, FAILURES));
    health.succeeded(NOW);
    assert_eq!(
        health.report(),
        status::Health { healthy: true, last_login: Some(NOW), failure: None }
    );
}

#[test]
fn what_a_client_is_denied_for_says_nothing_about_the_target() {
    let health = Health::default();
    for class in [Class::NotAllowed, Class::Expired, Class::Throttled] {
        for _ in 0..FAILURES {
            health.failed(&Failure::new(class, "denied"), NOW);
        }
    }
    assert!(health.is_healthy());
}
