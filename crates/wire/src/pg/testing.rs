//! What PostgreSQL's tests have in common: packets as clients send them, answers as people read them.

use std::fmt::Write as _;
use std::sync::Arc;

use countersign_core::credentials::Secret;

use super::client::{ChannelBinding, ClientConfig, Credential};
use super::codec;
use super::scram::ScramVerifier;
use super::{CancelKey, StartupParams};
use crate::exchange::TransportSecurity;

pub(super) fn secret(text: &str) -> Secret {
    Secret::new(text).unwrap()
}

/// What knows the password `open sesame`, in so few rounds that it costs nothing.
pub(super) fn verifier() -> Arc<ScramVerifier> {
    Arc::new(ScramVerifier::with_salt(&secret("open sesame"), b"salt and pepper!", 2))
}

/// A packet without a kind: a code or version, and what is behind it.
pub(super) fn packet(code: u32, body: &[u8]) -> Vec<u8> {
    codec::packet(&[&code.to_be_bytes(), body].concat())
}

/// A `StartupMessage` of any version, with names and values in turn.
pub(super) fn startup(major: u16, minor: u16, texts: &[&str]) -> Vec<u8> {
    let mut body: Vec<u8> =
        texts.iter().flat_map(|text| [text.as_bytes(), &[0]].concat()).collect();
    body.push(0);
    packet(u32::from(major) << 16 | u32::from(minor), &body)
}

/// What a client of ours asks for.
pub(super) fn jane(minor: u16) -> StartupParams {
    let parameters = vec![("application_name".to_owned(), "psql".to_owned())];
    StartupParams {
        minor,
        user: "jane".to_owned(),
        database: Some("orders".to_owned()),
        parameters,
    }
}

/// How Jane logs in to a server: TLS, asked for.
pub(super) fn settings(credential: Credential) -> ClientConfig {
    ClientConfig {
        startup: jane(2),
        security: TransportSecurity::Required,
        direct_tls: false,
        credential,
        channel_binding: ChannelBinding::Prefer,
    }
}

pub(super) fn key(secret: usize) -> CancelKey {
    CancelKey { process: 4711, secret: vec![9; secret] }
}

/// A server's messages, one a line: an error with its fields as psql shows them, all else by kind and payload.
pub(super) fn shown(mut bytes: &[u8]) -> String {
    let mut text = String::new();
    while let Some((header, behind)) = bytes.split_first_chunk::<5>() {
        let length = u32::from_be_bytes(header[1..].try_into().unwrap()) as usize - 4;
        let (payload, rest) = behind.split_at(length);
        match header[0] {
            b'E' | b'N' => error(&mut text, payload),
            kind => writeln!(text, "{} {}", char::from(kind), payload.escape_ascii()).unwrap(),
        }
        bytes = rest;
    }
    if !bytes.is_empty() {
        writeln!(text, "{}", bytes.escape_ascii()).unwrap();
    }
    text
}

fn error(text: &mut String, payload: &[u8]) {
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
