//! What of the two servers the plugin meets: the symbols that they look for, the functions that they call, and the client
//! that they present.

#![allow(
    unsafe_code,
    reason = "the servers, which are C and C++, call in here and are called back"
)]

mod abi;
mod connection;
mod entry;
mod exports;
mod variables;

pub(crate) use connection::{Connection, Told};
