//! What a server asks for as a proof, and what it gets.

use countersign_core::credentials::Secret;
use md5::{Digest, Md5};
use zeroize::Zeroizing;

use crate::exchange::{Credential, ProtocolError};
use crate::pg::codec;
use crate::pg::scram::client::{Binding, ClientFinal, ClientFirst};
use crate::pg::scram::{SCRAM_SHA_256, SCRAM_SHA_256_PLUS};

use super::{ChannelBinding, ClientConfig, Line};

/// How far the proof has come.
#[derive(Debug)]
pub(super) enum Authentication {
    /// The server has asked for nothing.
    Unasked(Line),
    /// SCRAM has begun; the password is known to be one.
    Challenged(ClientFirst, Secret),
    /// The server has to prove itself now.
    ClientFinal(ClientFinal),
    /// All is said. The server says whether it is enough.
    Sent,
}

/// What an `Authentication…` message leads to.
pub(super) enum AuthStep {
    Wait(Authentication),
    Send(Zeroizing<Vec<u8>>, Authentication),
    /// The server lets us in.
    Over,
}

/// What a server asks for.
enum Request<'a> {
    Ok,
    Cleartext,
    Md5([u8; 4]),
    Sasl(&'a [u8]),
    Continue(&'a [u8]),
    Final(&'a [u8]),
    /// A code with no data that we have a use for.
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
            (11, data) => Ok(Self::Continue(data)),
            (12, data) => Ok(Self::Final(data)),
            (0 | 3, _) => Err(malformed()),
            (code, _) => Ok(Self::Other(code)),
        }
    }
}

impl Authentication {
    /// Answers the server.
    pub(super) fn turn(
        self,
        settings: &ClientConfig,
        payload: &[u8],
    ) -> Result<AuthStep, ProtocolError> {
        match (self, Request::parse(payload)?) {
            (Self::Unasked(line), request) => first(&line, settings, request),
            (Self::Challenged(hello, password), Request::Continue(data)) => {
                let (proven, answer) = hello.respond(&password, data).map_err(distrust)?;
                Ok(AuthStep::Send(
                    Zeroizing::new(codec::message(b'p', answer.as_bytes())),
                    Self::ClientFinal(proven),
                ))
            }
            (Self::ClientFinal(proven), Request::Final(data)) => {
                proven.verify(data).map_err(distrust)?;
                Ok(AuthStep::Wait(Self::Sent))
            }
            (Self::Sent, Request::Ok) => Ok(AuthStep::Over),
            (Self::Challenged(..) | Self::ClientFinal(_), Request::Ok) => {
                Err(distrust("it ends SCRAM without proving itself"))
            }
            (Self::Challenged(..) | Self::ClientFinal(_) | Self::Sent, _) => {
                Err(ProtocolError::protocol("the server asks for a proof out of turn"))
            }
        }
    }
}

/// The first thing that the server asks for, which decides how the proof goes.
fn first(
    line: &Line,
    settings: &ClientConfig,
    request: Request<'_>,
) -> Result<AuthStep, ProtocolError> {
    let bound = settings.channel_binding == ChannelBinding::Require;
    match request {
        Request::Continue(_) | Request::Final(_) => {
            Err(ProtocolError::protocol("the server goes on with SCRAM before it begins"))
        }
        Request::Sasl(mechanisms) => begin_scram(line, settings, mechanisms),
        Request::Ok | Request::Cleartext | Request::Md5(_) if bound => {
            Err(ProtocolError::unsupported(
                "channel binding is required, but the server asks for no SCRAM, which alone can bind: let the user's password be hashed by \
             scram-sha-256, or require none",
            ))
        }
        Request::Ok => Ok(AuthStep::Over),
        Request::Cleartext => send(cleartext(line, settings)?),
        Request::Md5(salt) => {
            let password = password(settings, "MD5")?;
            send(&md5(password.expose(), &settings.startup.user, salt))
        }
        Request::Other(code) => Err(ProtocolError::unsupported(other(code))),
    }
}

/// `PasswordMessage`.
fn send(password: &str) -> Result<AuthStep, ProtocolError> {
    if password.contains('\0') {
        return Err(ProtocolError::unsupported(
            "the password holds a zero byte, which the protocol can't carry: set another",
        ));
    }
    let payload = Zeroizing::new([password.as_bytes(), &[0]].concat());
    Ok(AuthStep::Send(Zeroizing::new(codec::message(b'p', &payload)), Authentication::Sent))
}

/// What may go out as it is: nothing where somebody could read along.
fn cleartext<'a>(line: &Line, settings: &'a ClientConfig) -> Result<&'a str, ProtocolError> {
    let (secret, what) = match &settings.credential {
        Credential::Token(token) => (token.as_str(), "token"),
        Credential::Password(password) => (password.expose(), "password"),
        Credential::None => return Err(nothing(settings)),
    };
    match line {
        Line::Tls(_) | Line::Bare { trusted: true } => Ok(secret),
        Line::Bare { trusted: false } => Err(ProtocolError::unsupported(format!(
            "the server asks for the {what} in clear text, and there is no TLS that would hide it: turn TLS on"
        ))),
    }
}

/// The password, for a proof that a token is no use for.
fn password<'a>(settings: &'a ClientConfig, means: &str) -> Result<&'a Secret, ProtocolError> {
    match &settings.credential {
        Credential::Password(password) => Ok(password),
        Credential::None => Err(nothing(settings)),
        Credential::Token(_) => {
            let user = &settings.startup.user;
            Err(ProtocolError::denied(format!(
                "the server asks for a password by {means}: user {user:?} is not a member of rds_iam, or IAM authentication is off \
                 for this database; as its owner, GRANT rds_iam TO the user"
            )))
        }
    }
}

fn nothing(settings: &ClientConfig) -> ProtocolError {
    let user = &settings.startup.user;
    ProtocolError::unsupported(format!(
        "the server asks for a password for user {user:?}, and there is none: set one, or log in with IAM"
    ))
}

/// Chooses a mechanism, and gives `SASLInitialResponse`.
fn begin_scram(
    line: &Line,
    settings: &ClientConfig,
    mechanisms: &[u8],
) -> Result<AuthStep, ProtocolError> {
    let (plain, plus) = offered(mechanisms)?;
    let password = password(settings, "SCRAM")?;
    let (bindable, end_point) = match line {
        Line::Tls(peer) => (true, peer.end_point.clone()),
        Line::Bare { .. } => (false, None),
    };
    if plus && !bindable {
        return Err(distrust("it offers to bind SCRAM to a channel, and there is no TLS"));
    }
    let binding = match (settings.channel_binding, end_point) {
        (ChannelBinding::Prefer | ChannelBinding::Require, Some(hash)) if plus => {
            Binding::TlsServerEndPoint(hash)
        }
        (ChannelBinding::Require, _) => {
            return Err(ProtocolError::unsupported(
                "channel binding is required, but the server doesn't offer SCRAM-SHA-256-SCRAM_SHA_256_PLUS, or there is no TLS with a certificate \
                 to bind to: require none, or see what stands in front of the server",
            ));
        }
        (ChannelBinding::Prefer, Some(_)) => Binding::NotOffered,
        (ChannelBinding::Prefer, None) | (ChannelBinding::Disable, _) => Binding::None,
    };
    let mechanism = match binding {
        Binding::TlsServerEndPoint(_) => SCRAM_SHA_256_PLUS,
        _ if plain => SCRAM_SHA_256,
        _ => {
            return Err(ProtocolError::unsupported(
                "the server offers none of the SASL mechanisms that are known here: SCRAM-SHA-256 and its -SCRAM_SHA_256_PLUS",
            ));
        }
    };
    let hello = ClientFirst::new(binding).map_err(|error| {
        ProtocolError::unsupported(format!("the system gives no random numbers: {error}"))
    })?;
    let first = hello.message();
    let mut payload = Vec::with_capacity(mechanism.len() + first.len() + 5);
    codec::put_text(&mut payload, mechanism);
    payload.extend(u32::try_from(first.len()).unwrap_or(u32::MAX).to_be_bytes());
    payload.extend(first.as_bytes());
    Ok(AuthStep::Send(
        Zeroizing::new(codec::message(b'p', &payload)),
        Authentication::Challenged(hello, password.clone()),
    ))
}

/// Whether SCRAM-SHA-256 is among the mechanisms, and whether its `-SCRAM_SHA_256_PLUS` is.
fn offered(mechanisms: &[u8]) -> Result<(bool, bool), ProtocolError> {
    let (mut plain, mut plus, mut rest) = (false, false, mechanisms);
    loop {
        let (name, behind) = codec::take_text(rest).ok_or_else(malformed)?;
        match name {
            [] => return Ok((plain, plus)),
            name => {
                plain |= name == SCRAM_SHA_256.as_bytes();
                plus |= name == SCRAM_SHA_256_PLUS.as_bytes();
            }
        }
        rest = behind;
    }
}

/// `md5` and the digest of the digest and the salt, in hexadecimal ("Message Flow", `AuthenticationMD5Password`).
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

fn other(code: u32) -> String {
    let name = match code {
        2 => "Kerberos V5",
        7 | 8 => "GSSAPI",
        9 => "SSPI",
        _ => {
            return format!(
                "the server asks for a proof of kind {code}, which is not known here: let it ask for a password"
            );
        }
    };
    format!(
        "the server asks for {name}, which is not supported: let it ask for a password (pg_hba.conf, scram-sha-256)"
    )
}

fn malformed() -> ProtocolError {
    ProtocolError::protocol("a request of the server for a proof is malformed")
}

/// A server that may be somebody else.
fn distrust(what: &'static str) -> ProtocolError {
    ProtocolError::protocol(format!("the server is not trusted: {what}"))
}
