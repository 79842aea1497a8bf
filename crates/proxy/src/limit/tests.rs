use countersign_core::failure::Class;

use super::{Admission, Limit, MOST_TURNED_AWAY};

fn entrance(proxy: usize, target: usize) -> (Admission, Limit) {
    let proxy = Limit::new(proxy);
    (Admission::new(proxy.clone(), Limit::new(target)), proxy)
}

#[test]
fn a_place_is_free_again_when_its_client_has_left() {
    let (entrance, proxy) = entrance(0, 2);
    let first = entrance.enter("t").unwrap().unwrap();
    let second = entrance.enter("t").unwrap().unwrap();
    assert_eq!((proxy.open(), entrance.target().open()), (2, 2));
    let turned = entrance.enter("t").unwrap().unwrap_err();
    assert_eq!(turned.failure.class, Class::Throttled);
    assert!(
        turned.failure.detail.starts_with("the target t has 2 connections open"),
        "{}",
        turned.failure.detail
    );
    assert_eq!(proxy.open(), 2, "who is turned away takes no place");
    drop(first);
    assert!(entrance.enter("t").unwrap().is_ok());
    drop(second);
    assert_eq!(proxy.open(), 0);
}

#[test]
fn all_targets_share_the_proxy_s_limit_and_a_new_one_counts_at_once() {
    let (one, proxy) = entrance(1, 0);
    let other = Admission::new(proxy.clone(), Limit::new(0));
    let _place = one.enter("one").unwrap().unwrap();
    let refused = other.enter("other").unwrap().unwrap_err();
    assert!(
        refused.failure.detail.starts_with("the proxy has 1 connections open"),
        "{}",
        refused.failure.detail
    );
    proxy.set(2);
    assert!(other.enter("other").unwrap().is_ok());
}

#[test]
fn beyond_those_that_are_told_nobody_is_let_in_at_all() {
    let (entrance, _) = entrance(1, 0);
    let _place = entrance.enter("t").unwrap().unwrap();
    let told: Vec<_> =
        (0..MOST_TURNED_AWAY).map(|_| entrance.enter("t").unwrap().unwrap_err()).collect();
    assert!(entrance.enter("t").is_none());
    drop(told);
    assert!(entrance.enter("t").is_some());
}
