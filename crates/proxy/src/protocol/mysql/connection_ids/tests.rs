use std::sync::Arc;

use super::{FIRST, Ids};

#[test]
fn a_number_leads_to_the_server_s_as_long_as_its_client_stays() {
    let ids = Arc::new(Ids::new().unwrap());
    let (one, other) = (ids.next(), ids.next());
    assert!(one != other && one >= FIRST && other >= FIRST);
    let stay = ids.stay(one, 7);
    assert_eq!((ids.find(one), ids.find(other), ids.find(7)), (Some(7), None, None));
    assert!(stay.is_recalled());
    assert_eq!(ids.find(one), None);
    drop(ids.stay(other, 8));
    assert_eq!(ids.find(other), None);
}
