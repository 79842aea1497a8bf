//! Cancellation of a session's statement.

use zeroize::Zeroizing;

use super::{CancelKey, codec};
use crate::exchange::{AwaitTls, Exchange, ProtocolError, Step, TlsInfo, TransportSecurity};
use crate::read_buffer::ReadBuffer;

/// Client side of a `CancelRequest`. It finishes when the request is sent: the server closes the
/// connection without a response.
///
/// ```
/// use countersign_wire::exchange::TransportSecurity;
/// use countersign_wire::pg::{CancelKey, cancel_request::CancelRequest};
/// use countersign_wire::{Exchange, ReadBuffer, Step};
///
/// let key = CancelKey { process_id: 7, secret: vec![1, 2, 3, 4] };
/// let plain = TransportSecurity::Plain { trusted: true };
/// let step = CancelRequest::new(key, plain).advance(&mut ReadBuffer::default())?;
/// let Step::Done(bytes, ()) = step else { panic!("{step:?}") };
/// assert_eq!(bytes, b"\0\0\0\x10\x04\xd2\x16\x2e\0\0\0\x07\x01\x02\x03\x04");
/// # Ok::<_, countersign_wire::ProtocolError>(())
/// ```
#[derive(Debug)]
pub struct CancelRequest {
    key: CancelKey,
    state: State,
}

#[derive(Debug)]
enum State {
    Start(TransportSecurity),
    TlsRequested,
    Connected,
}

impl CancelRequest {
    /// Creates a request. It asks the server for TLS if `security` requires it.
    #[must_use]
    pub const fn new(key: CancelKey, security: TransportSecurity) -> Self {
        Self { key, state: State::Start(security) }
    }
}

impl Exchange for CancelRequest {
    type Output = ();

    fn advance(self, buffer: &mut ReadBuffer) -> Result<Step<Self>, ProtocolError> {
        match self.state {
            State::Start(TransportSecurity::Required) => Ok(Step::Write(
                Zeroizing::new(codec::ssl_request()),
                Self { state: State::TlsRequested, ..self },
            )),
            State::TlsRequested => match buffer.unread() {
                [] => Ok(Step::Read(self)),
                // Data before the handshake may come from a man in the middle (CVE-2021-23222).
                b"S" => {
                    buffer.consume(1);
                    Ok(Step::StartTls(Vec::new(), Box::new(TlsPending(self.key))))
                }
                _ => Err(ProtocolError::unsupported(
                    "cannot send the cancel request: the server does not support TLS, which is \
                     required",
                )),
            },
            State::Start(TransportSecurity::Plain { .. }) | State::Connected => {
                Ok(Step::Done(codec::cancel_request(&self.key), ()))
            }
        }
    }
}

#[derive(Debug)]
struct TlsPending(CancelKey);

impl AwaitTls<CancelRequest> for TlsPending {
    fn established(self: Box<Self>, _: TlsInfo) -> CancelRequest {
        CancelRequest { key: self.0, state: State::Connected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REQUEST: [u8; 16] = [0, 0, 0, 16, 4, 210, 22, 46, 0, 0, 0, 7, 1, 2, 3, 4];

    fn request(security: TransportSecurity) -> CancelRequest {
        CancelRequest::new(CancelKey { process_id: 7, secret: vec![1, 2, 3, 4] }, security)
    }

    fn tls_requested() -> CancelRequest {
        match request(TransportSecurity::Required).advance(&mut ReadBuffer::default()).unwrap() {
            Step::Write(bytes, next) if *bytes == [0, 0, 0, 8, 4, 210, 22, 47] => next,
            step => panic!("{step:?}"),
        }
    }

    #[test]
    fn request_is_sent_at_once_without_tls() {
        let plain = TransportSecurity::Plain { trusted: false };
        let step = request(plain).advance(&mut ReadBuffer::default()).unwrap();
        assert!(matches!(step, Step::Done(bytes, ()) if bytes == REQUEST));
    }

    #[test]
    fn key_is_sent_after_the_tls_handshake() {
        let mut buffer = ReadBuffer::default();
        buffer.push(b"S");
        let Step::StartTls(bytes, next) = tls_requested().advance(&mut buffer).unwrap() else {
            panic!()
        };
        assert!(bytes.is_empty() && buffer.is_empty());
        let step = next.established(TlsInfo::default()).advance(&mut buffer).unwrap();
        assert!(matches!(step, Step::Done(bytes, ()) if bytes == REQUEST));
    }

    #[test]
    fn key_is_not_sent_if_the_server_has_no_tls() {
        for response in [b"N".as_slice(), b"SX", b"E"] {
            let mut buffer = ReadBuffer::default();
            buffer.push(response);
            let result = tls_requested().advance(&mut buffer);
            assert!(matches!(result, Err(ProtocolError::Unsupported { .. })));
        }
    }
}
