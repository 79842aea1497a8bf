//! Test helpers: packets as clients send them, and readable responses.

use std::fmt::Write as _;
use std::sync::Arc;

use countersign_core::credentials::Secret;

use super::client::{ClientConfig, Credential};
use super::codec;
use super::scram::ScramVerifier;
use super::{CancelKey, StartupParams};
use crate::exchange::TransportSecurity;

pub(super) fn secret(text: &str) -> Secret {
    Secret::new(text).unwrap()
}

/// Returns a verifier of the password `open sesame`, with few iterations.
pub(super) fn verifier() -> Arc<ScramVerifier> {
    Arc::new(ScramVerifier::with_salt(&secret("open sesame"), b"salt and pepper!", 2))
}

/// Encodes a startup packet: a code or version, and the body after it.
pub(super) fn packet(code: u32, body: &[u8]) -> Vec<u8> {
    codec::packet(&[&code.to_be_bytes(), body].concat())
}

/// Encodes `GSSENCRequest`.
pub(super) fn gssenc_request() -> Vec<u8> {
    packet(codec::GSSENC_REQUEST, &[])
}

/// Encodes a `StartupMessage` of any version, with names and values in turn.
pub(super) fn startup(major: u16, minor: u16, texts: &[&str]) -> Vec<u8> {
    let mut body: Vec<u8> =
        texts.iter().flat_map(|text| [text.as_bytes(), &[0]].concat()).collect();
    body.push(0);
    packet(u32::from(major) << 16 | u32::from(minor), &body)
}

/// Returns startup parameters of the user `jane`.
pub(super) fn jane(minor: u16) -> StartupParams {
    let parameters = vec![("application_name".to_owned(), "psql".to_owned())];
    StartupParams {
        minor,
        user: "jane".to_owned(),
        database: Some("orders".to_owned()),
        parameters,
    }
}

/// Returns a client configuration of the user `jane` with TLS.
pub(super) fn config(credential: Credential) -> ClientConfig {
    ClientConfig { startup: jane(2), security: TransportSecurity::Required, credential }
}

pub(super) fn key(secret: usize) -> CancelKey {
    CancelKey { process_id: 4711, secret: vec![9; secret] }
}

/// Formats a server's messages, one a line: errors as psql shows them, others by type and payload.
pub(super) fn format(mut bytes: &[u8]) -> String {
    let mut text = String::new();
    while let Some((header, rest)) = bytes.split_first_chunk::<5>() {
        let length = u32::from_be_bytes(header[1..].try_into().unwrap()) as usize - 4;
        let (payload, rest) = rest.split_at(length);
        match header[0] {
            b'E' | b'N' => format_error(&mut text, payload),
            kind => writeln!(text, "{} {}", char::from(kind), payload.escape_ascii()).unwrap(),
        }
        bytes = rest;
    }
    if !bytes.is_empty() {
        writeln!(text, "{}", bytes.escape_ascii()).unwrap();
    }
    text
}

fn format_error(text: &mut String, payload: &[u8]) {
    let fields: Vec<&str> = str::from_utf8(payload).unwrap().split('\0').collect();
    let field = |name| fields.iter().find_map(|field| field.strip_prefix(name));
    assert_eq!(field('S'), field('V'), "the severity is not translated");
    writeln!(
        text,
        "{} {}: {}",
        field('S').unwrap_or_default(),
        field('C').unwrap_or_default(),
        field('M').unwrap_or_default()
    )
    .unwrap();
    for (name, title) in [('D', "DETAIL"), ('H', "HINT")] {
        if let Some(value) = field(name) {
            writeln!(text, "{title}: {value}").unwrap();
        }
    }
}
