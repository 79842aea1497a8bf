//! MySQL from 5.7 on and MariaDB from 10.2 on, handshake v10, as "Client/Server Protocol" of MySQL's source documentation and
//! MariaDB's "Clients & Utilities → Server and Client Protocol" have it.

pub mod answer;
pub mod capabilities;
pub mod codec;
pub mod dial;
pub mod greeting;
pub mod login;
pub mod proof;
pub mod statement;
pub mod stream;
pub mod wish;

pub use capabilities::Capabilities;
pub use greeting::{Flavour, Greeting};
pub use proof::MysqlPassword;
pub use wish::Wish;

#[cfg(test)]
mod tests;
