//! Tracker of a MySQL session.

use countersign_wire::ProtocolError;
use countersign_wire::mysql::response::status;
use countersign_wire::mysql::stream::{self, Kill};
use countersign_wire::mysql::{Capabilities, LoginParams, codec};

use crate::protocol::{ForwardPlan, Next, SessionTracker, TransactionState};

/// A command that the proxy executes instead of forwarding it.
pub(crate) enum Intercepted {
    /// COM_CHANGE_USER: the payload of the packet.
    ChangeUser(Vec<u8>),
    /// KILL: the whole packet, and the position of the connection id in it.
    Kill(Vec<u8>, Kill),
}

/// Tracker of a MySQL session.
#[derive(Debug)]
pub(crate) struct Tracker {
    packets: stream::SessionTracker,
    /// Parameters of the client's last login.
    pub(super) params: LoginParams,
}

impl Tracker {
    /// Creates the tracker of a session after its login, which negotiated `capabilities` with
    /// the server and ended with the server status `status`.
    pub(super) fn new(params: LoginParams, capabilities: Capabilities, status: u16) -> Self {
        Self { packets: stream::SessionTracker::new(capabilities, status), params }
    }
}

impl SessionTracker for Tracker {
    type Intercepted = Intercepted;

    fn observe_client(&mut self, bytes: &[u8]) -> Result<ForwardPlan<Intercepted>, ProtocolError> {
        let stream::ForwardPlan { forward, then } = self.packets.observe_client(bytes)?;
        let rest = bytes.get(forward..).unwrap_or_default();
        let next = match then {
            stream::Next::More => Next::More,
            stream::Next::Quit => Next::Terminate,
            stream::Next::ChangeUser { length } => {
                let payload = rest.get(codec::HEADER..length).unwrap_or_default();
                Next::Intercept(length, Intercepted::ChangeUser(payload.to_vec()))
            }
            stream::Next::Kill(kill) => {
                let packet = rest.get(..kill.length).unwrap_or_default().to_vec();
                Next::Intercept(kill.length, Intercepted::Kill(packet, kill))
            }
        };
        Ok(ForwardPlan { forward, next })
    }

    fn observe_server(&mut self, bytes: &[u8]) {
        self.packets.observe_server(bytes);
    }

    fn state(&self) -> TransactionState {
        if !self.packets.is_idle() && !self.packets.has_quit_idle() {
            return TransactionState::Active;
        }
        match self.packets.status() {
            Some(flags) if flags & status::IN_TRANSACTION == 0 => TransactionState::Idle,
            // After an error packet the status is unknown.
            _ => TransactionState::InTransaction,
        }
    }
}
