//! Either side of a login, given what a stranger says.

use countersign_wire::pg::codec::ALPN;
use countersign_wire::{Exchange, ProtocolError, ReadBuffer, Step, TlsInfo};

/// What came of an exchange.
pub(crate) struct Played<T> {
    pub(crate) sent: Vec<u8>,
    pub(crate) is_secure: bool,
    pub(crate) result: Option<Result<T, ProtocolError>>,
}

/// Gives an exchange the input in pieces. TLS is made by saying so, with what PostgreSQL demands of it: what was to
/// be its is left out.
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
            Ok(Step::Write(bytes, going)) => {
                played.sent.extend_from_slice(&bytes);
                next = going;
            }
            Ok(Step::StartTls(bytes, waiting)) => {
                assert!(
                    bytes.is_empty() || buffer.is_empty(),
                    "TLS begins remaining what was said ahead of it"
                );
                played.sent.extend_from_slice(&bytes);
                played.is_secure = true;
                buffer.consume(usize::MAX);
                next = waiting.established(TlsInfo {
                    server_end_point: Some(vec![7; 32]),
                    protocol: Some(ALPN.to_vec()),
                });
            }
            Ok(Step::Done(bytes, outcome)) => {
                played.sent.extend_from_slice(&bytes);
                played.result = Some(Ok(outcome));
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
