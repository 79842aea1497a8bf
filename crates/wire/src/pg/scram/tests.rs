//! The example of RFC 7677, section 3, both sides against each other, and what PostgreSQL does beyond the RFC.

use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign_core::credentials::Secret;
use proptest::prelude::*;

use super::client::{Binding, ClientFirst};
use super::server::{Choice, Rejection, ServerFirst};
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

/// A verifier that is quick to make.
fn verifier(password: &str) -> Arc<ScramVerifier> {
    Arc::new(ScramVerifier::with_salt(&secret(password), b"salt and pepper!", 2))
}

fn of_the_rfc() -> Arc<ScramVerifier> {
    static VERIFIER: LazyLock<Arc<ScramVerifier>> = LazyLock::new(|| {
        Arc::new(ScramVerifier::with_salt(&secret("pencil"), &STANDARD.decode(SALT).unwrap(), 4096))
    });
    Arc::clone(&VERIFIER)
}

fn hello(binding: Binding) -> ClientFirst {
    ClientFirst::with_nonce(binding, "user", CLIENT_NONCE.to_owned())
}

#[test]
fn the_client_of_the_rfc() {
    let hello = hello(Binding::None);
    assert_eq!(hello.message(), "n,,n=user,r=rOprNGfwEbeRWgbNEkqO");
    let (proven, answer) = hello.prove(&secret("pencil"), FIRST.as_bytes()).unwrap();
    assert_eq!(answer, PROOF);
    proven.verify(SIGNATURE.as_bytes()).unwrap();
}

#[test]
fn the_server_of_the_rfc() {
    let first = b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    let (challenge, answer) =
        ServerFirst::new(of_the_rfc(), Choice::Plain, first, SERVER_NONCE).unwrap();
    assert_eq!(answer, FIRST);
    assert_eq!(challenge.verify(PROOF.as_bytes()).unwrap(), SIGNATURE);
}

/// Both sides, with what each is bound to.
fn play(
    verifier: Arc<ScramVerifier>,
    choice: Choice<'_>,
    binding: Binding,
    password: &str,
) -> Result<(), Rejection> {
    let hello = ClientFirst::new(binding).unwrap();
    let (challenge, answer) =
        ServerFirst::new(verifier, choice, hello.message().as_bytes(), &nonce().unwrap())?;
    let (proven, proof) = hello.prove(&secret(password), answer.as_bytes()).unwrap();
    proven.verify(challenge.verify(proof.as_bytes())?.as_bytes()).unwrap();
    Ok(())
}

#[test]
fn both_sides_agree_with_and_without_a_channel() {
    let verifier = verifier("open sesame");
    let bound = || Binding::EndPoint(vec![7; 32]);
    assert_eq!(play(verifier.clone(), Choice::Plain, Binding::None, "open sesame"), Ok(()));
    assert_eq!(play(verifier.clone(), Choice::Plain, Binding::NotOffered, "open sesame"), Ok(()));
    assert_eq!(play(verifier.clone(), Choice::PlainOfTwo, Binding::None, "open sesame"), Ok(()));
    assert_eq!(play(verifier.clone(), Choice::Plus(&[7; 32]), bound(), "open sesame"), Ok(()));
    assert_eq!(
        play(verifier, Choice::Plus(&[7; 32]), bound(), "open barley"),
        Err(Rejection::Password)
    );
}

#[test]
fn somebody_in_between_is_noticed() {
    let verifier = verifier("x");
    let other_certificate =
        play(verifier.clone(), Choice::Plus(&[7; 32]), Binding::EndPoint(vec![8; 32]), "x");
    assert!(matches!(other_certificate, Err(Rejection::Channel(_))), "{other_certificate:?}");
    let hidden_mechanism = play(verifier, Choice::PlainOfTwo, Binding::NotOffered, "x");
    assert!(matches!(hidden_mechanism, Err(Rejection::Channel(_))), "{hidden_mechanism:?}");
}

#[test]
fn a_mechanism_and_its_header_go_together() {
    let begin = |choice, first: &str| {
        ServerFirst::new(verifier("x"), choice, first.as_bytes(), "own").map(|_| ()).unwrap_err()
    };
    assert!(matches!(begin(Choice::Plus(&[1]), "n,,n=,r=abc"), Rejection::Malformed(_)));
    assert!(matches!(begin(Choice::Plus(&[1]), "y,,n=,r=abc"), Rejection::Malformed(_)));
    assert!(matches!(
        begin(Choice::Plus(&[1]), "p=tls-unique,,n=,r=abc"),
        Rejection::Unsupported(_)
    ));
    assert!(matches!(
        begin(Choice::Plain, "p=tls-server-end-point,,n=,r=abc"),
        Rejection::Malformed(_)
    ));
    assert!(matches!(
        begin(Choice::PlainOfTwo, "p=tls-server-end-point,,n=,r=abc"),
        Rejection::Malformed(_)
    ));
    assert!(matches!(begin(Choice::Plain, "n,a=admin,n=,r=abc"), Rejection::Unsupported(_)));
    assert!(matches!(begin(Choice::Plain, "n,,m=new,n=,r=abc"), Rejection::Unsupported(_)));
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
        assert!(matches!(begin(Choice::Plain, broken), Rejection::Malformed(_)), "{broken:?}");
    }
}

/// Whoever changes one part of the last message does not get in.
#[test]
fn a_proof_is_taken_whole_or_not_at_all() {
    let refused = |last: &str| {
        let (challenge, _) = ServerFirst::new(
            of_the_rfc(),
            Choice::Plain,
            b"n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            SERVER_NONCE,
        )
        .unwrap();
        challenge.verify(last.as_bytes()).unwrap_err()
    };
    assert!(matches!(refused(&PROOF.replace("c=biws", "c=eSws")), Rejection::Channel(_)));
    assert!(
        matches!(refused(&PROOF.replace("k0,", "k1,")), Rejection::Malformed(_)),
        "another nonce"
    );
    assert_eq!(refused(&PROOF.replace("p=dHz", "p=dHy")), Rejection::Password);
    assert_eq!(
        refused(&PROOF.replace(",p=", ",x=extension,p=")),
        Rejection::Password,
        "what was not signed"
    );
    for broken in [
        "",
        "p=",
        "c=biws",
        "c=biws,p=AAAA",
        &PROOF.replace("VQ=", ""),
        &PROOF.replace("p=dHzb", "p="),
    ] {
        assert!(matches!(refused(broken), Rejection::Malformed(_)), "{broken:?}");
    }
}

#[test]
fn a_server_that_is_somebody_else_gets_no_proof_and_no_trust() {
    let answer = |first: &str| {
        hello(Binding::None).prove(&secret("pencil"), first.as_bytes()).map(|_| ()).unwrap_err()
    };
    assert!(answer(&FIRST.replace("r=rO", "r=RO")).contains("nonce"));
    assert!(
        answer(&format!("r={CLIENT_NONCE},s={SALT},i=4096")).contains("nonce"),
        "a server has to add to it"
    );
    assert!(answer(&FIRST.replace("i=4096", "i=0")).contains("iterations"));
    assert!(answer(&FIRST.replace("i=4096", "i=1000001")).contains("iterations"));
    assert!(answer(&FIRST.replace("i=4096", "i=99999999999999999999")).contains("iterations"));
    assert!(answer(&FIRST.replace("s=W22Z", "s=????")).contains("salt"));
    assert!(answer("e=other-error").contains("nonce"));
    let verify = |last: &str| {
        hello(Binding::None)
            .prove(&secret("pencil"), FIRST.as_bytes())
            .unwrap()
            .0
            .verify(last.as_bytes())
    };
    assert!(verify(&SIGNATURE.replace("6rri", "7rri")).is_err());
    assert!(verify("v=").is_err() && verify("").is_err() && verify("e=invalid-proof").is_err());
}

/// RFC 4013, section 3, and what PostgreSQL does where that gives up: it takes the password's bytes.
#[test]
fn passwords_are_prepared() {
    assert_eq!(prepare("I\u{ad}X"), "IX");
    assert_eq!(prepare("\u{aa}"), "a");
    assert_eq!(prepare("\u{2168}"), "IX");
    assert_eq!(prepare("\u{7}"), "\u{7}");
    assert_eq!(prepare("\u{627}1"), "\u{627}1");
    assert_eq!(prepare("\u{ad}"), "\u{ad}");
    let prepared = play(verifier("IX"), Choice::Plain, Binding::None, "\u{2168}");
    assert_eq!(prepared, Ok(()));
}

#[test]
fn a_long_password_is_hashed_to_a_key() {
    let long = "p".repeat(1000);
    assert_eq!(play(verifier(&long), Choice::Plain, Binding::None, &long), Ok(()));
    assert_eq!(
        play(verifier(&long), Choice::Plain, Binding::None, &long.replacen('p', "q", 1)),
        Err(Rejection::Password)
    );
}

#[test]
fn nothing_that_is_shown_is_secret() {
    let verifier = ScramVerifier::new(&secret("open sesame")).unwrap();
    assert_eq!(format!("{verifier:?}"), "ScramVerifier { iterations: 4096, .. }");
}

#[test]
fn two_nonces_differ() {
    assert_ne!(nonce().unwrap(), nonce().unwrap());
}

proptest! {
    #[test]
    fn neither_side_panics(first: Vec<u8>, last: Vec<u8>) {
        for choice in [Choice::Plain, Choice::PlainOfTwo, Choice::Plus(&[1])] {
            let _refused = ServerFirst::new(verifier("x"), choice, &first, "own").map(|(challenge, _)| challenge.verify(&last));
        }
        let _refused = hello(Binding::None).prove(&secret("x"), &first);
    }

    #[test]
    fn every_password_proves_itself(password in "\\PC{1,40}") {
        prop_assert_eq!(play(verifier(&password), Choice::Plain, Binding::None, &password), Ok(()));
    }
}
