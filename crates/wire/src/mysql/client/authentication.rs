//! Responses to the server's authentication requests.

use countersign_core::credentials::Secret;
use zeroize::Zeroizing;

use crate::exchange::{Credential, ProtocolError};
use crate::mysql::auth_plugins::{
    self, CACHING_SHA2, CLEAR, ED25519, ED25519_NONCE, FAST_AUTH_SUCCESS, FULL_AUTHENTICATION,
    NATIVE, OLD, SHA256,
};
use crate::mysql::codec::{self, EOF, ERR, Fields, MAX_NAME, MORE_DATA, OK};
use crate::mysql::greeting::HandshakeV10;
use crate::mysql::response;
use crate::read_buffer::ReadBuffer;

/// Maximum number of auth switch requests. One is enough.
const MAX_SWITCHES: u8 = 4;

/// Maximum number of packets up to the server's OK.
const MAX_PACKETS: u8 = 32;

/// User and credential of the login.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) credential: Credential,
    pub(super) user: String,
    /// The transport is TLS or a trusted socket.
    pub(super) allows_clear_text: bool,
}

/// Authentication whose last proof was sent.
#[derive(Debug)]
pub(super) struct Authentication {
    identity: Identity,
    /// Plugin of the last proof.
    plugin: String,
    /// Sequence number of the next packet from the server.
    sequence: u8,
    switches: u8,
    packets: u8,
}

/// Next action of an authentication.
pub(super) enum AuthStep {
    Read(Authentication),
    Send(Zeroizing<Vec<u8>>, Authentication),
    /// The server accepted the login with this OK packet.
    Done(Vec<u8>),
}

type Proof = Zeroizing<Vec<u8>>;

impl Authentication {
    /// Returns the proof for `HandshakeResponse41`: by the plugin that a token requires, or else by
    /// the server's default plugin if it is supported.
    pub(super) fn start(
        identity: Identity,
        server: &HandshakeV10,
        sequence: u8,
    ) -> Result<(Self, Proof), ProtocolError> {
        let plugin = match (&identity.credential, server.plugin.as_str()) {
            (Credential::Token(_), _) => CLEAR,
            (Credential::Password(_), CACHING_SHA2) => CACHING_SHA2,
            // The server sends an auth switch request if the account uses another plugin.
            (Credential::Password(_) | Credential::None, _) => NATIVE,
        };
        let proof = identity.prove(plugin, &server.nonce)?;
        Ok((Self::sent(identity, plugin, sequence.wrapping_add(1)), proof))
    }

    /// Creates the state after a proof by this plugin was sent.
    pub(super) fn sent(identity: Identity, plugin: &str, sequence: u8) -> Self {
        Self { identity, plugin: plugin.to_owned(), sequence, switches: 0, packets: 0 }
    }

    /// Returns the plugin of the last proof.
    pub(super) fn plugin(&self) -> &str {
        &self.plugin
    }

    /// Responds to the server's packets.
    pub(super) fn advance(mut self, buffer: &mut ReadBuffer) -> Result<AuthStep, ProtocolError> {
        loop {
            let Some((payload, total)) = codec::read_packet(buffer, self.sequence)? else {
                return Ok(AuthStep::Read(self));
            };
            self.packets += 1;
            if self.packets > MAX_PACKETS {
                return Err(ProtocolError::protocol(format!(
                    "the server sent more than {MAX_PACKETS} packets before its OK"
                )));
            }
            let proof = match payload.split_first() {
                Some((&OK, _)) => {
                    let ok = payload.to_vec();
                    buffer.consume(total);
                    return Ok(AuthStep::Done(ok));
                }
                Some((&ERR, _)) => {
                    return Err(ProtocolError::Refused(response::error_fields(payload)));
                }
                Some((&EOF, request)) => Some(self.on_auth_switch(request)?),
                Some((&MORE_DATA, data)) => self.on_more_data(data)?,
                Some((kind, _)) => {
                    return Err(ProtocolError::protocol(format!(
                        "the server sent a packet of type {kind}, which is not valid during a login"
                    )));
                }
                None => {
                    return Err(ProtocolError::protocol(
                        "the server sent an empty packet during a login",
                    ));
                }
            };
            buffer.consume(total);
            let sequence = self.sequence.wrapping_add(1);
            let Some(proof) = proof else {
                self.sequence = sequence;
                continue;
            };
            self.sequence = sequence.wrapping_add(1);
            return Ok(AuthStep::Send(Zeroizing::new(codec::packet(sequence, &proof)), self));
        }
    }

    /// Handles `AuthSwitchRequest`.
    fn on_auth_switch(&mut self, request: &[u8]) -> Result<Proof, ProtocolError> {
        self.switches += 1;
        if self.switches > MAX_SWITCHES {
            return Err(ProtocolError::protocol(format!(
                "the server sent more than {MAX_SWITCHES} auth switch requests"
            )));
        }
        let mut fields = Fields(request);
        let plugin = match fields.cstr() {
            // `OldAuthSwitchRequest`, from before authentication plugins.
            None if request.is_empty() => OLD.to_owned(),
            plugin => plugin
                .filter(|plugin| plugin.len() <= MAX_NAME)
                .and_then(|plugin| str::from_utf8(plugin).ok())
                .ok_or_else(|| {
                    ProtocolError::protocol("the server's auth switch request is malformed")
                })?
                .to_owned(),
        };
        // The terminating zero is not part of the nonce. The last of MariaDB's 32 bytes may be
        // zero.
        let nonce = if fields.0.len() == ED25519_NONCE {
            fields.0
        } else {
            fields.0.strip_suffix(&[0]).unwrap_or(fields.0)
        };
        let proof = self.identity.prove(&plugin, nonce)?;
        self.plugin = plugin;
        Ok(proof)
    }

    /// Handles `AuthMoreData`.
    fn on_more_data(&self, data: &[u8]) -> Result<Option<Proof>, ProtocolError> {
        match (self.plugin.as_str(), data) {
            (CACHING_SHA2, [FAST_AUTH_SUCCESS]) => Ok(None),
            (CACHING_SHA2, [FULL_AUTHENTICATION]) => self.identity.plain_password().map(Some),
            (plugin, _) => Err(ProtocolError::protocol(format!(
                "the server sent unexpected data for plugin {plugin:?}"
            ))),
        }
    }
}

impl Identity {
    /// Returns the data that the client sends for a plugin.
    fn prove(&self, plugin: &str, nonce: &[u8]) -> Result<Proof, ProtocolError> {
        let scramble =
            |scramble: fn(&[u8], &[u8]) -> Vec<u8>, empty: &[u8]| match self.password(plugin)? {
                Some(password) => Ok(Zeroizing::new(scramble(password.expose().as_bytes(), nonce))),
                None => Ok(Zeroizing::new(empty.to_vec())),
            };
        match plugin {
            CLEAR => self.clear_text(),
            NATIVE => scramble(auth_plugins::native, &[]),
            CACHING_SHA2 => scramble(auth_plugins::caching_sha2, &[0]),
            ED25519 if nonce.len() != ED25519_NONCE => Err(ProtocolError::protocol(format!(
                "the server's nonce for client_ed25519 is not {ED25519_NONCE} bytes long"
            ))),
            ED25519 => {
                let password = self.password(plugin)?.map_or("", Secret::expose);
                Ok(Zeroizing::new(auth_plugins::ed25519(password.as_bytes(), nonce)))
            }
            SHA256 => match self.password(plugin)? {
                Some(_) => self.plain_password(),
                None => Ok(Zeroizing::new(vec![0])),
            },
            plugin => Err(self.unsupported_plugin(plugin)),
        }
    }

    /// Returns the token or the password in clear text, which requires TLS or a trusted socket.
    fn clear_text(&self) -> Result<Proof, ProtocolError> {
        let (secret, what) = match &self.credential {
            Credential::Token(token) => (token.as_str(), "token"),
            Credential::Password(password) => (password.expose(), "password"),
            Credential::None => return Ok(Zeroizing::new(vec![0])),
        };
        if !self.allows_clear_text {
            return Err(ProtocolError::unsupported(format!(
                "cannot send the {what} in clear text without TLS: enable TLS"
            )));
        }
        if secret.contains('\0') {
            return Err(ProtocolError::unsupported(
                "cannot send the password: it contains a zero byte, which the protocol cannot \
                 carry; set another",
            ));
        }
        Ok(Zeroizing::new([secret.as_bytes(), &[0]].concat()))
    }

    /// Returns the password in clear text, for the plugins that would otherwise encrypt it with an
    /// unauthenticated key of the server.
    fn plain_password(&self) -> Result<Proof, ProtocolError> {
        if !self.allows_clear_text {
            return Err(ProtocolError::unsupported(
                "cannot send the password in clear text without TLS, and the server has not cached \
                 it: enable TLS",
            ));
        }
        match self.credential {
            Credential::Password(_) => self.clear_text(),
            Credential::Token(_) | Credential::None => Err(ProtocolError::protocol(
                "the server requested full authentication, but no password was used",
            )),
        }
    }

    /// Returns the password for a plugin that a token cannot be used with. `None` means an empty
    /// password.
    fn password(&self, plugin: &str) -> Result<Option<&Secret>, ProtocolError> {
        match &self.credential {
            Credential::Password(password) => Ok(Some(password)),
            Credential::None => Ok(None),
            Credential::Token(_) => Err(self.token_not_accepted(plugin)),
        }
    }

    fn token_not_accepted(&self, plugin: &str) -> ProtocolError {
        let user = &self.user;
        ProtocolError::denied(format!(
            "the server requests a password ({plugin}) instead of a token: user {user:?} is not \
             identified with AWSAuthenticationPlugin, or IAM authentication is disabled for this \
             database; as its administrator, ALTER USER … IDENTIFIED WITH AWSAuthenticationPlugin \
             AS 'RDS'"
        ))
    }

    fn unsupported_plugin(&self, plugin: &str) -> ProtocolError {
        match (&self.credential, plugin) {
            (_, OLD) => ProtocolError::unsupported(
                "the server requests mysql_old_password, which is insecure and not supported: set \
                 the password again with another plugin",
            ),
            (Credential::Token(_), plugin) => self.token_not_accepted(plugin),
            (_, plugin) => ProtocolError::unsupported(format!(
                "the server requests an unsupported authentication plugin ({plugin:?}): identify \
                 the account with mysql_native_password, caching_sha2_password, ed25519 or \
                 AWSAuthenticationPlugin"
            )),
        }
    }
}
