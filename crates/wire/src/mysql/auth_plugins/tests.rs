use proptest::prelude::*;

use super::*;
use crate::mysql::tests::hex;

fn hashed(password: &str) -> MysqlPassword {
    MysqlPassword::new(&Secret::new(password).unwrap())
}

/// Nonces of servers, and proofs that they accepted.
#[test]
fn proofs_match_those_of_real_servers() {
    // MariaDB 10.11.19, mysql_native_password.
    let nonce = hex("617b64654f39704b 6331673674672a3670563b62");
    let proof = hex("666573cdfa1e259353082b723aeb7379968105af");
    assert_eq!(native("pässwörd".as_bytes(), &nonce), proof);
    assert!(hashed("pässwörd").verify_native(&proof, &nonce));
    // MySQL 9.7.4, caching_sha2_password.
    let nonce = hex("44103817652e1851 072b6e3e77774f0a250a5618");
    let proof = hex("7d7fa2311a196076a06f36e9e0ad3191077131d0a075f7c314025a2477ae7651");
    assert_eq!(caching_sha2("pässwörd".as_bytes(), &nonce), proof);
    assert!(hashed("pässwörd").verify_caching_sha2(&proof, &nonce));
    // MariaDB 10.11.19, client_ed25519.
    let nonce = hex("7a2204ffc9eb690289734882131824bab804c287a0a0baa385ab9567f93a2392");
    let proof = hex(
        "5360592d4a56bbd71b30dab1561cfc8d74e60b895e66d06a9c174d0eeee1998a1cf2eba44c8d7533b545f18a6b33df83e3c58fc46bb155b481586b1c4090490d",
    );
    assert_eq!(ed25519(b"geheim", &nonce), proof);
    // Clients of MariaDB 10.11 and MySQL 9.7, with nonces of this crate.
    let nonce = hex("3f7716403d1d3e6a62661c46761907131d4a3b01");
    assert!(
        hashed("geheim").verify_native(&hex("eaa71113e71f6750e1d5d1eef73bd300cd20439c"), &nonce)
    );
    let nonce = hex("1e700e29373d25152238034e69071879587d7355");
    assert!(hashed("geheim").verify_caching_sha2(
        &hex("ee2a74b6475bed68e1e4221b686c1a3a96e56cf9f6ac8e6e7d57388cffe7e8d6"),
        &nonce
    ));
}

#[test]
fn debug_shows_no_password() {
    assert_eq!(format!("{:?}", hashed("geheim")), "MysqlPassword([redacted])");
}

#[test]
fn nonces_are_ascii_and_differ() {
    let (one, other) = (nonce().unwrap(), nonce().unwrap());
    assert_eq!(one.len(), NONCE_LEN);
    assert!(one.iter().all(|byte| (1..128).contains(byte) && *byte != b'$'));
    assert_ne!(one, other);
}

proptest! {
    #[test]
    fn only_the_password_verifies(
        password in ".{1,40}",
        other in ".{1,40}",
        nonce in proptest::collection::vec(1_u8..128, 20),
    ) {
        let hash = hashed(&password);
        let same = password == other;
        prop_assert!(hash.verify_native(&native(password.as_bytes(), &nonce), &nonce));
        prop_assert!(hash.verify_caching_sha2(&caching_sha2(password.as_bytes(), &nonce), &nonce));
        prop_assert!(hash.verify_clear_text(password.as_bytes()));
        prop_assert_eq!(hash.verify_native(&native(other.as_bytes(), &nonce), &nonce), same);
        prop_assert_eq!(
            hash.verify_caching_sha2(&caching_sha2(other.as_bytes(), &nonce), &nonce),
            same,
        );
        prop_assert_eq!(hash.verify_clear_text(other.as_bytes()), same);
        prop_assert!(
            !hash.verify_native(&native(password.as_bytes(), b"another nonce......."), &nonce),
        );
    }

    #[test]
    fn arbitrary_proof_is_rejected(proof: Vec<u8>, nonce: Vec<u8>) {
        prop_assert!(!hashed("geheim").verify_native(&proof, &nonce));
        prop_assert!(!hashed("geheim").verify_caching_sha2(&proof, &nonce));
    }
}
