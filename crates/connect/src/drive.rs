//! Drives an [`Exchange`] over a connection: turns its steps into reads, writes and a TLS
//! handshake.

use std::io;
use std::sync::Arc;

use countersign_wire::{Exchange, ProtocolError, ReadBuffer, Step, TlsInfo};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};

use crate::tls::tls_server_end_point;
use crate::transport::Transport;

/// TLS configuration of an exchange.
#[derive(Debug, Clone)]
pub enum TlsConfig {
    /// No TLS.
    None,
    /// TLS as the client.
    Client(ClientTls),
    /// TLS as the server.
    Server(ServerTls),
}

/// TLS configuration of a client.
#[derive(Debug, Clone)]
pub struct ClientTls {
    /// Root certificates and verification.
    pub config: Arc<ClientConfig>,
    /// Name that the server's certificate must be valid for.
    pub name: ServerName<'static>,
}

/// TLS configuration of a server.
#[derive(Debug, Clone)]
pub struct ServerTls {
    /// Certificate and private key.
    pub config: Arc<ServerConfig>,
    /// The certificate's `tls-server-end-point` (RFC 5929).
    pub end_point: Option<Vec<u8>>,
}

/// The error of an exchange.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The exchange failed.
    #[error(transparent)]
    Protocol(#[from] ProtocolError),
    /// The peer closed the connection.
    #[error("the connection was closed during the login")]
    Closed,
    /// The socket failed.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The TLS handshake failed, or the certificate was rejected.
    #[error("cannot set up TLS: {0}")]
    Tls(io::Error),
}

/// Drives the exchange to its end. Bytes that the peer sent after it stay in `inbox`. The error
/// packet of a failed exchange is sent.
///
/// # Errors
/// [`DriveError::Protocol`] if the exchange fails, and the other variants for errors of the
/// connection.
pub async fn drive<E: Exchange>(
    transport: &mut Transport,
    inbox: &mut ReadBuffer,
    exchange: E,
    tls: &TlsConfig,
) -> Result<E::Output, DriveError> {
    let mut exchange = exchange;
    loop {
        exchange = match exchange.advance(inbox) {
            Ok(Step::Read(next)) => {
                if transport.read(|received| inbox.push(received)).await? == 0 {
                    return Err(DriveError::Closed);
                }
                next
            }
            Ok(Step::Write(bytes, next)) => {
                transport.write_all(&bytes).await?;
                next
            }
            Ok(Step::StartTls(bytes, next)) => {
                if !bytes.is_empty() {
                    transport.write_all(&bytes).await?;
                }
                // Boxed: the future of a handshake is large, and most of a login waits elsewhere.
                next.established(Box::pin(start_tls(transport, inbox, tls)).await?)
            }
            Ok(Step::Done(bytes, outcome)) => {
                if !bytes.is_empty() {
                    transport.write_all(&bytes).await?;
                }
                return Ok(outcome);
            }
            Err(error) => {
                if !error.error_packet().is_empty() {
                    // Best effort: the error to report is that of the exchange.
                    let _sent = transport.write_all(error.error_packet()).await;
                }
                return Err(error.into());
            }
        };
    }
}

async fn start_tls(
    transport: &mut Transport,
    inbox: &mut ReadBuffer,
    tls: &TlsConfig,
) -> Result<TlsInfo, DriveError> {
    match tls {
        TlsConfig::Client(ClientTls { config, name }) => {
            transport
                .connect_tls(Arc::clone(config), name.clone())
                .await
                .map_err(DriveError::Tls)?;
            Ok(TlsInfo {
                server_end_point: transport.peer_certificate().and_then(tls_server_end_point),
                alpn_protocol: transport.alpn_protocol().map(<[u8]>::to_vec),
            })
        }
        TlsConfig::Server(ServerTls { config, end_point }) => {
            let accepted = transport.accept_tls(Arc::clone(config), inbox.unread()).await;
            inbox.consume(inbox.unread().len());
            accepted.map_err(DriveError::Tls)?;
            Ok(TlsInfo {
                server_end_point: end_point.clone(),
                alpn_protocol: transport.alpn_protocol().map(<[u8]>::to_vec),
            })
        }
        // The exchange was created with TLS, but is driven without.
        TlsConfig::None => {
            Err(DriveError::Tls(io::Error::other("this side has no TLS configuration")))
        }
    }
}

#[cfg(test)]
mod tests;
