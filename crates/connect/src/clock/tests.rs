use std::time::{Duration, SystemTime};

use super::{Clock, ManualClock};

#[test]
fn every_clone_shows_what_the_hand_says() {
    let start = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
    let hand = ManualClock::new(start);
    let (one, other) = (hand.clock(), hand.clock().clone());
    hand.advance(Duration::from_secs(5));
    assert_eq!([one.now(), other.now()], [start + Duration::from_secs(5); 2]);
    hand.set(start);
    assert_eq!(one.now(), start);
}

#[test]
fn the_systems_clock_runs() {
    let before = SystemTime::now();
    let shown = Clock::system().now();
    assert!(before <= shown && shown <= SystemTime::now());
}
