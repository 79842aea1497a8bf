//! In-memory driver for exchanges. It delivers bytes between both ends of a login in pieces of any
//! size.

use std::fmt::Debug;

use crate::exchange::{AwaitTls, Exchange, ProtocolError, Step, TlsInfo};
use crate::read_buffer::ReadBuffer;

/// Maximum number of steps after one piece of input; more means an endless loop.
const MAX_STEPS: usize = 10_000;

/// One end of a login, with its read buffer.
pub(crate) struct Side<E: Exchange> {
    phase: Phase<E>,
    buffer: ReadBuffer,
    sent: Vec<u8>,
}

enum Phase<E: Exchange> {
    Reading(E),
    AwaitingTls(Box<dyn AwaitTls<E>>),
    Finished(Result<E::Output, ProtocolError>),
    /// Placeholder during a step.
    Running,
}

impl<E: Exchange> Side<E>
where
    E::Output: Debug,
{
    /// Advances the exchange until it needs input.
    pub(crate) fn new(exchange: E) -> Self {
        let mut side =
            Self { phase: Phase::Running, buffer: ReadBuffer::default(), sent: Vec::new() };
        side.run(exchange);
        side
    }

    /// Delivers bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> &mut Self {
        self.buffer.push(bytes);
        match std::mem::replace(&mut self.phase, Phase::Running) {
            Phase::Reading(exchange) => self.run(exchange),
            other => self.phase = other,
        }
        self
    }

    /// Delivers bytes one by one.
    pub(crate) fn feed_bytewise(&mut self, bytes: &[u8]) -> &mut Self {
        for byte in bytes {
            self.feed(&[*byte]);
        }
        self
    }

    /// Completes the TLS handshake, which consumes the buffered bytes.
    pub(crate) fn establish_tls(&mut self, tls: TlsInfo) -> &mut Self {
        let Phase::AwaitingTls(next) = std::mem::replace(&mut self.phase, Phase::Running) else {
            panic!("the exchange does not wait for TLS")
        };
        self.buffer.consume(usize::MAX);
        self.run(next.established(tls));
        self
    }

    /// Returns the bytes sent since the last call.
    pub(crate) fn sent(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.sent)
    }

    /// Returns the bytes that were delivered and not consumed.
    pub(crate) fn unread(&self) -> &[u8] {
        self.buffer.unread()
    }

    pub(crate) fn awaits_tls(&self) -> bool {
        matches!(self.phase, Phase::AwaitingTls(_))
    }

    pub(crate) fn is_reading(&self) -> bool {
        matches!(self.phase, Phase::Reading(_))
    }

    /// Returns the output of a successful exchange.
    pub(crate) fn output(self) -> E::Output {
        match self.phase {
            Phase::Finished(Ok(output)) => output,
            Phase::Finished(Err(error)) => panic!("the exchange failed: {error}"),
            _ => panic!("the exchange is not finished"),
        }
    }

    /// Returns the error of a failed exchange.
    pub(crate) fn error(self) -> ProtocolError {
        match self.phase {
            Phase::Finished(Err(error)) => error,
            Phase::Finished(Ok(output)) => panic!("the exchange succeeded: {output:?}"),
            _ => panic!("the exchange is not finished"),
        }
    }

    /// Returns the result; `None` while the exchange waits.
    pub(crate) fn result(self) -> Option<Result<E::Output, ProtocolError>> {
        if let Phase::Finished(result) = self.phase { Some(result) } else { None }
    }

    fn run(&mut self, mut exchange: E) {
        for _ in 0..MAX_STEPS {
            match exchange.advance(&mut self.buffer) {
                Ok(Step::Read(next)) => return self.phase = Phase::Reading(next),
                Ok(Step::Write(bytes, next)) => {
                    assert!(!bytes.is_empty(), "an empty write");
                    self.sent.extend_from_slice(&bytes);
                    exchange = next;
                }
                Ok(Step::StartTls(bytes, next)) => {
                    assert!(
                        bytes.is_empty() || self.buffer.is_empty(),
                        "unencrypted data before TLS is still buffered"
                    );
                    self.sent.extend_from_slice(&bytes);
                    return self.phase = Phase::AwaitingTls(next);
                }
                Ok(Step::Done(bytes, output)) => {
                    self.sent.extend_from_slice(&bytes);
                    return self.phase = Phase::Finished(Ok(output));
                }
                Err(error) => {
                    self.sent.extend_from_slice(error.error_packet());
                    return self.phase = Phase::Finished(Err(error));
                }
            }
        }
        panic!("the exchange takes more than {MAX_STEPS} steps");
    }
}

/// Connects a client to a server, delivering at most `piece` bytes at once, until neither sends
/// anything. If both wait for TLS, establishes it with `server_end_point`. After the server's
/// success, its end sends the result of `login_ok`.
pub(crate) fn converse<C, S>(
    client: C,
    server: S,
    server_end_point: Option<&[u8]>,
    piece: usize,
    login_ok: impl Fn(&S::Output) -> Vec<u8>,
) -> (Side<C>, Side<S>)
where
    C: Exchange,
    S: Exchange,
    C::Output: Debug,
    S::Output: Debug,
{
    let tls = || TlsInfo {
        server_end_point: server_end_point.map(<[u8]>::to_vec),
        alpn_protocol: Some(b"postgresql".to_vec()),
    };
    let (mut client, mut server) = (Side::new(client), Side::new(server));
    let mut accepted = false;
    loop {
        if let (Phase::Finished(Ok(output)), false) = (&server.phase, accepted) {
            let bytes = login_ok(output);
            server.sent.extend(bytes);
            accepted = true;
        }
        let (requests, responses) = (client.sent(), server.sent());
        for bytes in requests.chunks(piece) {
            server.feed(bytes);
        }
        for bytes in responses.chunks(piece) {
            client.feed(bytes);
        }
        if !requests.is_empty() || !responses.is_empty() {
            continue;
        }
        if !client.awaits_tls() || !server.awaits_tls() {
            return (client, server);
        }
        server.establish_tls(tls());
        client.establish_tls(tls());
    }
}
