//! Drives exchanges in memory: what both ends of a login say goes from one to the other, in pieces of any size.

use std::fmt::Debug;

use crate::exchange::{AwaitTls, Exchange, ProtocolError, Step, TlsInfo};
use crate::read_buffer::ReadBuffer;

/// The most steps that one piece of input may lead to: an exchange that takes more goes round in a circle.
const MAX_STEPS: usize = 10_000;

/// What stands for a `ClientHello`.
const HELLO: [u8; 1] = [0x16];

/// One end of a login, with its inbox.
pub(crate) struct Side<E: Exchange> {
    phase: Phase<E>,
    inbox: ReadBuffer,
    sent: Vec<u8>,
}

enum Phase<E: Exchange> {
    Reading(E),
    Securing(Box<dyn AwaitTls<E>>),
    Over(Result<E::Outcome, ProtocolError>),
    /// While it is being driven.
    Moving,
}

impl<E: Exchange> Side<E>
where
    E::Outcome: Debug,
{
    /// Goes as far as it gets without a byte.
    pub(crate) fn new(exchange: E) -> Self {
        let mut side =
            Self { phase: Phase::Moving, inbox: ReadBuffer::default(), sent: Vec::new() };
        side.run(exchange);
        side
    }

    /// Gives it bytes.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> &mut Self {
        self.inbox.push(bytes);
        match std::mem::replace(&mut self.phase, Phase::Moving) {
            Phase::Reading(exchange) => self.run(exchange),
            other => self.phase = other,
        }
        self
    }

    /// Gives it bytes one by one.
    pub(crate) fn feed_slowly(&mut self, bytes: &[u8]) -> &mut Self {
        for byte in bytes {
            self.feed(&[*byte]);
        }
        self
    }

    /// TLS stands: what was in the inbox was its.
    pub(crate) fn secure(&mut self, peer: TlsInfo) -> &mut Self {
        let Phase::Securing(securing) = std::mem::replace(&mut self.phase, Phase::Moving) else {
            panic!("it does not wait for TLS")
        };
        self.inbox.consume(usize::MAX);
        self.run(securing.established(peer));
        self
    }

    /// What it has sent since this was last asked.
    pub(crate) fn sent(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.sent)
    }

    /// What has come and was not taken.
    pub(crate) fn unread(&self) -> &[u8] {
        self.inbox.unread()
    }

    pub(crate) fn is_securing(&self) -> bool {
        matches!(self.phase, Phase::Securing(_))
    }

    pub(crate) fn is_reading(&self) -> bool {
        matches!(self.phase, Phase::Reading(_))
    }

    /// What it came to, which has to be good.
    pub(crate) fn outcome(self) -> E::Outcome {
        match self.phase {
            Phase::Over(Ok(outcome)) => outcome,
            Phase::Over(Err(fault)) => panic!("it failed: {fault}"),
            _ => panic!("it is not over"),
        }
    }

    /// Why it failed, which it has to have.
    pub(crate) fn fault(self) -> ProtocolError {
        match self.phase {
            Phase::Over(Err(fault)) => fault,
            Phase::Over(Ok(outcome)) => panic!("it came to {outcome:?}"),
            _ => panic!("it is not over"),
        }
    }

    /// What it came to; `None` where it waits.
    pub(crate) fn result(self) -> Option<Result<E::Outcome, ProtocolError>> {
        if let Phase::Over(result) = self.phase { Some(result) } else { None }
    }

    fn run(&mut self, mut exchange: E) {
        for _ in 0..MAX_STEPS {
            match exchange.advance(&mut self.inbox) {
                Ok(Step::Read(next)) => return self.phase = Phase::Reading(next),
                Ok(Step::Write(bytes, next)) => {
                    assert!(!bytes.is_empty(), "it writes nothing");
                    self.sent.extend_from_slice(&bytes);
                    exchange = next;
                }
                Ok(Step::StartTls(bytes, securing)) => {
                    assert!(
                        bytes.is_empty() || self.inbox.is_empty(),
                        "what came ahead of TLS is still there"
                    );
                    self.sent.extend_from_slice(&bytes);
                    return self.phase = Phase::Securing(securing);
                }
                Ok(Step::Done(bytes, outcome)) => {
                    self.sent.extend_from_slice(&bytes);
                    return self.phase = Phase::Over(Ok(outcome));
                }
                Err(fault) => {
                    self.sent.extend_from_slice(fault.error_packet());
                    return self.phase = Phase::Over(Err(fault));
                }
            }
        }
        panic!("it takes more than {MAX_STEPS} steps");
    }
}

/// Lets a dial talk to a login, at most `piece` bytes at once, until neither has anything left to say. TLS is made where both wait
/// for it, with the server's `end_point`. `welcome` is what whoever drives the login sends behind it.
pub(crate) fn converse<D, L>(
    dial: D,
    login: L,
    end_point: Option<&[u8]>,
    piece: usize,
    welcome: impl Fn(&L::Outcome) -> Vec<u8>,
) -> (Side<D>, Side<L>)
where
    D: Exchange,
    L: Exchange,
    D::Outcome: Debug,
    L::Outcome: Debug,
{
    let peer = || TlsInfo {
        end_point: end_point.map(<[u8]>::to_vec),
        protocol: Some(b"postgresql".to_vec()),
    };
    let (mut dial, mut login) = (Side::new(dial), Side::new(login));
    let mut welcomed = false;
    loop {
        if let (Phase::Over(Ok(outcome)), false) = (&login.phase, welcomed) {
            let bytes = welcome(outcome);
            login.sent.extend(bytes);
            welcomed = true;
        }
        let (asked, answered) = (dial.sent(), login.sent());
        for bytes in asked.chunks(piece) {
            login.feed(bytes);
        }
        for bytes in answered.chunks(piece) {
            dial.feed(bytes);
        }
        if !asked.is_empty() || !answered.is_empty() {
            continue;
        }
        match (dial.is_securing(), login.is_securing()) {
            (true, true) => {
                login.secure(peer());
                dial.secure(peer());
            }
            (true, false) if login.is_reading() && login.unread().is_empty() => {
                login.feed(&HELLO);
            }
            _ => return (dial, login),
        }
    }
}
