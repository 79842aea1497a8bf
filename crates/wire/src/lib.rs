//! Client and server sides of the login protocols of PostgreSQL, MySQL and MariaDB, without I/O:
//! the caller feeds received bytes and performs the returned steps on the socket.
//!
//! Each side of each protocol is an [`Exchange`]: [`pg::server`] and [`mysql::server`] accept a
//! client's login,
//! [`pg::client`] and [`mysql::client`] log in to a server. One loop drives all four:
//!
//! ```
//! use countersign_wire::pg::server::{AuthMethod, ClientTlsMode, ServerConfig, ServerLogin};
//! use countersign_wire::pg::server::StartupRequest;
//! use countersign_wire::{Exchange, ProtocolError, ReadBuffer, Step};
//!
//! fn drive<E: Exchange>(mut exchange: E, received: &[u8]) -> Result<E::Output, ProtocolError> {
//!     let mut buffer = ReadBuffer::default();
//!     let mut received = received.chunks(5);
//!     loop {
//!         exchange = match exchange.advance(&mut buffer)? {
//!             // Read from the socket into the buffer.
//!             Step::Read(next) => {
//!                 buffer.push(received.next().unwrap_or_default());
//!                 next
//!             }
//!             // Write `bytes` to the socket.
//!             Step::Write(_bytes, next) => next,
//!             Step::StartTls(..) => return Err(ProtocolError::unsupported("no TLS here")),
//!             Step::Done(_bytes, output) => return Ok(output),
//!         };
//!     }
//! }
//!
//! let config = ServerConfig { tls: ClientTlsMode::Off, auth: AuthMethod::Trust };
//! let login = drive(ServerLogin::new(config), b"\0\0\0\x13\0\x03\0\0user\0jane\0\0")?;
//! assert!(matches!(login, StartupRequest::Login(params) if params.user == "jane"));
//! # Ok::<_, ProtocolError>(())
//! ```

pub mod exchange;
pub mod mysql;
pub mod pg;
pub mod read_buffer;
mod sql;
#[cfg(test)]
mod testing;

pub use exchange::{Exchange, ProtocolError, Step, TlsInfo};
pub use read_buffer::ReadBuffer;
