use proptest::prelude::*;

use super::*;
use crate::mysql::auth_plugins::{self, CACHING_SHA2, CLEAR, ED25519, NATIVE, OLD, SHA256};
use crate::mysql::tests::{MARIADB_1011, MYSQL_97, hex, password, token};

const TRUSTED: TransportSecurity = TransportSecurity::Plain { trusted: true };
const OPEN: TransportSecurity = TransportSecurity::Plain { trusted: false };

fn inbox(bytes: &[u8]) -> ReadBuffer {
    let mut inbox = ReadBuffer::default();
    inbox.push(bytes);
    inbox
}

fn begin(security: TransportSecurity, credential: Credential) -> ClientLogin {
    ClientLogin::new(ClientConfig { wish: LoginParams::new("jane", None), security, credential })
}

/// A dial that has read a greeting and sent its login, that login, and the number of the server's packet that comes.
fn introduced(
    digits: &str,
    security: TransportSecurity,
    credential: Credential,
) -> Result<(ClientLogin, Vec<u8>, u8), ProtocolError> {
    let mut step =
        begin(security, credential).advance(&mut inbox(&codec::packet(0, &hex(digits))))?;
    let mut sequence = 2;
    loop {
        step = match step {
            Step::Write(bytes, next) if bytes.len() == 36 => {
                next.advance(&mut ReadBuffer::default())?
            }
            Step::Write(bytes, next) => return Ok((next, bytes.to_vec(), sequence)),
            Step::StartTls(bytes, secure) => {
                assert!(bytes.is_empty());
                sequence = 3;
                secure.established(TlsInfo::default()).advance(&mut ReadBuffer::default())?
            }
            step => panic!("{step:?}"),
        };
    }
}

/// Asks a dial for another proof, and gives what it answers.
fn switched(
    security: TransportSecurity,
    credential: Credential,
    plugin: &str,
    nonce: &[u8],
) -> Result<Vec<u8>, ProtocolError> {
    let (dial, _, sequence) = introduced(MARIADB_1011, security, credential)?;
    let request = [b"\xfe", plugin.as_bytes(), b"\0", nonce].concat();
    match dial.advance(&mut inbox(&codec::packet(sequence, &request)))? {
        Step::Write(bytes, _) => {
            assert_eq!(bytes[3], sequence + 1);
            Ok(bytes[codec::HEADER..].to_vec())
        }
        step => panic!("{step:?}"),
    }
}

#[test]
fn what_goes_along_with_the_name() {
    let ends = |digits, security, credential: Credential, plugin: &str, proof: &[u8]| {
        let (_, bytes, _) = introduced(digits, security, credential).unwrap();
        let mut wanted = b"jane\0".to_vec();
        codec::put_string(&mut wanted, proof);
        codec::put_text(&mut wanted, plugin);
        assert!(bytes.ends_with(&wanted), "{bytes:?}");
    };
    let nonce = |digits| HandshakeV10::parse(&hex(digits)).unwrap().nonce;
    ends(
        MARIADB_1011,
        OPEN,
        password("geheim"),
        NATIVE,
        &auth_plugins::native(b"geheim", &nonce(MARIADB_1011)),
    );
    ends(
        MYSQL_97,
        OPEN,
        password("geheim"),
        CACHING_SHA2,
        &auth_plugins::caching_sha2(b"geheim", &nonce(MYSQL_97)),
    );
    ends(MYSQL_97, OPEN, Credential::None, NATIVE, b"");
    let Credential::Token(text) = token() else { panic!() };
    ends(MYSQL_97, TransportSecurity::Required, token(), CLEAR, &[text.as_bytes(), b"\0"].concat());
    ends(MARIADB_1011, TRUSTED, token(), CLEAR, &[text.as_bytes(), b"\0"].concat());
    assert!(matches!(introduced(MYSQL_97, OPEN, token()), Err(ProtocolError::Unsupported { .. })));
}

#[test]
fn a_request_for_tls_says_the_same_as_the_login_behind_it() {
    let step = begin(TransportSecurity::Required, token())
        .advance(&mut inbox(&codec::packet(0, &hex(MYSQL_97))))
        .unwrap();
    let Step::Write(request, _) = step else { panic!("{step:?}") };
    let (_, login, _) = introduced(MYSQL_97, TransportSecurity::Required, token()).unwrap();
    assert_eq!(request[..4], [32, 0, 0, 1]);
    assert_eq!(login[3], 2);
    assert_eq!(request[4..], login[4..36]);
}

#[test]
fn every_plugin_gets_what_it_asks_for_or_nothing() {
    let nonce = [7; 20];
    let given = [nonce.as_slice(), b"\0"].concat();
    let secret = || password("geheim");
    assert_eq!(
        switched(OPEN, secret(), NATIVE, &given).unwrap(),
        auth_plugins::native(b"geheim", &nonce)
    );
    assert_eq!(
        switched(OPEN, secret(), CACHING_SHA2, &given).unwrap(),
        auth_plugins::caching_sha2(b"geheim", &nonce)
    );
    assert_eq!(
        switched(OPEN, secret(), ED25519, &[0; 32]).unwrap(),
        auth_plugins::ed25519(b"geheim", &[0; 32])
    );
    for plugin in [CLEAR, SHA256] {
        assert_eq!(
            switched(TransportSecurity::Required, secret(), plugin, &given).unwrap(),
            b"geheim\0"
        );
        assert_eq!(switched(TRUSTED, secret(), plugin, b"").unwrap(), b"geheim\0");
        assert!(matches!(
            switched(OPEN, secret(), plugin, &given),
            Err(ProtocolError::Unsupported { .. })
        ));
        assert_eq!(switched(OPEN, Credential::None, plugin, &given).unwrap(), b"\0");
    }
    assert_eq!(switched(OPEN, Credential::None, NATIVE, &given).unwrap(), b"");
    assert_eq!(switched(OPEN, Credential::None, CACHING_SHA2, &given).unwrap(), b"\0");
    for plugin in [OLD, "parsec", "dialog", "auth_gssapi_client", ""] {
        assert!(
            matches!(
                switched(TransportSecurity::Required, secret(), plugin, &given),
                Err(ProtocolError::Unsupported { .. })
            ),
            "{plugin}"
        );
    }
    assert!(matches!(
        switched(OPEN, secret(), ED25519, &given),
        Err(ProtocolError::Protocol { .. })
    ));
    assert!(matches!(
        switched(TransportSecurity::Required, password("a\0b"), CLEAR, b""),
        Err(ProtocolError::Unsupported { .. })
    ));
}

#[test]
fn a_token_is_nothing_but_a_token() {
    for plugin in [NATIVE, CACHING_SHA2, SHA256, ED25519, "parsec", "dialog"] {
        let fault = switched(TransportSecurity::Required, token(), plugin, &[1; 32])
            .unwrap_err()
            .to_string();
        assert!(fault.contains(plugin) && fault.contains("AWSAuthenticationPlugin"), "{fault}");
    }
    let Credential::Token(text) = token() else { panic!() };
    assert_eq!(
        switched(TransportSecurity::Required, token(), CLEAR, b"").unwrap(),
        [text.as_bytes(), b"\0"].concat()
    );
}

#[test]
fn the_password_itself_goes_out_where_nobody_reads_along() {
    for (security, digits) in
        [(TransportSecurity::Required, MYSQL_97), (TRUSTED, MYSQL_97), (OPEN, MYSQL_97)]
    {
        let (dial, _, sequence) = introduced(digits, security, password("geheim")).unwrap();
        let mut inbox = inbox(&codec::packet(sequence, &[1, 4]));
        match dial.advance(&mut inbox) {
            Ok(Step::Write(bytes, dial)) => {
                assert_eq!(*bytes, codec::packet(sequence + 1, b"geheim\0"));
                inbox.push(&codec::packet(sequence + 2, &[0, 0, 0, 2, 0, 0, 0]));
                assert!(matches!(
                    dial.advance(&mut inbox),
                    Ok(Step::Done(_, Session { status: 2, .. }))
                ));
            }
            Err(ProtocolError::Unsupported { detail, .. }) => {
                assert!(security == OPEN && detail.contains("TLS"), "{detail}")
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn what_a_server_says_in_place_of_a_greeting_is_heard() {
    let too_many = codec::packet(0, b"\xff\x10\x04Too many connections");
    for security in [TransportSecurity::Required, OPEN] {
        let fault = begin(security, token()).advance(&mut inbox(&too_many)).unwrap_err();
        let ProtocolError::Refused(error) = fault else { panic!("{fault:?}") };
        assert_eq!(error.to_string(), "1040 (08004): Too many connections");
        assert_eq!(error.payload, b"\xff\x10\x04#08004Too many connections");
    }
    assert!(matches!(
        ReadGreeting::new().advance(&mut inbox(&too_many)),
        Err(ProtocolError::Refused(_))
    ));
    let Ok(Step::Done(_, greeting)) =
        ReadGreeting::new().advance(&mut inbox(&codec::packet(0, &hex(MYSQL_97))))
    else {
        panic!()
    };
    assert_eq!(greeting.version, "9.7.4-2");
    for stranger in [
        b"SSH-2.0-OpenSSH_9.2\r\n".as_slice(),
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\x05\0\0\0\x09abcd",
    ] {
        let fault = ReadGreeting::new().advance(&mut inbox(stranger)).unwrap_err();
        assert!(
            matches!(&fault, ProtocolError::Protocol { detail, .. } if detail.contains("the port")),
            "{fault:?}"
        );
    }
}

#[test]
fn a_server_in_the_wrong_is_not_followed() {
    // Something behind the greeting, ahead of TLS.
    let bytes = [codec::packet(0, &hex(MYSQL_97)), b"x".to_vec()].concat();
    assert!(matches!(
        begin(TransportSecurity::Required, token()).advance(&mut inbox(&bytes)),
        Err(ProtocolError::Protocol { .. })
    ));
    for (digits, packet) in [
        (MYSQL_97, [1, 5].as_slice()),
        (MARIADB_1011, &[1, 3]),
        (MYSQL_97, &[2, 0]),
        (MYSQL_97, &[]),
        (MYSQL_97, &[0, 0]),
        (MYSQL_97, b"\xfeno end"),
        (MYSQL_97, &[0x42]),
    ] {
        let (dial, _, sequence) = introduced(digits, OPEN, password("x")).unwrap();
        assert!(
            matches!(
                dial.advance(&mut inbox(&codec::packet(sequence, packet))),
                Err(ProtocolError::Protocol { .. })
            ),
            "{packet:?}"
        );
    }
    // From before there were plugins.
    let (dial, _, sequence) = introduced(MYSQL_97, OPEN, password("x")).unwrap();
    assert!(matches!(
        dial.advance(&mut inbox(&codec::packet(sequence, b"\xfe"))),
        Err(ProtocolError::Unsupported { .. })
    ));
    let (dial, _, sequence) = introduced(MYSQL_97, OPEN, password("x")).unwrap();
    assert!(matches!(
        dial.advance(&mut inbox(&codec::packet(sequence + 1, &[0, 0, 0, 2, 0, 0, 0]))),
        Err(ProtocolError::Protocol { .. })
    ));
}

#[test]
fn there_is_an_end_to_what_is_answered() {
    let (mut dial, _, mut sequence) = introduced(MYSQL_97, OPEN, password("x")).unwrap();
    let request = [b"\xfe".as_slice(), NATIVE.as_bytes(), b"\0", &[7; 20], b"\0"].concat();
    for _ in 0..4 {
        let Ok(Step::Write(_, next)) = dial.advance(&mut inbox(&codec::packet(sequence, &request)))
        else {
            panic!()
        };
        (dial, sequence) = (next, sequence + 2);
    }
    assert!(matches!(
        dial.advance(&mut inbox(&codec::packet(sequence, &request))),
        Err(ProtocolError::Protocol { .. })
    ));
    let (dial, _, sequence) = introduced(MYSQL_97, OPEN, password("x")).unwrap();
    let packets: Vec<u8> =
        (0..40).flat_map(|number| codec::packet(sequence + number, &[1, 3])).collect();
    assert!(matches!(dial.advance(&mut inbox(&packets)), Err(ProtocolError::Protocol { .. })));
}

#[test]
fn secrets_are_not_shown() {
    let text = format!(
        "{:?} {:?}",
        begin(TRUSTED, password("geheim")),
        introduced(MYSQL_97, TransportSecurity::Required, token()).unwrap().0
    );
    assert!(!text.contains("geheim") && !text.contains("Signature"), "{text}");
}

proptest! {
    #[test]
    fn whatever_a_server_says_is_an_outcome(bytes: Vec<u8>, packets in proptest::collection::vec(any::<Vec<u8>>(), 0..6), chunk in 1..50_usize) {
        let run = |bytes: &[u8], chunk: usize| {
            let mut dial = begin(OPEN, password("geheim"));
            let (mut inbox, mut sent) = (ReadBuffer::default(), Vec::new());
            for part in bytes.chunks(chunk) {
                inbox.push(part);
                loop {
                    match dial.advance(&mut inbox) {
                        Ok(Step::Read(next)) => { dial = next; break }
                        Ok(Step::Write(bytes, next)) => { sent.extend_from_slice(&bytes); dial = next }
                        other => return (sent, format!("{other:?}")),
                    }
                }
            }
            (sent, "waits".to_owned())
        };
        let numbered = packets.iter().zip([2_u8, 4, 6, 8, 10, 12]).flat_map(|(payload, sequence)| codec::packet(sequence, payload));
        let whole: Vec<u8> = codec::packet(0, &hex(MARIADB_1011)).into_iter().chain(numbered).collect();
        prop_assert_eq!(run(&whole, chunk), run(&whole, usize::MAX));
        prop_assert_eq!(run(&bytes, chunk), run(&bytes, usize::MAX));
    }
}
