//! The client's proof that it knows the password, by SCRAM.

use std::sync::Arc;

use crate::exchange::ProtocolError;
use crate::pg::scram::server::{Mechanism, Rejection, ServerFirst};
use crate::pg::scram::{self, ScramVerifier};
use crate::pg::{StartupParams, codec};

use super::violation;

/// Waits for the client's choice of a mechanism.
#[derive(Debug)]
pub(super) struct Offer {
    pub(super) startup: StartupParams,
    pub(super) verifier: Arc<ScramVerifier>,
    /// What a client within TLS can be bound to.
    pub(super) end_point: Option<Vec<u8>>,
}

impl Offer {
    /// `AuthenticationSASL`: the better mechanism first.
    pub(super) fn mechanisms(&self) -> Vec<u8> {
        let mut names = Vec::new();
        if self.end_point.is_some() {
            codec::put_text(&mut names, scram::SCRAM_SHA_256_PLUS);
        }
        codec::put_text(&mut names, scram::SCRAM_SHA_256);
        names.push(0);
        codec::authentication(10, &names)
    }

    /// Reads `SASLInitialResponse`, and gives `AuthenticationSASLContinue`.
    pub(super) fn challenge(
        self,
        kind: u8,
        payload: &[u8],
    ) -> Result<(Vec<u8>, Proof), ProtocolError> {
        let (mechanism, first) = initial(kind, payload)?;
        let choice = match (mechanism, &self.end_point) {
            (name, Some(end_point)) if name == scram::SCRAM_SHA_256_PLUS.as_bytes() => {
                Mechanism::Plus(end_point)
            }
            (name, Some(_)) if name == scram::SCRAM_SHA_256.as_bytes() => Mechanism::PlainOverPlus,
            (name, None) if name == scram::SCRAM_SHA_256.as_bytes() => Mechanism::Plain,
            _ => {
                return Err(violation("client selected an invalid SASL authentication mechanism"));
            }
        };
        let nonce = scram::nonce().map_err(|error| {
            let detail = format!("the system gives no random numbers: {error}");
            // SQLSTATE internal_error.
            ProtocolError::Unsupported {
                detail,
                error_packet: codec::error_response(
                    "FATAL",
                    "XX000",
                    "could not generate random nonce",
                    None,
                    None,
                ),
            }
        })?;
        let challenge = ServerFirst::new(self.verifier, choice, first, &nonce);
        let (challenge, answer) =
            challenge.map_err(|rejection| refuse(&rejection, &self.startup.user))?;
        Ok((
            codec::authentication(11, answer.as_bytes()),
            Proof { startup: self.startup, challenge },
        ))
    }
}

/// Waits for the client's proof.
#[derive(Debug)]
pub(super) struct Proof {
    startup: StartupParams,
    challenge: ServerFirst,
}

impl Proof {
    /// Reads `SASLResponse`, and gives `AuthenticationSASLFinal`.
    pub(super) fn verify(
        self,
        kind: u8,
        payload: &[u8],
    ) -> Result<(Vec<u8>, StartupParams), ProtocolError> {
        expect_password(kind)?;
        let signature = self
            .challenge
            .verify(payload)
            .map_err(|rejection| refuse(&rejection, &self.startup.user))?;
        Ok((codec::authentication(12, signature.as_bytes()), self.startup))
    }
}

/// The mechanism, and the first message. libpq sends one always, though SASL lets a client wait for an empty challenge.
fn initial(kind: u8, payload: &[u8]) -> Result<(&[u8], &[u8]), ProtocolError> {
    expect_password(kind)?;
    let parts = codec::take_text(payload)
        .and_then(|(mechanism, rest)| Some((mechanism, rest.split_first_chunk()?)));
    let Some((mechanism, (length, first))) = parts else {
        return Err(violation("malformed SASL response"));
    };
    if usize::try_from(u32::from_be_bytes(*length)) != Ok(first.len()) {
        return Err(violation("malformed SASL response: its length is wrong"));
    }
    Ok((mechanism, first))
}

fn expect_password(kind: u8) -> Result<(), ProtocolError> {
    match kind {
        b'p' => Ok(()),
        kind => Err(violation(&format!(
            "expected SASL response, got message type '{}'",
            char::from(kind).escape_default()
        ))),
    }
}

fn refuse(rejection: &Rejection, user: &str) -> ProtocolError {
    match *rejection {
        Rejection::Malformed(what) => violation(what),
        Rejection::Unsupported(what) => ProtocolError::Unsupported {
            detail: what.to_owned(),
            error_packet: codec::error_response("FATAL", codec::NOT_SUPPORTED, what, None, None),
        },
        Rejection::ChannelBinding(what) => ProtocolError::Denied {
            detail: format!("{what}: somebody may be in between"),
            error_packet: codec::error_response(
                "FATAL",
                codec::INVALID_AUTHORIZATION,
                what,
                None,
                None,
            ),
        },
        Rejection::Password => {
            // In PostgreSQL's words.
            let message = format!("password authentication failed for user \"{user}\"");
            let error_packet =
                codec::error_response("FATAL", codec::INVALID_PASSWORD, &message, None, None);
            ProtocolError::Denied {
                detail: format!("a wrong password came with the user name {user:?}"),
                error_packet,
            }
        }
    }
}
