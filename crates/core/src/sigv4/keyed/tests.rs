use hmac::{Hmac, KeyInit, Mac};
use proptest::prelude::*;
use sha2::Sha256;

use super::Keyed;

proptest! {
    #[test]
    fn it_is_the_hmac_of_the_crate(key: [u8; 32], message in proptest::collection::vec(any::<u8>(), 0..300)) {
        let expected: [u8; 32] = Hmac::<Sha256>::new_from_slice(&key).unwrap().chain_update(&message).finalize().into_bytes().into();
        prop_assert_eq!(Keyed::new(&key).authenticate(message), expected);
    }
}
