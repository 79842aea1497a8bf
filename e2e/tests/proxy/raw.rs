//! Parts of MySQL's protocol that no installed client can be made to use. Source: "Client/Server
//! Protocol" in MySQL's source documentation.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use countersign_e2e::PATIENCE;
use rustls::pki_types::CertificateDer;
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// `CLIENT_LONG_PASSWORD`, `CLIENT_CONNECT_WITH_DB`, `CLIENT_PROTOCOL_41`, `CLIENT_TRANSACTIONS`,
/// `CLIENT_SECURE_CONNECTION`, `CLIENT_MULTI_STATEMENTS`, `CLIENT_MULTI_RESULTS`,
/// `CLIENT_PS_MULTI_RESULTS`, `CLIENT_PLUGIN_AUTH`.
const CAPABILITIES: u32 =
    1 | 8 | 0x200 | 0x2000 | 0x8000 | 0x1_0000 | 0x2_0000 | 0x4_0000 | 0x8_0000;

/// `CLIENT_SSL`.
const TLS: u32 = 0x800;

const COLLATION: u8 = 45;

pub(crate) const QUERY: u8 = 0x03;
pub(crate) const PING: u8 = 0x0e;
pub(crate) const CHANGE_USER: u8 = 0x11;
pub(crate) const PREPARE: u8 = 0x16;
pub(crate) const EXECUTE: u8 = 0x17;
pub(crate) const RESET: u8 = 0x1f;

/// Authenticated connection without a password.
pub(crate) struct Raw<S = TcpStream> {
    stream: S,
    sequence: u8,
}

impl Raw {
    pub(crate) fn login(address: SocketAddr, user: &str, database: &str) -> Self {
        let mut raw = Self::greeted(address);
        raw.log_in(0, user, database);
        raw
    }

    /// Logs in over TLS, and sends the `SSLRequest` and the ClientHello in one write.
    pub(crate) fn login_in_tls(
        address: SocketAddr,
        certificate: CertificateDer<'_>,
        user: &str,
        database: &str,
    ) -> Raw<StreamOwned<ClientConnection, TcpStream>> {
        let mut raw = Self::greeted(address);
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let config = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let mut tls = ClientConnection::new(Arc::new(config), address.ip().into()).unwrap();
        let mut bytes = raw.packet(&head(TLS));
        tls.write_tls(&mut bytes).unwrap();
        raw.stream.write_all(&bytes).unwrap();
        let mut raw = Raw { stream: StreamOwned::new(tls, raw.stream), sequence: raw.sequence + 1 };
        raw.log_in(TLS, user, database);
        raw
    }

    fn greeted(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let mut raw = Self { stream, sequence: 0 };
        let greeting = raw.read();
        assert_eq!(greeting[0], 10, "{greeting:?}");
        raw
    }
}

/// Returns the common head of `SSLRequest` and `HandshakeResponse41`.
fn head(more: u32) -> Vec<u8> {
    [
        (CAPABILITIES | more).to_le_bytes().as_slice(),
        &(1_u32 << 24).to_le_bytes(),
        &[COLLATION],
        &[0; 23],
    ]
    .concat()
}

impl<S: Read + Write> Raw<S> {
    fn log_in(&mut self, more: u32, user: &str, database: &str) {
        self.write(
            &[head(more), identity(user, database), b"mysql_native_password\0".to_vec()].concat(),
        );
        let answer = self.finish_authentication();
        assert_eq!(answer[0], 0, "{}", String::from_utf8_lossy(&answer));
    }

    /// Responds to each request of an authentication plugin with an empty packet, and returns the
    /// result.
    fn finish_authentication(&mut self) -> Vec<u8> {
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
        let mut payload =
            vec![
                0;
                usize::try_from(u32::from_le_bytes([header[0], header[1], header[2], 0])).unwrap()
            ];
        self.stream.read_exact(&mut payload).unwrap();
        payload
    }

    fn packet(&self, payload: &[u8]) -> Vec<u8> {
        let mut header = u32::try_from(payload.len()).unwrap().to_le_bytes();
        header[3] = self.sequence;
        [&header, payload].concat()
    }

    fn write(&mut self, payload: &[u8]) {
        let packet = self.packet(payload);
        self.stream.write_all(&packet).unwrap();
    }

    /// Sends a command, and returns the first packet of the response.
    pub(crate) fn command(&mut self, command: u8, body: &[u8]) -> Vec<u8> {
        self.sequence = 0;
        self.write(&[&[command], body].concat());
        self.read()
    }

    /// Sends `COM_CHANGE_USER`, and returns the result.
    pub(crate) fn change_user(&mut self, user: &str, database: &str) -> Vec<u8> {
        self.sequence = 0;
        let mut body = vec![CHANGE_USER];
        body.extend(identity(user, database));
        body.extend(u16::from(COLLATION).to_le_bytes());
        body.extend(b"mysql_native_password\0");
        self.write(&body);
        self.finish_authentication()
    }

    /// Returns the only value of a query as text.
    pub(crate) fn value(&mut self, sql: &str) -> String {
        let columns = self.command(QUERY, sql.as_bytes());
        assert_eq!(columns, [1], "{sql}: {}", String::from_utf8_lossy(&columns));
        let (_definition, _end, row) = (self.read(), self.read(), self.read());
        let end = self.read();
        assert_eq!(end[0], 0xfe, "{end:?}");
        // The length of a string shorter than 251 bytes has one byte.
        String::from_utf8(row[1..].to_vec()).unwrap()
    }
}

/// Returns user, empty authentication response and database.
fn identity(user: &str, database: &str) -> Vec<u8> {
    [user.as_bytes(), b"\0\0", database.as_bytes(), b"\0"].concat()
}
