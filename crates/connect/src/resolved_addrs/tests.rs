use tokio::time::advance;

use super::*;
use crate::testing::seconds;

fn address(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 5432))
}

#[tokio::test(start_paused = true)]
async fn a_name_that_moves_has_left_after_a_while() {
    let name = ResolvedAddrs::default();
    assert!(!name.is_stale(address(1)), "nobody has looked");
    name.note(&[address(1)]);
    advance(seconds(29)).await;
    name.note(&[address(2)]);
    assert_eq!(
        [address(1), address(2), address(3)].map(|address| name.is_stale(address)),
        [false, false, true]
    );
    advance(seconds(1)).await;
    assert!(!name.is_stale(address(1)), "nobody has looked since");
    name.note(&[address(2)]);
    assert_eq!([address(1), address(2)].map(|address| name.is_stale(address)), [true, false]);
    name.note(&[address(1)]);
    assert!(!name.is_stale(address(1)), "it is back");
}

#[tokio::test(start_paused = true)]
async fn addresses_that_a_name_has_in_turn_all_count() {
    let name = ResolvedAddrs::default();
    for second in 0..100 {
        name.note(&[address(second % 5)]);
        advance(seconds(1)).await;
    }
    assert!((0..5).all(|last| !name.is_stale(address(last))));
    assert_eq!(name.0.lock().unwrap().len(), 5);
}
