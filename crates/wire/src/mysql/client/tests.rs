use proptest::prelude::*;

use super::*;
use crate::mysql::auth_plugins::{self, CACHING_SHA2, CLEAR, ED25519, NATIVE, OLD, SHA256};
use crate::mysql::tests::{MARIADB_1011, MYSQL_97, hex, password, token};

const TRUSTED: TransportSecurity = TransportSecurity::Plain { trusted: true };
const UNTRUSTED: TransportSecurity = TransportSecurity::Plain { trusted: false };

fn buffer(bytes: &[u8]) -> ReadBuffer {
    let mut buffer = ReadBuffer::default();
    buffer.push(bytes);
    buffer
}

fn begin(security: TransportSecurity, credential: Credential) -> ClientLogin {
    ClientLogin::new(ClientConfig { params: LoginParams::new("jane", None), security, credential })
}

/// Returns a login that has sent its handshake response, that packet, and the sequence number of
/// the server's next packet.
fn responded(
    digits: &str,
    security: TransportSecurity,
    credential: Credential,
) -> Result<(ClientLogin, Vec<u8>, u8), ProtocolError> {
    let mut step =
        begin(security, credential).advance(&mut buffer(&codec::packet(0, &hex(digits))))?;
    let mut sequence = 2;
    loop {
        step = match step {
            Step::Write(bytes, next) if bytes.len() == 36 => {
                next.advance(&mut ReadBuffer::default())?
            }
            Step::Write(bytes, next) => return Ok((next, bytes.to_vec(), sequence)),
            Step::StartTls(bytes, next) => {
                assert!(bytes.is_empty());
                sequence = 3;
                next.established(TlsInfo::default()).advance(&mut ReadBuffer::default())?
            }
            step => panic!("{step:?}"),
        };
    }
}

/// Sends an auth switch request, and returns the payload of the client's response.
fn switched(
    security: TransportSecurity,
    credential: Credential,
    plugin: &str,
    nonce: &[u8],
) -> Result<Vec<u8>, ProtocolError> {
    let (client, _, sequence) = responded(MARIADB_1011, security, credential)?;
    let request = [b"\xfe", plugin.as_bytes(), b"\0", nonce].concat();
    match client.advance(&mut buffer(&codec::packet(sequence, &request)))? {
        Step::Write(bytes, _) => {
            assert_eq!(bytes[3], sequence + 1);
            Ok(bytes[codec::HEADER..].to_vec())
        }
        step => panic!("{step:?}"),
    }
}

#[test]
fn proof_of_the_handshake_response_depends_on_credential_and_server() {
    let ends = |digits, security, credential: Credential, plugin: &str, proof: &[u8]| {
        let (_, bytes, _) = responded(digits, security, credential).unwrap();
        let mut wanted = b"jane\0".to_vec();
        codec::put_string(&mut wanted, proof);
        codec::put_cstr(&mut wanted, plugin);
        assert!(bytes.ends_with(&wanted), "{bytes:?}");
    };
    let nonce = |digits| HandshakeV10::parse(&hex(digits)).unwrap().nonce;
    ends(
        MARIADB_1011,
        UNTRUSTED,
        password("geheim"),
        NATIVE,
        &auth_plugins::native(b"geheim", &nonce(MARIADB_1011)),
    );
    ends(
        MYSQL_97,
        UNTRUSTED,
        password("geheim"),
        CACHING_SHA2,
        &auth_plugins::caching_sha2(b"geheim", &nonce(MYSQL_97)),
    );
    ends(MYSQL_97, UNTRUSTED, Credential::None, NATIVE, b"");
    let Credential::Token(text) = token() else { panic!() };
    ends(MYSQL_97, TransportSecurity::Required, token(), CLEAR, &[text.as_bytes(), b"\0"].concat());
    ends(MARIADB_1011, TRUSTED, token(), CLEAR, &[text.as_bytes(), b"\0"].concat());
    assert!(matches!(
        responded(MYSQL_97, UNTRUSTED, token()),
        Err(ProtocolError::Unsupported { .. })
    ));
}

#[test]
fn ssl_request_equals_the_start_of_the_handshake_response() {
    let step = begin(TransportSecurity::Required, token())
        .advance(&mut buffer(&codec::packet(0, &hex(MYSQL_97))))
        .unwrap();
    let Step::Write(request, _) = step else { panic!("{step:?}") };
    let (_, login, _) = responded(MYSQL_97, TransportSecurity::Required, token()).unwrap();
    assert_eq!(request[..4], [32, 0, 0, 1]);
    assert_eq!(login[3], 2);
    assert_eq!(request[4..], login[4..36]);
}

#[test]
fn each_plugin_receives_its_proof() {
    let nonce = [7; 20];
    let given = [nonce.as_slice(), b"\0"].concat();
    let secret = || password("geheim");
    assert_eq!(
        switched(UNTRUSTED, secret(), NATIVE, &given).unwrap(),
        auth_plugins::native(b"geheim", &nonce)
    );
    assert_eq!(
        switched(UNTRUSTED, secret(), CACHING_SHA2, &given).unwrap(),
        auth_plugins::caching_sha2(b"geheim", &nonce)
    );
    assert_eq!(
        switched(UNTRUSTED, secret(), ED25519, &[0; 32]).unwrap(),
        auth_plugins::ed25519(b"geheim", &[0; 32])
    );
    for plugin in [CLEAR, SHA256] {
        assert_eq!(
            switched(TransportSecurity::Required, secret(), plugin, &given).unwrap(),
            b"geheim\0"
        );
        assert_eq!(switched(TRUSTED, secret(), plugin, b"").unwrap(), b"geheim\0");
        assert!(matches!(
            switched(UNTRUSTED, secret(), plugin, &given),
            Err(ProtocolError::Unsupported { .. })
        ));
        assert_eq!(switched(UNTRUSTED, Credential::None, plugin, &given).unwrap(), b"\0");
    }
    assert_eq!(switched(UNTRUSTED, Credential::None, NATIVE, &given).unwrap(), b"");
    assert_eq!(switched(UNTRUSTED, Credential::None, CACHING_SHA2, &given).unwrap(), b"\0");
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
        switched(UNTRUSTED, secret(), ED25519, &given),
        Err(ProtocolError::Protocol { .. })
    ));
    assert!(matches!(
        switched(TransportSecurity::Required, password("a\0b"), CLEAR, b""),
        Err(ProtocolError::Unsupported { .. })
    ));
}

#[test]
fn token_is_sent_only_by_the_clear_text_plugin() {
    for plugin in [NATIVE, CACHING_SHA2, SHA256, ED25519, "parsec", "dialog"] {
        let error = switched(TransportSecurity::Required, token(), plugin, &[1; 32])
            .unwrap_err()
            .to_string();
        assert!(error.contains(plugin) && error.contains("AWSAuthenticationPlugin"), "{error}");
    }
    let Credential::Token(text) = token() else { panic!() };
    assert_eq!(
        switched(TransportSecurity::Required, token(), CLEAR, b"").unwrap(),
        [text.as_bytes(), b"\0"].concat()
    );
}

#[test]
fn full_authentication_requires_tls_or_a_trusted_socket() {
    for (security, digits) in
        [(TransportSecurity::Required, MYSQL_97), (TRUSTED, MYSQL_97), (UNTRUSTED, MYSQL_97)]
    {
        let (client, _, sequence) = responded(digits, security, password("geheim")).unwrap();
        let mut buffer = buffer(&codec::packet(sequence, &[1, 4]));
        match client.advance(&mut buffer) {
            Ok(Step::Write(bytes, client)) => {
                assert_eq!(*bytes, codec::packet(sequence + 1, b"geheim\0"));
                buffer.push(&codec::packet(sequence + 2, &[0, 0, 0, 2, 0, 0, 0]));
                assert!(matches!(
                    client.advance(&mut buffer),
                    Ok(Step::Done(_, Session { status: 2, .. }))
                ));
            }
            Err(ProtocolError::Unsupported { detail, .. }) => {
                assert!(security == UNTRUSTED && detail.contains("TLS"), "{detail}")
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn error_instead_of_a_greeting_is_returned() {
    let too_many = codec::packet(0, b"\xff\x10\x04Too many connections");
    for security in [TransportSecurity::Required, UNTRUSTED] {
        let error = begin(security, token()).advance(&mut buffer(&too_many)).unwrap_err();
        let ProtocolError::Refused(error) = error else { panic!("{error:?}") };
        assert_eq!(error.to_string(), "1040 (08004): Too many connections");
        assert_eq!(error.payload, b"\xff\x10\x04#08004Too many connections");
    }
    assert!(matches!(
        ReadGreeting::new().advance(&mut buffer(&too_many)),
        Err(ProtocolError::Refused(_))
    ));
    let Ok(Step::Done(_, greeting)) =
        ReadGreeting::new().advance(&mut buffer(&codec::packet(0, &hex(MYSQL_97))))
    else {
        panic!()
    };
    assert_eq!(greeting.version, "9.7.4-2");
    for greeting in [
        b"SSH-2.0-OpenSSH_9.2\r\n".as_slice(),
        b"HTTP/1.1 400 Bad Request\r\n",
        b"\x05\0\0\0\x09abcd",
    ] {
        let error = ReadGreeting::new().advance(&mut buffer(greeting)).unwrap_err();
        assert!(
            matches!(
                &error,
                ProtocolError::Protocol { detail, .. } if detail.contains("host and port"),
            ),
            "{error:?}"
        );
    }
}

#[test]
fn server_violations_are_errors() {
    // Data after the greeting, before TLS.
    let bytes = [codec::packet(0, &hex(MYSQL_97)), b"x".to_vec()].concat();
    assert!(matches!(
        begin(TransportSecurity::Required, token()).advance(&mut buffer(&bytes)),
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
        let (client, _, sequence) = responded(digits, UNTRUSTED, password("x")).unwrap();
        assert!(
            matches!(
                client.advance(&mut buffer(&codec::packet(sequence, packet))),
                Err(ProtocolError::Protocol { .. })
            ),
            "{packet:?}"
        );
    }
    // `OldAuthSwitchRequest`.
    let (client, _, sequence) = responded(MYSQL_97, UNTRUSTED, password("x")).unwrap();
    assert!(matches!(
        client.advance(&mut buffer(&codec::packet(sequence, b"\xfe"))),
        Err(ProtocolError::Unsupported { .. })
    ));
    let (client, _, sequence) = responded(MYSQL_97, UNTRUSTED, password("x")).unwrap();
    assert!(matches!(
        client.advance(&mut buffer(&codec::packet(sequence + 1, &[0, 0, 0, 2, 0, 0, 0]))),
        Err(ProtocolError::Protocol { .. })
    ));
}

#[test]
fn number_of_packets_is_limited() {
    let (mut client, _, mut sequence) = responded(MYSQL_97, UNTRUSTED, password("x")).unwrap();
    let request = [b"\xfe".as_slice(), NATIVE.as_bytes(), b"\0", &[7; 20], b"\0"].concat();
    for _ in 0..4 {
        let Ok(Step::Write(_, next)) =
            client.advance(&mut buffer(&codec::packet(sequence, &request)))
        else {
            panic!()
        };
        (client, sequence) = (next, sequence + 2);
    }
    assert!(matches!(
        client.advance(&mut buffer(&codec::packet(sequence, &request))),
        Err(ProtocolError::Protocol { .. })
    ));
    let (client, _, sequence) = responded(MYSQL_97, UNTRUSTED, password("x")).unwrap();
    let packets: Vec<u8> =
        (0..40).flat_map(|number| codec::packet(sequence + number, &[1, 3])).collect();
    assert!(matches!(client.advance(&mut buffer(&packets)), Err(ProtocolError::Protocol { .. })));
}

#[test]
fn debug_shows_no_secret() {
    let text = format!(
        "{:?} {:?}",
        begin(TRUSTED, password("geheim")),
        responded(MYSQL_97, TransportSecurity::Required, token()).unwrap().0
    );
    assert!(!text.contains("geheim") && !text.contains("Signature"), "{text}");
}

proptest! {
    #[test]
    fn no_input_panics_and_splitting_changes_nothing(
        bytes: Vec<u8>,
        packets in proptest::collection::vec(any::<Vec<u8>>(), 0..6),
        chunk in 1..50_usize,
    ) {
        let run = |bytes: &[u8], chunk: usize| {
            let mut client = begin(UNTRUSTED, password("geheim"));
            let (mut buffer, mut sent) = (ReadBuffer::default(), Vec::new());
            for part in bytes.chunks(chunk) {
                buffer.push(part);
                loop {
                    match client.advance(&mut buffer) {
                        Ok(Step::Read(next)) => { client = next; break }
                        Ok(Step::Write(bytes, next)) => {
                            sent.extend_from_slice(&bytes);
                            client = next;
                        }
                        other => return (sent, format!("{other:?}")),
                    }
                }
            }
            (sent, "waiting".to_owned())
        };
        let numbered = packets.iter().zip([2_u8, 4, 6, 8, 10, 12]).flat_map(
            |(payload, sequence)| codec::packet(sequence, payload),
        );
        let greeting = codec::packet(0, &hex(MARIADB_1011));
        let whole: Vec<u8> = greeting.into_iter().chain(numbered).collect();
        prop_assert_eq!(run(&whole, chunk), run(&whole, usize::MAX));
        prop_assert_eq!(run(&bytes, chunk), run(&bytes, usize::MAX));
    }
}
