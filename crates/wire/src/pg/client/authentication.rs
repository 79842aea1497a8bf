//! Responses to the server's authentication requests.

use countersign_core::credentials::Secret;
use md5::{Digest, Md5};
use zeroize::Zeroizing;

use crate::exchange::{Credential, ProtocolError, TlsInfo};
use crate::pg::codec;
use crate::pg::scram::client::{Binding, ClientFinal, ClientFirst};
use crate::pg::scram::{SCRAM_SHA_256, SCRAM_SHA_256_PLUS};

/// Transport of the login.
#[derive(Debug, Clone)]
pub(super) enum Channel {
    Plaintext { trusted: bool },
    Tls(TlsInfo),
}

/// User and credential of the login.
#[derive(Debug, Clone, Copy)]
pub(super) struct Identity<'a> {
    pub(super) user: &'a str,
    pub(super) credential: &'a Credential,
}

/// State of the authentication.
#[derive(Debug)]
pub(super) enum Authentication {
    /// The server has requested nothing.
    NotRequested(Channel),
    /// `client-first-message` was sent. The credential is known to be this password.
    ScramFirst(ClientFirst, Secret),
    /// `client-final-message` was sent: the server has to prove that it knows the password.
    ScramFinal(ClientFinal),
    /// Everything was sent: the server has to accept it.
    Sent,
}

/// Next action after an `Authentication…` message.
pub(super) enum AuthStep {
    Wait(Authentication),
    Send(Zeroizing<Vec<u8>>, Authentication),
    /// The server accepted the login.
    Done,
}

/// Parsed `Authentication…` message.
enum Request<'a> {
    Ok,
    Cleartext,
    Md5([u8; 4]),
    Sasl(&'a [u8]),
    SaslContinue(&'a [u8]),
    SaslFinal(&'a [u8]),
    /// Code of an unsupported method.
    Other(u32),
}

impl<'a> Request<'a> {
    fn parse(payload: &'a [u8]) -> Result<Self, ProtocolError> {
        let Some((code, data)) = payload.split_first_chunk() else {
            return Err(malformed());
        };
        match (u32::from_be_bytes(*code), data) {
            (0, []) => Ok(Self::Ok),
            (3, []) => Ok(Self::Cleartext),
            (5, data) => Ok(Self::Md5(data.try_into().map_err(|_| malformed())?)),
            (10, data) => Ok(Self::Sasl(data)),
            (11, data) => Ok(Self::SaslContinue(data)),
            (12, data) => Ok(Self::SaslFinal(data)),
            (0 | 3, _) => Err(malformed()),
            (code, _) => Ok(Self::Other(code)),
        }
    }
}

impl Authentication {
    /// Responds to the payload of an `Authentication…` message.
    pub(super) fn respond(
        self,
        identity: Identity<'_>,
        payload: &[u8],
    ) -> Result<AuthStep, ProtocolError> {
        match (self, Request::parse(payload)?) {
            (Self::NotRequested(channel), request) => identity.respond(&channel, request),
            (Self::ScramFirst(first, password), Request::SaslContinue(data)) => {
                let (next, message) = first.respond(&password, data).map_err(untrusted)?;
                let message = codec::message(b'p', message.as_bytes());
                Ok(AuthStep::Send(Zeroizing::new(message), Self::ScramFinal(next)))
            }
            (Self::ScramFinal(last), Request::SaslFinal(data)) => {
                last.verify(data).map_err(untrusted)?;
                Ok(AuthStep::Wait(Self::Sent))
            }
            (Self::Sent, Request::Ok) => Ok(AuthStep::Done),
            (Self::ScramFirst(..) | Self::ScramFinal(_), Request::Ok) => {
                Err(untrusted("it ended SCRAM without proof of the password"))
            }
            (Self::ScramFirst(..) | Self::ScramFinal(_) | Self::Sent, _) => Err(
                ProtocolError::protocol("the server sent an authentication request out of order"),
            ),
        }
    }
}

impl Identity<'_> {
    /// Responds to the server's first request.
    fn respond(self, channel: &Channel, request: Request<'_>) -> Result<AuthStep, ProtocolError> {
        match request {
            Request::SaslContinue(_) | Request::SaslFinal(_) => {
                Err(ProtocolError::protocol("the server continued SASL before it started it"))
            }
            Request::Sasl(mechanisms) => self.start_scram(channel, mechanisms),
            Request::Ok => Ok(AuthStep::Done),
            Request::Cleartext => password_message(self.cleartext(channel)?),
            Request::Md5(salt) => {
                password_message(&md5(self.password("MD5")?.expose(), self.user, salt))
            }
            Request::Other(code) => Err(ProtocolError::unsupported(unsupported_method(code))),
        }
    }

    /// Returns the token or the password for clear-text authentication, which requires TLS or a
    /// trusted socket.
    fn cleartext(&self, channel: &Channel) -> Result<&str, ProtocolError> {
        let (secret, what) = match self.credential {
            Credential::Token(token) => (token.as_str(), "token"),
            Credential::Password(password) => (password.expose(), "password"),
            Credential::None => return Err(self.no_password()),
        };
        match channel {
            Channel::Tls(_) | Channel::Plaintext { trusted: true } => Ok(secret),
            Channel::Plaintext { trusted: false } => Err(ProtocolError::unsupported(format!(
                "cannot send the {what} in clear text without TLS: enable TLS"
            ))),
        }
    }

    /// Returns the password for a method that a token cannot be used with.
    fn password(&self, method: &str) -> Result<&Secret, ProtocolError> {
        match self.credential {
            Credential::Password(password) => Ok(password),
            Credential::None => Err(self.no_password()),
            Credential::Token(_) => Err(ProtocolError::denied(format!(
                "the server requests a password ({method}) instead of a token: user {:?} is not a \
                 member of rds_iam, or IAM authentication is disabled for this database; as its \
                 owner, GRANT rds_iam TO the user",
                self.user
            ))),
        }
    }

    fn no_password(&self) -> ProtocolError {
        ProtocolError::unsupported(format!(
            "the server requests a password for user {:?}, but none is configured: set one, or log \
             in with IAM",
            self.user
        ))
    }

    /// Selects a mechanism and sends `SASLInitialResponse`.
    fn start_scram(self, channel: &Channel, mechanisms: &[u8]) -> Result<AuthStep, ProtocolError> {
        let (plain, plus) = offered(mechanisms)?;
        let password = self.password("SCRAM")?;
        let binding = match channel {
            Channel::Plaintext { .. } if plus => {
                return Err(untrusted("it offers SCRAM channel binding without TLS"));
            }
            Channel::Tls(TlsInfo { server_end_point: Some(hash), .. }) if plus => {
                Binding::TlsServerEndPoint(hash.clone())
            }
            Channel::Tls(TlsInfo { server_end_point: Some(_), .. }) => Binding::NotOffered,
            Channel::Tls(_) | Channel::Plaintext { .. } => Binding::None,
        };
        let mechanism = match binding {
            Binding::TlsServerEndPoint(_) => SCRAM_SHA_256_PLUS,
            _ if plain => SCRAM_SHA_256,
            _ => {
                return Err(ProtocolError::unsupported(
                    "the server offers no supported SASL mechanism: SCRAM-SHA-256 and \
                     SCRAM-SHA-256-PLUS are supported",
                ));
            }
        };
        let first = ClientFirst::new(binding).map_err(|error| {
            ProtocolError::unsupported(format!("cannot generate random numbers: {error}"))
        })?;
        let message = first.message();
        let mut payload = Vec::with_capacity(mechanism.len() + message.len() + 5);
        codec::put_cstr(&mut payload, mechanism);
        payload.extend(u32::try_from(message.len()).unwrap_or(u32::MAX).to_be_bytes());
        payload.extend(message.as_bytes());
        Ok(AuthStep::Send(
            Zeroizing::new(codec::message(b'p', &payload)),
            Authentication::ScramFirst(first, password.clone()),
        ))
    }
}

/// Encodes `PasswordMessage`.
fn password_message(password: &str) -> Result<AuthStep, ProtocolError> {
    if password.contains('\0') {
        return Err(ProtocolError::unsupported(
            "cannot send the password: it contains a zero byte, which the protocol cannot carry; \
             set another",
        ));
    }
    let payload = Zeroizing::new([password.as_bytes(), &[0]].concat());
    Ok(AuthStep::Send(Zeroizing::new(codec::message(b'p', &payload)), Authentication::Sent))
}

/// Returns whether the list contains SCRAM-SHA-256, and whether it contains SCRAM-SHA-256-PLUS.
fn offered(mechanisms: &[u8]) -> Result<(bool, bool), ProtocolError> {
    let (mut plain, mut plus, mut rest) = (false, false, mechanisms);
    loop {
        let (name, tail) = codec::get_cstr(rest).ok_or_else(malformed)?;
        match name {
            [] => return Ok((plain, plus)),
            name => {
                plain |= name == SCRAM_SHA_256.as_bytes();
                plus |= name == SCRAM_SHA_256_PLUS.as_bytes();
            }
        }
        rest = tail;
    }
}

/// Returns `md5` and the hexadecimal `md5(md5(password user) salt)` ("Message Flow",
/// `AuthenticationMD5Password`).
fn md5(password: &str, user: &str, salt: [u8; 4]) -> Zeroizing<String> {
    let stored = hex(Md5::new().chain_update(password).chain_update(user));
    Zeroizing::new(format!(
        "md5{}",
        *hex(Md5::new().chain_update(stored.as_bytes()).chain_update(salt))
    ))
}

fn hex(digest: Md5) -> Zeroizing<String> {
    let bytes = digest.finalize();
    Zeroizing::new(
        bytes
            .iter()
            .flat_map(|byte| [byte >> 4, byte & 15])
            .filter_map(|digit| char::from_digit(digit.into(), 16))
            .collect(),
    )
}

fn unsupported_method(code: u32) -> String {
    let name = match code {
        2 => "Kerberos V5".to_owned(),
        7 | 8 => "GSSAPI".to_owned(),
        9 => "SSPI".to_owned(),
        _ => format!("code {code}"),
    };
    format!(
        "the server requests an unsupported authentication method ({name}): use scram-sha-256 in \
         pg_hba.conf"
    )
}

fn malformed() -> ProtocolError {
    ProtocolError::protocol("the server's authentication request is malformed")
}

/// Creates the error for a server that may be an impostor.
fn untrusted(reason: &'static str) -> ProtocolError {
    ProtocolError::protocol(format!("the server is not trusted: {reason}"))
}
