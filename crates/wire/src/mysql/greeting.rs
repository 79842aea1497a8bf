//! What a server says first: `HandshakeV10`.

use super::Capabilities;
use super::codec::{self, Fields, MAX_NAME};

/// The version of the handshake.
const VERSION: u8 = 10;

/// Of what is scrambled with a password, in bytes (`SCRAMBLE_LENGTH`); a zero stands behind it.
pub const NONCE: usize = 20;

/// The most that a server's version holds, in bytes (`SERVER_VERSION_LENGTH` is 60; who stands in front may write more).
const MAX_VERSION: usize = 255;

/// Whose server it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// MySQL, and what takes itself for it.
    Mysql,
    /// MariaDB.
    Mariadb,
}

/// What is worth knowing of a server's greeting, apart from the one connection that it greets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// As it is sent: MariaDB's begins with `5.5.5-` up to version 11.
    pub version: String,
    /// Whose it is.
    pub flavour: Flavour,
    /// All that the server offers.
    pub capabilities: Capabilities,
    /// The low byte of its own collation's number.
    pub collation: u8,
    /// The status of a new session.
    pub status: u16,
}

/// A greeting as it comes.
#[derive(Debug)]
pub(super) struct HandshakeV10 {
    pub(super) greeting: Greeting,
    pub(super) connection_id: u32,
    pub(super) nonce: Vec<u8>,
    pub(super) plugin: String,
}

impl HandshakeV10 {
    /// From a payload. `None` where it isn't one, or its server is older than 4.1.
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        let mut fields = Fields(payload.strip_prefix(&[VERSION])?);
        let version = fields.text().filter(|version| version.len() <= MAX_VERSION)?;
        let connection_id = fields.u32()?;
        let mut nonce = fields.bytes(8)?.to_vec();
        fields.u8()?;
        let low = fields.u16()?;
        let collation = fields.u8()?;
        let status = fields.u16()?;
        let high = fields.u16()?;
        let length = usize::from(fields.u8()?);
        fields.bytes(6)?;
        let mariadb = fields.u32()?;
        let mysql = u32::from(low) | u32::from(high) << 16;
        let is_mysql = Capabilities::new(mysql, 0).has(Capabilities::MYSQL);
        let capabilities = Capabilities::new(mysql, if is_mysql { 0 } else { mariadb });
        if capabilities.has_any(Capabilities::SECURE_CONNECTION | Capabilities::PLUGIN_AUTH) {
            nonce.extend(fields.bytes(length.saturating_sub(8).max(13))?);
        }
        // The zero that ends it isn't part of it.
        if nonce.last() == Some(&0) {
            nonce.pop();
        }
        let plugin =
            if capabilities.has(Capabilities::PLUGIN_AUTH) { fields.text_or_rest() } else { b"" };
        let version = String::from_utf8_lossy(version).into_owned();
        let plugin =
            str::from_utf8(plugin).ok().filter(|plugin| plugin.len() <= MAX_NAME)?.to_owned();
        let is_mariadb = !is_mysql || version.to_ascii_lowercase().contains("mariadb");
        let flavour = if is_mariadb { Flavour::Mariadb } else { Flavour::Mysql };
        let greeting = Greeting { version, flavour, capabilities, collation, status };
        Some(Self { greeting, connection_id, nonce, plugin })
    }

    /// As it is sent.
    pub(super) fn encode(&self) -> Vec<u8> {
        let Greeting { version, capabilities, collation, status, .. } = &self.greeting;
        let (first, second) = self.nonce.split_at_checked(8).unwrap_or((&self.nonce, &[]));
        let [low, high] = [capabilities.mysql() as u16, (capabilities.mysql() >> 16) as u16];
        let mut payload = vec![VERSION];
        codec::put_text(&mut payload, version);
        payload.extend(self.connection_id.to_le_bytes());
        payload.extend(first);
        payload.push(0);
        payload.extend(low.to_le_bytes());
        payload.push(*collation);
        payload.extend(status.to_le_bytes());
        payload.extend(high.to_le_bytes());
        payload.push(u8::try_from(self.nonce.len() + 1).unwrap_or(u8::MAX));
        payload.extend([0; 6]);
        payload.extend(capabilities.mariadb().to_le_bytes());
        payload.extend(second);
        payload.push(0);
        codec::put_text(&mut payload, &self.plugin);
        payload
    }
}

#[cfg(test)]
mod tests;
