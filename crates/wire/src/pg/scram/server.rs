//! The side that holds a verifier.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{BOUND, HASH, ScramVerifier, mac, take};

/// Why a client isn't let in.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::pg) enum Rejection {
    /// It does not keep to SCRAM.
    Malformed(&'static str),
    /// It asks for what there isn't.
    Unsupported(&'static str),
    /// Its channel is not ours, or it was told another list of mechanisms: somebody is in between.
    Channel(&'static str),
    /// It does not know the password.
    Password,
}

/// What a client may be bound to, and what it chose.
#[derive(Debug, Clone, Copy)]
pub(in crate::pg) enum Choice<'a> {
    /// `SCRAM-SHA-256-PLUS`, with the hash of our certificate.
    Plus(&'a [u8]),
    /// `SCRAM-SHA-256`, where `-PLUS` was offered too.
    PlainOfTwo,
    /// `SCRAM-SHA-256`, the only one offered.
    Plain,
}

/// Waits for the client's proof.
#[derive(Debug)]
pub(in crate::pg) struct ServerFirst {
    verifier: Arc<ScramVerifier>,
    /// What the proof has to repeat of the header and the channel, in base64.
    binding: String,
    nonce: String,
    /// `client-first-message-bare,server-first-message`.
    said: String,
}

impl ServerFirst {
    /// Reads `client-first-message`, and gives `server-first-message`.
    pub(in crate::pg) fn new(
        verifier: Arc<ScramVerifier>,
        choice: Choice<'_>,
        first: &[u8],
        own: &str,
    ) -> Result<(Self, String), Rejection> {
        let malformed = Rejection::Malformed("the first SCRAM message is malformed");
        let Ok(first) = str::from_utf8(first) else {
            return Err(malformed);
        };
        let (binding, bare) = header(choice, first)?;
        if bare.starts_with("m=") {
            return Err(Rejection::Unsupported(
                "the client requires an unsupported SCRAM extension",
            ));
        }
        let Some((nonce, _)) = take(bare, 'n').and_then(|(_, rest)| take(rest, 'r')) else {
            return Err(malformed);
        };
        // RFC 5802, section 7: printable, and no comma.
        if nonce.is_empty() || !nonce.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(malformed);
        }
        let nonce = format!("{nonce}{own}");
        let answer =
            format!("r={nonce},s={},i={}", STANDARD.encode(&verifier.salt), verifier.iterations);
        let said = format!("{bare},{answer}");
        Ok((Self { verifier, binding, nonce, said }, answer))
    }

    /// Reads `client-final-message`, and gives `server-final-message`.
    pub(in crate::pg) fn verify(self, last: &[u8]) -> Result<String, Rejection> {
        let malformed = Rejection::Malformed("the last SCRAM message is malformed");
        let Ok(last) = str::from_utf8(last) else {
            return Err(malformed);
        };
        let Some((without_proof, proof)) = last.rsplit_once(",p=") else {
            return Err(malformed);
        };
        let Some((binding, rest)) = take(without_proof, 'c') else {
            return Err(malformed);
        };
        let Some((nonce, _)) = take(rest, 'r') else {
            return Err(malformed);
        };
        if !bool::from(binding.as_bytes().ct_eq(self.binding.as_bytes())) {
            return Err(Rejection::Channel("SCRAM channel binding check failed"));
        }
        if nonce != self.nonce {
            return Err(Rejection::Malformed("the SCRAM nonce does not match"));
        }
        let proof: [u8; HASH] =
            STANDARD.decode(proof).ok().and_then(|proof| proof.try_into().ok()).ok_or(malformed)?;
        let said = format!("{},{without_proof}", self.said);
        let mut key = mac(&self.verifier.stored, said.as_bytes());
        key.iter_mut().zip(proof).for_each(|(byte, masked)| *byte ^= masked);
        let known = Sha256::digest(key).as_slice().ct_eq(&self.verifier.stored);
        if !bool::from(known) {
            return Err(Rejection::Password);
        }
        Ok(format!("v={}", STANDARD.encode(mac(&self.verifier.server, said.as_bytes()))))
    }
}

/// What the proof must repeat, and what follows the header (RFC 5802, section 6). A client that thinks we can't bind, though we
/// offered to, was told so by somebody in between.
fn header<'a>(choice: Choice<'_>, first: &'a str) -> Result<(String, &'a str), Rejection> {
    let (flag, rest) = first
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
    let binding = match (choice, flag) {
        (Choice::Plus(end_point), "p=tls-server-end-point") => {
            STANDARD.encode([BOUND.as_bytes(), end_point].concat())
        }
        (Choice::Plus(_), flag) if flag.starts_with("p=") => {
            return Err(Rejection::Unsupported(
                "the only channel binding there is is tls-server-end-point",
            ));
        }
        (Choice::Plus(_), _) => {
            return Err(Rejection::Malformed("SCRAM-SHA-256-PLUS without channel binding"));
        }
        (Choice::PlainOfTwo, "y") => {
            return Err(Rejection::Channel(
                "the client thinks that there is no SCRAM channel binding here, but there is",
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
    Ok((binding, bare))
}
