//! Change of the client's user: `COM_CHANGE_USER`.

use zeroize::Zeroizing;

use crate::exchange::{Exchange, ProtocolError, Step};
use crate::mysql::LoginParams;
use crate::mysql::greeting::Flavour;
use crate::mysql::handshake_response::HandshakeResponse;
use crate::read_buffer::ReadBuffer;

use super::authentication::{
    AuthStep, AuthSwitch, LoginRequest, Nonce, authenticate, default_plugin,
};
use super::error;
use super::password_check::{AuthChecker, AuthMethod};

/// Server side of `COM_CHANGE_USER`. The client authenticates again, with a new nonce.
#[derive(Debug)]
pub struct ServerChangeUser(State);

#[derive(Debug)]
enum State {
    Start(HandshakeResponse, AuthChecker),
    AwaitProof(AuthSwitch),
}

impl ServerChangeUser {
    /// Parses the payload of `COM_CHANGE_USER`, from its first byte, in a session that was opened
    /// with `current`.
    ///
    /// # Errors
    /// [`ProtocolError::Protocol`] if it is malformed, [`ProtocolError::Unsupported`] if a name is
    /// not UTF-8.
    pub fn new(
        payload: &[u8],
        current: &LoginParams,
        flavour: Flavour,
        auth: AuthMethod,
        tls: bool,
    ) -> Result<Self, ProtocolError> {
        let response = HandshakeResponse::parse_change_user(payload, current)
            .map_err(|malformed| error::malformed_login(&malformed, 1))?;
        let checker = AuthChecker { auth, announced: None, fallback: default_plugin(flavour), tls };
        Ok(Self(State::Start(response, checker)))
    }
}

impl From<AuthStep> for Step<ServerChangeUser> {
    fn from(step: AuthStep) -> Self {
        match step {
            AuthStep::Switch(bytes, next) => {
                Self::Write(Zeroizing::new(bytes), ServerChangeUser(State::AwaitProof(next)))
            }
            AuthStep::Done(bytes, request) => Self::Done(bytes, request),
        }
    }
}

impl Exchange for ServerChangeUser {
    type Output = LoginRequest;

    fn advance(self, buffer: &mut ReadBuffer) -> Result<Step<Self>, ProtocolError> {
        match self.0 {
            // The proof in the command uses the nonce of the login, which is not stored.
            State::Start(response, checker) => {
                Ok(authenticate(checker, response, &Nonce::empty(), 1)?.into())
            }
            State::AwaitProof(switch) => Ok(match switch.advance(buffer)? {
                Ok(step) => step.into(),
                Err(switch) => Step::Read(Self(State::AwaitProof(switch))),
            }),
        }
    }
}
