//! Greeting of the server: `HandshakeV10`.

use super::Capabilities;
use super::codec::{self, Fields, MAX_NAME};

/// Version of the handshake.
const VERSION: u8 = 10;

/// Maximum length of a server's version, in bytes. `SERVER_VERSION_LENGTH` is 60, but a proxy may
/// send more.
const MAX_VERSION: usize = 255;

/// Product of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Flavour {
    /// MySQL and compatible servers.
    Mysql,
    /// MariaDB.
    Mariadb,
}

/// Part of a server's greeting that does not depend on the connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Greeting {
    /// Version as sent. MariaDB's starts with `5.5.5-` up to version 11.
    pub version: String,
    /// Product of the server.
    pub flavour: Flavour,
    /// Capabilities of the server.
    pub capabilities: Capabilities,
    /// Low byte of the server's default collation.
    pub collation: u8,
    /// Status flags of a new session.
    pub status: u16,
}

/// Complete greeting.
#[derive(Debug)]
pub(super) struct HandshakeV10 {
    pub(super) greeting: Greeting,
    pub(super) connection_id: u32,
    pub(super) nonce: Vec<u8>,
    pub(super) plugin: String,
}

impl HandshakeV10 {
    /// Parses a payload. Returns `None` for other versions and for servers older than MySQL 4.1.
    pub(super) fn parse(payload: &[u8]) -> Option<Self> {
        let mut fields = Fields(payload.strip_prefix(&[VERSION])?);
        let version = fields.cstr().filter(|version| version.len() <= MAX_VERSION)?;
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
        // The terminating zero is not part of the nonce.
        if nonce.last() == Some(&0) {
            nonce.pop();
        }
        let plugin =
            if capabilities.has(Capabilities::PLUGIN_AUTH) { fields.cstr_or_rest() } else { b"" };
        let version = String::from_utf8_lossy(version).into_owned();
        let plugin =
            str::from_utf8(plugin).ok().filter(|plugin| plugin.len() <= MAX_NAME)?.to_owned();
        let is_mariadb = !is_mysql || version.to_ascii_lowercase().contains("mariadb");
        let flavour = if is_mariadb { Flavour::Mariadb } else { Flavour::Mysql };
        let greeting = Greeting { version, flavour, capabilities, collation, status };
        Some(Self { greeting, connection_id, nonce, plugin })
    }

    /// Encodes the payload.
    pub(super) fn encode(&self) -> Vec<u8> {
        let Greeting { version, capabilities, collation, status, .. } = &self.greeting;
        let (first, second) = self.nonce.split_at_checked(8).unwrap_or((&self.nonce, &[]));
        let [low, high] = [capabilities.mysql() as u16, (capabilities.mysql() >> 16) as u16];
        let mut payload = vec![VERSION];
        codec::put_cstr(&mut payload, version);
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
        codec::put_cstr(&mut payload, &self.plugin);
        payload
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mysql::auth_plugins::NONCE_LEN;
    use crate::mysql::tests::{MARIADB_1011, MYSQL_97, hex};

    #[test]
    fn greetings_of_real_servers_are_parsed() {
        let mysql = HandshakeV10::parse(&hex(MYSQL_97)).unwrap();
        assert_eq!(mysql.greeting.version, "9.7.4-2");
        assert_eq!(mysql.greeting.flavour, Flavour::Mysql);
        assert_eq!(mysql.connection_id, 16);
        assert_eq!(mysql.nonce, hex("44103817652e1851072b6e3e77774f0a250a5618"));
        assert_eq!(mysql.plugin, "caching_sha2_password");
        assert_eq!((mysql.greeting.collation, mysql.greeting.status), (255, 2));
        assert_eq!(mysql.greeting.capabilities, Capabilities::new(0xdfff_ffff, 0));
        let mariadb = HandshakeV10::parse(&hex(MARIADB_1011)).unwrap();
        assert_eq!(mariadb.greeting.version, "5.5.5-10.11.19-MariaDB-0+deb12u1");
        assert_eq!(mariadb.greeting.flavour, Flavour::Mariadb);
        assert_eq!(mariadb.greeting.capabilities, Capabilities::new(0x81ff_fffe, 0x1d));
        assert_eq!(mariadb.plugin, "mysql_native_password");
        assert_eq!((mariadb.nonce.len(), mariadb.greeting.collation), (NONCE_LEN, 8));
        for greeting in [MYSQL_97, MARIADB_1011] {
            assert_eq!(HandshakeV10::parse(&hex(greeting)).unwrap().encode(), hex(greeting));
            for cut in 0..60 {
                let _ = HandshakeV10::parse(&hex(greeting)[..cut]);
            }
        }
        assert!(HandshakeV10::parse(b"\x09" as &[u8]).is_none());
        assert!(HandshakeV10::parse(b"SSH-2.0-OpenSSH").is_none());
    }

    proptest! {
        #[test]
        fn encoded_greeting_is_parsed(
            version in "[ -~]{0,60}",
            id: u32,
            low: u32,
            high: u32,
            collation: u8,
            status: u16,
            nonce in proptest::collection::vec(1_u8..128, 20),
        ) {
            let is_mysql = low & 1 != 0;
            let capabilities = Capabilities::new(
                low,
                if is_mysql { 0 } else { high },
            ) | Capabilities::LOGIN;
            let mariadb = !is_mysql || version.to_lowercase().contains("mariadb");
            let flavour = if mariadb { Flavour::Mariadb } else { Flavour::Mysql };
            let greeting = Greeting { version, flavour, capabilities, collation, status };
            let handshake = HandshakeV10 {
                greeting: greeting.clone(),
                connection_id: id,
                nonce: nonce.clone(),
                plugin: "p".to_owned(),
            };
            let read = HandshakeV10::parse(&handshake.encode()).unwrap();
            prop_assert_eq!(read.greeting, greeting);
            prop_assert_eq!(
                (read.connection_id, read.nonce, read.plugin),
                (id, nonce, "p".to_owned()),
            );
        }

        #[test]
        fn no_input_panics(mut payload: Vec<u8>) {
            let _ = HandshakeV10::parse(&payload);
            payload.insert(0, VERSION);
            let _ = HandshakeV10::parse(&payload);
        }
    }
}
