//! The example of RFC 7677, section 3; both sides against each other; PostgreSQL's extensions to
//! the RFC.

use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_core::credentials::Secret;
use proptest::prelude::*;

use super::client::{Binding, ClientFirst};
use super::server::{Mechanism, Rejection, ServerFirst};
use super::{ScramVerifier, nonce, prepare};

const CLIENT_NONCE: &str = "rOprNGfwEbeRWgbNEkqO";
const SERVER_NONCE: &str = "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
const SALT: &str = "W22ZaJ0SNY7soEsUEjb6gQ==";
const FIRST: &str =
    "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
const PROOF: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";
const SIGNATURE: &str = "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=";

fn secret(text: &str) -> Secret {
    Secret::new(text).unwrap()
}

/// Returns a verifier with few iterations.
fn verifier(password: &str) -> Arc<ScramVerifier> {
    Arc::new(ScramVerifier::with_salt(&secret(password), b"salt and pepper!", 2))
}

fn rfc_verifier() -> Arc<ScramVerifier> {
    static VERIFIER: LazyLock<Arc<ScramVerifier>> = LazyLock::new(|| {
        Arc::new(ScramVerifier::with_salt(&secret("pencil"), &STANDARD.decode(SALT).unwrap(), 4096))
    });
    Arc::clone(&VERIFIER)
}

fn client_first(binding: Binding) -> ClientFirst {
    ClientFirst::with_nonce(binding, "user", CLIENT_NONCE.to_owned())
}

#[test]
fn client_matches_the_rfc_example() {
    let first = client_first(Binding::None);
    assert_eq!(first.message(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    let (client_final, answer) = first.respond(&secret("pencil"), FIRST.as_bytes()).unwrap();
    assert_eq!(answer, PROOF);
    client_final.verify(SIGNATURE.as_bytes()).unwrap();
}

#[test]
fn server_matches_the_rfc_example() {
    let first = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    let (server_first, answer) =
        ServerFirst::new(rfc_verifier(), Mechanism::Plain, first, SERVER_NONCE).unwrap();
    assert_eq!(answer, FIRST);
    assert_eq!(server_first.verify(PROOF.as_bytes()).unwrap(), SIGNATURE);
}

/// Runs both sides against each other.
fn play(
    verifier: Arc<ScramVerifier>,
    mechanism: Mechanism<'_>,
    binding: Binding,
    password: &str,
) -> Result<(), Rejection> {
    let first = ClientFirst::new(binding).unwrap();
    let (server_first, answer) =
        ServerFirst::new(verifier, mechanism, first.message().as_bytes(), &nonce().unwrap())?;
    let (client_final, proof) = first.respond(&secret(password), answer.as_bytes()).unwrap();
    client_final.verify(server_first.verify(proof.as_bytes())?.as_bytes()).unwrap();
    Ok(())
}

#[test]
fn both_sides_agree_with_and_without_channel_binding() {
    let verifier = verifier("open sesame");
    let bound = || Binding::TlsServerEndPoint(vec![7; 32]);
    assert_eq!(play(verifier.clone(), Mechanism::Plain, Binding::None, "open sesame"), Ok(()));
    assert_eq!(
        play(verifier.clone(), Mechanism::Plain, Binding::NotOffered, "open sesame"),
        Ok(())
    );
    assert_eq!(
        play(verifier.clone(), Mechanism::PlainOverPlus, Binding::None, "open sesame"),
        Ok(())
    );
    assert_eq!(play(verifier.clone(), Mechanism::Plus(&[7; 32]), bound(), "open sesame"), Ok(()));
    assert_eq!(
        play(verifier, Mechanism::Plus(&[7; 32]), bound(), "open barley"),
        Err(Rejection::Password)
    );
}

#[test]
fn man_in_the_middle_is_detected() {
    let verifier = verifier("x");
    let other_certificate = play(
        verifier.clone(),
        Mechanism::Plus(&[7; 32]),
        Binding::TlsServerEndPoint(vec![8; 32]),
        "x",
    );
    assert!(
        matches!(other_certificate, Err(Rejection::ChannelBinding(_))),
        "{other_certificate:?}"
    );
    let hidden_mechanism = play(verifier, Mechanism::PlainOverPlus, Binding::NotOffered, "x");
    assert!(matches!(hidden_mechanism, Err(Rejection::ChannelBinding(_))), "{hidden_mechanism:?}");
}

#[test]
fn header_must_match_the_mechanism() {
    let begin = |mechanism, first: &str| {
        ServerFirst::new(verifier("x"), mechanism, first.as_bytes(), "own").map(|_| ()).unwrap_err()
    };
    assert!(matches!(begin(Mechanism::Plus(&[1]), "n,,n=,r=abc"), Rejection::Malformed(_)));
    assert!(matches!(begin(Mechanism::Plus(&[1]), "y,,n=,r=abc"), Rejection::Malformed(_)));
    assert!(matches!(
        begin(Mechanism::Plus(&[1]), "p=tls-unique,,n=,r=abc"),
        Rejection::Unsupported(_)
    ));
    assert!(matches!(
        begin(Mechanism::Plain, "p=tls-server-end-point,,n=,r=abc"),
        Rejection::Malformed(_)
    ));
    assert!(matches!(
        begin(Mechanism::PlainOverPlus, "p=tls-server-end-point,,n=,r=abc"),
        Rejection::Malformed(_)
    ));
    assert!(matches!(begin(Mechanism::Plain, "n,a=admin,n=,r=abc"), Rejection::Unsupported(_)));
    assert!(matches!(begin(Mechanism::Plain, "n,,m=new,n=,r=abc"), Rejection::Unsupported(_)));
    for broken in [
        "",
        "n",
        "n,",
        "n,,",
        "n,,r=abc",
        "n,,n=",
        "n,,n=,r=",
        "n,,n=,r=a b",
        "n,,n=,r=\u{e4}",
        "q,,n=,r=abc",
        "n,,n=,x=1,r=abc",
    ] {
        assert!(matches!(begin(Mechanism::Plain, broken), Rejection::Malformed(_)), "{broken:?}");
    }
}

/// A change of any part of the last message fails the login.
#[test]
fn changed_final_message_is_rejected() {
    let rejected = |last: &str| {
        let (server_first, _) = ServerFirst::new(
            rfc_verifier(),
            Mechanism::Plain,
            b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            SERVER_NONCE,
        )
        .unwrap();
        server_first.verify(last.as_bytes()).unwrap_err()
    };
    assert!(matches!(rejected(&PROOF.replace("c=biws", "c=eSws")), Rejection::ChannelBinding(_)));
    assert!(
        matches!(rejected(&PROOF.replace("k0,", "k1,")), Rejection::Malformed(_)),
        "changed nonce"
    );
    assert_eq!(rejected(&PROOF.replace("p=dHz", "p=dHy")), Rejection::Password);
    assert_eq!(
        rejected(&PROOF.replace(",p=", ",x=extension,p=")),
        Rejection::Password,
        "an unsigned extension"
    );
    for broken in [
        "",
        "p=",
        "c=biws",
        "c=biws,p=AAAA",
        &PROOF.replace("VQ=", ""),
        &PROOF.replace("p=dHzb", "p="),
    ] {
        assert!(matches!(rejected(broken), Rejection::Malformed(_)), "{broken:?}");
    }
}

#[test]
fn client_rejects_a_server_without_the_password() {
    let answer = |first: &str| {
        client_first(Binding::None)
            .respond(&secret("pencil"), first.as_bytes())
            .map(|_| ())
            .unwrap_err()
    };
    assert!(answer(&FIRST.replace("r=rO", "r=RO")).contains("nonce"));
    assert!(
        answer(&format!("r={CLIENT_NONCE},s={SALT},i=4096")).contains("nonce"),
        "the server must extend the nonce"
    );
    assert!(answer(&FIRST.replace("i=4096", "i=0")).contains("iterations"));
    assert!(answer(&FIRST.replace("i=4096", "i=1000001")).contains("iterations"));
    assert!(answer(&FIRST.replace("i=4096", "i=99999999999999999999")).contains("iterations"));
    assert!(answer(&FIRST.replace("s=W22Z", "s=????")).contains("salt"));
    assert!(answer("e=other-error").contains("nonce"));
    let verify = |last: &str| {
        client_first(Binding::None)
            .respond(&secret("pencil"), FIRST.as_bytes())
            .unwrap()
            .0
            .verify(last.as_bytes())
    };
    assert!(verify(&SIGNATURE.replace("6rri", "7rri")).is_err());
    assert!(verify("v=").is_err() && verify("").is_err() && verify("e=invalid-proof").is_err());
}

/// RFC 4013, section 3. If preparation fails, PostgreSQL uses the bytes of the password.
#[test]
fn saslprep_is_applied_to_passwords() {
    assert_eq!(prepare("I\u{ad}X"), "IX");
    assert_eq!(prepare("\u{aa}"), "a");
    assert_eq!(prepare("\u{2168}"), "IX");
    assert_eq!(prepare("\u{7}"), "\u{7}");
    assert_eq!(prepare("\u{627}1"), "\u{627}1");
    assert_eq!(prepare("\u{ad}"), "\u{ad}");
    let prepared = play(verifier("IX"), Mechanism::Plain, Binding::None, "\u{2168}");
    assert_eq!(prepared, Ok(()));
}

#[test]
fn password_longer_than_a_block_is_hashed() {
    let long = "p".repeat(1000);
    assert_eq!(play(verifier(&long), Mechanism::Plain, Binding::None, &long), Ok(()));
    assert_eq!(
        play(verifier(&long), Mechanism::Plain, Binding::None, &long.replacen('p', "q", 1)),
        Err(Rejection::Password)
    );
}

/// Password and salt of RFC 7677, section 3; keys computed by Python's hashlib and hmac.
#[test]
fn encoded_verifier_matches_another_implementation() {
    assert_eq!(
        rfc_verifier().encode(),
        "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==\
         $WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
    );
}

#[test]
fn debug_shows_no_secret() {
    let verifier = ScramVerifier::new(&secret("open sesame")).unwrap();
    assert_eq!(format!("{verifier:?}"), "ScramVerifier { iterations: 4096, .. }");
}

#[test]
fn nonces_differ() {
    assert_ne!(nonce().unwrap(), nonce().unwrap());
}

proptest! {
    #[test]
    fn no_input_panics(first: Vec<u8>, last: Vec<u8>) {
        for mechanism in [Mechanism::Plain, Mechanism::PlainOverPlus, Mechanism::Plus(&[1])] {
            let _rejected = ServerFirst::new(
                verifier("x"),
                mechanism,
                &first,
                "own",
            ).map(|(server_first, _)| server_first.verify(&last));
        }
        let _rejected = client_first(Binding::None).respond(&secret("x"), &first);
    }

    #[test]
    fn every_password_verifies(password in "\\PC{1,40}") {
        prop_assert_eq!(
            play(verifier(&password), Mechanism::Plain, Binding::None, &password),
            Ok(()),
        );
    }
}
