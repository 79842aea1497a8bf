//! End-to-end tests of real servers with their own clients. `cargo xtask test` builds the programs
//! that they run.

mod accounts;
mod authorities;
mod clients;
mod commands;
mod fail_closed;
mod fleet;
mod logins;
mod names;
mod secrets;
mod setup;
mod shared_store;
