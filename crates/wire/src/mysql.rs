//! MySQL from 5.7 on and MariaDB from 10.2 on, handshake v10, as "Client/Server Protocol" of MySQL's source documentation and
//! MariaDB's "Clients & Utilities → Server and Client Protocol" have it.

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
