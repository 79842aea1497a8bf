//! Drives a login over a connection: the one place where the steps of an [`Exchange`] become reads and writes.

use std::io;
use std::sync::Arc;

use countersign_wire::{Exchange, ProtocolError, ReadBuffer, Step, TlsInfo};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ServerConfig};

use crate::tls::end_point;
use crate::transport::Transport;

/// What secures the connection, where the login comes to that.
#[derive(Debug, Clone)]
pub enum TlsConfig {
    /// Nothing.
    None,
    /// We are the client.
    Client(ClientTls),
    /// We are the server.
    Server(ServerTls),
}

/// How a server is verified.
#[derive(Debug, Clone)]
pub struct ClientTls {
    /// Whom we believe.
    pub config: Arc<ClientConfig>,
    /// The name that the certificate has to have.
    pub name: ServerName<'static>,
}

/// What clients are shown.
#[derive(Debug, Clone)]
pub struct ServerTls {
    /// The certificate and its key.
    pub config: Arc<ServerConfig>,
    /// The certificate's `tls-server-end-point`.
    pub end_point: Option<Vec<u8>>,
}

/// Why a login came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum DriveError {
    /// The login itself.
    #[error(transparent)]
    Fault(#[from] ProtocolError),
    /// The other side has gone.
    #[error("the connection was closed within the login")]
    Closed,
    /// The socket.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The handshake of TLS, or the certificate.
    #[error("TLS can't be begun: {0}")]
    Tls(io::Error),
}

/// Goes on until the login is over. What the other side sent behind it stays in the inbox; the last word of a login that fails is
/// sent.
///
/// # Errors
/// See [`Broken`].
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
                // Boxed: a handshake is large, and most of a login waits for something else.
                next.established(Box::pin(secure(transport, inbox, tls)).await?)
            }
            Ok(Step::Done(bytes, outcome)) => {
                if !bytes.is_empty() {
                    transport.write_all(&bytes).await?;
                }
                return Ok(outcome);
            }
            Err(fault) => {
                if !fault.error_packet().is_empty() {
                    // Whoever does not take the last word is gone, and the fault says why already.
                    let _unheard = transport.write_all(fault.error_packet()).await;
                }
                return Err(fault.into());
            }
        };
    }
}

async fn secure(
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
                server_end_point: transport.certificate().and_then(end_point),
                alpn_protocol: transport.protocol().map(<[u8]>::to_vec),
            })
        }
        TlsConfig::Server(ServerTls { config, end_point }) => {
            let accepted = transport.accept_tls(Arc::clone(config), inbox.unread()).await;
            inbox.consume(inbox.unread().len());
            accepted.map_err(DriveError::Tls)?;
            Ok(TlsInfo {
                server_end_point: end_point.clone(),
                alpn_protocol: transport.protocol().map(<[u8]>::to_vec),
            })
        }
        // The login was set up with TLS, and whoever drives it without.
        TlsConfig::None => {
            Err(DriveError::Tls(io::Error::other("this side is not set up for TLS")))
        }
    }
}

#[cfg(test)]
mod tests;
