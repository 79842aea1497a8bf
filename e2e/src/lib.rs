//! Fixtures of the end-to-end tests: each test has its own `countersign local up`, in a directory
//! and on ports of its own.
//!
//! `cargo xtask test` builds the programs along with the tests.

mod client_session;
mod command;
mod proxy;
mod server_kind;
mod session;
mod stack;

pub use client_session::ClientSession;
pub use command::{CommandOutput, PATIENCE, countersign, programs, run, token, wait_until};
pub use proxy::{HTTP_PORT, Proxy, ProxyFixture, http};
pub use server_kind::{ServerKind, mysql_client, postgres, protocols, ways, ways_of};
pub use session::padded_session;
pub use stack::Stack;
