use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_core::credentials::Secret;

use super::{verifier, with_salt};

#[test]
fn the_verifier_is_that_of_another_implementation() {
    // Password and salt of RFC 7677, section 3; the keys by Python's hashlib and hmac.
    let salt = STANDARD.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
    let made = with_salt(&Secret::new("pencil").unwrap(), &salt, 4096).unwrap();
    assert_eq!(
        made,
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    );
}

#[test]
fn no_two_are_the_same() {
    let password = Secret::new("pencil").unwrap();
    assert_ne!(verifier(&password).unwrap(), verifier(&password).unwrap());
}
