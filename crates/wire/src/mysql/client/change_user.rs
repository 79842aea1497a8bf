//! Change of the user in an established session: `COM_CHANGE_USER`.

use zeroize::Zeroizing;

use crate::exchange::{Credential, Exchange, ProtocolError, Step};
use crate::mysql::{Capabilities, LoginParams, codec, handshake_response, response};
use crate::read_buffer::ReadBuffer;

use super::authentication::{AuthStep, Authentication, Identity};

/// Plugin name that no account uses, so that the server requests the account's plugin. The command
/// has no room for a token: its proof is limited to 255 bytes.
const UNUSED_PLUGIN: &str = "countersign";

/// Result of a change of the user.
#[derive(Debug)]
pub struct UserChanged {
    /// Payload of the server's OK packet.
    pub ok: Vec<u8>,
    /// Status flags of the OK packet.
    pub status: u16,
}

/// Change of the user of an idle session. If it fails, the session cannot be used any longer.
#[derive(Debug)]
pub struct ChangeUser {
    capabilities: Capabilities,
    state: State,
}

#[derive(Debug)]
enum State {
    Start(Box<LoginParams>, Identity),
    Authenticating(Authentication),
}

impl ChangeUser {
    /// Creates a change of the user in a session with these capabilities. `allows_clear_text` is
    /// true if the session uses TLS or a trusted socket.
    #[must_use]
    pub fn new(
        capabilities: Capabilities,
        params: LoginParams,
        credential: Credential,
        allows_clear_text: bool,
    ) -> Self {
        let identity = Identity { credential, user: params.user.clone(), allows_clear_text };
        Self { capabilities, state: State::Start(Box::new(params), identity) }
    }
}

impl Exchange for ChangeUser {
    type Output = UserChanged;

    fn advance(self, buffer: &mut ReadBuffer) -> Result<Step<Self>, ProtocolError> {
        let Self { capabilities, state } = self;
        let authentication = match state {
            State::Start(params, identity) => {
                if !capabilities.has(Capabilities::PLUGIN_AUTH) {
                    return Err(ProtocolError::unsupported(
                        "cannot change the user: the server does not support authentication \
                         plugins",
                    ));
                }
                let payload =
                    handshake_response::encode_change_user(&params, capabilities, UNUSED_PLUGIN);
                let state = State::Authenticating(Authentication::sent(identity, UNUSED_PLUGIN, 1));
                let bytes = Zeroizing::new(codec::packet(0, &payload));
                return Ok(Step::Write(bytes, Self { capabilities, state }));
            }
            State::Authenticating(authentication) => authentication,
        };
        match authentication.advance(buffer)? {
            AuthStep::Read(next) => {
                Ok(Step::Read(Self { capabilities, state: State::Authenticating(next) }))
            }
            AuthStep::Send(bytes, next) => {
                Ok(Step::Write(bytes, Self { capabilities, state: State::Authenticating(next) }))
            }
            AuthStep::Done(ok) => {
                let status = response::ok_status(&ok, capabilities)?;
                Ok(Step::Done(Vec::new(), UserChanged { ok, status }))
            }
        }
    }
}
