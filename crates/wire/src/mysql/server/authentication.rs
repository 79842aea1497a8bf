//! Authentication steps that a login and a change of the user share.

use std::fmt;

use crate::exchange::ProtocolError;
use crate::mysql::auth_plugins::{self, CACHING_SHA2, NATIVE};
use crate::mysql::codec::{self, EOF, MORE_DATA};
use crate::mysql::greeting::Flavour;
use crate::mysql::handshake_response::HandshakeResponse;
use crate::mysql::{Capabilities, LoginParams};
use crate::read_buffer::ReadBuffer;

use super::error;
use super::password_check::{AuthChecker, Verdict};

/// Authenticated request for a session. The caller sends an OK or ERR packet.
#[derive(Debug, PartialEq, Eq)]
pub struct LoginRequest {
    /// Parameters of the session.
    pub params: LoginParams,
    /// Sequence number of the packet to send next: the OK ([`crate::mysql::response::forward_ok`])
    /// or an ERR.
    pub sequence: u8,
}

/// Returns the plugin that the server side announces: the default of most clients of this flavour.
pub(super) fn default_plugin(flavour: Flavour) -> &'static str {
    match flavour {
        Flavour::Mysql => CACHING_SHA2,
        Flavour::Mariadb => NATIVE,
    }
}

/// Random bytes that a proof is computed from, for one use.
pub(super) struct Nonce(pub(super) Vec<u8>);

impl Nonce {
    pub(super) fn empty() -> Self {
        Self(Vec::new())
    }

    /// Creates a nonce; `sequence` is the number of the packet to send next.
    pub(super) fn random(sequence: u8) -> Result<Self, ProtocolError> {
        auth_plugins::nonce().map(Self).map_err(|cause| error::no_random_numbers(cause, sequence))
    }
}

impl fmt::Debug for Nonce {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonce")
    }
}

/// State after an auth switch request.
#[derive(Debug)]
pub(super) struct AuthSwitch {
    params: LoginParams,
    checker: AuthChecker,
    plugin: &'static str,
    nonce: Nonce,
    /// Sequence number of the client's next packet.
    sequence: u8,
}

/// Next action after a proof.
pub(super) enum AuthStep {
    /// Send an auth switch request.
    Switch(Vec<u8>, AuthSwitch),
    /// Send these bytes, if any. The client is authenticated.
    Done(Vec<u8>, LoginRequest),
}

/// Verifies the proof in a handshake response; `sequence` is the number of the packet to send next.
pub(super) fn authenticate(
    checker: AuthChecker,
    response: HandshakeResponse,
    nonce: &Nonce,
    sequence: u8,
) -> Result<AuthStep, ProtocolError> {
    let may_switch = response.capabilities.has(Capabilities::PLUGIN_AUTH);
    let plugin = response.plugin.as_deref().unwrap_or(NATIVE);
    match checker.check_initial(plugin, &response.proof, &nonce.0, may_switch) {
        Verdict::Accept { fast } => Ok(accept(response.params, fast, sequence)),
        Verdict::AuthSwitch(plugin) => {
            let nonce = Nonce::random(sequence)?;
            let request = [&[EOF], plugin.as_bytes(), &[0], nonce.0.as_slice(), &[0]].concat();
            let switch = AuthSwitch {
                params: response.params,
                checker,
                plugin,
                nonce,
                sequence: sequence.wrapping_add(1),
            };
            Ok(AuthStep::Switch(codec::packet(sequence, &request), switch))
        }
        Verdict::Reject => {
            Err(error::access_denied(&response.params.user, &response.proof, sequence))
        }
    }
}

impl AuthSwitch {
    /// Verifies the client's proof. Returns `Err(self)` if it is incomplete.
    pub(super) fn advance(
        self,
        buffer: &mut ReadBuffer,
    ) -> Result<Result<AuthStep, Self>, ProtocolError> {
        let Some((proof, total)) = read_packet(buffer, self.sequence)? else {
            return Ok(Err(self));
        };
        let next = self.sequence.wrapping_add(1);
        let step = match self.checker.check(self.plugin, proof, &self.nonce.0) {
            Verdict::Accept { fast } => Ok(accept(self.params, fast, next)),
            Verdict::AuthSwitch(_) | Verdict::Reject => {
                Err(error::access_denied(&self.params.user, proof, next))
            }
        };
        buffer.consume(total);
        step.map(Ok)
    }
}

/// Accepts the client. After a `caching_sha2_password` scramble it expects `fast_auth_success`
/// before the OK.
fn accept(params: LoginParams, fast: bool, sequence: u8) -> AuthStep {
    if fast {
        let bytes = codec::packet(sequence, &[MORE_DATA, auth_plugins::FAST_AUTH_SUCCESS]);
        return AuthStep::Done(bytes, LoginRequest { params, sequence: sequence.wrapping_add(1) });
    }
    AuthStep::Done(Vec::new(), LoginRequest { params, sequence })
}

/// Reads a packet of the client.
pub(super) fn read_packet(
    buffer: &ReadBuffer,
    sequence: u8,
) -> Result<Option<(&[u8], usize)>, ProtocolError> {
    codec::read_packet(buffer, sequence)
        .map_err(|cause| error::violation(&cause.to_string(), sequence.wrapping_add(1)))
}
