//! As much of MySQL's protocol as no client of this machine can be brought to speak. Source: "Client/Server Protocol" in MySQL's
//! source documentation.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use countersign_e2e::PATIENCE;

/// `CLIENT_LONG_PASSWORD`, `CLIENT_CONNECT_WITH_DB`, `CLIENT_PROTOCOL_41`, `CLIENT_TRANSACTIONS`, `CLIENT_SECURE_CONNECTION`,
/// `CLIENT_MULTI_STATEMENTS`, `CLIENT_MULTI_RESULTS`, `CLIENT_PS_MULTI_RESULTS`, `CLIENT_PLUGIN_AUTH`.
const CAPABILITIES: u32 = 1 | 8 | 0x200 | 0x2000 | 0x8000 | 0x1_0000 | 0x2_0000 | 0x4_0000 | 0x8_0000;

const COLLATION: u8 = 45;

pub(crate) const QUERY: u8 = 0x03;
pub(crate) const PING: u8 = 0x0e;
pub(crate) const CHANGE_USER: u8 = 0x11;
pub(crate) const PREPARE: u8 = 0x16;
pub(crate) const EXECUTE: u8 = 0x17;
pub(crate) const RESET: u8 = 0x1f;

/// A connection that is logged in, without a password.
pub(crate) struct Raw {
    stream: TcpStream,
    sequence: u8,
}

impl Raw {
    pub(crate) fn login(address: SocketAddr, user: &str, database: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut raw = Self { stream, sequence: 0 };
        let greeting = raw.read();
        assert_eq!(greeting[0], 10, "{greeting:?}");
        let mut response = CAPABILITIES.to_le_bytes().to_vec();
        response.extend((1_u32 << 24).to_le_bytes());
        response.push(COLLATION);
        response.extend([0; 23]);
        response.extend(identity(user, database));
        response.extend(b"mysql_native_password\0");
        raw.write(&response);
        let answer = raw.settle();
        assert_eq!(answer[0], 0, "{}", String::from_utf8_lossy(&answer));
        raw
    }

    /// The end of an exchange of proofs: whatever is asked for, there is no password.
    fn settle(&mut self) -> Vec<u8> {
        loop {
            let answer = self.read();
            match answer[0] {
                0xfe => self.write(&[]),
                _ => return answer,
            }
        }
    }

    pub(crate) fn read(&mut self) -> Vec<u8> {
        let mut header = [0; 4];
        self.stream.read_exact(&mut header).unwrap();
        self.sequence = header[3].wrapping_add(1);
        let mut payload = vec![0; usize::try_from(u32::from_le_bytes([header[0], header[1], header[2], 0])).unwrap()];
        self.stream.read_exact(&mut payload).unwrap();
        payload
    }

    fn write(&mut self, payload: &[u8]) {
        let mut packet = u32::try_from(payload.len()).unwrap().to_le_bytes();
        packet[3] = self.sequence;
        self.stream.write_all(&[&packet, payload].concat()).unwrap();
    }

    /// Sends a command, and gives the first packet of the answer.
    pub(crate) fn command(&mut self, command: u8, body: &[u8]) -> Vec<u8> {
        self.sequence = 0;
        self.write(&[&[command], body].concat());
        self.read()
    }

    /// Becomes another user, and gives the answer.
    pub(crate) fn change_user(&mut self, user: &str, database: &str) -> Vec<u8> {
        self.sequence = 0;
        let mut body = vec![CHANGE_USER];
        body.extend(identity(user, database));
        body.extend(u16::from(COLLATION).to_le_bytes());
        body.extend(b"mysql_native_password\0");
        self.write(&body);
        self.settle()
    }

    /// The only value of the only row of a query, as text.
    pub(crate) fn value(&mut self, sql: &str) -> String {
        let columns = self.command(QUERY, sql.as_bytes());
        assert_eq!(columns, [1], "{sql}: {}", String::from_utf8_lossy(&columns));
        let (_definition, _end, row) = (self.read(), self.read(), self.read());
        let end = self.read();
        assert_eq!(end[0], 0xfe, "{end:?}");
        // Shorter than 251 bytes: the length is one byte.
        String::from_utf8(row[1..].to_vec()).unwrap()
    }
}

/// User, no proof, and database, as both logins have them.
fn identity(user: &str, database: &str) -> Vec<u8> {
    [user.as_bytes(), b"\0\0", database.as_bytes(), b"\0"].concat()
}
