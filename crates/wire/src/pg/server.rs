//! Takes a client in: from its first byte to where it is known who logs in, to which database, with which settings.
//!
//! The name that the client gives is nobody's proof: with [`Ask::Password`] there is one password for whoever comes.

mod packet;
mod sasl;

use std::sync::Arc;

use zeroize::Zeroizing;

use super::codec;
pub use super::scram::ScramVerifier;
use super::{CancelKey, StartupParams};
pub use crate::exchange::ClientTlsMode;
use crate::exchange::{AwaitTls, Exchange, ProtocolError, Step, TlsInfo};
use crate::read_buffer::ReadBuffer;
use packet::{Asked, Packet};
use sasl::{Offer, Proof};

/// What a client has to prove.
#[derive(Debug, Clone)]
pub enum AuthMethod {
    /// Nothing: reaching the socket is enough.
    Trust,
    /// That it knows a password, by SCRAM.
    Password(Arc<ScramVerifier>),
}

/// How clients are taken in.
#[derive(Debug, Clone)]
pub struct ServerConfig {
    /// Whether there is TLS.
    pub tls: ClientTlsMode,
    /// What clients prove.
    pub ask: AuthMethod,
}

/// What a client came for.
#[derive(Debug)]
pub enum StartupRequest {
    /// A session. `AuthenticationOk` is not sent yet.
    Login(StartupParams),
    /// To cancel the statement of the session with this key. It awaits no answer.
    Cancel(CancelKey),
}

/// A client's login, taken in.
#[derive(Debug)]
pub struct ServerLogin {
    settings: ServerConfig,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing has come.
    Opening,
    /// TLS stands that nobody asked for.
    Direct(TlsInfo),
    /// Waits for a packet that has no kind.
    Packet(Line, Offers),
    /// Has named the mechanisms of SCRAM.
    Offered(Offer),
    /// Has sent the challenge.
    Challenged(Proof),
}

/// What carries the bytes.
#[derive(Debug)]
enum Line {
    Bare,
    Tls(TlsInfo),
}

/// What a client may still ask for ahead of its `StartupMessage`: each once.
#[derive(Debug, Clone, Copy)]
struct Offers {
    tls: bool,
    gss: bool,
}

impl Offers {
    const ALL: Self = Self { tls: true, gss: true };
    const NONE: Self = Self { tls: false, gss: false };
}

impl ServerLogin {
    /// Waits for a client.
    #[must_use]
    pub fn new(settings: ServerConfig) -> Self {
        Self { settings, state: State::Opening }
    }

    fn offers_tls(&self) -> bool {
        self.settings.tls != ClientTlsMode::Off
    }

    fn packet(
        self,
        inbox: &mut ReadBuffer,
        line: Line,
        offers: Offers,
    ) -> Result<Step<Self>, ProtocolError> {
        let Some((packet, consumed)) = packet::read(inbox.unread())? else {
            return Ok(Step::Read(Self { state: State::Packet(line, offers), ..self }));
        };
        inbox.consume(consumed);
        match packet {
            Packet::Tls if offers.tls => {
                self.tls_asked(inbox, line, Offers { tls: false, ..offers })
            }
            Packet::Gss if offers.gss => {
                nothing_behind(inbox, "GSSAPI encryption request")?;
                Ok(self.answer_no(line, Offers { gss: false, ..offers }))
            }
            Packet::Tls | Packet::Gss => {
                Err(violation("the client asks for encryption twice, or within TLS"))
            }
            Packet::Cancel(key) => Ok(Step::Done(Vec::new(), StartupRequest::Cancel(key))),
            Packet::Startup(asked) => self.startup(line, asked),
        }
    }

    fn tls_asked(
        self,
        inbox: &ReadBuffer,
        line: Line,
        offers: Offers,
    ) -> Result<Step<Self>, ProtocolError> {
        // What comes behind the request, ahead of TLS, may be put there by somebody in between (CVE-2021-23222).
        nothing_behind(inbox, "SSL request")?;
        match line {
            Line::Bare if self.offers_tls() => Ok(Step::StartTls(
                b"S".to_vec(),
                Box::new(Securing { settings: self.settings, direct: false }),
            )),
            line => Ok(self.answer_no(line, offers)),
        }
    }

    fn answer_no(self, line: Line, offers: Offers) -> Step<Self> {
        Step::Write(
            Zeroizing::new(b"N".to_vec()),
            Self { state: State::Packet(line, offers), ..self },
        )
    }

    fn startup(self, line: Line, asked: Asked) -> Result<Step<Self>, ProtocolError> {
        let peer = match line {
            Line::Tls(peer) => Some(peer),
            Line::Bare if self.settings.tls == ClientTlsMode::Required => {
                return Err(no_encryption(&asked.startup.user));
            }
            Line::Bare => None,
        };
        let mut bytes = asked.negotiation();
        match &self.settings.ask {
            AuthMethod::Trust => Ok(Step::Done(bytes, StartupRequest::Login(asked.startup))),
            AuthMethod::Password(verifier) => {
                let offer = Offer {
                    startup: asked.startup,
                    verifier: Arc::clone(verifier),
                    end_point: peer.and_then(|peer| peer.end_point),
                };
                bytes.extend(offer.mechanisms());
                Ok(Step::Write(
                    Zeroizing::new(bytes),
                    Self { state: State::Offered(offer), ..self },
                ))
            }
        }
    }
}

impl Exchange for ServerLogin {
    type Outcome = StartupRequest;

    fn advance(self, inbox: &mut ReadBuffer) -> Result<Step<Self>, ProtocolError> {
        let Self { settings, state } = self;
        let this = Self { settings, state: State::Opening };
        match state {
            State::Opening => match inbox.unread().first() {
                None => Ok(Step::Read(this)),
                // Direct TLS, since PostgreSQL 17: the `ClientHello` stays where it is.
                Some(&codec::TLS_HANDSHAKE) if this.offers_tls() => Ok(Step::StartTls(
                    Vec::new(),
                    Box::new(Securing { settings: this.settings, direct: true }),
                )),
                Some(_) => this.packet(inbox, Line::Bare, Offers::ALL),
            },
            // As PostgreSQL demands it: else somebody in between could lead a client of another protocol here.
            State::Direct(peer) if peer.protocol.as_deref() != Some(codec::ALPN) => {
                Err(ProtocolError::protocol(
                    "the client begins with TLS without asking, and does not name PostgreSQL in it (ALPN)",
                ))
            }
            State::Direct(peer) => this.packet(inbox, Line::Tls(peer), Offers::ALL),
            State::Packet(line, offers) => this.packet(inbox, line, offers),
            State::Offered(offer) => {
                let Some((kind, payload, total)) = read(inbox)? else {
                    return Ok(Step::Read(Self { state: State::Offered(offer), ..this }));
                };
                let (bytes, proof) = offer.challenge(kind, payload)?;
                inbox.consume(total);
                Ok(Step::Write(
                    Zeroizing::new(bytes),
                    Self { state: State::Challenged(proof), ..this },
                ))
            }
            State::Challenged(proof) => {
                let Some((kind, payload, total)) = read(inbox)? else {
                    return Ok(Step::Read(Self { state: State::Challenged(proof), ..this }));
                };
                let (bytes, startup) = proof.verify(kind, payload)?;
                inbox.consume(total);
                Ok(Step::Done(bytes, StartupRequest::Login(startup)))
            }
        }
    }
}

/// Has told the client to begin TLS, or seen it begin.
#[derive(Debug)]
struct Securing {
    settings: ServerConfig,
    direct: bool,
}

impl AwaitTls<ServerLogin> for Securing {
    fn established(self: Box<Self>, peer: TlsInfo) -> ServerLogin {
        let state = if self.direct {
            State::Direct(peer)
        } else {
            State::Packet(Line::Tls(peer), Offers::NONE)
        };
        ServerLogin { settings: self.settings, state }
    }
}

/// A SASL message of the client.
fn read(inbox: &ReadBuffer) -> Result<Option<codec::Received<'_>>, ProtocolError> {
    codec::read_message(inbox, codec::HEADER + codec::MAX_SASL_MESSAGE)
        .map_err(|fault| violation(&fault.to_string()))
}

fn nothing_behind(inbox: &ReadBuffer, request: &str) -> Result<(), ProtocolError> {
    if inbox.is_empty() {
        return Ok(());
    }
    let detail = format!("received unencrypted data after {request}");
    let hint = "This could be either a client-software bug or evidence of an attempted man-in-the-middle attack.";
    let error_packet =
        codec::error_response("FATAL", codec::PROTOCOL_VIOLATION, &detail, Some(hint), None);
    Err(ProtocolError::Protocol { detail, error_packet })
}

fn no_encryption(user: &str) -> ProtocolError {
    let detail = format!("the client comes without TLS as user {user:?}, which is required here");
    let message = format!(
        "the proxy takes in nobody without TLS, and the connection of user \"{user}\" has no encryption"
    );
    let hint = "Connect with sslmode=require or stricter.";
    ProtocolError::Denied {
        detail,
        error_packet: codec::error_response(
            "FATAL",
            codec::INVALID_AUTHORIZATION,
            &message,
            None,
            Some(hint),
        ),
    }
}

/// What a client that breaks the protocol is told and what is logged are the same.
fn violation(detail: &str) -> ProtocolError {
    ProtocolError::Protocol {
        detail: detail.to_owned(),
        error_packet: codec::error_response("FATAL", codec::PROTOCOL_VIOLATION, detail, None, None),
    }
}

#[cfg(test)]
mod tests;
