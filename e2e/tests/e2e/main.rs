//! The real servers under the real clients. `cargo xtask test` builds what these run.

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
