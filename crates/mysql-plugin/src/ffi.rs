//! Interface of the servers: exported symbols, entry points, and the connection of a client.

#![allow(
    unsafe_code,
    reason = "the servers are written in C and C++, call these functions and are called back"
)]

mod abi;
mod connection;
mod entry;
mod exports;
mod variables;

pub(crate) use connection::{Account, Connection};
