//! The real servers under the real clients. `cargo xtask test` builds what these run.

mod accounts;
mod clients;
mod commands;
mod fail_closed;
mod logins;
mod names;
mod secrets;
mod setup;
