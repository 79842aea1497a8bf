//! Tests against hand-written server messages; `conversation` tests against the server side of this
//! crate.

mod conversation;
mod session;

use proptest::prelude::*;

use super::*;
use crate::pg::scram::server::{Mechanism, ServerFirst};
use crate::pg::testing::{config, jane, key, packet, secret, startup, verifier};
use crate::testing::Side;

const END_POINT: [u8; 32] = [7; 32];

fn token() -> Credential {
    Credential::Token(Zeroizing::new(
        "db.example:5432/?Action=connect&X-Amz-Signature=0123456789abcdef".to_owned(),
    ))
}

fn password() -> Credential {
    Credential::Password(secret("open sesame"))
}

fn tls_info() -> TlsInfo {
    TlsInfo {
        server_end_point: Some(END_POINT.to_vec()),
        alpn_protocol: Some(codec::ALPN.to_vec()),
    }
}

/// Returns a login that has sent its `StartupMessage` within TLS.
fn within_tls(config: ClientConfig) -> Side<ClientLogin> {
    let mut side = Side::new(ClientLogin::new(config));
    assert_eq!(side.sent(), codec::ssl_request());
    side.feed(b"S").establish_tls(tls_info());
    side.sent();
    side
}

/// Returns a login that has sent its `StartupMessage` without TLS.
fn plain(credential: Credential, trusted: bool) -> Side<ClientLogin> {
    let mut side = Side::new(ClientLogin::new(ClientConfig {
        security: TransportSecurity::Plain { trusted },
        ..config(credential)
    }));
    side.sent();
    side
}

fn rejected(mut side: Side<ClientLogin>, bytes: &[u8]) -> String {
    side.feed(bytes);
    assert_eq!(side.sent(), b"", "nothing is sent after an error");
    side.error().to_string()
}

/// Returns the server's messages from `AuthenticationOk` on.
fn login_ok() -> Vec<u8> {
    codec::login_ok(&[("server_version".to_owned(), "18.1".to_owned())], &key(32))
}

fn md5_request() -> Vec<u8> {
    codec::authentication(5, b"salt")
}

fn scram_request() -> Vec<u8> {
    codec::authentication(10, b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0")
}

#[test]
fn token_is_sent_within_tls() {
    let mut side = Side::new(ClientLogin::new(config(token())));
    assert_eq!(side.sent(), codec::ssl_request());
    side.feed(b"S");
    assert!(side.awaits_tls());
    assert_eq!(
        side.establish_tls(tls_info()).sent(),
        startup(3, 2, &["user", "jane", "database", "orders", "application_name", "psql"])
    );
    let Credential::Token(text) = token() else { unreachable!() };
    assert_eq!(
        side.feed(&codec::authentication(3, b"")).sent(),
        codec::message(b'p', &[text.as_bytes(), &[0]].concat())
    );
    side.feed_bytewise(&[login_ok(), codec::query("not ours")].concat());
    assert_eq!(side.unread(), codec::query("not ours"));
    let session = side.output();
    assert_eq!((session.minor, session.status, session.key), (2, b'I', Some(key(32))));
    assert_eq!(session.parameters, [("server_version".to_owned(), "18.1".to_owned())]);
}

#[test]
fn nothing_is_sent_if_the_server_declines_tls() {
    let answered = |bytes: &[u8]| {
        let mut side = Side::new(ClientLogin::new(config(token())));
        side.sent();
        rejected(side, bytes)
    };
    assert!(answered(b"N").contains("the server does not support TLS"));
    assert!(answered(b"H").contains("did not answer the TLS request as PostgreSQL does"));
    assert!(answered(b"SSL?").contains("man-in-the-middle"), "CVE-2021-23222");
    let error = answered(&codec::error_response(
        "FATAL",
        "53300",
        "reset your password at evil.example",
        None,
        None,
    ));
    assert!(
        error.contains("answered the TLS request with an error") && !error.contains("evil"),
        "CVE-2024-10977: {error}"
    );
}

#[test]
fn token_is_not_used_as_a_password() {
    for (request, method) in [(md5_request(), "MD5"), (scram_request(), "SCRAM")] {
        let error = rejected(within_tls(config(token())), &request);
        let expected = format!(
            "the server requests a password ({method}) instead of a token: user \"jane\" is not a \
             member of rds_iam"
        );
        assert!(error.starts_with(&expected) && error.contains("GRANT rds_iam"), "{error}");
    }
}

#[test]
fn clear_text_requires_tls_or_a_trusted_socket() {
    for (credential, what) in [(token(), "token"), (password(), "password")] {
        let error = rejected(plain(credential.clone(), false), &codec::authentication(3, b""));
        assert_eq!(error, format!("cannot send the {what} in clear text without TLS: enable TLS"));
        let mut side = plain(credential, true);
        assert_eq!(
            side.feed(&codec::authentication(3, b"")).sent()[0],
            b'p',
            "allowed on a trusted socket"
        );
    }
}

/// "AuthenticationMD5Password": `md5` and `md5(md5(password user) salt)`, as PostgreSQL computes
/// it.
#[test]
fn md5_matches_postgresql() {
    let mut side = within_tls(config(password()));
    let sent = side.feed(&md5_request()).sent();
    // SELECT 'md5' || md5(md5('open sesame' || 'jane') || 'salt')
    assert_eq!(sent, codec::message(b'p', b"md5864277148db98a8bf40a4226a4faf072\0"));
    side.feed(&login_ok());
    assert_eq!(side.output().minor, 2);
}

#[test]
fn server_may_trust_the_user() {
    for credential in [token(), password(), Credential::None] {
        let mut side = within_tls(config(credential));
        side.feed(&login_ok());
        assert_eq!(side.output().status, b'I');
    }
}

#[test]
fn missing_password_is_reported() {
    for request in [codec::authentication(3, b""), md5_request(), scram_request()] {
        let error = rejected(within_tls(config(Credential::None)), &request);
        assert!(
            error.contains("requests a password for user \"jane\", but none is configured"),
            "{error}"
        );
    }
}

#[test]
fn unsupported_method_is_named() {
    let error = |code, data: &[u8]| {
        rejected(within_tls(config(password())), &codec::authentication(code, data))
    };
    assert!(error(2, b"").contains("Kerberos V5"));
    assert!(error(7, b"").contains("GSSAPI"));
    assert!(error(9, b"").contains("SSPI"));
    assert!(error(6, b"").contains("code 6"));
    assert!(error(10, b"OAUTHBEARER\0\0").contains("no supported SASL mechanism"));
    assert!(error(10, b"\0").contains("no supported SASL mechanism"));
    for (code, data) in [
        (0, b"x".as_slice()),
        (3, b"x"),
        (5, b"sal"),
        (5, b"salty"),
        (10, b"SCRAM-SHA-256"),
        (10, b""),
    ] {
        assert_eq!(error(code, data), "the server's authentication request is malformed", "{code}");
    }
    assert!(
        rejected(within_tls(config(password())), &codec::message(b'R', b"\0\0"))
            .contains("malformed")
    );
}

/// Runs SCRAM against a server that knows the password. Returns its last message.
fn run_scram(side: &mut Side<ClientLogin>, request: &[u8], mechanism: Mechanism<'_>) -> Vec<u8> {
    let first = side.feed(request).sent();
    let (name, data) = codec::get_cstr(&first[5..]).unwrap();
    assert_eq!(name.ends_with(b"-PLUS"), matches!(mechanism, Mechanism::Plus(_)));
    let (server_first, message) =
        ServerFirst::new(verifier(), mechanism, &data[4..], "server-nonce").unwrap();
    let proof = side.feed(&codec::authentication(11, message.as_bytes())).sent();
    codec::authentication(12, server_first.verify(&proof[5..]).unwrap().as_bytes())
}

#[test]
fn password_is_proved_by_scram() {
    let mut side = within_tls(config(password()));
    let last = run_scram(&mut side, &scram_request(), Mechanism::Plus(&END_POINT));
    side.feed(&last).feed(&login_ok());
    assert_eq!(side.output().status, b'I');

    let mut side = plain(password(), false);
    let last =
        run_scram(&mut side, &codec::authentication(10, b"SCRAM-SHA-256\0\0"), Mechanism::Plain);
    side.feed(&last).feed(&login_ok());
    assert_eq!(side.output().status, b'I');
}

#[test]
fn scram_requires_proof_of_the_server() {
    let scram = codec::authentication(10, b"SCRAM-SHA-256\0\0");
    let begun = || {
        let mut side = plain(password(), true);
        side.feed(&scram).sent();
        side
    };
    assert!(
        rejected(begun(), &codec::authentication_ok()).contains("without proof of the password")
    );
    assert!(rejected(begun(), &codec::authentication(3, b"")).contains("out of order"));
    assert!(rejected(begun(), &codec::authentication(12, b"v=")).contains("out of order"));
    assert!(
        rejected(begun(), &codec::authentication(11, b"r=abc,s=AA==,i=4096"))
            .contains("not trusted")
    );
    let mut side = plain(password(), true);
    run_scram(&mut side, &scram, Mechanism::Plain);
    assert!(rejected(side, &codec::authentication_ok()).contains("without proof of the password"));
    let mut side = plain(password(), true);
    run_scram(&mut side, &scram, Mechanism::Plain);
    assert!(rejected(side, &codec::authentication(12, b"v=AAAA")).contains("signature is wrong"));
    assert!(
        rejected(plain(password(), true), &codec::authentication(11, b""))
            .contains("before it started")
    );
    assert!(
        rejected(plain(password(), true), &scram_request()).contains("without TLS"),
        "-PLUS without TLS"
    );
}

#[test]
fn password_with_zero_byte_is_rejected() {
    let error = rejected(
        within_tls(config(Credential::Password(secret("a\0b")))),
        &codec::authentication(3, b""),
    );
    assert!(error.contains("zero byte") && !error.contains("a\0b"), "{error}");
}

fn length(credential: &Credential) -> usize {
    match credential {
        Credential::Token(token) => token.len(),
        Credential::Password(password) => password.expose().len(),
        Credential::None => 0,
    }
}

#[test]
fn debug_and_errors_show_no_secret() {
    for credential in [token(), password()] {
        let mut side = within_tls(config(credential.clone()));
        let client = format!("{:?}", ClientLogin::new(config(credential.clone())));
        assert!(!client.contains("sesame") && !client.contains("Signature"), "{client}");
        let mut buffer = ReadBuffer::default();
        buffer.push(&codec::authentication(3, b""));
        let start = ClientLogin::new(ClientConfig {
            security: TransportSecurity::Plain { trusted: true },
            ..config(credential.clone())
        });
        let Ok(Step::Write(_, started)) = start.advance(&mut ReadBuffer::default()) else {
            panic!("a StartupMessage")
        };
        assert_eq!(
            format!("{:?}", started.advance(&mut buffer).unwrap()),
            format!("Write({} bytes)", length(&credential) + 6)
        );
        side.feed(&codec::authentication(3, b"")).sent();
        let error = rejected(side, &codec::message(b'R', b"?"));
        assert!(!error.contains("sesame") && !error.contains("Signature"), "{error}");
    }
}

#[test]
fn startup_message_matches_the_manual() {
    assert_eq!(
        jane(2).encode(),
        packet(0x0003_0002, b"user\0jane\0database\0orders\0application_name\0psql\0\0")
    );
}

proptest! {
    #[test]
    fn splitting_the_input_changes_nothing(pieces in proptest::collection::vec(1..9_usize, 1..20)) {
        let negotiation = codec::negotiate_protocol_version(0, &[]);
        let first = [negotiation, codec::authentication(3, b"")].concat();
        let mut side = within_tls(config(token()));
        let mut sizes = pieces.iter().cycle();
        for message in [first, codec::login_ok(&[("a".to_owned(), "b".to_owned())], &key(4))] {
            let mut rest = message.as_slice();
            while !rest.is_empty() {
                let (now, later) = rest.split_at((*sizes.next().unwrap()).min(rest.len()));
                side.feed(now);
                rest = later;
            }
        }
        let session = side.output();
        prop_assert_eq!(
            (session.minor, session.parameters.len(), session.key),
            (0, 1, Some(key(4))),
        );
    }

    #[test]
    fn no_input_panics(
        answer: Vec<u8>,
        bytes in proptest::collection::vec(any::<u8>(), 0..400),
        kind in "[RSKZNEv]",
        length in 0..40_u8,
    ) {
        let mut side = Side::new(ClientLogin::new(config(password())));
        side.feed(&answer);
        let mut side = within_tls(config(password()));
        side.feed(&bytes);
        let mut side = within_tls(config(password()));
        let header = [kind.as_bytes(), &[0, 0, 0, length]].concat();
        side.feed(&codec::authentication_ok()).feed(&header).feed(&bytes).feed(&bytes);
    }

    /// Without `AuthenticationOk` no login succeeds, whatever the server sends.
    #[test]
    fn no_login_without_authentication_ok(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assume!(!bytes.windows(9).any(|window| window == codec::authentication_ok()));
        let mut side = within_tls(config(password()));
        side.feed(&bytes);
        prop_assert!(!matches!(side.result(), Some(Ok(_))));
    }
}
