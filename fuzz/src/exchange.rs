//! Driver of one side of a login, whose peer is the input.

use countersign_core::credentials::Secret;
use countersign_wire::exchange::{ClientTlsMode, Credential, TransportSecurity};
use countersign_wire::pg::codec::ALPN;
use countersign_wire::{Exchange, ProtocolError, ReadBuffer, Step, TlsInfo};
use zeroize::Zeroizing;

const TOKEN: &str = "token-that-must-stay-secret";

/// Chooses the TLS policy of a server side.
pub(crate) fn client_tls_mode(choice: u8) -> ClientTlsMode {
    match choice % 3 {
        0 => ClientTlsMode::Off,
        1 => ClientTlsMode::Offered,
        _ => ClientTlsMode::Required,
    }
}

/// Chooses the transport security of a client side.
pub(crate) fn transport_security(choice: u8) -> TransportSecurity {
    match choice % 3 {
        0 => TransportSecurity::Required,
        one => TransportSecurity::Plain { trusted: one == 1 },
    }
}

/// Chooses the credential of a client side.
pub(crate) fn credential(choice: u8) -> Credential {
    match Secret::new("password") {
        Some(password) if choice % 2 == 1 => Credential::Password(password),
        _ => Credential::Token(Zeroizing::new(TOKEN.to_owned())),
    }
}

/// Outcome of an exchange.
pub(crate) struct Played<T> {
    pub(crate) sent: Vec<u8>,
    pub(crate) is_secure: bool,
    pub(crate) result: Option<Result<T, ProtocolError>>,
}

impl<T> Played<T> {
    /// Asserts that the exchange sent little, the token only over a secure transport, and that its
    /// error does not contain the token.
    pub(crate) fn assert_token_is_secret(&self, security: TransportSecurity, input: &[u8]) {
        assert!(self.sent.len() < 64 * 1024, "the client sent too much");
        assert!(
            !contains_token(&self.sent)
                || self.is_secure
                || security == TransportSecurity::Plain { trusted: true },
            "the token was sent in clear text"
        );
        if let Some(Err(error)) = &self.result {
            assert!(
                !error.to_string().contains(TOKEN) || contains_token(input),
                "an error contains the token"
            );
        }
    }
}

fn contains_token(bytes: &[u8]) -> bool {
    bytes.windows(TOKEN.len()).any(|window| window == TOKEN.as_bytes())
}

/// Delivers the input in pieces. Instead of a TLS handshake, it drops the buffered bytes and
/// reports the facts that PostgreSQL requires.
pub(crate) fn play<E: Exchange>(exchange: E, data: &[u8], size: usize) -> Played<E::Output> {
    let mut buffer = ReadBuffer::default();
    let mut played = Played { sent: Vec::new(), is_secure: false, result: None };
    let mut next = exchange;
    let mut pieces = data.chunks(size);
    loop {
        match next.advance(&mut buffer) {
            Ok(Step::Read(waiting)) => {
                let Some(piece) = pieces.next() else {
                    return played;
                };
                buffer.push(piece);
                next = waiting;
            }
            Ok(Step::Write(bytes, following)) => {
                played.sent.extend_from_slice(&bytes);
                next = following;
            }
            Ok(Step::StartTls(bytes, waiting)) => {
                assert!(
                    bytes.is_empty() || buffer.is_empty(),
                    "unencrypted data before TLS is still buffered"
                );
                played.sent.extend_from_slice(&bytes);
                played.is_secure = true;
                buffer.consume(usize::MAX);
                next = waiting.established(TlsInfo {
                    server_end_point: Some(vec![7; 32]),
                    alpn_protocol: Some(ALPN.to_vec()),
                });
            }
            Ok(Step::Done(bytes, output)) => {
                played.sent.extend_from_slice(&bytes);
                played.result = Some(Ok(output));
                return played;
            }
            Err(error) => {
                played.sent.extend_from_slice(error.error_packet());
                played.result = Some(Err(error));
                return played;
            }
        }
    }
}
