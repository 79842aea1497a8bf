//! Server side of SCRAM, which holds a verifier.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{BOUND_HEADER, HASH_LEN, ScramVerifier, attribute, mac};

/// Reason to reject a client.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::pg) enum Rejection {
    /// A message violates SCRAM.
    Malformed(&'static str),
    /// The client requires a feature that is not supported.
    Unsupported(&'static str),
    /// The client is bound to another TLS channel, or saw another list of mechanisms: a sign of a
    /// man in the middle.
    ChannelBinding(&'static str),
    /// The client does not know the password.
    Password,
}

/// Mechanism that the client selected.
#[derive(Debug, Clone, Copy)]
pub(in crate::pg) enum Mechanism<'a> {
    /// `SCRAM-SHA-256-PLUS`, with the hash of this server's certificate.
    Plus(&'a [u8]),
    /// `SCRAM-SHA-256`, although `-PLUS` was offered too.
    PlainOverPlus,
    /// `SCRAM-SHA-256`, the only one offered.
    Plain,
}

/// State after `server-first-message`: the client has to send its proof.
#[derive(Debug)]
pub(in crate::pg) struct ServerFirst {
    verifier: Arc<ScramVerifier>,
    /// Required value of attribute `c`: GS2 header and channel binding data, in base64.
    cbind_input: String,
    nonce: String,
    /// `client-first-message-bare,server-first-message`
    first_messages: String,
}

impl ServerFirst {
    /// Reads `client-first-message` and returns `server-first-message`.
    pub(in crate::pg) fn new(
        verifier: Arc<ScramVerifier>,
        mechanism: Mechanism<'_>,
        client_first: &[u8],
        server_nonce: &str,
    ) -> Result<(Self, String), Rejection> {
        let malformed = Rejection::Malformed("the first SCRAM message is malformed");
        let Ok(client_first) = str::from_utf8(client_first) else {
            return Err(malformed);
        };
        let (cbind_input, bare) = split_header(mechanism, client_first)?;
        if bare.starts_with("m=") {
            return Err(Rejection::Unsupported(
                "the client requires an unsupported SCRAM extension",
            ));
        }
        let Some((nonce, _)) = attribute(bare, 'n').and_then(|(_, rest)| attribute(rest, 'r'))
        else {
            return Err(malformed);
        };
        // RFC 5802, section 7: printable, and no comma.
        if nonce.is_empty() || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(malformed);
        }
        let nonce = format!("{nonce}{server_nonce}");
        let message =
            format!("r={nonce},s={},i={}", STANDARD.encode(&verifier.salt), verifier.iterations);
        let first_messages = format!("{bare},{message}");
        Ok((Self { verifier, cbind_input, nonce, first_messages }, message))
    }

    /// Verifies `client-final-message` and returns `server-final-message`.
    pub(in crate::pg) fn verify(self, client_final: &[u8]) -> Result<String, Rejection> {
        let malformed = Rejection::Malformed("the last SCRAM message is malformed");
        let Ok(client_final) = str::from_utf8(client_final) else {
            return Err(malformed);
        };
        let Some((without_proof, proof)) = client_final.rsplit_once(",p=") else {
            return Err(malformed);
        };
        let Some((cbind_input, rest)) = attribute(without_proof, 'c') else {
            return Err(malformed);
        };
        let Some((nonce, _)) = attribute(rest, 'r') else {
            return Err(malformed);
        };
        if !bool::from(cbind_input.as_bytes().ct_eq(self.cbind_input.as_bytes())) {
            return Err(Rejection::ChannelBinding("SCRAM channel binding check failed"));
        }
        if nonce != self.nonce {
            return Err(Rejection::Malformed("the SCRAM nonce does not match"));
        }
        let proof: [u8; HASH_LEN] =
            STANDARD.decode(proof).ok().and_then(|proof| proof.try_into().ok()).ok_or(malformed)?;
        let auth_message = format!("{},{without_proof}", self.first_messages);
        let mut client_key = mac(&self.verifier.stored_key, auth_message.as_bytes());
        client_key.iter_mut().zip(proof).for_each(|(byte, masked)| *byte ^= masked);
        let known = Sha256::digest(client_key).as_slice().ct_eq(&self.verifier.stored_key);
        if !bool::from(known) {
            return Err(Rejection::Password);
        }
        let signature = mac(&self.verifier.server_key, auth_message.as_bytes());
        Ok(format!("v={}", STANDARD.encode(signature)))
    }
}

/// Splits `client-first-message` at its GS2 header (RFC 5802, section 6). Returns the value that
/// attribute `c` of the last message must have, and `client-first-message-bare`.
///
/// Flag `y` means that the client believes the server cannot bind. If `-PLUS` was offered, a man in
/// the middle has removed it from the list.
fn split_header<'a>(
    mechanism: Mechanism<'_>,
    client_first: &'a str,
) -> Result<(String, &'a str), Rejection> {
    let (flag, rest) = client_first
        .split_once(',')
        .ok_or(Rejection::Malformed("the first SCRAM message has no header"))?;
    let (authorization, bare) = rest
        .split_once(',')
        .ok_or(Rejection::Malformed("the first SCRAM message has no header"))?;
    if !authorization.is_empty() {
        return Err(Rejection::Unsupported(
            "the client uses an authorization identity, which is not supported",
        ));
    }
    let cbind_input = match (mechanism, flag) {
        (Mechanism::Plus(server_end_point), "p=tls-server-end-point") => {
            STANDARD.encode([BOUND_HEADER.as_bytes(), server_end_point].concat())
        }
        (Mechanism::Plus(_), flag) if flag.starts_with("p=") => {
            return Err(Rejection::Unsupported(
                "the client requires a channel binding other than tls-server-end-point",
            ));
        }
        (Mechanism::Plus(_), _) => {
            return Err(Rejection::Malformed("SCRAM-SHA-256-PLUS without channel binding"));
        }
        (Mechanism::PlainOverPlus, "y") => {
            return Err(Rejection::ChannelBinding(
                "the client did not see the offer of SCRAM channel binding",
            ));
        }
        (_, "n" | "y") => STANDARD.encode(format!("{flag},,")),
        (_, flag) if flag.starts_with("p=") => {
            return Err(Rejection::Malformed("SCRAM-SHA-256 with channel binding"));
        }
        _ => {
            return Err(Rejection::Malformed("the first SCRAM message has an unknown header"));
        }
    };
    Ok((cbind_input, bare))
}
