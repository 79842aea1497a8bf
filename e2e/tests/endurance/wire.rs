//! Client of MariaDB and MySQL that logs in and disconnects. It implements only the login, so that
//! a thousand logins take a second, and so that any bytes can be sent in place of the token.
//!
//! <https://dev.mysql.com/doc/dev/mysql-server/latest/page_protocol_connection_phase.html>

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::sync::Arc;

use countersign_core::endpoint::Endpoint;
use countersign_e2e::PATIENCE;
use rustls::client::Resumption;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

/// `CLIENT_LONG_PASSWORD | CLIENT_PROTOCOL_41 | CLIENT_TRANSACTIONS | CLIENT_SECURE_CONNECTION |
/// CLIENT_PLUGIN_AUTH`
const CAPABILITIES: u32 = 0x0000_0001 | 0x0000_0200 | 0x0000_2000 | 0x0000_8000 | 0x0008_0000;
const CLIENT_SSL: u32 = 0x0000_0800;
const MAX_PACKET: u32 = 1 << 24;
const UTF8MB4: u8 = 45;

/// Result of a login.
#[derive(Debug, PartialEq, Eq)]
pub enum Answer {
    In,
    HungUp,
    Refused { code: u16, message: String },
}

impl Answer {
    /// Returns true for the error of both servers when the plugin denies a login.
    pub fn is_denial(&self) -> bool {
        matches!(self, Self::Refused { code: 1045, .. })
    }
}

/// Server to log in to.
pub struct Server {
    address: (String, u16),
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
}

impl Server {
    /// Creates a client of the server. TLS is verified against the CA, and sessions are not
    /// resumed, so that each login has a full handshake.
    pub fn new(endpoint: &Endpoint, ca: Option<&Path>) -> Self {
        let host = endpoint.host.to_string();
        let tls = ca.map(|ca| {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_file(ca).unwrap()).unwrap();
            let mut config =
                ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
            config.resumption = Resumption::disabled();
            (Arc::new(config), ServerName::try_from(host.clone()).unwrap())
        });
        Self { address: (host, endpoint.port), tls }
    }

    /// Logs in and disconnects. `password` is the whole packet that responds to the request for a
    /// cleartext password; without one the client disconnects at this point.
    pub fn login(&self, user: &str, password: Option<&[u8]>) -> io::Result<Answer> {
        let mut stream = TcpStream::connect((self.address.0.as_str(), self.address.1))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        let (_, greeting) = read(&mut stream)?;
        if greeting.first() != Some(&10) {
            return refused(&greeting);
        }
        let Some((config, name)) = &self.tls else {
            return authenticate(&mut stream, 1, CAPABILITIES, user, password);
        };
        let capabilities = CAPABILITIES | CLIENT_SSL;
        write(&mut stream, 1, &head(capabilities))?;
        let tls = ClientConnection::new(config.clone(), name.clone()).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(tls, stream);
        let answer = authenticate(&mut stream, 2, capabilities, user, password)?;
        stream.conn.send_close_notify();
        // The server may have closed the connection already.
        let _gone = stream.flush();
        Ok(answer)
    }
}

fn authenticate(
    stream: &mut (impl Read + Write),
    sequence: u8,
    capabilities: u32,
    user: &str,
    password: Option<&[u8]>,
) -> io::Result<Answer> {
    let mut response = head(capabilities);
    response.extend_from_slice(user.as_bytes());
    // Like most clients, starts with a plugin other than the account's.
    response.extend_from_slice(b"\0\0mysql_native_password\0");
    write(stream, sequence, &response)?;
    let (sequence, switch) = read(stream)?;
    if !switch.starts_with(b"\xfemysql_clear_password\0") {
        return refused(&switch);
    }
    let Some(password) = password else {
        return Ok(Answer::HungUp);
    };
    write(stream, sequence.wrapping_add(1), password)?;
    let (_, result) = read(stream)?;
    if result.first() != Some(&0) {
        return refused(&result);
    }
    // COM_QUIT
    write(stream, 0, &[1])?;
    Ok(Answer::In)
}

/// Returns the common head of `SSLRequest` and `HandshakeResponse41`.
fn head(capabilities: u32) -> Vec<u8> {
    let mut head = [capabilities.to_le_bytes(), MAX_PACKET.to_le_bytes()].concat();
    head.push(UTF8MB4);
    head.resize(head.len() + 23, 0);
    head
}

/// Parses an `ERR_Packet`: the code, `#` with the SQLSTATE once capabilities are known, the
/// message.
fn refused(packet: &[u8]) -> io::Result<Answer> {
    let [0xff, low, high, message @ ..] = packet else {
        return Err(io::Error::other(format!(
            "unexpected packet, which begins with {:?}",
            packet.first()
        )));
    };
    Ok(Answer::Refused {
        code: u16::from_le_bytes([*low, *high]),
        message: String::from_utf8_lossy(message).into_owned(),
    })
}

fn read(stream: &mut impl Read) -> io::Result<(u8, Vec<u8>)> {
    let mut head = [0; 4];
    stream.read_exact(&mut head)?;
    let [a, b, c, sequence] = head;
    let mut packet = vec![0; u32::from_le_bytes([a, b, c, 0]) as usize];
    stream.read_exact(&mut packet)?;
    Ok((sequence, packet))
}

fn write(stream: &mut impl Write, sequence: u8, payload: &[u8]) -> io::Result<()> {
    let [a, b, c, _] = u32::try_from(payload.len()).unwrap().to_le_bytes();
    stream.write_all(&[&[a, b, c, sequence], payload].concat())?;
    stream.flush()
}
