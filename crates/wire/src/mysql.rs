//! Handshake v10 of MySQL 5.7 and later and MariaDB 10.2 and later, as in "Client/Server Protocol"
//! of MySQL's source documentation and "Clients & Utilities → Server and Client Protocol" of
//! MariaDB's documentation.

pub mod auth_plugins;
pub mod capabilities;
pub mod client;
pub mod codec;
pub mod command;
pub mod greeting;
pub mod handshake_response;
pub mod response;
pub mod server;
pub mod stream;

pub use auth_plugins::MysqlPassword;
pub use capabilities::Capabilities;
pub use greeting::{Flavour, Greeting};
pub use handshake_response::LoginParams;

#[cfg(test)]
mod tests;
