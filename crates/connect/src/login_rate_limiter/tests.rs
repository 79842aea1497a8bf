use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::yield_now;
use tokio::time::{Instant, advance};

use super::LoginRateLimiter;

#[tokio::test(start_paused = true)]
async fn a_storm_is_spread_over_time() {
    let budget = LoginRateLimiter::new(100);
    let start = Instant::now();
    for _ in 0..10 {
        budget.take().await;
    }
    assert_eq!(start.elapsed(), Duration::ZERO, "a tenth of a second's worth goes at once");
    for _ in 0..100 {
        budget.take().await;
    }
    let elapsed = start.elapsed();
    assert!(
        elapsed >= Duration::from_millis(1000) && elapsed < Duration::from_millis(1200),
        "{elapsed:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_idle_hour_saves_up_no_more_than_the_bucket() {
    let budget = LoginRateLimiter::new(10);
    budget.take().await;
    advance(Duration::from_secs(3600)).await;
    let start = Instant::now();
    for _ in 0..11 {
        budget.take().await;
    }
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_came_first_goes_first_and_who_leaves_takes_no_place() {
    let budget = Arc::new(LoginRateLimiter::new(1));
    budget.take().await;
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for number in 0..4 {
        let (budget, order) = (Arc::clone(&budget), Arc::clone(&order));
        tasks.push(tokio::spawn(async move {
            budget.take().await;
            order.lock().unwrap().push(number);
        }));
        yield_now().await;
    }
    assert_eq!(budget.waiting(), 4);
    let start = Instant::now();
    tasks.remove(1).abort();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(*order.lock().unwrap(), [0, 2, 3]);
    assert_eq!(start.elapsed().as_secs(), 3);
    assert_eq!(budget.waiting(), 0);
}

#[tokio::test]
async fn zero_is_no_limit() {
    let budget = LoginRateLimiter::new(0);
    for _ in 0..100_000 {
        budget.take().await;
    }
    assert_eq!(budget.waiting(), 0);
}
