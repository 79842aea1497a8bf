use std::sync::Arc;

use countersign_wire::pg::CancelKey;

use super::Cancels;

fn key(process_id: u32) -> CancelKey {
    CancelKey { process_id, secret: vec![1, 2, 3, 4] }
}

#[test]
fn a_key_leads_to_the_server_s_as_long_as_its_client_stays() {
    let cancels = Arc::new(Cancels::default());
    let server = ("127.0.0.1:5432".parse().unwrap(), key(99));
    let stay = cancels.stay(key(1), Some(server.clone()));
    assert_eq!(cancels.find(&key(1)), Some(server));
    assert_eq!(cancels.find(&key(2)), None);
    assert_eq!(cancels.find(&CancelKey { secret: vec![9; 4], ..key(1) }), None);
    drop(stay);
    assert_eq!(cancels.find(&key(1)), None);
}

#[test]
fn a_session_that_was_recalled_is_known_to_be_and_can_t_be_recalled_behind_that() {
    let cancels = Arc::new(Cancels::default());
    let (calm, recalled) = (cancels.stay(key(1), None), cancels.stay(key(2), None));
    cancels.find(&key(2));
    assert!(!calm.is_recalled() && recalled.is_recalled());
    cancels.find(&key(1));
    assert!(!calm.is_recalled());
}
