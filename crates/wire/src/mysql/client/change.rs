//! Another user in a session that stands: `COM_CHANGE_USER`.

use zeroize::Zeroizing;

use crate::exchange::{Exchange, ProtocolError, Step};
use crate::mysql::{Capabilities, LoginParams, codec, handshake_response};
use crate::read_buffer::ReadBuffer;

use super::authentication::{Authentication, Identity, Line, Turn};
use super::{Credential, Session};

/// A plugin that no account has: so the server asks for the right one, whichever that is. The command itself has no room for a
/// token: 255 bytes are the most of a proof in it.
const NOBODYS: &str = "countersign";

/// A session that is another user's.
#[derive(Debug)]
pub struct UserChanged {
    /// The payload of the server's OK.
    pub ok: Vec<u8>,
    /// The status of the session, as the OK has it.
    pub status: u16,
}

/// A change of the user of a session that waits for a command. Where it fails, the session is over.
#[derive(Debug)]
pub struct ChangeUser {
    capabilities: Capabilities,
    state: State,
}

#[derive(Debug)]
enum State {
    Begun(Box<LoginParams>, Identity),
    Authenticating(Authentication),
}

impl ChangeUser {
    /// Begins. `tls`: the session is within TLS; `trusted`: as [`crate::exchange::Security::Plain`] has it.
    #[must_use]
    pub fn new(
        session: &Session,
        handshake_response: LoginParams,
        credential: Credential,
        tls: bool,
        trusted: bool,
    ) -> Self {
        Self::with(session.capabilities, handshake_response, credential, tls, trusted)
    }

    /// Begins in a session with these capabilities.
    #[must_use]
    pub fn with(
        capabilities: Capabilities,
        handshake_response: LoginParams,
        credential: Credential,
        tls: bool,
        trusted: bool,
    ) -> Self {
        let line = if tls { Line::Tls } else { Line::Bare { trusted } };
        let identity = Identity { credential, user: handshake_response.user.clone(), line };
        Self { capabilities, state: State::Begun(Box::new(handshake_response), identity) }
    }
}

impl Exchange for ChangeUser {
    type Outcome = UserChanged;

    fn advance(self, inbox: &mut ReadBuffer) -> Result<Step<Self>, ProtocolError> {
        let Self { capabilities, state } = self;
        let authentication = match state {
            State::Begun(handshake_response, identity) => {
                if !capabilities.has(Capabilities::PLUGIN_AUTH) {
                    return Err(ProtocolError::unsupported(
                        "the server asks for proofs by no plugin: its sessions can't change users",
                    ));
                }
                let bytes = codec::packet(
                    0,
                    &handshake_response::change(&handshake_response, capabilities, NOBODYS),
                );
                let state = State::Authenticating(Authentication::asked(identity, NOBODYS, 1));
                return Ok(Step::Write(Zeroizing::new(bytes), Self { capabilities, state }));
            }
            State::Authenticating(authentication) => authentication,
        };
        match authentication.advance(inbox)? {
            Turn::Read(next) => {
                Ok(Step::Read(Self { capabilities, state: State::Authenticating(next) }))
            }
            Turn::Send(bytes, next) => {
                Ok(Step::Write(bytes, Self { capabilities, state: State::Authenticating(next) }))
            }
            Turn::Over(ok) => {
                let status = super::status_of(&ok, capabilities)?;
                Ok(Step::Done(Vec::new(), UserChanged { ok, status }))
            }
        }
    }
}
