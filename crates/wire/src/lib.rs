//! The login protocols of PostgreSQL, MySQL and MariaDB, from both sides. No socket and no clock: bytes come in, and what is
//! to be done with the socket goes out.
//!
//! Each side of each protocol is an [`Exchange`]: `pg::login` and `mysql::login` take a client in, `pg::dial` and
//! `mysql::dial` log in to a server. Whoever owns the socket drives them all alike: it asks for the next [`Step`] and does it.

pub mod exchange;
pub mod mysql;
pub mod pg;
pub mod read_buffer;
mod sql;
#[cfg(test)]
mod testing;

pub use exchange::{Exchange, ProtocolError, Step, TlsInfo};
pub use read_buffer::ReadBuffer;
