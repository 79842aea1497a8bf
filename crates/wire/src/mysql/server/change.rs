//! A client that becomes another user: `COM_CHANGE_USER`.

use zeroize::Zeroizing;

use crate::exchange::{Exchange, ProtocolError, Step};
use crate::mysql::LoginParams;
use crate::mysql::greeting::Flavour;
use crate::mysql::handshake_response::HandshakeResponse;
use crate::read_buffer::ReadBuffer;

use super::password_check::AuthChecker;
use super::{AuthMethod, LoginRequest, Nonce, Switched, Turn, announced, judged, malformed_login};

/// A client's change of its user, taken in. It proves anew, with a nonce of its own.
#[derive(Debug)]
pub struct ServerChangeUser(State);

#[derive(Debug)]
enum State {
    HandshakeResponse { asked: HandshakeResponse, judge: AuthChecker },
    Switched(Switched),
}

impl ServerChangeUser {
    /// Takes the payload of `COM_CHANGE_USER`, from its first byte on, in a session that was opened for `before`.
    ///
    /// # Errors
    /// Where it is malformed.
    pub fn new(
        payload: &[u8],
        before: &LoginParams,
        flavour: Flavour,
        ask: AuthMethod,
        tls: bool,
    ) -> Result<Self, ProtocolError> {
        let asked = HandshakeResponse::parse_change(payload, before)
            .map_err(|malformed| malformed_login(&malformed, 1))?;
        Ok(Self(State::HandshakeResponse {
            asked,
            judge: AuthChecker { ask, announced: None, fallback: announced(flavour), tls },
        }))
    }
}

fn step(turn: Turn) -> Step<ServerChangeUser> {
    match turn {
        Turn::Ask(bytes, switched) => {
            Step::Write(Zeroizing::new(bytes), ServerChangeUser(State::Switched(switched)))
        }
        Turn::In(bytes, arrival) => Step::Done(bytes, arrival),
    }
}

impl Exchange for ServerChangeUser {
    type Outcome = LoginRequest;

    fn advance(self, inbox: &mut ReadBuffer) -> Result<Step<Self>, ProtocolError> {
        match self.0 {
            // The proof that comes along was made with a nonce of the login, which is not kept.
            State::HandshakeResponse { asked, judge } => {
                Ok(step(judged(judge, asked, &Nonce(Vec::new()), 1)?))
            }
            State::Switched(switched) => Ok(match switched.take(inbox)? {
                Ok(turn) => step(turn),
                Err(switched) => Step::Read(Self(State::Switched(switched))),
            }),
        }
    }
}
