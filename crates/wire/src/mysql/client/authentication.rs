//! What a server asks for as a proof, and what it gets.

use countersign_core::credentials::Secret;
use zeroize::Zeroizing;

use crate::exchange::ProtocolError;
use crate::mysql::auth_plugins::{
    self, CACHING_SHA2, CLEAR, ED25519, ED25519_NONCE, FAST, FULL, NATIVE, OLD, SHA256,
};
use crate::mysql::codec::{self, EOF, ERR, Fields, MAX_NAME, MORE, OK};
use crate::mysql::greeting::HandshakeV10;
use crate::read_buffer::ReadBuffer;

use super::Credential;

/// The most times that a server asks for another proof: one is what it takes.
const MAX_SWITCHES: u8 = 4;

/// The most packets that a server sends until its OK.
const MAX_PACKETS: u8 = 32;

/// What carries the bytes.
#[derive(Debug, Clone, Copy)]
pub(super) enum Line {
    Bare { trusted: bool },
    Tls,
}

impl Line {
    /// The number of our first packet with a name in it: the request for TLS was one too.
    pub(super) fn sequence(self) -> u8 {
        match self {
            Self::Bare { .. } => 1,
            Self::Tls => 2,
        }
    }

    /// Whether nobody reads along.
    fn is_private(self) -> bool {
        matches!(self, Self::Tls | Self::Bare { trusted: true })
    }
}

/// Who logs in, and by what.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) credential: Credential,
    pub(super) user: String,
    pub(super) line: Line,
}

/// How far the proof has come.
#[derive(Debug)]
pub(super) struct Authentication {
    identity: Identity,
    /// What the last proof was made by.
    plugin: String,
    /// Of the packet that comes.
    sequence: u8,
    switches: u8,
    packets: u8,
}

/// What is done next.
pub(super) enum Turn {
    Read(Authentication),
    Send(Zeroizing<Vec<u8>>, Authentication),
    /// The server lets us in, with this OK.
    Over(Vec<u8>),
}

type Proof = Zeroizing<Vec<u8>>;

impl Authentication {
    /// The proof that goes along with the name: by the plugin that a token needs, or else the one that the server greets with.
    pub(super) fn begin(
        identity: Identity,
        greeted: &HandshakeV10,
        sequence: u8,
    ) -> Result<(Self, Proof), ProtocolError> {
        let plugin = match (&identity.credential, greeted.plugin.as_str()) {
            (Credential::Token(_), _) => CLEAR,
            (Credential::Password(_), CACHING_SHA2) => CACHING_SHA2,
            // The server asks for another where the account has another.
            (Credential::Password(_) | Credential::None, _) => NATIVE,
        };
        let proof = identity.prove(plugin, &greeted.nonce)?;
        Ok((Self::asked(identity, plugin, sequence.wrapping_add(1)), proof))
    }

    /// Waits for what the server says to a proof by this plugin.
    pub(super) fn asked(identity: Identity, plugin: &str, sequence: u8) -> Self {
        Self { identity, plugin: plugin.to_owned(), sequence, switches: 0, packets: 0 }
    }

    /// The plugin of the last proof.
    pub(super) fn plugin(&self) -> &str {
        &self.plugin
    }

    /// Answers what has come.
    pub(super) fn advance(mut self, inbox: &mut ReadBuffer) -> Result<Turn, ProtocolError> {
        loop {
            let Some((payload, total)) = codec::read_packet(inbox, self.sequence)? else {
                return Ok(Turn::Read(self));
            };
            self.packets += 1;
            if self.packets > MAX_PACKETS {
                return Err(ProtocolError::protocol(format!(
                    "the server sends more than {MAX_PACKETS} packets, and its OK is not among them"
                )));
            }
            let proof = match payload.split_first() {
                Some((&OK, _)) => {
                    let ok = payload.to_vec();
                    inbox.consume(total);
                    return Ok(Turn::Over(ok));
                }
                Some((&ERR, _)) => {
                    return Err(ProtocolError::Refused(codec::error_fields(payload)));
                }
                Some((&EOF, request)) => Some(self.switch(request)?),
                Some((&MORE, data)) => self.more(data)?,
                Some((kind, _)) => {
                    return Err(ProtocolError::protocol(format!(
                        "the server sends a packet of kind {kind}, which is none of a login's"
                    )));
                }
                None => {
                    return Err(ProtocolError::protocol(
                        "the server sends an empty packet in a login",
                    ));
                }
            };
            inbox.consume(total);
            let ours = self.sequence.wrapping_add(1);
            let Some(proof) = proof else {
                self.sequence = ours;
                continue;
            };
            self.sequence = ours.wrapping_add(1);
            return Ok(Turn::Send(Zeroizing::new(codec::packet(ours, &proof)), self));
        }
    }

    /// `AuthSwitchRequest`.
    fn switch(&mut self, request: &[u8]) -> Result<Proof, ProtocolError> {
        self.switches += 1;
        if self.switches > MAX_SWITCHES {
            return Err(ProtocolError::protocol(format!(
                "the server asks for another proof more than {MAX_SWITCHES} times"
            )));
        }
        let mut fields = Fields(request);
        let plugin = match fields.text() {
            // With nothing in it, it is from before there were plugins.
            None if request.is_empty() => OLD.to_owned(),
            plugin => {
                let plugin = plugin
                    .filter(|plugin| plugin.len() <= MAX_NAME)
                    .and_then(|plugin| str::from_utf8(plugin).ok());
                plugin
                    .ok_or_else(|| {
                        ProtocolError::protocol(
                            "the server's request for another proof is malformed",
                        )
                    })?
                    .to_owned()
            }
        };
        // The zero that ends it isn't part of it; of MariaDB's 32 bytes the last may be one.
        let nonce = if fields.0.len() == ED25519_NONCE {
            fields.0
        } else {
            fields.0.strip_suffix(&[0]).unwrap_or(fields.0)
        };
        let proof = self.identity.prove(&plugin, nonce)?;
        self.plugin = plugin;
        Ok(proof)
    }

    /// `AuthMoreData`.
    fn more(&self, data: &[u8]) -> Result<Option<Proof>, ProtocolError> {
        match (self.plugin.as_str(), data) {
            (CACHING_SHA2, [FAST]) => Ok(None),
            (CACHING_SHA2, [FULL]) => self.identity.full().map(Some),
            (plugin, _) => Err(ProtocolError::protocol(format!(
                "the server goes on with {plugin:?} in a way that it has not"
            ))),
        }
    }
}

impl Identity {
    /// What a plugin sends.
    fn prove(&self, plugin: &str, nonce: &[u8]) -> Result<Proof, ProtocolError> {
        let scrambled =
            |scramble: fn(&[u8], &[u8]) -> Vec<u8>, empty: &[u8]| match self.password(plugin)? {
                Some(password) => Ok(Zeroizing::new(scramble(password.expose().as_bytes(), nonce))),
                None => Ok(Zeroizing::new(empty.to_vec())),
            };
        match plugin {
            CLEAR => self.clear(),
            NATIVE => scrambled(auth_plugins::native, &[]),
            CACHING_SHA2 => scrambled(auth_plugins::caching_sha2, &[0]),
            ED25519 if nonce.len() != ED25519_NONCE => Err(ProtocolError::protocol(
                "the server's nonce for client_ed25519 has another length",
            )),
            ED25519 => Ok(match self.password(plugin)? {
                Some(password) => {
                    Zeroizing::new(auth_plugins::ed25519(password.expose().as_bytes(), nonce))
                }
                None => Zeroizing::new(auth_plugins::ed25519(&[], nonce)),
            }),
            SHA256 => match self.password(plugin)? {
                Some(_) => self.full(),
                None => Ok(Zeroizing::new(vec![0])),
            },
            plugin => Err(self.unknown(plugin)),
        }
    }

    /// The token or the password as it is: to nobody where somebody could read along.
    fn clear(&self) -> Result<Proof, ProtocolError> {
        let (secret, what) = match &self.credential {
            Credential::Token(token) => (token.as_str(), "token"),
            Credential::Password(password) => (password.expose(), "password"),
            Credential::None => return Ok(Zeroizing::new(vec![0])),
        };
        if !self.line.is_private() {
            return Err(ProtocolError::unsupported(format!(
                "the {what} would go to the server in clear text, and there is no TLS that would hide it: turn TLS on"
            )));
        }
        if secret.contains('\0') {
            return Err(ProtocolError::unsupported(
                "the password holds a zero byte, which the protocol can't carry: set another",
            ));
        }
        Ok(Zeroizing::new([secret.as_bytes(), &[0]].concat()))
    }

    /// The password itself, for a plugin that scrambles it first, or would encrypt it with a key that nobody vouches for.
    fn full(&self) -> Result<Proof, ProtocolError> {
        if !self.line.is_private() {
            return Err(ProtocolError::unsupported(
                "the server wants the password itself, which it has not in its cache, and there is no TLS that would hide it: turn TLS on",
            ));
        }
        match self.credential {
            Credential::Password(_) => self.clear(),
            Credential::Token(_) | Credential::None => Err(ProtocolError::protocol(
                "the server wants a password itself that was not proved",
            )),
        }
    }

    /// The password, for a proof that a token is no use for; `None` where the proof is to be that of no password.
    fn password(&self, plugin: &str) -> Result<Option<&Secret>, ProtocolError> {
        match &self.credential {
            Credential::Password(password) => Ok(Some(password)),
            Credential::None => Ok(None),
            Credential::Token(_) => Err(self.no_token(plugin)),
        }
    }

    fn no_token(&self, plugin: &str) -> ProtocolError {
        let user = &self.user;
        ProtocolError::denied(format!(
            "the server asks for a password by {plugin}: user {user:?} is not identified with AWSAuthenticationPlugin, or IAM authentication \
             is off for this database; as its administrator, ALTER USER … IDENTIFIED WITH AWSAuthenticationPlugin AS 'RDS'"
        ))
    }

    fn unknown(&self, plugin: &str) -> ProtocolError {
        match (&self.credential, plugin) {
            (_, OLD) => ProtocolError::unsupported(
                "the server asks for mysql_old_password, which is broken and not supported: set the password anew, with another plugin",
            ),
            (Credential::Token(_), plugin) => self.no_token(plugin),
            (_, plugin) => ProtocolError::unsupported(format!(
                "the server asks for a proof by {plugin:?}, which is not supported: let the account be identified with mysql_native_password, \
                 caching_sha2_password, ed25519 or AWSAuthenticationPlugin"
            )),
        }
    }
}
